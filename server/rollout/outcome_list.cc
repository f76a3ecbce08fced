// The outcomes of a rollout, page by page.
#include "server/rollout/outcome_counts.h"
#include "server/rollout/rollouts.h"
#include "server/store/paging.h"

namespace shoal::server {
namespace {

// A page of those that did not succeed may be short, or empty: one call reads
// no more than this many.
constexpr size_t kMaxRead = 20'000;
constexpr size_t kMaxDeviceKey = 32;  // hex

}  // namespace

absl::StatusOr<rollout::v1::ListOutcomesResponse> Rollouts::ListOutcomes(
    const rollout::v1::ListOutcomesRequest& request) const {
  SHOAL_ASSIGN_OR_RETURN(const auto row, Row(request.parent()));
  SHOAL_ASSIGN_OR_RETURN(const PageRequest page,
                         ParsePage(request.page_size(), request.page_token()));
  const std::string prefix = row.rollout().document().id() + "/";
  // A token is the device that was read last.
  if (page.after.size() > kMaxDeviceKey)
    return InvalidArgument("bad_page_token",
                           "page_token is not one that this server gave");
  SHOAL_ASSIGN_OR_RETURN(const auto counts,
                         ReadOutcomeCounts(store_, row.rollout().document()));
  rollout::v1::ListOutcomesResponse response;
  response.set_total_size(TotalOutcomes(counts));
  size_t read = 0;
  std::string last;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::OutcomeRow>(
      kOutcomes, prefix, page.after.empty() ? "" : prefix + page.after,
      [&](std::string_view key, const store::OutcomeRow& outcome) {
        if (static_cast<size_t>(response.outcomes_size()) == page.size ||
            ++read > kMaxRead) {
          response.set_next_page_token(PageToken(last));
          return false;
        }
        last = std::string(key.substr(prefix.size()));
        if (!request.not_succeeded() || !outcome.outcome().success())
          *response.add_outcomes() = outcome.outcome();
        return true;
      }));
  return response;
}

}  // namespace shoal::server
