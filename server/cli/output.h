// What the tool prints: tables for people, JSON for programs. The JSON follows
// the API's messages field by field, with the names of proto/ (snake_case),
// so that it stays as stable as the API:
//   64-bit integers  numbers up to 2^53, beyond that decimal text
//   bytes            lower-case hex (protobuf's own JSON has base64 here; ids
//                    and digests are hex everywhere else in Shoal)
//   enums            their names; maps: objects; messages not set: left out
// Lists are one object; streams (watch, tail) one object a line.
#ifndef SHOAL_SERVER_CLI_OUTPUT_H_
#define SHOAL_SERVER_CLI_OUTPUT_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace google::protobuf {
class Message;
}

namespace shoal::cli {

enum class Format { kTable, kJson, kYaml };

// `pretty`: two blanks of indentation; else one line. No line end at the end.
std::string MessageToJson(const google::protobuf::Message& message,
                          bool pretty);

// The same as YAML 1.2, block style, a line end at its end. `json`: JSON text,
// as the functions of this file make it.
std::string MessageToYaml(const google::protobuf::Message& message);
std::string JsonToYaml(std::string_view json);

// {"name": "text", …} in the given order, for answers that no message holds.
class JsonObject {
 public:
  JsonObject& Text(std::string_view name, std::string_view value);
  JsonObject& Number(std::string_view name, uint64_t value);
  JsonObject& Boolean(std::string_view name, bool value);
  JsonObject& Texts(std::string_view name,
                    const std::vector<std::string>& values);
  // `json` is JSON already.
  JsonObject& Raw(std::string_view name, std::string_view json);
  // The fields of `json`, a JSON object on one line, as this one's own.
  JsonObject& Fields(std::string_view json);
  std::string ToString() const { return "{" + body_ + "}"; }

 private:
  void Name(std::string_view name);
  std::string body_;
};
// A JSON string literal; bytes that are no UTF-8 are replaced.
std::string JsonText(std::string_view text);

// Columns as wide as their widest cell, two blanks between, no blanks at the
// end of a line. Control characters of cells are shown as '?': what a device
// says of itself must not drive the terminal.
class Table {
 public:
  explicit Table(std::vector<std::string> header)
      : header_(std::move(header)) {}
  void AddRow(std::vector<std::string> cells);
  // `width`: of the terminal; 0: unbounded. What is wider is cut, the widest
  // columns first, never the first column; "…" shows where.
  std::string Render(size_t width = 0) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

// Output of a device for a terminal: control characters but line ends and
// tabs become '?'.
std::string Printable(std::string_view text, bool keep_lines = false);

// "2026-01-01T00:00:00Z"; "-" for 0.
std::string FormatMillis(int64_t milliseconds);
std::string FormatSeconds(int64_t seconds);
// "12s ago", "3h ago", "never" for 0.
std::string FormatAge(int64_t milliseconds, absl::Time now);
// The last part of "devices/ID".
std::string ShortName(std::string_view name);
// "ACTIVE" → "active" without the enum's prefix.
std::string EnumText(std::string_view full, std::string_view prefix);
// "a=1,b=2", sorted; "-" when empty.
template <typename Map>
std::string FormatLabels(const Map& labels);
std::string JoinSorted(std::vector<std::string> parts);

template <typename Map>
std::string FormatLabels(const Map& labels) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : labels) parts.push_back(key + "=" + value);
  return JoinSorted(std::move(parts));
}

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_OUTPUT_H_
