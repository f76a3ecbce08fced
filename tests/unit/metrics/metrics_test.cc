#include "common/metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/metrics/endpoint.h"
#include "tests/support/status_matchers.h"

namespace shoal::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Metrics, TextHasOneFamilyForEachName) {
  Metrics metrics;
  metrics.Collect([](Samples& out) {
    out.Gauge("shoal_things", "Things.", 3, {{"kind", "a\"b\nc"}});
    out.Counter("shoal_events_total", "Events.", 12);
    out.Gauge("shoal_things", "Things.", 4, {{"kind", "d"}});
  });
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("# HELP shoal_things Things.\n"
                              "# TYPE shoal_things gauge\n"
                              "shoal_things{kind=\"a\\\"b\\nc\"} 3\n"
                              "shoal_things{kind=\"d\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE shoal_events_total counter\n"
                              "shoal_events_total 12\n"));
}

TEST(Metrics, HistogramsCountByTheirLabels) {
  Metrics metrics;
  Histogram& seconds =
      metrics.AddHistogram("call_seconds", "Time.", {"method"}, {0.1, 1});
  seconds.Observe({"Get"}, 0.05);
  seconds.Observe({"Get"}, 0.5);
  seconds.Observe({"List"}, 5);
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("call_seconds_count{method=\"Get\"} 2\n"));
  EXPECT_THAT(text,
              HasSubstr("call_seconds_bucket{method=\"Get\",le=\"0.1\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("call_seconds_bucket{method=\"List\",le=\"1\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("call_seconds_sum{method=\"List\"} 5\n"));
}

TEST(Metrics, NothingIsReadAfterStopCollecting) {
  Metrics metrics;
  auto value = std::make_unique<double>(1);
  metrics.Collect([&](Samples& out) { out.Gauge("gone", "x", *value); });
  std::thread looker([&] {
    for (int i = 0; i < 200; ++i) metrics.Text();
  });
  metrics.StopCollecting();
  value.reset();
  looker.join();
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("gone")));
}

TEST(Metrics, TheProcessKnowsItself) {
  Metrics metrics;
  metrics.Collect(CollectProcess);
  const std::string text = metrics.Text();
  for (const char* name :
       {"process_cpu_seconds_total ", "process_resident_memory_bytes ",
        "process_open_fds ", "process_start_time_seconds "}) {
    EXPECT_THAT(text, HasSubstr(std::string("\n") + name));
  }
}

TEST(Endpoint, TakesAFreePortAndRefusesATakenOne) {
  Metrics metrics;
  ASSERT_OK_AND_ASSIGN(const auto first,
                       Endpoint::Open("127.0.0.1:0", metrics));
  EXPECT_THAT(first->address(), Not(HasSubstr(":0")));
  EXPECT_THAT(Endpoint::Open(first->address(), metrics),
              testing::Fails(absl::StatusCode::kUnavailable, "listen"));
}

}  // namespace
}  // namespace shoal::metrics
