// Filters of strangers: they end, in bounds, with a place for every error; and
// a filter and its opposite disagree on every answer.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/status.h"
#include "server/fleet/filter/filter.h"

namespace {

using namespace shoal::server;  // NOLINT: a fuzzer's only file

void Require(bool ok) {
  if (!ok) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  const auto filter = ParseFilter(text, now);
  if (!filter.ok()) {
    const auto position = FilterErrorPosition(filter.status());
    Require(shoal::ReasonOf(filter.status()) == "bad_filter" && position &&
            *position <= size);
    return 0;
  }
  int conditions = 0;
  ForEachCondition(*filter, [&](const FilterCondition& condition) {
    ++conditions;
    Require(condition.position < size && !condition.pattern.pieces.empty());
  });
  Require(conditions <= kMaxFilterConditions);
  for (const std::string_view value : {"", "accepted", "1.10.0", "4096"}) {
    const auto holds = [&](const FilterCondition& condition) {
      return ValueMatches(condition, value);
    };
    FilterNode opposite;
    opposite.kind = FilterNode::Kind::kNot;
    opposite.children.push_back(*filter);
    Require(EvaluateFilter(*filter, holds) != EvaluateFilter(opposite, holds));
  }
  (void)CheckGroupFilter(*filter);
  return 0;
}
