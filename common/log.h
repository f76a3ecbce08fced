// One event a line on standard error: time, level, program, event, key=value.
//
//   LogInfo("record_stored", {{"place", HexEncode(place)}, {"bytes", n}});
//
// An error is logged once, where it is handled. Never log secrets. Thread-safe.
#ifndef SHOAL_COMMON_LOG_H_
#define SHOAL_COMMON_LOG_H_

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace shoal {

struct LogField {
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
  LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
  template <std::integral T>
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v)) {}
  template <std::floating_point T>
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v)) {}
  // Adds reason and message: {"error", status}.
  LogField(std::string_view k, const absl::Status& status);
  std::string_view key;
  std::string value;
};

using LogFields = std::initializer_list<LogField>;

// Sets the program's name and level ("debug", "info", "warn", "error"); call
// once at start. An unknown level is taken as "info".
void InitLog(std::string_view program, std::string_view level = "info");

void LogDebug(std::string_view event, LogFields fields = {});
void LogInfo(std::string_view event, LogFields fields = {});
void LogWarn(std::string_view event, LogFields fields = {});
void LogError(std::string_view event, LogFields fields = {});

}  // namespace shoal

#endif  // SHOAL_COMMON_LOG_H_
