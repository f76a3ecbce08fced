#include "dht/node/log_mirror.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "signing/log/files.h"

namespace shoal::dht::node {
namespace {

// Of one look: 64 entries each, so a million in sixteen.
constexpr uint64_t kMaxBundlesAtOnce = 1024;

}  // namespace

absl::StatusOr<std::unique_ptr<LogMirror>> LogMirror::Open(
    FileSystem& fs, const std::string& public_dir) {
  SHOAL_ASSIGN_OR_RETURN(auto directory, signing::LogDirectory::Open(
                                             fs, JoinPath(public_dir, "log")));
  return std::unique_ptr<LogMirror>(new LogMirror(std::move(directory)));
}

std::vector<std::string> LogMirror::Gather(
    const FetchBundle& fetch, std::optional<uint64_t> up_to) const {
  std::vector<std::string> leaves;
  const uint64_t size = directory_->size();
  for (uint64_t step = 0; step < kMaxBundlesAtOnce; ++step) {
    const uint64_t next = size + leaves.size();
    if (up_to && next >= *up_to) break;
    const uint64_t bundle = next / signing::kLogBundle;
    const size_t have = next % signing::kLogBundle;
    // The longest: a record of a bundle that was shorter may still lie there.
    std::vector<std::string> best;
    for (const std::string& bytes : fetch(bundle)) {
      auto parsed = signing::ParseLogEntries(bytes);
      if (parsed.ok() && parsed->size() > best.size())
        best = *std::move(parsed);
    }
    if (best.size() <= have) break;
    leaves.insert(leaves.end(), best.begin() + static_cast<long>(have),
                  best.end());
    if (best.size() < signing::kLogBundle) break;
  }
  if (up_to && size + leaves.size() > *up_to) leaves.resize(*up_to - size);
  return leaves;
}

absl::StatusOr<std::string> LogMirror::Tile(const std::string& name,
                                            const FetchBundle& fetch) {
  if (!preview_) {
    SHOAL_ASSIGN_OR_RETURN(preview_,
                           directory_->Extend(Gather(fetch, std::nullopt)));
  }
  const auto it = preview_->files.find(name);
  return it != preview_->files.end() ? absl::StatusOr<std::string>(it->second)
                                     : directory_->File(name);
}

absl::Status LogMirror::Sync(const signing::LogHead& head,
                             const FetchBundle& fetch) {
  preview_.reset();
  for (const bool anew : {false, true}) {
    if (anew) {
      LogWarn("log_replaced", {{"entries", directory_->size()}});
      SHOAL_RETURN_IF_ERROR(directory_->Clear());
    }
    while (directory_->size() <= head.size) {
      const auto leaves = Gather(fetch, head.size);
      const auto extension = directory_->Extend(leaves);
      // Damaged files: from the beginning.
      if (!extension.ok()) break;
      if (extension->size == head.size) {
        if (extension->root != head.root) break;
        if (leaves.empty()) return absl::OkStatus();
        return directory_->Write(*extension);
      }
      // A long log comes in steps; what is wrong shows at the end, and then all
      // is asked for anew.
      if (leaves.size() < kMaxBundlesAtOnce * signing::kLogBundle / 2)
        return Unavailable(
            "log_incomplete",
            fmt::format("{} of {} entries of the release log are "
                        "at hand",
                        extension->size, head.size));
      SHOAL_RETURN_IF_ERROR(directory_->Write(*extension));
    }
    if (directory_->size() == 0) break;
  }
  return DataLoss("log_incomplete",
                  "the entries at hand do not give the head that is signed");
}

}  // namespace shoal::dht::node
