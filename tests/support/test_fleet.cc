#include "tests/support/test_fleet.h"

#include <utility>

#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/sign/builder.h"

namespace shoal::testing {
namespace {

signing::DelegatedRole MakeRole(const std::string& name,
                                const crypto::SigningKey& key, bool terminating,
                                std::vector<std::string> paths) {
  signing::DelegatedRole role;
  role.name = name;
  role.keys.key_ids = {signing::MakeEd25519Key(key.public_key()).id};
  role.terminating = terminating;
  role.paths = std::move(paths);
  return role;
}

void AddKey(std::map<std::string, signing::Key>& keys,
            const crypto::SigningKey& key) {
  signing::Key made = signing::MakeEd25519Key(key.public_key());
  keys[made.id] = std::move(made);
}

}  // namespace

TestFleet::TestFleet(TestFleetOptions options)
    : options_(std::move(options)),
      targets_(crypto::SigningKey::Generate()),
      policy_key_(crypto::SigningKey::Generate()),
      director_(crypto::SigningKey::Generate()),
      snapshot_(crypto::SigningKey::Generate()),
      timestamp_(crypto::SigningKey::Generate()),
      device_ca_(crypto::SigningKey::Generate()),
      node_ca_(crypto::SigningKey::Generate()),
      telemetry_(crypto::BoxKey::Generate()) {}

absl::StatusOr<std::unique_ptr<TestFleet>> TestFleet::Create(
    const std::string& directory, TestFleetOptions options) {
  std::unique_ptr<TestFleet> fleet(new TestFleet(std::move(options)));
  SHOAL_RETURN_IF_ERROR(fleet->Build(directory));
  return fleet;
}

absl::Status TestFleet::Build(const std::string& directory) {
  repository_ = JoinPath(directory, "repo");
  for (const char* part : {"metadata", "targets", "blobs"}) {
    SHOAL_RETURN_IF_ERROR(
        RealFileSystem().MakeDirectories(JoinPath(repository_, part)));
  }
  const absl::Time expires = absl::FromUnixSeconds(
      absl::ToUnixSeconds(options_.now + options_.lifetime));

  signing::Root root;
  root.version = 1;
  root.expires = expires;
  for (int i = 0; i < 3; ++i)
    root_keys_.push_back(crypto::SigningKey::Generate());
  for (const auto& key : root_keys_) {
    AddKey(root.keys, key);
    root.roles["root"].key_ids.push_back(
        signing::MakeEd25519Key(key.public_key()).id);
  }
  root.roles["root"].threshold = 2;
  for (const auto& [role, key] :
       {std::pair<std::string, const crypto::SigningKey*>{"targets", &targets_},
        {"snapshot", &snapshot_},
        {"timestamp", &timestamp_}}) {
    AddKey(root.keys, *key);
    root.roles[role].key_ids = {signing::MakeEd25519Key(key->public_key()).id};
  }
  SHOAL_ASSIGN_OR_RETURN(
      root_v1_, signing::SignRoot(root, {&root_keys_[0], &root_keys_[1]}));
  fleet_id_ = crypto::Sha256Digest(root_v1_);
  SHOAL_RETURN_IF_ERROR(WriteRole("root", 1, root_v1_));

  signing::Targets targets;
  targets.version = 0;
  targets.expires = expires;
  signing::Delegations delegations;
  for (const auto* key : {&policy_key_, &director_}) {
    AddKey(delegations.keys, *key);
  }
  signing::Targets director;
  director.version = 0;
  director.expires = expires;
  signing::Delegations director_delegations;
  AddKey(director_delegations.keys, director_);
  for (const std::string& type : options_.device_types) {
    const auto& key =
        fw_keys_.emplace(type, crypto::SigningKey::Generate()).first->second;
    AddKey(delegations.keys, key);
    delegations.roles.push_back(
        MakeRole("fw-" + type, key, true, {"fw/" + type + "/*/*"}));
    director_delegations.roles.push_back(MakeRole(
        "director-" + type, director_, true,
        {"director/" + type + "/rollout/*", "director/" + type + "/deltas/*",
         "director/" + type + "/revoked/*"}));
    for (const char* parent : {"fw-", "director-"}) {
      signing::Targets empty;
      empty.version = 0;
      empty.expires = expires;
      roles_[parent + type] = empty;
    }
  }
  delegations.roles.push_back(
      MakeRole("policy", policy_key_, true, {"policy/*"}));
  delegations.roles.push_back(
      MakeRole("director", director_, false, {"director/*/*/*"}));
  director.delegations = std::move(director_delegations);
  targets.delegations = std::move(delegations);
  signing::FleetKeys fleet_keys;
  fleet_keys.device_ca = {device_ca_.public_key()};
  fleet_keys.node_ca = {node_ca_.public_key()};
  fleet_keys.telemetry = telemetry_.public_key();
  targets.fleet_keys = fleet_keys;
  signing::Targets policy;
  policy.version = 0;
  policy.expires = expires;
  roles_["targets"] = std::move(targets);
  roles_["director"] = std::move(director);
  roles_["policy"] = std::move(policy);
  for (const auto& [name, role] : roles_) dirty_[name] = true;

  pairing::v1::NetworkKey* key = network_.add_keys();
  key->set_epoch(1);
  key->set_key(crypto::RandomBytes(32));
  network_.set_place_key(crypto::RandomBytes(32));
  bootstrap_key_ = crypto::RandomBytes(32);
  SHOAL_ASSIGN_OR_RETURN(plane_tls_, MakeTls("plane", options_.now));

  SHOAL_ASSIGN_OR_RETURN(auto admin, MakeOperator("admin"));
  admin_.emplace(std::move(admin));
  admin_->entry.add_roles("admin");
  policy::v1::AccessPolicy access;
  access.set_version(1);
  *access.add_operators() = admin_->entry;
  for (const bool on_devices : {false, true}) {
    policy::v1::Rule* rule = access.add_rules();
    rule->set_name(on_devices ? "admin-devices" : "admin-plane");
    rule->add_principals("role:admin");
    if (on_devices) {
      rule->add_principals("director");
      rule->mutable_devices()->set_all(true);
      for (const char* action :
           {"update.install", "update.consent", "config.set", "command.run:*",
            "telemetry.read", "session.open:*", "rollout.halt"}) {
        rule->add_actions(action);
      }
    } else {
      for (const char* action :
           {"release.create", "rollout.create", "rollout.approve",
            "rollout.halt", "device.read", "device.accept",
            "device.decommission", "device.label", "telemetry.read",
            "policy.publish", "node.enroll", "audit.read"}) {
        rule->add_actions(action);
      }
    }
  }
  SHOAL_RETURN_IF_ERROR(SetPolicy(access));
  return Publish();
}

}  // namespace shoal::testing
