#include "server/cli/csv.h"

#include <fmt/format.h>

#include <utility>

#include "common/status.h"

namespace shoal::cli {

std::string CsvLine(const std::vector<std::string>& fields) {
  std::string line;
  for (const std::string& field : fields) {
    if (!line.empty() || &field != &fields.front()) line += ',';
    if (field.find_first_of("\",\r\n") == field.npos) {
      line += field;
      continue;
    }
    line += '"';
    for (const char c : field) {
      if (c == '"') line += '"';
      line += c;
    }
    line += '"';
  }
  return line + "\n";
}

absl::StatusOr<std::vector<std::vector<std::string>>> ParseCsv(
    std::string_view text) {
  std::vector<std::vector<std::string>> lines;
  size_t number = 1;
  const auto bad = [&](std::string_view what) {
    return InvalidArgument("bad_csv", fmt::format("line {}: {}", number, what));
  };
  size_t at = 0;
  while (at < text.size()) {
    const size_t first_line = number;
    std::vector<std::string> fields;
    bool more = true;
    while (more) {
      std::string field;
      if (at < text.size() && text[at] == '"') {
        for (++at;; ++at) {
          if (at == text.size()) return bad("a quote is not closed");
          if (text[at] == '\n') ++number;
          if (text[at] != '"') {
            field += text[at];
          } else if (at + 1 < text.size() && text[at + 1] == '"') {
            field += text[at++];
          } else {
            ++at;
            break;
          }
        }
      } else {
        while (at < text.size() && text[at] != ',' && text[at] != '\n' &&
               text[at] != '\r') {
          field += text[at++];
        }
      }
      fields.push_back(std::move(field));
      more = at < text.size() && text[at] == ',';
      if (more) ++at;
    }
    if (at < text.size() && text[at] == '\r') ++at;
    if (at < text.size() && text[at++] != '\n') {
      return bad("a comma or the end of the line must follow a field");
    }
    ++number;
    if (fields.size() == 1 && fields.front().empty()) continue;  // empty line
    if (!lines.empty() && fields.size() != lines.front().size()) {
      number = first_line;
      return bad(fmt::format("{} fields, the first line has {}", fields.size(),
                             lines.front().size()));
    }
    lines.push_back(std::move(fields));
  }
  return lines;
}

}  // namespace shoal::cli
