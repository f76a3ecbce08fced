// A device's data directory and its programs, as its owner would run them.
#ifndef SHOAL_TESTS_SUPPORT_DEVICE_H_
#define SHOAL_TESTS_SUPPORT_DEVICE_H_

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/files.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {

inline void WriteText(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}
inline std::string ReadText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Device {
 public:
  Device(const TempDir& dir, const std::string& name)
      : dir_(dir), name_(name) {}

  std::string data() const { return dir_.File(name_); }
  std::string config() const { return data() + "/agent.toml"; }

  absl::Status Init(std::vector<std::string> more) {
    std::vector<std::string> line = {
        BinPath("shoal-agent"), "init", "--data", data(), "--type", "gateway"};
    line.insert(line.end(), more.begin(), more.end());
    SHOAL_ASSIGN_OR_RETURN(const CommandResult result, Run(line));
    if (!result.status.ok()) return Internal("init", result.output);
    return absl::OkStatus();
  }
  // Adds TOML to agent.toml.
  void Configure(const std::string& toml) {
    std::ofstream(config(), std::ios::app) << toml;
  }
  // Replaces one line.
  void Replace(const std::string& from, const std::string& to) {
    std::string text = ReadText(config());
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << text;
    WriteText(config(), text.replace(at, from.size(), to));
  }
  void PowerOn() {
    boot_ = std::make_unique<HarnessProcess>(
        name_,
        std::vector<std::string>{BinPath("shoal-boot"), "--config", config()},
        dir_);
    boot_->ShiftClock(clock_shift_);
    ASSERT_OK(boot_->Start());
  }
  void PowerOff() { boot_.reset(); }
  // As at the moment of PowerOn(); from the next one on.
  void SetClock(absl::Time wall) { clock_shift_ = wall - absl::Now(); }
  HarnessProcess& process() { return *boot_; }

  // The JSON answer of `install`, and its exit code.
  nlohmann::json Install(const std::string& repository, int* code,
                         std::vector<std::string> more = {}) {
    std::vector<std::string> line = {BinPath("shoal-agent"),
                                     "install",
                                     "--config",
                                     config(),
                                     "--output",
                                     "json",
                                     repository};
    line.insert(line.end(), more.begin(), more.end());
    const auto result = Run(line);
    EXPECT_OK(result);
    *code = result.ok() ? result->status.code : -1;
    if (!result.ok()) return {};
    const size_t brace = result->output.find('{');
    if (brace == std::string::npos) {
      ADD_FAILURE() << result->output;
      return {};
    }
    // The log lines before it are on standard error.
    return nlohmann::json::parse(result->output.substr(brace), nullptr, false);
  }
  nlohmann::json Status() {
    const auto result = Run({BinPath("shoal-agent"), "status", "--config",
                             config(), "--output", "json"});
    EXPECT_OK(result);
    if (!result.ok()) return {};
    auto json = nlohmann::json::parse(result->output, nullptr, false);
    EXPECT_TRUE(json.is_object()) << result->output;
    return json;
  }
  std::string Metrics() {
    const auto result = Run({BinPath("shoal-agent"), "status", "--config",
                             config(), "--output", "prometheus"});
    EXPECT_OK(result);
    return result.ok() ? result->output : "";
  }
  std::string RunningVersion() {
    return Status()["running"].value("version", "");
  }
  bool Idle() { return Status()["update"].is_null(); }
  // What is in the slot that runs.
  std::string RunningBytes() {
    return ReadText(data() + "/slots/" + Status()["running"].value("slot", "") +
                    "/image");
  }

 private:
  const TempDir& dir_;
  const std::string name_;
  absl::Duration clock_shift_;
  std::unique_ptr<HarnessProcess> boot_;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_SUPPORT_DEVICE_H_
