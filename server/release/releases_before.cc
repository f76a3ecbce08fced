#include "server/release/releases_before.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

namespace shoal::server {
namespace {

// As rules::ValidateRollout allows, and the release that stands apart.
constexpr size_t kMaxReleases = 1 + 8;

}  // namespace

std::vector<store::ReleaseRow> ReleasesBefore(
    std::vector<store::ReleaseRow> of_type, const store::ReleaseRow& aborted) {
  // Of two with one counter the one of the higher version text, as ever.
  std::reverse(of_type.begin(), of_type.end());
  std::stable_sort(of_type.begin(), of_type.end(),
                   [](const auto& a, const auto& b) {
                     return a.release().counter() > b.release().counter();
                   });
  const auto before =
      std::find_if(of_type.begin(), of_type.end(), [&](const auto& one) {
        return one.release().counter() < aborted.release().counter();
      });
  std::vector<store::ReleaseRow> releases;
  if (before == of_type.end()) return releases;
  releases.push_back(*before);
  std::set<std::string> images = {aborted.release().sha256(),
                                  before->release().sha256()};
  for (store::ReleaseRow& one : of_type) {
    if (releases.size() == kMaxReleases) break;
    // A device that committed the aborted release has its floor there.
    if (one.release().counter() < aborted.release().min_counter() ||
        !images.insert(one.release().sha256()).second)
      continue;
    releases.push_back(std::move(one));
  }
  return releases;
}

}  // namespace shoal::server
