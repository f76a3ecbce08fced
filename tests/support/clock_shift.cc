// Preloaded into a program that is to live with a wrong clock: its civil time
// is SHOAL_CLOCK_SHIFT seconds off, its monotonic clocks are right. The program
// itself is the real one and knows nothing of it.
#include <dlfcn.h>
#include <sys/time.h>

#include <cstdlib>
#include <ctime>

namespace {

long Shift() {
  static const long shift = [] {
    const char* text = getenv("SHOAL_CLOCK_SHIFT");
    return text == nullptr ? 0 : atol(text);
  }();
  return shift;
}

template <typename F>
F Next(F, const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* result) noexcept {
  static const auto next = Next(&clock_gettime, "clock_gettime");
  const int status = next(clock, result);
  if (status == 0 &&
      (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    result->tv_sec += Shift();
  return status;
}

int gettimeofday(timeval* __restrict result, void* __restrict zone) noexcept {
  static const auto next = Next(&gettimeofday, "gettimeofday");
  const int status = next(result, zone);
  if (status == 0) result->tv_sec += Shift();
  return status;
}

time_t time(time_t* result) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (result != nullptr) *result = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"
