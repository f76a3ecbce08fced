#include "common/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "common/log_context.h"
#include "common/status.h"

namespace shoal {
namespace {

// Values with blanks, quotes or control characters are quoted, so that a line
// stays one line and splits at blanks.
void AppendValue(std::string& line, std::string_view value) {
  bool plain = !value.empty();
  for (unsigned char c : value)
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 127)
      plain = false;
  if (plain) {
    line.append(value);
    return;
  }
  line.push_back('"');
  for (unsigned char c : value) {
    if (c == '"' || c == '\\') {
      line.push_back('\\');
      line.push_back(static_cast<char>(c));
    } else if (c == '\n') {
      line.append("\\n");
    } else if (c < ' ' || c == 127) {
      line.append(fmt::format("\\x{:02x}", c));
    } else {
      line.push_back(static_cast<char>(c));
    }
  }
  line.push_back('"');
}

std::string& ThreadContext() {
  thread_local std::string context;
  return context;
}

void Write(spdlog::level::level_enum level, std::string_view event,
           LogFields fields) {
  spdlog::logger* logger = spdlog::default_logger_raw();
  if (!logger->should_log(level)) return;
  std::string line = "event=";
  AppendValue(line, event);
  for (const LogField& field : fields) {
    line.push_back(' ');
    line.append(field.key);
    line.push_back('=');
    AppendValue(line, field.value);
  }
  line.append(LogContext());
  logger->log(level, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace

ScopedLogField::ScopedLogField(std::string_view key, std::string_view value)
    : length_before_(ThreadContext().size()) {
  std::string& context = ThreadContext();
  context.push_back(' ');
  context.append(key);
  context.push_back('=');
  AppendValue(context, value);
}

ScopedLogField::~ScopedLogField() { ThreadContext().resize(length_before_); }

const std::string& LogContext() { return ThreadContext(); }

LogField::LogField(std::string_view k, const absl::Status& status)
    : key(k), value(ReasonOf(status)) {
  value.append(": ").append(status.message().data(), status.message().size());
}

void InitLog(std::string_view program, std::string_view level) {
  auto logger = std::make_shared<spdlog::logger>(
      std::string(program), std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("time=%Y-%m-%dT%H:%M:%S.%e%z level=%l program=%n %v");
  logger->flush_on(spdlog::level::debug);
  auto parsed = spdlog::level::from_str(std::string(level));
  if (parsed == spdlog::level::off) parsed = spdlog::level::info;
  logger->set_level(parsed);
  spdlog::set_default_logger(std::move(logger));
}

void LogDebug(std::string_view event, LogFields fields) {
  Write(spdlog::level::debug, event, fields);
}
void LogInfo(std::string_view event, LogFields fields) {
  Write(spdlog::level::info, event, fields);
}
void LogWarn(std::string_view event, LogFields fields) {
  Write(spdlog::level::warn, event, fields);
}
void LogError(std::string_view event, LogFields fields) {
  Write(spdlog::level::err, event, fields);
}

}  // namespace shoal
