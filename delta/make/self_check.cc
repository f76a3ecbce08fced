#include "delta/make/self_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "common/status.h"
#include "delta/apply/apply.h"
#include "delta/apply/bsdiff40.h"

namespace shoal::delta {
namespace {

// Compares what is made, piece by piece, and keeps the images' pages few.
class Comparison {
 public:
  Comparison(const MappedFile& old_file, const MappedFile& new_file)
      : old_(old_file), new_(new_file) {}

  absl::Status ReadOld(uint64_t at, char* buffer, size_t size) {
    memcpy(buffer, old_.bytes().data() + at, size);
    Count(size);
    return absl::OkStatus();
  }
  absl::Status WriteNew(std::string_view bytes) {
    if (new_.bytes().substr(written_, bytes.size()) != bytes)
      return Internal(
          "delta_self_check",
          fmt::format("the patch gives other bytes near {}", written_));
    written_ += bytes.size();
    Count(bytes.size());
    return absl::OkStatus();
  }

 private:
  static constexpr uint64_t kReleaseStep = 4 << 20;

  void Count(size_t size) {
    touched_ += size;
    if (touched_ < kReleaseStep) return;
    touched_ = 0;
    old_.Release();
    new_.Release();
  }

  const MappedFile& old_;
  const MappedFile& new_;
  uint64_t written_ = 0, touched_ = 0;
};

absl::Status Run(std::string_view patch, const std::string& new_sha256,
                 const MappedFile& old_file, const MappedFile& new_file,
                 const std::atomic<bool>* cancel,
                 const std::function<void(uint64_t)>& progress) {
  Comparison comparison(old_file, new_file);
  const auto read_old = [&](uint64_t at, char* buffer, size_t size) {
    return comparison.ReadOld(at, buffer, size);
  };
  const auto write_new = [&](std::string_view bytes) {
    return comparison.WriteNew(bytes);
  };
  const auto tell = [&](uint64_t written) {
    progress(written);
    return absl::OkStatus();
  };
  if (IsBsdiff40(patch)) {
    Bsdiff40Options apply;
    apply.read_patch = [&](uint64_t at, char* buffer, size_t size) {
      memcpy(buffer, patch.data() + at, size);
      return absl::OkStatus();
    };
    apply.patch_size = patch.size();
    apply.read_old = read_old;
    apply.old_size = old_file.bytes().size();
    apply.write_new = write_new;
    apply.expected_size = new_file.bytes().size();
    apply.expected_sha256 = new_sha256;
    apply.cancel = cancel;
    apply.progress = tell;
    return ApplyBsdiff40(apply);
  }
  std::string_view rest = patch;
  ApplyOptions apply;
  apply.read_patch = [&](char* buffer, size_t size) -> absl::StatusOr<size_t> {
    const size_t n = std::min(size, rest.size());
    memcpy(buffer, rest.data(), n);
    rest.remove_prefix(n);
    return n;
  };
  apply.read_old = read_old;
  apply.old_size = old_file.bytes().size();
  apply.write_new = write_new;
  apply.expected_size = new_file.bytes().size();
  apply.expected_sha256 = new_sha256;
  apply.max_memory = std::numeric_limits<uint64_t>::max();
  apply.cancel = cancel;
  apply.progress = tell;
  SHOAL_ASSIGN_OR_RETURN(auto applier, Applier::Create(std::move(apply)));
  return applier->Run();
}

}  // namespace

absl::Status SelfCheck(const std::string& patch_path,
                       const std::string& new_sha256,
                       const MappedFile& old_file, const MappedFile& new_file,
                       const std::atomic<bool>* cancel,
                       const std::function<void(uint64_t)>& progress) {
  SHOAL_ASSIGN_OR_RETURN(auto patch, MappedFile::Open(patch_path));
  const absl::Status status =
      Run(patch->bytes(), new_sha256, old_file, new_file, cancel, progress);
  if (status.ok() || ReasonOf(status) == "cancelled") return status;
  return Internal("delta_self_check",
                  fmt::format("the patch does not apply ({}); did an image "
                              "change while it was read?",
                              ReasonOf(status)));
}

}  // namespace shoal::delta
