#include "tests/support/test_fleet.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "dht/records/place.h"
#include "dht/records/record.h"
#include "signing/metadata/file_root.h"
#include "signing/sign/builder.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::testing {
namespace {

constexpr uint64_t kMaxRecordPayload = 16'384;

absl::StatusOr<crypto::TlsKeyPair> MakeTls(const std::string& name,
                                           absl::Time now) {
  SHOAL_ASSIGN_OR_RETURN(auto ca, crypto::MakeCertificateAuthority(
                                      name + " CA", now - absl::Hours(1),
                                      now + absl::Hours(9000)));
  crypto::CertificateRequest request;
  request.common_name = name;
  request.names = {"127.0.0.1", "localhost"};
  request.server = true;
  request.client = true;
  request.not_before = now - absl::Hours(1);
  request.not_after = now + absl::Hours(8760);
  return crypto::IssueCertificate(ca, request);
}

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

absl::Status TestFleet::WriteRole(const std::string& role, uint64_t version,
                                  std::string_view bytes) {
  versions_[role] = version;
  metadata_[role] = std::string(bytes);
  const std::string name = role == "timestamp"
                               ? "timestamp.json"
                               : fmt::format("{}.{}.json", version, role);
  return RealFileSystem().WriteAtomic(
      JoinPath(JoinPath(repository_, "metadata"), name), bytes);
}

absl::Status TestFleet::WriteTarget(const signing::TargetFile& target,
                                    std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(const std::string relative,
                         signing::TargetFilePath(target));
  const std::string path = JoinPath(repository_, relative);
  SHOAL_RETURN_IF_ERROR(
      RealFileSystem().MakeDirectories(path.substr(0, path.rfind('/'))));
  SHOAL_RETURN_IF_ERROR(RealFileSystem().WriteAtomic(path, bytes));
  return RealFileSystem().WriteAtomic(
      JoinPath(JoinPath(repository_, "blobs"), HexEncode(target.sha256)),
      bytes);
}

absl::StatusOr<TestImage> TestFleet::AddImage(const std::string& device_type,
                                              const std::string& version,
                                              uint64_t counter,
                                              uint64_t min_counter,
                                              std::string_view bytes) {
  TestImage image;
  image.info.device_type = device_type;
  image.info.version = version;
  image.info.artifact = "image";
  image.info.counter = counter;
  image.info.min_counter = min_counter;
  image.info.piece_length = signing::PieceLength(bytes.size());
  signing::FileRootHasher hasher;
  hasher.Update(bytes);
  image.info.file_root = hasher.Finish();
  image.target.path = signing::ImagePath(device_type, version, "image");
  image.target.length = bytes.size();
  image.target.sha256 = crypto::Sha256Digest(bytes);
  image.target.custom = signing::FormatImageInfo(image.info);
  image.blob_path =
      JoinPath(JoinPath(repository_, "blobs"), HexEncode(image.target.sha256));
  const auto role = roles_.find("fw-" + device_type);
  if (role == roles_.end()) {
    return NotFound("unknown_role", "no such device type: " + device_type);
  }
  SHOAL_RETURN_IF_ERROR(WriteTarget(image.target, bytes));
  role->second.targets[image.target.path] = image.target;
  dirty_[role->first] = true;
  return image;
}

absl::Status TestFleet::RemoveImage(const std::string& device_type,
                                    const std::string& version) {
  const auto role = roles_.find("fw-" + device_type);
  if (role == roles_.end() || role->second.targets.erase(signing::ImagePath(
                                  device_type, version, "image")) == 0) {
    return NotFound("unknown_target", device_type + " " + version);
  }
  dirty_[role->first] = true;
  return absl::OkStatus();
}

absl::Status TestFleet::AddDocument(const std::string& path,
                                    std::string_view bytes) {
  for (const std::string& type : options_.device_types) {
    if (path.rfind("director/" + type + "/", 0) != 0) continue;
    signing::TargetFile target;
    target.path = path;
    target.length = bytes.size();
    target.sha256 = crypto::Sha256Digest(bytes);
    SHOAL_RETURN_IF_ERROR(WriteTarget(target, bytes));
    documents_[target.sha256] = std::string(bytes);
    roles_["director-" + type].targets[path] = target;
    dirty_["director-" + type] = true;
    return absl::OkStatus();
  }
  return NotFound("unknown_role", "no role may sign " + path);
}

absl::StatusOr<release::v1::Delta> TestFleet::AddDelta(std::string_view bytes) {
  release::v1::Delta delta;
  delta.set_length(bytes.size());
  delta.set_sha256(crypto::Sha256Digest(bytes));
  delta.set_piece_length(
      static_cast<uint32_t>(signing::PieceLength(bytes.size())));
  signing::FileRootHasher hasher;
  hasher.Update(bytes);
  delta.set_file_root(hasher.Finish());
  delta.set_mode("sdelta1");
  SHOAL_RETURN_IF_ERROR(RealFileSystem().WriteAtomic(
      JoinPath(JoinPath(repository_, "blobs"), HexEncode(delta.sha256())),
      bytes));
  return delta;
}

absl::Status TestFleet::SetPolicy(const policy::v1::AccessPolicy& policy) {
  std::string json;
  const auto status =
      google::protobuf::util::MessageToJsonString(policy, &json);
  if (!status.ok()) return Internal("bad_policy", status.ToString());
  policy_ = policy;
  policy_json_ = json;
  signing::TargetFile target;
  target.path = signing::kPolicyPath;
  target.length = json.size();
  target.sha256 = crypto::Sha256Digest(json);
  SHOAL_RETURN_IF_ERROR(WriteTarget(target, json));
  documents_[target.sha256] = json;
  roles_["policy"].targets[target.path] = target;
  dirty_["policy"] = true;
  return absl::OkStatus();
}

absl::Status TestFleet::Publish() {
  for (auto& [name, role] : roles_) {
    if (!dirty_[name]) continue;
    ++role.version;
    const crypto::SigningKey* signer = &director_;
    if (name == "targets") signer = &targets_;
    if (name == "policy") signer = &policy_key_;
    if (name.rfind("fw-", 0) == 0) signer = &fw_keys_.at(name.substr(3));
    SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                           signing::SignTargets(role, {signer}));
    SHOAL_RETURN_IF_ERROR(WriteRole(name, role.version, bytes));
    dirty_[name] = false;
  }
  std::map<std::string, signing::RoleFile> files;
  for (const auto& [name, role] : roles_) {
    files[name] = {versions_[name], metadata_[name]};
  }
  const auto whole = [](absl::Time time) {
    return absl::FromUnixSeconds(absl::ToUnixSeconds(time));
  };
  const uint64_t version = versions_["snapshot"] + 1;
  SHOAL_ASSIGN_OR_RETURN(
      const std::string snapshot,
      signing::BuildSnapshot(version, whole(options_.now + options_.lifetime),
                             files, {&snapshot_}));
  SHOAL_RETURN_IF_ERROR(WriteRole("snapshot", version, snapshot));
  const uint64_t timestamp_version = versions_["timestamp"] + 1;
  SHOAL_ASSIGN_OR_RETURN(
      const std::string timestamp,
      signing::BuildTimestamp(timestamp_version,
                              whole(options_.now + options_.timestamp_lifetime),
                              version, snapshot, {&timestamp_}));
  return WriteRole("timestamp", timestamp_version, timestamp);
}

