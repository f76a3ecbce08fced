#include "rules/parallel.h"

#include <algorithm>

#include "common/status.h"
#include "rules/position.h"

namespace shoal::rules {
namespace {
constexpr absl::Duration kMaxSpread = absl::Hours(24 * 30);
}  // namespace

absl::Time AdmittedAt(const rollout::v1::RolloutDocument& document,
                      std::string_view device_id) {
  if (!document.has_parallel()) return absl::InfinitePast();
  const rollout::v1::Parallel& parallel = document.parallel();
  const uint64_t position = Position(document.id(), device_id);
  if (position < parallel.admitted()) return absl::InfinitePast();
  if (!document.unattended()) return absl::InfiniteFuture();
  // The plane's word is renewed; two renewals missed: there is no plane.
  const absl::Time silent = absl::FromUnixMillis(parallel.admitted_at()) +
                            2 * absl::Milliseconds(parallel.renew_ms());
  const double share =
      static_cast<double>(position - parallel.admitted()) /
      static_cast<double>(kEveryPosition - parallel.admitted());
  return silent + absl::Milliseconds(static_cast<int64_t>(
                      share * static_cast<double>(parallel.spread_ms())));
}

uint64_t NextAdmitted(const rollout::v1::RolloutDocument& document,
                      uint32_t open_phase,
                      std::vector<ParallelMember> members) {
  const rollout::v1::Parallel& parallel = document.parallel();
  std::erase_if(members, [&](const ParallelMember& member) {
    return member.phase < 0 || static_cast<uint32_t>(member.phase) > open_phase;
  });
  std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) {
    return a.position < b.position;
  });
  const auto busy = [&](const ParallelMember& member) {
    return !member.answered && member.position < parallel.admitted() &&
           static_cast<uint32_t>(member.phase) <= document.open_phase();
  };
  uint64_t places = parallel.max();
  places -=
      std::min<uint64_t>(places, static_cast<uint64_t>(std::count_if(
                                     members.begin(), members.end(), busy)));
  for (const ParallelMember& member : members) {
    if (member.answered || busy(member)) continue;
    if (places == 0) return member.position;
    --places;
  }
  return kEveryPosition;
}

absl::Duration SpreadOf(uint64_t devices, uint32_t max,
                        absl::Duration device_time) {
  if (max == 0) return absl::ZeroDuration();
  const uint64_t rounds = (devices + max - 1) / max;
  return std::min(kMaxSpread,
                  device_time * static_cast<int64_t>(
                                    std::min<uint64_t>(rounds, 1'000'000)));
}

absl::Status ValidateParallel(const rollout::v1::Parallel& parallel) {
  const auto bad = [](std::string_view what) {
    return InvalidArgument("bad_rollout", what);
  };
  if (parallel.max() < 1 || parallel.max() > 1'000'000)
    return bad("parallel.max is 1 to 1,000,000");
  if (parallel.admitted() > kEveryPosition)
    return bad("parallel.admitted is at most 2^32");
  if (parallel.renew_ms() < 1000 || parallel.renew_ms() > 86'400'000)
    return bad("parallel.renew_ms is 1,000 to 86,400,000");
  if (parallel.spread_ms() < 0 ||
      parallel.spread_ms() > absl::ToInt64Milliseconds(kMaxSpread))
    return bad("parallel.spread_ms is 0 to 30 days");
  return absl::OkStatus();
}

}  // namespace shoal::rules
