// The commands of shoal-sign. Each prints what it did on standard output.
#ifndef SHOAL_SIGNING_TOOL_COMMANDS_H_
#define SHOAL_SIGNING_TOOL_COMMANDS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "signing/tool/workspace.h"

namespace shoal::signing {

struct InitOptions {
  std::string online;  // FILE with the plane's public keys, or ""
  int root_keys = 3;
  int root_threshold = 2;
};
absl::Status RunInit(const Options& options, const InitOptions& init);

absl::Status RunDeviceTypeAdd(const Options& options, const std::string& type);

struct ImageOptions {
  std::string type;
  std::string version;
  std::string artifact = "image";
  uint64_t counter = 0;
  uint64_t min_counter = 0;
  std::string file;
};
absl::Status RunImageAdd(const Options& options, const ImageOptions& image);

absl::Status RunPolicySet(const Options& options, const std::string& file);

struct PublishOptions {
  int timestamp_days = 7;
};
absl::Status RunPublish(const Options& options, const PublishOptions& publish);

absl::Status RunRootAddSignature(const Options& options);
absl::Status RunRootRotateKey(const Options& options, const std::string& role,
                              const std::string& online);

// The next version of a role's metadata with the same content and a new expiry.
absl::Status RunRenew(const Options& options, const std::string& role);

absl::Status RunInspect(const std::string& file);
absl::Status RunVerify(const std::string& repository,
                       const std::string& fleet_id_hex);

// FILE's public keys: {"director":HEX,"snapshot":HEX,…}, raw by name.
absl::StatusOr<std::map<std::string, std::string>> ReadOnlineKeys(
    const std::string& file);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_TOOL_COMMANDS_H_