absl::StatusOr<std::string> TestFleet::SignFrom(
    records::v1::RecordKind kind, std::string place, uint64_t version,
    std::string_view payload, absl::Duration lifetime,
    const crypto::SigningKey& key,
    const records::v1::Credential* credential) const {
  dht::RecordFields fields;
  fields.kind = kind;
  fields.place = std::move(place);
  fields.version = version;
  fields.issued = absl::Now();
  fields.expires = fields.issued + lifetime;
  fields.payload = std::string(payload);
  if (credential != nullptr) fields.credential = *credential;
  if (payload.size() > kMaxRecordPayload) {
    return InvalidArgument("record_too_large", "payload over 16 KiB");
  }
  return dht::SignRecord(fields, key, fleet_id_);
}

absl::StatusOr<std::string> TestFleet::DirectorRecord(
    records::v1::RecordKind kind, std::string_view name, uint64_t version,
    std::string_view payload, absl::Duration lifetime) const {
  return SignFrom(kind, dht::PlaceNamer(network_.place_key()).Place(kind, name),
                  version, payload, lifetime, director_, nullptr);
}

absl::StatusOr<std::string> TestFleet::IdentityRecord(
    const TestIdentity& identity, records::v1::RecordKind kind,
    std::string_view name, uint64_t version, std::string_view payload,
    absl::Duration lifetime) const {
  return SignFrom(kind, dht::PlaceNamer(network_.place_key()).Place(kind, name),
                  version, payload, lifetime, identity.key,
                  &identity.credential);
}

