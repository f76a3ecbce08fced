// Turns operations into windows of sections: control, diff and extra, each
// stored or compressed by zstd, whichever is smaller.
#ifndef SHOAL_DELTA_MAKE_WINDOW_WRITER_H_
#define SHOAL_DELTA_MAKE_WINDOW_WRITER_H_

#include <zstd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "delta/format/format.h"

namespace shoal::delta {

// Appends whole windows to `out`. Not thread-safe.
class WindowWriter {
 public:
  // The images and `out` must outlive it. `new_at`: where the first window
  // begins in the result.
  WindowWriter(std::string_view old_image, std::string_view new_image,
               std::string header_checksum, uint32_t window_size,
               int zstd_level, uint64_t new_at, std::string* out);

  // Continues at the place where the one before ended.
  absl::Status Add(const Operation& operation);
  // Closes the last window.
  absl::Status Finish();

  uint64_t windows() const { return windows_; }

 private:
  struct FreeContext {
    void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
  };
  uint64_t NewAt() const { return window_start_ + window_new_; }
  void AppendOp(Op op, uint64_t argument);
  void SeekTo(uint64_t old_at);
  // Bytes that fit into the window beside their instructions; makes room.
  absl::StatusOr<uint64_t> Room();
  absl::Status AddCopy(uint64_t old_at, uint64_t size);
  absl::Status AddDiff(uint64_t old_at, uint64_t size);
  absl::Status AddNew(uint64_t size);
  absl::Status CloseWindow();
  absl::StatusOr<SectionInfo> PackSection(const std::string& raw,
                                          std::string& stored);

  std::string_view old_, new_;
  std::string header_checksum_;
  uint64_t window_size_;
  std::string* out_;
  std::unique_ptr<ZSTD_CCtx, FreeContext> context_;
  std::string sections_[kSections];
  uint64_t window_start_;    // in the result
  uint64_t window_new_ = 0;  // bytes of the result in the open window
  uint64_t old_position_ = 0;
  uint64_t windows_ = 0;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_WINDOW_WRITER_H_
