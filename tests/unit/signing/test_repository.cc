#include "tests/unit/signing/test_repository.h"

#include "common/crypto/hash.h"
#include "common/status.h"

namespace shoal::signing {

TestRepository::TestRepository(absl::Time now)
    : expires(now + absl::Hours(24 * 30)) {
  for (const char* name :
       {"root-1", "root-2", "targets", "snapshot", "timestamp", "fw-a",
        "policy", "director", "director-a", "device_ca", "node_ca"})
    keys_.emplace(name, crypto::SigningKey::Generate());
  const auto give = [&](const std::string& role,
                        const std::vector<std::string>& names) {
    RoleKeys& keys = root.roles[role];
    for (const std::string& name : names) {
      const Key k = public_key(name);
      keys.key_ids.push_back(k.id);
      root.keys.emplace(k.id, k);
    }
    keys.threshold = static_cast<uint32_t>(names.size());
  };
  give("root", {"root-1", "root-2"});
  for (const char* role : {"targets", "snapshot", "timestamp"})
    give(role, {role});
  Delegate("targets", "fw-a", {"fw/a/*/*"}, true);
  Delegate("targets", "policy", {"policy/*"}, true);
  Delegate("targets", "director", {"director/*/*/*"});
  Delegate("director", "director-a", {"director/a/*/*"});
  roles["targets"].fleet_keys = FleetKeys{{key("device_ca").public_key()},
                                          {key("node_ca").public_key()},
                                          std::string(32, 'T'),
                                          {}};
  PublishRoot({"root-1", "root-2"});
  PublishAll();
}

void TestRepository::Delegate(const std::string& parent,
                              const std::string& role,
                              const std::vector<std::string>& patterns,
                              bool terminating, const std::string& key_name) {
  roles[role];
  Targets& by = roles[parent];
  if (!by.delegations) by.delegations.emplace();
  const Key k = public_key(key_name.empty() ? role : key_name);
  by.delegations->keys.emplace(k.id, k);
  by.delegations->roles.push_back(
      {role, {{k.id}, 1}, terminating, patterns, {}});
}

void TestRepository::RotateKey(const std::string& role,
                               const std::string& name) {
  const Key k = public_key(name);
  root.keys.emplace(k.id, k);
  root.roles[role] = {{k.id}, 1};
  signer[role] = name;
}

const crypto::SigningKey& TestRepository::key(const std::string& name) {
  const auto it = keys_.find(name);
  if (it != keys_.end()) return it->second;
  return keys_.emplace(name, crypto::SigningKey::Generate()).first->second;
}

Key TestRepository::public_key(const std::string& name) {
  return MakeEd25519Key(key(name).public_key());
}

std::string TestRepository::fleet_id() const {
  return crypto::Sha256Digest(files_.at("1.root"));
}

absl::StatusOr<std::string> TestRepository::FetchMetadata(
    std::string_view role, std::optional<uint64_t> version, uint64_t) {
  const std::string name =
      (version ? std::to_string(*version) + "." : "") + std::string(role);
  requests.push_back(name);
  const auto it = files_.find(name);
  if (it == files_.end()) return NotFound("metadata_missing", name);
  return it->second;
}

absl::StatusOr<std::string> TestRepository::FetchTarget(
    const TargetFile& target) {
  const auto it = targets_.find(target.sha256);
  if (it == targets_.end()) return NotFound("no_target", target.path);
  return it->second;
}

void TestRepository::PublishRoot(const std::vector<std::string>& signers) {
  root.version += 1;
  root.expires = expires;
  Signers keys;
  for (const std::string& name : signers) keys.push_back(&key(name));
  files_[std::to_string(root.version) + ".root"] = SignRoot(root, keys).value();
}

void TestRepository::PublishRole(const std::string& role) {
  Targets& content = roles[role];
  content.version += 1;
  content.expires = expires;
  const std::string name = signer.contains(role) ? signer[role] : role;
  RoleFile file{content.version, SignTargets(content, {&key(name)}).value()};
  files_[std::to_string(file.version) + "." + role] = file.bytes;
  newest_[role] = std::move(file);
}

void TestRepository::PublishSnapshot() {
  const std::string name =
      signer.contains("snapshot") ? signer["snapshot"] : "snapshot";
  const std::string bytes =
      BuildSnapshot(++snapshot_version, expires, newest_, {&key(name)}).value();
  files_[std::to_string(snapshot_version) + ".snapshot"] = bytes;
}

void TestRepository::PublishTimestamp() {
  const std::string name =
      signer.contains("timestamp") ? signer["timestamp"] : "timestamp";
  files_["timestamp"] =
      BuildTimestamp(++timestamp_version, expires, snapshot_version,
                     files_[std::to_string(snapshot_version) + ".snapshot"],
                     {&key(name)})
          .value();
}

void TestRepository::PublishAll() {
  for (const auto& [role, content] : roles) PublishRole(role);
  PublishSnapshot();
  PublishTimestamp();
}

void TestRepository::AddTarget(const std::string& role, const std::string& path,
                               const std::string& bytes) {
  TargetFile target;
  target.path = path;
  target.length = bytes.size();
  target.sha256 = crypto::Sha256Digest(bytes);
  targets_[target.sha256] = bytes;
  roles[role].targets[path] = target;
}

}  // namespace shoal::signing