absl::StatusOr<std::string> TestFleet::OperatorRecord(
    const TestOperator& op, records::v1::RecordKind kind, std::string_view name,
    uint64_t version, std::string_view payload, absl::Duration lifetime) const {
  return SignFrom(kind, dht::PlaceNamer(network_.place_key()).Place(kind, name),
                  version, payload, lifetime, op.key, nullptr);
}

absl::StatusOr<std::string> TestFleet::HeadRecord(
    const std::string& device_type) const {
  records::v1::Head head;
  head.set_timestamp(metadata_.at("timestamp"));
  head.set_snapshot_version(versions_.at("snapshot"));
  for (const auto& [role, version] : versions_) {
    (*head.mutable_changed_roles())[role] = version;
  }
  return DirectorRecord(records::v1::RECORD_KIND_HEAD, device_type,
                        versions_.at("timestamp"), head.SerializeAsString());
}

absl::StatusOr<std::string> TestFleet::DirectoryRecord() const {
  return DirectorRecord(records::v1::RECORD_KIND_NODE_DIRECTORY, "",
                        directory_.version(), directory_.SerializeAsString());
}

absl::StatusOr<std::vector<std::string>> TestFleet::PublicationRecords() const {
  std::vector<std::string> records;
  for (const auto& [role, bytes] : metadata_) {
    if (bytes.size() > kMaxRecordPayload) continue;
    const uint64_t version = versions_.at(role);
    SHOAL_ASSIGN_OR_RETURN(
        auto record,
        DirectorRecord(records::v1::RECORD_KIND_METADATA,
                       fmt::format("{}/{}", role, version), version, bytes));
    records.push_back(std::move(record));
  }
  for (const auto& [sha256, bytes] : documents_) {
    if (bytes.size() > kMaxRecordPayload) continue;
    SHOAL_ASSIGN_OR_RETURN(auto record,
                           DirectorRecord(records::v1::RECORD_KIND_DOCUMENT,
                                          HexEncode(sha256), 1, bytes));
    records.push_back(std::move(record));
  }
  if (directory_.version() > 0) {
    SHOAL_ASSIGN_OR_RETURN(auto record, DirectoryRecord());
    records.push_back(std::move(record));
  }
  for (const std::string& type : options_.device_types) {
    SHOAL_ASSIGN_OR_RETURN(auto record, HeadRecord(type));
    records.push_back(std::move(record));
  }
  return records;
}

absl::StatusOr<TestIdentity> TestFleet::IssueDevice() {
  crypto::SigningKey key = crypto::SigningKey::Generate();
  records::v1::CredentialBody body;
  body.set_public_key(key.public_key());
  body.set_subject_id(crypto::RandomBytes(16));
  body.set_kind(records::v1::WRITER_CLASS_DEVICE);
  body.set_not_after(absl::ToUnixSeconds(options_.now + options_.lifetime));
  body.set_serial(ReadBigEndian(crypto::RandomBytes(4), 4));
  SHOAL_ASSIGN_OR_RETURN(auto credential,
                         signing::IssueCredential(device_ca_, fleet_id_, body));
  return TestIdentity{std::move(key), body.subject_id(), std::move(credential)};
}

