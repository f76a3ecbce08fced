// The commands of shoal-sign. Each prints what it did on standard output.
#ifndef SHOAL_SIGNING_TOOL_COMMANDS_H_
#define SHOAL_SIGNING_TOOL_COMMANDS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "signing/tool/workspace.h"

namespace shoal::signing {

// Who signs a role: public keys that custodians made (names under keys/ or
// .pub files), or `new_keys` made here.
struct KeyChoice {
  std::vector<std::string> keys;
  int new_keys = 1;
  int threshold = 1;
};

// Makes keys in --keys and nothing else.
absl::Status RunKeyCreate(const Options& options,
                          const std::vector<std::string>& names);

struct InitOptions {
  std::string online;  // FILE with the plane's public keys, or ""
  KeyChoice root{{}, 3, 2};
  KeyChoice targets;
  KeyChoice policy;
};
absl::Status RunInit(const Options& options, const InitOptions& init);

absl::Status RunDeviceTypeAdd(const Options& options, const std::string& type,
                              const KeyChoice& keys);

struct ImageOptions {
  std::string type;
  std::string version;
  std::string artifact = "image";
  uint64_t counter = 0;
  uint64_t min_counter = 0;
  std::vector<std::string> hardware;  // that it fits; none: any
  std::vector<std::string> needs;     // "ARTIFACT:COUNTER"
  // "NAME=FILE" beside it, signed in the same change.
  std::vector<std::string> attachments;
  std::string file;
};
absl::Status RunImageAdd(const Options& options, const ImageOptions& image);

absl::Status RunPolicySet(const Options& options, const std::string& file);

// A manufacturer whose factory credentials the fleet takes. `key`: a .pub file,
// a name under REPO/keys, or hex.
struct ManufacturerOptions {
  std::string name;
  std::string key;
  std::vector<std::string> device_types;
};
absl::Status RunManufacturerAdd(const Options& options,
                                const ManufacturerOptions& manufacturer);
absl::Status RunManufacturerRemove(const Options& options,
                                   const std::string& name);

// In the factory: needs --keys and no repository.
struct FactoryOptions {
  std::string signer;      // name of the manufacturer's key in --keys
  std::string device_key;  // hex, or FILE of `shoal-agent fingerprint` (JSON)
  std::string serial_number;
  std::string device_type;
  int valid_days = 0;  // 0: without end
  std::string out;
};
absl::Status RunFactoryIssue(const Options& options,
                             const FactoryOptions& factory);

// Other keys for a role, or for what targets.json names beside its roles
// (device_ca, node_ca, telemetry, time), or "online": all of the plane's.
struct RotateOptions {
  std::string role;
  std::vector<std::string> add;
  std::vector<std::string> remove;
  int new_keys = 0;
  int threshold = 0;   // 0: as it is
  std::string online;  // FILE with the plane's public keys
};
absl::Status RunRotate(const Options& options, const RotateOptions& rotate);

// The next version of these roles with the same content and a new expiry; with
// `within_days` those that expire until then.
absl::Status RunRenew(const Options& options, std::vector<std::string> roles,
                      int within_days);

// Shows what waits, asks, and signs it with the keys at hand. No roles: all.
absl::Status RunSign(const Options& options, std::vector<std::string> roles);
// Takes over from another copy of the tree what is newer there, and adds the
// signatures that it has.
absl::Status RunMerge(const Options& options, const std::string& other);
absl::Status RunDrop(const Options& options, const std::string& role);
absl::Status RunStatus(const Options& options);
// Two metadata files, or a role's draft against what is in force.
absl::Status RunDifference(const Options& options,
                           const std::vector<std::string>& what);

struct PublishOptions {
  int timestamp_days = 7;
};
absl::Status RunPublish(const Options& options, const PublishOptions& publish);

absl::Status RunInspect(const std::string& file);
absl::Status RunVerify(const std::string& repository,
                       const std::string& fleet_id_hex);

// FILE's public keys: {"director":HEX,"snapshot":HEX,…}, raw by name.
absl::StatusOr<std::map<std::string, std::string>> ReadOnlineKeys(
    const std::string& file);

// Adds `public_key` to `keys` and returns its id.
std::string AddKey(std::map<std::string, Key>& keys,
                   std::string_view public_key);
// Role keys as `choice` says; new ones are named NAME, or NAME-1, NAME-2, ….
// "bad_threshold", "no_keys", "no_such_key".
absl::StatusOr<RoleKeys> ChooseKeys(Workspace& work, const std::string& name,
                                    const KeyChoice& choice,
                                    std::map<std::string, Key>& keys);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_TOOL_COMMANDS_H_
