// Memory whose allocation can fail without an exception.
#ifndef SHOAL_DELTA_IMAGE_BUFFER_H_
#define SHOAL_DELTA_IMAGE_BUFFER_H_

#include <cstddef>
#include <memory>
#include <new>

#include "common/status.h"

namespace shoal::delta {

class Buffer {
 public:
  // At least `size` bytes; keeps none of what was there.
  absl::Status Reserve(size_t size) {
    if (size <= size_) return absl::OkStatus();
    data_.reset();  // first, so that both are never there at once
    size_ = 0;
    data_.reset(new (std::nothrow) char[size]);
    if (!data_) return ResourceExhausted("image_memory", "out of memory");
    size_ = size;
    return absl::OkStatus();
  }
  void Release() {
    data_.reset();
    size_ = 0;
  }
  char* data() { return data_.get(); }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_BUFFER_H_
