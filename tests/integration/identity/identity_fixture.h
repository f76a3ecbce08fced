// A fleet of the real programs without releases, and devices that pair with it.
#ifndef SHOAL_TESTS_INTEGRATION_IDENTITY_IDENTITY_FIXTURE_H_
#define SHOAL_TESTS_INTEGRATION_IDENTITY_IDENTITY_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/bytes.h"
#include "common/files.h"
#include "tests/support/real_fleet.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {

class IdentityPrograms : public ::testing::Test {
 protected:
  void StartFleet(const std::string& plane_settings = "", int nodes = 2) {
    ASSERT_OK_AND_ASSIGN(fleet_,
                         RealFleet::StartEmpty(dir_, plane_settings, nodes));
    ASSERT_OK(RealFileSystem().WriteAtomic(dir_.File("image"),
                                           std::string(4000, 'i')));
  }
  std::unique_ptr<Device> Paired(const std::string& name) {
    auto made = fleet_->NewDevice(name, dir_.File("image"));
    EXPECT_OK(made);
    if (!made.ok()) return nullptr;
    std::unique_ptr<Device> device = *std::move(made);
    device->Replace("interval = \"60s\"", "interval = \"500ms\"");
    device->PowerOn();
    EXPECT_OK(device->process().WaitForLog("event=paired", absl::Seconds(60)));
    EXPECT_OK(WaitFor(
        "the first report", [&] { return LastSeen(*device) > 0; },
        absl::Seconds(40)));
    return device;
  }
  static std::string IdOf(Device& device) {
    return device.Status().value("device_id", "");
  }
  // As the plane sees it; a value that is missing is "".
  std::string Shown(Device& device, const char* snake, const char* camel) {
    const auto text =
        fleet_->Shoal({"device", "get", IdOf(device), "--output", "json"});
    const nlohmann::json j = text.ok()
                                 ? nlohmann::json::parse(*text, nullptr, false)
                                 : nlohmann::json();
    if (!j.is_object()) return "";
    for (const char* name : {snake, camel})
      if (j.contains(name))
        return j[name].is_string() ? j[name].get<std::string>()
                                   : j[name].dump();
    return "";
  }
  int64_t LastSeen(Device& device) {
    return std::atoll(Shown(device, "last_seen_at", "lastSeenAt").c_str());
  }
  // Runs a command of shoal-agent; its output.
  std::string Agent(Device& device, std::vector<std::string> words,
                    int code = 0) {
    words.insert(words.begin(), BinPath("shoal-agent"));
    words.insert(words.begin() + 2, {"--config", device.config()});
    const auto result = shoal::testing::Run(words);
    EXPECT_OK(result);
    if (!result.ok()) return "";
    EXPECT_EQ(result->status.code, code) << result->output;
    return result->output;
  }
  static std::string Openssl(std::vector<std::string> words, int* code) {
    words.insert(words.begin(), "/usr/bin/openssl");
    const auto result = shoal::testing::Run(words);
    EXPECT_OK(result);
    *code = result.ok() ? result->status.code : -1;
    return result.ok() ? result->output : "";
  }
  // Whether every record of the device is with as many nodes as it wants.
  static bool SpoolEmpty(Device& device) {
    const auto names = RealFileSystem().List(device.data() + "/spool");
    return names.ok() && names->empty();
  }

  static size_t Count(const std::string& text, const std::string& what) {
    size_t count = 0;
    for (size_t at = text.find(what); at != text.npos;
         at = text.find(what, at + 1))
      ++count;
    return count;
  }
  // What the plane has of the telemetry of the first device that it lists.
  struct Stream {
    uint64_t batches = 0;  // that the plane holds, opened
    uint64_t missing = 0;  // numbers below the highest that it does not hold
  };
  Stream Arrived() {
    const auto text =
        fleet_->Shoal({"telemetry", "status", "--output", "json"});
    const nlohmann::json j = text.ok()
                                 ? nlohmann::json::parse(*text, nullptr, false)
                                 : nlohmann::json::object();
    if (!j.is_object() || !j.contains("streams") || j["streams"].empty())
      return {};
    const auto number = [&](const char* name) -> uint64_t {
      const nlohmann::json value =
          j["streams"][0].value(name, nlohmann::json(0));
      return value.is_string() ? std::stoull(value.get<std::string>())
                               : value.get<uint64_t>();
    };
    return {number("batches"), number("missing")};
  }
  // How many batches the device has made.
  static uint64_t Made(Device& device) {
    const std::string kept = ReadText(device.data() + "/state/telemetry");
    return kept.size() < 8 ? 0 : ReadBigEndian(kept, 8);
  }
  static uint64_t Waiting(Device& device) {
    const auto names = RealFileSystem().List(device.data() + "/spool");
    return names.ok() ? names->size() : 0;
  }

  TempDir dir_;
  std::unique_ptr<RealFleet> fleet_;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_INTEGRATION_IDENTITY_IDENTITY_FIXTURE_H_
