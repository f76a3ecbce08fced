#include "sim/meter.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace shoal::sim {
namespace {

TEST(Meter, SamplesOfAPrometheusText) {
  const auto metrics = ParseMetrics(
      "# HELP x A text with spaces.\n# TYPE x counter\n"
      "x{direction=\"in\"} 12\nx{direction=\"out\"} 1.5e3\ny 7\n\nbroken\n");
  ASSERT_EQ(metrics.size(), 3u);
  EXPECT_EQ(metrics.at("x{direction=\"in\"}"), 12);
  EXPECT_EQ(metrics.at("x{direction=\"out\"}"), 1500);
  EXPECT_EQ(metrics.at("y"), 7);
}

TEST(Meter, TcpBytesAreThoseOfOneProcess) {
  const std::string text =
      "ESTAB 0 0 127.0.0.1:1 127.0.0.1:2 users:((\"shoald\",pid=12,fd=3)) "
      "cubic bytes_sent:100 bytes_acked:100 bytes_received:7\n"
      "ESTAB 0 0 127.0.0.1:3 127.0.0.1:4 users:((\"other\",pid=123,fd=3)) "
      "cubic bytes_sent:5 bytes_received:5\n"
      "ESTAB 0 0 127.0.0.1:5 127.0.0.1:6 users:((\"shoald\",pid=12,fd=4)) "
      "cubic bytes_received:3\n";
  const TcpBytes bytes = ParseSs(text, 12);
  EXPECT_EQ(bytes.in, 10u);
  EXPECT_EQ(bytes.out, 100u);
  EXPECT_EQ(ParseSs("", 12).in, 0u);
}

TEST(Meter, ThisProcessUsesSomething) {
  const Usage usage = MeasureSelf();
  EXPECT_GT(usage.resident, 1'000'000u);
}

TEST(Meter, CostsAreDifferencesAndLevelsAreNot) {
  Usage before;
  before.cpu_seconds = 1;
  before.udp_in = 10;
  before.tcp_in = 100;
  before.resident = 5;
  Usage now;
  now.cpu_seconds = 3.5;
  now.udp_in = 30;
  now.tcp_in = 40;  // a connection ended
  now.resident = 4;
  now.records = 9;
  const Usage costs = Since(before, now);
  EXPECT_DOUBLE_EQ(costs.cpu_seconds, 2.5);
  EXPECT_EQ(costs.udp_in, 20u);
  EXPECT_EQ(costs.tcp_in, 0u);
  EXPECT_EQ(costs.resident, 4u);
  EXPECT_EQ(costs.records, 9u);
}

TEST(Meter, WithoutAnEndpointThereAreNoMetrics) {
  const auto port = FreeLoopbackPort();
  ASSERT_TRUE(port.ok());
  EXPECT_FALSE(ReadMetrics(*port).ok());
  EXPECT_FALSE(ReadMetrics("nonsense").ok());
}

}  // namespace
}  // namespace shoal::sim
