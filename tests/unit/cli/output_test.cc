#include "server/cli/output.h"

#include <gtest/gtest.h>

#include "server/cli/progress.h"
#include "shoal/fleet/v1/device_service.pb.h"
#include "shoal/fleet/v1/node_service.pb.h"
#include "shoal/records/v1/payloads.pb.h"
#include "shoal/telemetry/v1/telemetry_service.pb.h"
#include "tests/support/fake_clock.h"

namespace shoal::cli {
namespace {

TEST(MessageToJson, FollowsTheProtoFieldByField) {
  fleet::v1::ListDevicesResponse list;
  auto* device = list.add_devices();
  device->set_name("devices/00112233445566778899aabbccddeeff");
  device->set_state(fleet::v1::ENROLMENT_STATE_ACCEPTED);
  device->set_device_type("gateway");
  (*device->mutable_labels())["site"] = "lab";
  (*device->mutable_labels())["ring"] = "a";
  device->set_running_counter(7);
  device->set_last_seen_at(1767225600000);
  EXPECT_EQ(MessageToJson(list, true), R"({
  "devices": [
    {
      "name": "devices/00112233445566778899aabbccddeeff",
      "state": "ENROLMENT_STATE_ACCEPTED",
      "device_type": "gateway",
      "labels": {
        "ring": "a",
        "site": "lab"
      },
      "public_key": "",
      "box_key": "",
      "running_version": "",
      "running_sha256": "",
      "running_counter": 7,
      "inventory": {},
      "enrolled_at": 0,
      "last_seen_at": 1767225600000,
      "waiting_reason": "",
      "policy_version": 0,
      "etag": "",
      "agent_version": "",
      "groups": [],
      "resume_token": "",
      "left_filter": false,
      "log_alarm": "",
      "log_alarm_at": 0,
      "log_alarm_text": "",
      "log_size": 0,
      "log_root": "",
      "fingerprint": "",
      "origin": "",
      "serial_number": "",
      "manufacturer": "",
      "reason": "",
      "requested_at": 0
    }
  ],
  "next_page_token": "",
  "total_size": 0
})");
}

TEST(MessageToJson, LargeIntegersAreTextAndBytesAreHex) {
  records::v1::DeviceReport report;
  report.set_running_counter(~0ull);
  report.set_box_key("\x01\xFF");
  const std::string json = MessageToJson(report, false);
  EXPECT_NE(json.find(R"("running_counter":"18446744073709551615")"),
            std::string::npos);
  EXPECT_NE(json.find(R"("box_key":"01ff")"), std::string::npos);
  report.set_running_counter(1ull << 53);
  EXPECT_NE(MessageToJson(report, false)
                .find(R"("running_counter":9007199254740992)"),
            std::string::npos);
}

TEST(MessageToJson, LeavesOutWhatIsNotSet) {
  telemetry::v1::TailTelemetryResponse batch;
  batch.add_samples()->set_number(1.5);
  batch.add_samples()->set_data("x");
  EXPECT_EQ(MessageToJson(batch, false),
            R"({"cursor":0,"device":"","stream":0,"sequence":0,"samples":[)"
            R"({"time":0,"name":"","number":1.5},)"
            R"({"time":0,"name":"","data":"78"}]})");
  fleet::v1::GetNetworkResponse network;
  EXPECT_EQ(MessageToJson(network, false),
            R"({"fleet_id":"","roots":[],"metadata":{},"policy":"",)"
            R"("revocations":{}})");
}

TEST(MessageToJson, TextThatIsNoUtf8DoesNotBreakTheJson) {
  EXPECT_EQ(JsonText("a\"b\n\x80"), "\"a\\\"b\\n\xEF\xBF\xBD\"");
}

TEST(JsonObject, KeepsTheOrder) {
  EXPECT_EQ(JsonObject()
                .Text("b", "x")
                .Number("a", 1)
                .Boolean("c", false)
                .Texts("d", {"1", "2"})
                .Fields("{}")
                .Fields(R"({"e":1,"f":2})")
                .ToString(),
            R"({"b":"x","a":1,"c":false,"d":["1","2"],"e":1,"f":2})");
}

TEST(Table, AlignsColumns) {
  Table table({"ID", "STATE", "LABELS"});
  table.AddRow({"1", "accepted", "a=b"});
  table.AddRow({"longer", "", "caf\xC3\xA9"});
  table.AddRow({"caf\xC3\xA9", "x"});
  EXPECT_EQ(table.Render(),
            "ID      STATE     LABELS\n"
            "1       accepted  a=b\n"
            "longer  -         caf\xC3\xA9\n"
            "caf\xC3\xA9    x         -\n");
}

TEST(Table, ADeviceCantDriveTheTerminal) {
  Table table({"A"});
  table.AddRow({"x\x1b[2J\ny"});
  EXPECT_EQ(table.Render(), "A\nx?[2J?y\n");
  EXPECT_EQ(Printable("a\x1b]0;t\x07\nb\tc", true), "a?]0;t?\nb\tc");
}

TEST(Format, TimesAndNames) {
  const absl::Time now = absl::FromUnixSeconds(1767225600);
  EXPECT_EQ(FormatMillis(1767225600000), "2026-01-01T00:00:00Z");
  EXPECT_EQ(FormatMillis(0), "-");
  EXPECT_EQ(FormatAge(0, now), "never");
  EXPECT_EQ(FormatAge(1767225600000 - 5'000, now), "5s ago");
  EXPECT_EQ(FormatAge(1767225600000 + 5'000, now), "0s ago");
  EXPECT_EQ(FormatAge(1767225600000 - 600'000, now), "10m ago");
  EXPECT_EQ(FormatAge(1767225600000 - 72'000'000, now), "20h ago");
  EXPECT_EQ(FormatAge(1767225600000 - 864'000'000, now), "10d ago");
  EXPECT_EQ(ShortName("devices/abc"), "abc");
  EXPECT_EQ(ShortName("abc"), "abc");
  EXPECT_EQ(EnumText("ROLLOUT_STATE_ACTIVE", "ROLLOUT_STATE_"), "active");
}

TEST(Progress, BarShowsTheShare) {
  EXPECT_EQ(Bar(0, 4, 8), "[--------]");
  EXPECT_EQ(Bar(2, 4, 8), "[####----]");
  EXPECT_EQ(Bar(9, 4, 8), "[########]");
  EXPECT_EQ(Bar(0, 0, 8), "[--------]");
}

TEST(Progress, IsSilentOffATerminal) {
  testing::FakeClock clock;
  std::ostringstream out;
  { ProgressLine(out, false, clock, "uploading", 10).Update(10); }
  EXPECT_EQ(out.str(), "");
  {
    ProgressLine line(out, true, clock, "uploading", 2'000'000);
    clock.Advance(absl::Seconds(1));
    line.Update(1'000'000);
    line.Update(1'000'001);  // too soon to draw again
  }
  EXPECT_EQ(out.str(),
            "\r\x1b[Kuploading [############------------] 1.0 MB of 2.0 MB, "
            "1.0 MB/s\n");
}

}  // namespace
}  // namespace shoal::cli
