#include "rules/way_back.h"

namespace shoal::rules {

const rollout::v1::ReleaseRef& ReleaseFor(
    const rollout::v1::RolloutDocument& document, std::string_view ran_before,
    uint64_t floor) {
  if (!ran_before.empty()) {
    for (const auto& previous : document.previous()) {
      if (previous.sha256() == ran_before && previous.counter() >= floor)
        return previous;
    }
  }
  return document.release();
}

bool LeadsTo(const rollout::v1::RolloutDocument& document,
             std::string_view sha256) {
  if (sha256 == document.release().sha256()) return true;
  for (const auto& previous : document.previous()) {
    if (sha256 == previous.sha256()) return true;
  }
  return false;
}

}  // namespace shoal::rules
