// The inside of Applier: the whole run (apply.cc), a window (window.cc), the
// resume state (resume.cc).
#ifndef SHOAL_DELTA_APPLY_APPLY_IMPL_H_
#define SHOAL_DELTA_APPLY_APPLY_IMPL_H_

#include <zstd.h>

#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "delta/apply/apply.h"

namespace shoal::delta {

inline constexpr size_t kApplyIoSize = 64 << 10;

inline absl::Status DeltaCorrupt(std::string_view what) {
  return DataLoss("delta_corrupt", what);
}

// A fixed buffer whose allocation can fail without an exception.
class ApplyBuffer {
 public:
  bool Allocate(size_t size) {
    data_.reset(new (std::nothrow) char[size]);
    size_ = size;
    return data_ != nullptr;
  }
  char* data() { return data_.get(); }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
};

class Applier::Impl {
 public:
  explicit Impl(ApplyOptions options) : options_(std::move(options)) {}

  absl::Status ReadHeader();
  absl::Status Run();
  const Header& header() const { return header_; }
  uint64_t resume_offset() const { return resume_.new_offset; }

 private:
  struct FreeContext {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  struct Resume {
    uint64_t patch_offset = 0;
    uint64_t new_offset = 0;
    std::string digest;
  };

  absl::Status Allocate();
  absl::Status CheckBase();
  absl::Status ReadResumeState();
  absl::Status ResumeFromState();
  absl::Status ReadExactly(char* buffer, size_t size);
  absl::StatusOr<uint8_t> ReadByte(std::string& record);
  absl::StatusOr<uint64_t> ReadVarint(std::string& record);
  absl::StatusOr<WindowHeader> ReadWindowHeader(std::string& record);
  absl::Status ReadWindow();
  absl::Status Decompress(const WindowHeader& window);
  absl::Status RunWindow(const WindowHeader& window);
  absl::Status FromBase(uint64_t length, std::string_view* diff);
  absl::Status Emit(std::string_view bytes);
  absl::Status Flush();
  absl::Status Checkpoint();
  absl::Status CheckCancelled() const {
    if (options_.cancel != nullptr && options_.cancel->load())
      return MakeError(absl::StatusCode::kCancelled, "cancelled",
                       "applying the delta was cancelled");
    return absl::OkStatus();
  }

  ApplyOptions options_;
  Header header_;
  std::string header_checksum_;
  Resume resume_;
  bool ran_ = false;

  ApplyBuffer stored_, raw_, old_io_, out_;
  std::unique_ptr<ZSTD_DCtx, FreeContext> context_;
  size_t out_used_ = 0;

  uint64_t patch_offset_ = 0;
  uint64_t written_ = 0;  // bytes of the result so far, out_ included
  uint64_t reported_ = 0;
  uint64_t old_position_ = 0;
  crypto::Sha256 digest_;  // of everything flushed
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_APPLY_APPLY_IMPL_H_
