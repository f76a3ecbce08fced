// The inside of Applier: the whole run (apply.cc), windows of sections
// (window.cc), windows of the model (model_window.cc), the output (output.cc),
// the resume state (resume.cc).
//
// Two coordinates: *made* counts bytes of what the windows make, *written*
// bytes of the image. They differ only when the patch is between expanded
// images (delta/image).
#ifndef SHOAL_DELTA_APPLY_APPLY_IMPL_H_
#define SHOAL_DELTA_APPLY_APPLY_IMPL_H_

#include <zstd.h>

#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "delta/apply/apply.h"
#include "delta/apply/images.h"
#include "delta/entropy/mix_coder.h"

namespace shoal::delta {

inline constexpr size_t kApplyIoSize = 64 << 10;

inline absl::Status DeltaCorrupt(std::string_view what) {
  return DataLoss("delta_corrupt", what);
}
inline absl::Status DeltaTooLarge() {
  return MakeError(absl::StatusCode::kOutOfRange, "delta_too_large",
                   "an instruction writes beyond the declared length");
}

// What the library's small objects take throws where there is no memory: no
// further than to here.
inline absl::Status NoMemory() {
  return ResourceExhausted("delta_memory",
                           "the memory that the patch needs is not there");
}
template <class F>
auto WithoutExceptions(F run) -> decltype(run()) {
  try {
    return run();
  } catch (const std::bad_alloc&) {
    return NoMemory();
  }
}

// A fixed array whose allocation can fail without an exception.
template <typename T>
class ApplyArray {
 public:
  bool Allocate(size_t size) {
    data_.reset(new (std::nothrow) T[size]);
    size_ = size;
    return data_ != nullptr;
  }
  T* data() { return data_.get(); }
  T& operator[](size_t i) { return data_[i]; }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<T[]> data_;
  size_t size_ = 0;
};
using ApplyBuffer = ApplyArray<char>;

class Applier::Impl {
 public:
  explicit Impl(ApplyOptions options) : options_(std::move(options)) {}

  absl::Status ReadHeader();
  absl::Status Run();
  const Header& header() const { return header_; }
  uint64_t resume_offset() const { return resume_.written; }

 private:
  struct FreeContext {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  // A window that needs nothing of those before it.
  struct Restart {
    uint64_t patch_offset = 0;
    uint64_t made = 0;
  };
  struct Resume {
    Restart restart;
    uint64_t made = 0;     // what is made before it was written already
    uint64_t written = 0;  // bytes of the image
    std::string digest;    // of them
  };
  // The bytes of a window's header, for its checksum.
  struct Record {
    std::array<char, kMaxWindowHeaderSize> bytes;
    size_t size = 0;
    std::string_view View() const { return {bytes.data(), size}; }
  };

  // apply.cc
  absl::Status CheckCallbacks() const;
  absl::Status CheckHeader();
  absl::Status ReadMaps();
  absl::Status Allocate();
  absl::Status CheckBase();
  absl::Status ReadExactly(char* buffer, size_t size);
  // Of the base as the windows see it.
  absl::Status ReadOld(uint64_t at, char* buffer, size_t size) {
    if (size == 0) return absl::OkStatus();
    return images_ ? images_->Read(at, buffer, size)
                   : options_.read_old(at, buffer, size);
  }
  absl::Status CheckCancelled() const {
    if (options_.cancel != nullptr && options_.cancel->load())
      return MakeError(absl::StatusCode::kCancelled, "cancelled",
                       "applying the delta was cancelled");
    return absl::OkStatus();
  }

  // window.cc
  absl::StatusOr<uint8_t> ReadByte(Record& record);
  absl::StatusOr<uint64_t> ReadVarint(Record& record);
  absl::StatusOr<WindowHeader> ReadWindowHeader(Record& record);
  absl::Status ReadSectionInfos(Record& record, WindowHeader& window);
  absl::Status ReadWindow();
  absl::Status Decompress(const WindowHeader& window);
  absl::Status RunSections(const WindowHeader& window);
  absl::Status FromBase(uint64_t length, std::string_view* diff);

  // model_window.cc
  absl::Status ReadOperations(const WindowHeader& window);
  absl::Status RunContent(const WindowHeader& window);
  absl::Status CopyOperation(uint64_t old_at, uint64_t size);
  absl::Status CodedOperation(const Operation& operation, uint64_t done,
                              uint64_t size);

  // output.cc: bytes that the windows made, in order.
  absl::Status Emit(std::string_view bytes);
  absl::Status Write(std::string_view bytes);
  absl::Status Flush();
  // Whether all of the next `size` made bytes were written before an
  // interruption.
  bool WrittenBefore(uint64_t size) const {
    return made_ < resume_.made && size <= resume_.made - made_;
  }

  // resume.cc
  absl::Status ReadResumeState();
  absl::Status ResumeFromState();
  void NoteRestart();
  absl::Status Checkpoint();

  ApplyOptions options_;
  Header header_;
  std::string header_checksum_;
  uint64_t needed_memory_ = 0;  // bytes, by this reader's own arithmetic
  uint64_t made_size_ = 0;      // what all windows together make
  uint64_t old_made_size_ = 0;  // of the base as the windows see it
  Resume resume_;
  bool ran_ = false;

  ApplyBuffer stored_, raw_, old_io_, out_;
  std::unique_ptr<ZSTD_DCtx, FreeContext> context_;
  size_t out_used_ = 0;

  std::unique_ptr<Images> images_;  // null: the images are taken as they are

  // A group of the model.
  std::unique_ptr<MixDecoder> model_;
  ApplyArray<Operation> operations_;
  size_t operation_count_ = 0, operation_ = 0;  // in the group; the next one
  uint64_t operation_done_ = 0;                 // bytes of it
  uint64_t group_left_ = 0;                     // bytes

  uint64_t patch_offset_ = 0;
  uint64_t made_ = 0;
  uint64_t written_ = 0;  // bytes of the image so far, out_ included
  uint64_t reported_ = 0;
  uint64_t old_position_ = 0;
  crypto::Sha256 digest_;  // of everything flushed

  static constexpr size_t kRestarts = 64;
  std::array<Restart, kRestarts> restarts_;  // the last ones, a ring
  size_t restart_count_ = 0;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_APPLY_APPLY_IMPL_H_
