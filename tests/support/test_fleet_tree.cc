// The published tree: roles, targets, blobs.
#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/metadata/file_root.h"
#include "signing/sign/builder.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/fleet_trust.h"
#include "tests/support/test_fleet.h"

namespace shoal::testing {

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

absl::Status TestFleet::RemoveDocument(const std::string& path) {
  for (const std::string& type : options_.device_types) {
    if (roles_["director-" + type].targets.erase(path) == 0) continue;
    dirty_["director-" + type] = true;
    return absl::OkStatus();
  }
  return NotFound("unknown_target", path);
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

absl::Status TestFleet::RotateTimestampKey() {
  SHOAL_ASSIGN_OR_RETURN(signing::ParsedRoot parsed,
                         signing::ParseRoot(metadata_.at("root")));
  signing::Root& root = parsed.value;
  timestamp_ = crypto::SigningKey::Generate();
  signing::Key key = signing::MakeEd25519Key(timestamp_.public_key());
  root.roles["timestamp"].key_ids = {key.id};
  root.keys.emplace(key.id, std::move(key));
  root.version += 1;
  SHOAL_ASSIGN_OR_RETURN(
      const std::string bytes,
      signing::SignRoot(root, {&root_keys_[0], &root_keys_[1]}));
  return WriteRole("root", root.version, bytes);
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
                              whole(timestamp_expires_.value_or(
                                  options_.now + options_.timestamp_lifetime)),
                              version, snapshot, {&timestamp_}));
  return WriteRole("timestamp", timestamp_version, timestamp);
}

rollout::v1::RolloutDocument TestFleet::RolloutToAll(
    const std::string& id, const TestImage& image) const {
  rollout::v1::RolloutDocument d;
  d.set_id(id);
  d.set_version(1);
  d.set_fleet(fleet_id_);
  d.set_device_type("gateway");
  d.mutable_release()->set_version(image.info.version);
  d.mutable_release()->set_image_target(image.target.path);
  d.mutable_release()->set_sha256(image.target.sha256);
  d.mutable_release()->set_length(image.target.length);
  d.mutable_release()->set_counter(image.info.counter);
  d.mutable_selector()->set_all(true);
  auto* phase = d.add_phases();
  phase->set_name("all");
  phase->set_threshold(uint64_t{1} << 32);
  phase->set_expected_devices(1);
  d.set_opened_at(absl::ToUnixMillis(absl::Now()));
  d.set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
  d.set_expires(absl::ToUnixSeconds(absl::Now() + absl::Hours(24)));
  d.set_error_threshold_permille(100);
  return d;
}

}  // namespace shoal::testing
