// Fields that every log line of this thread carries while a scope lasts, so
// that what belongs to one request can be found by its id:
//
//   ScopedLogField request("request", id);
//   LogInfo("label_set", …);      // … request=7f3a…
//
// Scopes nest; the outer field stands first.
#ifndef SHOAL_COMMON_LOG_CONTEXT_H_
#define SHOAL_COMMON_LOG_CONTEXT_H_

#include <string>
#include <string_view>

namespace shoal {

class ScopedLogField {
 public:
  ScopedLogField(std::string_view key, std::string_view value);
  ~ScopedLogField();  // on the thread that made it, in reverse order
  ScopedLogField(const ScopedLogField&) = delete;
  ScopedLogField& operator=(const ScopedLogField&) = delete;

 private:
  size_t length_before_;
};

// " key=value …" of this thread, ready to be appended; for log.cc.
const std::string& LogContext();

}  // namespace shoal

#endif  // SHOAL_COMMON_LOG_CONTEXT_H_
