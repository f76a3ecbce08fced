#include "delta/make/bsdiff40.h"

#include <bzlib.h>

#include <algorithm>
#include <new>

#include "common/status.h"
#include "delta/format/bsdiff40.h"

namespace shoal::delta {
namespace {

constexpr size_t kStep = 64 << 10;

}  // namespace

class Bsdiff40Writer::Stream {
 public:
  Stream() {
    if (BZ2_bzCompressInit(&stream_, 9, 0, 0) != BZ_OK) throw std::bad_alloc();
  }
  ~Stream() { BZ2_bzCompressEnd(&stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  absl::Status Append(std::string_view bytes) {
    // bzip2 does not write through this pointer; it only lacks the const.
    stream_.next_in = const_cast<char*>(bytes.data());
    stream_.avail_in = static_cast<unsigned>(bytes.size());
    while (stream_.avail_in > 0) SHOAL_RETURN_IF_ERROR(Step(BZ_RUN, BZ_RUN_OK));
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> Finish() {
    stream_.avail_in = 0;
    while (!ended_) SHOAL_RETURN_IF_ERROR(Step(BZ_FINISH, BZ_FINISH_OK));
    return std::move(out_);
  }

 private:
  absl::Status Step(int action, int expected) {
    const size_t before = out_.size();
    out_.resize(before + kStep);
    stream_.next_out = out_.data() + before;
    stream_.avail_out = kStep;
    const int result = BZ2_bzCompress(&stream_, action);
    out_.resize(before + kStep - stream_.avail_out);
    ended_ = result == BZ_STREAM_END;
    if (result != expected && !ended_)
      return Internal("bzip2_failed", "bzip2 does not compress");
    return absl::OkStatus();
  }

  bz_stream stream_{};
  std::string out_;
  bool ended_ = false;
};

Bsdiff40Writer::Bsdiff40Writer(std::string_view old_image,
                               std::string_view new_image)
    : old_(old_image),
      new_(new_image),
      control_(std::make_unique<Stream>()),
      diff_(std::make_unique<Stream>()),
      extra_(std::make_unique<Stream>()) {}

Bsdiff40Writer::~Bsdiff40Writer() = default;

absl::Status Bsdiff40Writer::EndTriple(uint64_t old_at) {
  std::string triple;
  AppendBsdiff40Number(triple, static_cast<int64_t>(add_size_));
  AppendBsdiff40Number(triple, static_cast<int64_t>(extra_size_));
  AppendBsdiff40Number(triple, static_cast<int64_t>(old_at - old_at_));
  old_at_ = old_at;
  add_size_ = extra_size_ = 0;
  return control_->Append(triple);
}

absl::Status Bsdiff40Writer::Add(const Operation& operation) {
  const std::string_view fresh = new_.substr(new_at_, operation.size);
  new_at_ += operation.size;
  if (operation.kind == OperationKind::kInsert) {
    extra_size_ += operation.size;
    return extra_->Append(fresh);
  }
  if (operation.old_at != old_at_ || extra_size_ > 0)
    SHOAL_RETURN_IF_ERROR(EndTriple(operation.old_at));
  add_size_ += operation.size;
  old_at_ += operation.size;
  const std::string_view base = old_.substr(operation.old_at, operation.size);
  char difference[kStep];
  for (size_t at = 0; at < fresh.size(); at += kStep) {
    const size_t n = std::min(kStep, fresh.size() - at);
    for (size_t i = 0; i < n; ++i)
      difference[i] = static_cast<char>(static_cast<uint8_t>(fresh[at + i]) -
                                        static_cast<uint8_t>(base[at + i]));
    SHOAL_RETURN_IF_ERROR(diff_->Append({difference, n}));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Bsdiff40Writer::Finish() {
  SHOAL_RETURN_IF_ERROR(EndTriple(old_at_));
  SHOAL_ASSIGN_OR_RETURN(const std::string control, control_->Finish());
  SHOAL_ASSIGN_OR_RETURN(const std::string diff, diff_->Finish());
  SHOAL_ASSIGN_OR_RETURN(const std::string extra, extra_->Finish());
  return EncodeBsdiff40Header({control.size(), diff.size(), new_.size()}) +
         control + diff + extra;
}

}  // namespace shoal::delta
