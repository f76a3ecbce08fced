#include "server/cli/rollout_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/bytes.h"
#include "common/config.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "server/cli/exit_code.h"
#include "server/cli/parse.h"
#include "server/cli/rollout_yaml.h"

namespace shoal::cli {
namespace {

constexpr uint32_t kDefaultThresholdPermille = 100;

void TakeText(std::string& value, std::string from_file) {
  if (value.empty()) value = std::move(from_file);
}
void TakeList(std::vector<std::string>& value,
              std::vector<std::string> from_file) {
  if (value.empty()) value = std::move(from_file);
}

absl::Status FillSelector(const RolloutOptions& options,
                          policy::v1::DeviceSelector* selector) {
  SHOAL_ASSIGN_OR_RETURN(const Labels labels, ParseLabels(options.labels));
  selector->mutable_labels()->insert(labels.begin(), labels.end());
  for (const auto& device : options.devices) {
    SHOAL_ASSIGN_OR_RETURN(const std::string name, DeviceName(device));
    selector->add_device_ids(name.substr(name.find('/') + 1));
  }
  for (const auto& group : options.groups) {
    const std::string id =
        group.starts_with("groups/") ? group.substr(7) : group;
    if (!IsIdentifier(id))
      return UsageError(fmt::format("--group '{}' is not a group's id", group));
    selector->add_groups(id);
  }
  // Everything of the type must be said in words: an empty selector selects
  // nothing.
  selector->set_all(labels.empty() && options.devices.empty() &&
                    options.groups.empty());
  return absl::OkStatus();
}

}  // namespace

absl::Status MergeRolloutFile(FileSystem& fs, RolloutOptions& options) {
  if (options.file.empty()) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const std::string text,
                         fs.Read(options.file, 1 << 20));
  SHOAL_ASSIGN_OR_RETURN(Config config, Config::Parse(text, options.file));
  TakeText(options.release, config.String("release"));
  TakeText(options.id, config.String("id"));
  TakeList(options.phases, config.Strings("phases"));
  TakeList(options.labels, config.Strings("labels"));
  TakeList(options.devices, config.Strings("devices"));
  TakeList(options.groups, config.Strings("groups"));
  TakeList(options.windows, config.Strings("windows"));
  TakeText(options.error_threshold, config.String("error_threshold"));
  TakeText(options.lifetime, config.String("lifetime"));
  const int64_t attempts = config.Integer("max_attempts", 0, 0, 10);
  if (options.max_attempts == 0) {
    options.max_attempts = static_cast<uint32_t>(attempts);
  }
  options.unattended |= config.Boolean("unattended", false);
  return config.Finish();
}

absl::StatusOr<rollout::v1::CreateRolloutRequest> BuildRolloutRequest(
    const RolloutOptions& options) {
  if (options.release.empty()) {
    return UsageError("which release? --release TYPE/VERSION");
  }
  rollout::v1::CreateRolloutRequest request;
  SHOAL_ASSIGN_OR_RETURN(const ReleaseId release,
                         ParseReleaseId(options.release));
  request.set_release(release.Name());
  request.set_device_type(release.device_type);
  if (!options.id.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string name, RolloutName(options.id));
    request.set_rollout_id(name.substr(name.find('/') + 1));
  }
  SHOAL_RETURN_IF_ERROR(FillSelector(options, request.mutable_selector()));
  std::set<std::string> names;
  for (const auto& text : options.phases) {
    SHOAL_ASSIGN_OR_RETURN(auto phase, ParsePhase(text));
    if (!names.insert(phase.name()).second) {
      return UsageError(fmt::format("two phases are named '{}'", phase.name()));
    }
    *request.add_phases() = std::move(phase);
  }
  if (request.phases().empty()) {
    auto* all = request.add_phases();
    all->set_name("all");
    all->set_percent(100);
  }
  for (const auto& text : options.windows) {
    SHOAL_ASSIGN_OR_RETURN(*request.add_windows(), ParseWindow(text));
  }
  request.set_error_threshold_permille(kDefaultThresholdPermille);
  if (!options.error_threshold.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const uint32_t permille,
                           ParsePermille(options.error_threshold));
    request.set_error_threshold_permille(permille);
  }
  if (!options.lifetime.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const absl::Duration lifetime,
                           ParseDuration(options.lifetime));
    request.set_lifetime_seconds(absl::ToInt64Seconds(lifetime));
  }
  if (options.delta_wait == "none") {
    request.set_delta_wait_seconds(-1);
  } else if (!options.delta_wait.empty() && options.delta_wait != "all") {
    SHOAL_ASSIGN_OR_RETURN(const absl::Duration wait,
                           ParseDuration(options.delta_wait));
    request.set_delta_wait_seconds(
        std::max<int64_t>(1, absl::ToInt64Seconds(wait)));
  }
  if (options.max_attempts > 10) {
    return UsageError("--max-attempts is 1 to 10");
  }
  request.mutable_retry()->set_max_attempts(options.max_attempts);
  request.set_unattended(options.unattended);
  request.set_validate_only(options.dry_run);
  request.set_request_id(HexEncode(crypto::RandomBytes(16)));
  return request;
}

absl::StatusOr<rollout::v1::CreateRolloutRequest> RolloutRequestOf(
    FileSystem& fs, const RolloutOptions& given, absl::Time now) {
  if (!IsYamlName(given.file)) {
    RolloutOptions options = given;
    SHOAL_RETURN_IF_ERROR(MergeRolloutFile(fs, options));
    return BuildRolloutRequest(options);
  }
  if (!given.phases.empty() || !given.labels.empty() ||
      !given.devices.empty() || !given.groups.empty() ||
      !given.windows.empty() || !given.delta_wait.empty() ||
      !given.error_threshold.empty() || !given.lifetime.empty() ||
      given.max_attempts != 0) {
    return UsageError(
        "a YAML file holds the whole policy: only --release, --id, "
        "--unattended and --dry-run go with it");
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string text, fs.Read(given.file, 1 << 20));
  SHOAL_ASSIGN_OR_RETURN(auto request, ParseRolloutYaml(text, given.file, now));
  if (!given.release.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const ReleaseId release,
                           ParseReleaseId(given.release));
    request.set_release(release.Name());
    request.set_device_type(release.device_type);
  }
  if (request.release().empty()) {
    return UsageError("which release? 'release: TYPE/VERSION' or --release");
  }
  if (!given.id.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string name, RolloutName(given.id));
    request.set_rollout_id(name.substr(name.find('/') + 1));
  }
  if (given.unattended) request.set_unattended(true);
  request.set_validate_only(given.dry_run);
  request.set_request_id(HexEncode(crypto::RandomBytes(16)));
  return request;
}

}  // namespace shoal::cli
