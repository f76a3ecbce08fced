// From the words of a condition to what it means: which field, may it be
// compared so, what is the value.
#ifndef SHOAL_SERVER_FLEET_FILTER_RESOLVE_H_
#define SHOAL_SERVER_FLEET_FILTER_RESOLVE_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/fleet/filter/lexer.h"

namespace shoal::server {

struct FilterWords {
  FilterLexer::Field field;
  std::string_view op;
  FilterLexer::Value value;
  size_t position = 0;
  size_t operator_position = 0;
  size_t value_position = 0;
};

absl::StatusOr<FilterCondition> ResolveCondition(const FilterWords& words,
                                                 absl::Time now);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_FILTER_RESOLVE_H_
