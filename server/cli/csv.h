// Comma-separated values, RFC 4180: lines of fields, quotes around those that
// need them.
#ifndef SHOAL_SERVER_CLI_CSV_H_
#define SHOAL_SERVER_CLI_CSV_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace shoal::cli {

// One line with its line end.
std::string CsvLine(const std::vector<std::string>& fields);

// All lines; either line end. "bad_csv" with the line's number: an open quote,
// something behind a closed one, a line with another number of fields than the
// first.
absl::StatusOr<std::vector<std::vector<std::string>>> ParseCsv(
    std::string_view text);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_CSV_H_
