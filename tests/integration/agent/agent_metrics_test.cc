// What Prometheus reads of a real shoal-agent that serves it, and that the
// page, the alerts and the dashboard name nothing else.
#include <cstdlib>

#include "tests/integration/agent/paired_fixture.h"
#include "tests/support/scrape.h"
#include "tests/support/source_path.h"

namespace shoal::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class AgentMetricsTest : public PairedTest {
 protected:
  // Of the agent that was started last; a restart may be under way.
  std::string Body() {
    const auto address =
        device_->process().LogValue("event=metrics", "address");
    return address ? ScrapeAddress(*address).value_or("") : "";
  }
  // -1: there is no such sample.
  static double Value(const std::string& body, const std::string& sample) {
    const size_t at = body.find("\n" + sample + " ");
    return at == body.npos
               ? -1
               : std::strtod(body.c_str() + at + sample.size() + 2, nullptr);
  }
  static std::set<std::string> OfAgent(const std::string& text) {
    std::set<std::string> names;
    for (const std::string& name : MetricNames(text))
      if (name.starts_with("shoal_agent_")) names.insert(name);
    return names;
  }
  static std::string Source(const std::string& path) {
    auto text = RealFileSystem().Read(SourcePath(path), 1 << 20);
    EXPECT_OK(text);
    return text.value_or("");
  }
};

TEST_F(AgentMetricsTest, ADeviceServesWhatAnOperatorAlertsOn) {
  Pair();
  EXPECT_THAT(device_->process().Log(), Not(HasSubstr("event=metrics")))
      << "off, unless the owner says so";
  device_->PowerOff();
  device_->Configure("\n[metrics]\nlisten = \"127.0.0.1:0\"\n");
  device_->PowerOn();
  ASSERT_OK(device_->process().WaitForLog("event=metrics"));
  std::string body;
  ASSERT_OK(WaitFor("fresh metadata", [&] {
    body = Body();
    return Value(body, "shoal_agent_metadata_refreshed_seconds") > 1.7e9;
  }));
  EXPECT_EQ(Value(body, "shoal_agent_paired"), 1);
  EXPECT_GE(Value(body, "shoal_agent_spool_records"), 0);
  EXPECT_GT(Value(body, "shoal_agent_clock_floor_seconds"), 1.7e9);
  EXPECT_GE(Value(body, "shoal_agent_clock_seconds"),
            Value(body, "shoal_agent_clock_floor_seconds"));
  EXPECT_EQ(Value(body, "shoal_agent_updates_total{result=\"success\"}"), -1);
  EXPECT_GT(Value(body, "process_resident_memory_bytes"), 0);
  std::set<std::string> served = OfAgent(body);

  ASSERT_OK_AND_ASSIGN(const TestImage image,
                       plane_->Release("2.0.0", 2, std::string(120'000, 'n')));
  ASSERT_OK(plane_->AddRollout(plane_->Rollout("r1", image)));
  ASSERT_OK(plane_->Publish());
  ASSERT_OK(WaitFor(
      "the update to be counted",
      [&] {
        body = Body();
        served.merge(OfAgent(body));
        return Value(body, "shoal_agent_updates_total{result=\"success\"}") ==
               1;
      },
      absl::Seconds(40)));
  EXPECT_GE(
      Value(body, "shoal_agent_download_bytes_total{source=\"peers\"}") +
          Value(body, "shoal_agent_download_bytes_total{source=\"origin\"}"),
      120'000);
  EXPECT_EQ(Value(body, "shoal_agent_image_counter"), 2);

  // Metadata that somebody signed who may not is told.
  ASSERT_OK(PushTamperedTimestamp());
  ASSERT_OK(WaitFor("the refusal to be counted", [&] {
    body = Body();
    served.merge(OfAgent(body));
    return Value(body, "shoal_agent_refusals_total{case=\"metadata\"}") >= 1;
  }));

  // An update is in hand for a moment only.
  served.merge(std::set<std::string>{"shoal_agent_update_state",
                                     "shoal_agent_update_phase"});
  const std::set<std::string> documented =
      OfAgent(Source("docs/operations/monitoring.md"));
  EXPECT_EQ(served, documented);
  for (const char* path : {"deploy/monitoring/alerts.yml",
                           "deploy/monitoring/grafana-dashboard.json"})
    for (const std::string& name : OfAgent(Source(path)))
      EXPECT_TRUE(documented.contains(name)) << path << " names " << name;
}

}  // namespace
}  // namespace shoal::testing