absl::StatusOr<TestOperator> TestFleet::MakeOperator(const std::string& name) {
  SHOAL_ASSIGN_OR_RETURN(auto tls, MakeTls(name, options_.now));
  SHOAL_ASSIGN_OR_RETURN(const std::string spki,
                         crypto::SpkiSha256(tls.cert_pem));
  TestOperator made{name, crypto::SigningKey::Generate(), std::move(tls), {}};
  made.entry.set_name(name);
  made.entry.set_public_key(HexEncode(made.key.public_key()));
  made.entry.set_tls_spki_sha256(HexEncode(spki));
  return made;
}

absl::StatusOr<fleet::v1::NodeBundle> TestFleet::EnrollNode(
    const fleet::v1::EnrollNodeRequest& request) {
  if (!crypto::Ed25519Verify(request.public_key(),
                             crypto::SigningInput("shoal.node.enroll.v1",
                                                  fleet_id_, request.node_id()),
                             request.signature())) {
    return PermissionDenied("bad_signature", "no proof of possession");
  }
  records::v1::CredentialBody body;
  body.set_public_key(request.public_key());
  body.set_subject_id(crypto::Sha256Digest(request.public_key()).substr(0, 16));
  body.set_kind(records::v1::WRITER_CLASS_NODE);
  body.set_not_after(absl::ToUnixSeconds(options_.now + options_.lifetime));
  body.set_serial(node_credentials_.size() + 1);
  SHOAL_ASSIGN_OR_RETURN(node_credentials_[request.public_key()],
                         signing::IssueCredential(node_ca_, fleet_id_, body));
  RemoveNode(request.public_key());
  records::v1::NodeEntry* entry = directory_.add_nodes();
  entry->set_id(body.subject_id());
  entry->set_public_key(request.public_key());
  entry->set_dht_address(request.dht_address());
  entry->set_grpc_address(request.grpc_address());
  entry->set_http_address(request.http_address());
  entry->set_swarm_address(request.swarm_address());
  entry->set_tls_spki_sha256(request.tls_spki_sha256());
  directory_.set_version(directory_.version() + 1);
  return BundleFor(request.public_key());
}

void TestFleet::RemoveNode(std::string_view public_key) {
  for (int i = 0; i < directory_.nodes_size(); ++i) {
    if (directory_.nodes(i).public_key() == public_key) {
      directory_.mutable_nodes()->DeleteSubrange(i, 1);
      directory_.set_version(directory_.version() + 1);
      return;
    }
  }
}

absl::StatusOr<fleet::v1::NodeBundle> TestFleet::BundleFor(
    std::string_view public_key) const {
  const auto credential = node_credentials_.find(std::string(public_key));
  if (credential == node_credentials_.end()) {
    return NotFound("unknown_node", "not enrolled");
  }
  fleet::v1::NodeBundle bundle;
  bundle.set_fleet_id(fleet_id_);
  *bundle.mutable_credential() = credential->second;
  *bundle.mutable_network() = network_;
  bundle.set_bootstrap_key(bootstrap_key_);
  *bundle.mutable_directory() = directory_;
  bundle.add_roots(root_v1_);
  for (const auto& [role, bytes] : metadata_) {
    if (role == "root") continue;
    const std::string name =
        role == "timestamp"
            ? "timestamp.json"
            : fmt::format("{}.{}.json", versions_.at(role), role);
    (*bundle.mutable_metadata())[name] = bytes;
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string spki,
                         crypto::SpkiSha256(plane_tls_.cert_pem));
  bundle.add_plane_tls_spki_sha256(spki);
  bundle.set_policy(policy_json_);
  return bundle;
}

}  // namespace shoal::testing
