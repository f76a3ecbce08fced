// What the thief signs: metadata, documents, rollouts, histories.
#include <fmt/format.h>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"
#include "server/trust/repository.h"
#include "shoal/log/v1/log.pb.h"
#include "signing/log/files.h"
#include "signing/log/leaf.h"
#include "signing/log/merkle.h"
#include "signing/metadata/file_root.h"
#include "signing/metadata/image_info.h"
#include "tests/integration/stolen_server/stolen_plane.h"

namespace shoal::testing {
namespace {

absl::Time InSeconds(absl::Duration lifetime) {
  return absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now() + lifetime));
}

}  // namespace

signing::Targets StolenPlane::Content(const std::string& role) const {
  return signing::ParseTargets(roles_.at(role).bytes)->value;
}

absl::Status StolenPlane::Forge(const std::string& role,
                                signing::Targets content) {
  content.version = roles_[role].version + 1;
  content.expires = InSeconds(absl::Hours(24 * 30));
  SHOAL_ASSIGN_OR_RETURN(std::string bytes,
                         signing::SignTargets(content, {&keys_->director}));
  SetRole(role, {content.version, std::move(bytes)});
  return absl::OkStatus();
}

absl::Status StolenPlane::PutDocument(const std::string& path,
                                      const std::string& bytes) {
  signing::Targets content = Content("director-gateway");
  signing::TargetFile target;
  target.path = path;
  target.length = bytes.size();
  target.sha256 = crypto::Sha256Digest(bytes);
  content.targets[path] = target;
  documents_[path] = bytes;
  return Forge("director-gateway", std::move(content));
}

absl::Status StolenPlane::RemoveDocument(const std::string& path) {
  signing::Targets content = Content("director-gateway");
  content.targets.erase(path);
  documents_.erase(path);
  return Forge("director-gateway", std::move(content));
}

rollout::v1::RolloutDocument StolenPlane::Rollout(
    const std::string& image_target) {
  rollout::v1::RolloutDocument d;
  d.set_order(++order_);
  d.set_id(fmt::format("attack-{}", d.order()));
  d.set_version(1);
  d.set_fleet(fleet_id_);
  d.set_device_type("gateway");
  auto* release = d.mutable_release();
  release->set_image_target(image_target);
  release->set_version("6.6.6");
  release->set_counter(666);
  release->set_sha256(std::string(32, 'x'));
  release->set_length(666);
  const std::string type =
      image_target.substr(3, image_target.find('/', 3) - 3);
  if (roles_.contains("fw-" + type)) {
    const signing::Targets images = Content("fw-" + type);
    const auto it = images.targets.find(image_target);
    if (it != images.targets.end()) {
      const auto info = signing::ParseImageInfo(it->second);
      release->set_version(info->version);
      release->set_counter(info->counter);
      release->set_sha256(it->second.sha256);
      release->set_length(it->second.length);
    }
  }
  d.mutable_selector()->set_all(true);
  auto* phase = d.add_phases();
  phase->set_name("all");
  phase->set_threshold(uint64_t{1} << 32);
  phase->set_expected_devices(1);
  d.set_opened_at(absl::ToUnixMillis(absl::Now()));
  d.set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
  d.set_expires(absl::ToUnixSeconds(absl::Now() + absl::Hours(24)));
  d.set_error_threshold_permille(1000);
  return d;
}

absl::Status StolenPlane::PutRollout(
    const rollout::v1::RolloutDocument& document) {
  if (!rollout_path_.empty())
    SHOAL_RETURN_IF_ERROR(RemoveDocument(rollout_path_));
  rollout_path_ = "director/gateway/rollout/" + document.id();
  return PutDocument(rollout_path_, document.SerializeAsString());
}

absl::StatusOr<release::v1::Delta> StolenPlane::Serve(
    const std::string& bytes) {
  release::v1::Delta delta;
  delta.set_length(bytes.size());
  delta.set_sha256(crypto::Sha256Digest(bytes));
  delta.set_piece_length(
      static_cast<uint32_t>(signing::PieceLength(bytes.size())));
  signing::FileRootHasher hasher;
  hasher.Update(bytes);
  delta.set_file_root(hasher.Finish());
  delta.set_mode("sdelta1");
  delta.set_memory(1 << 20);
  SHOAL_RETURN_IF_ERROR(RealFileSystem().WriteAtomic(
      JoinPath(JoinPath(origin_directory_, "blobs"), HexEncode(delta.sha256())),
      bytes));
  return delta;
}

absl::StatusOr<signing::LogHead> StolenPlane::ExtendLog(
    const std::string& snapshot) {
  signing::LogLeaf leaf;
  leaf.number = snapshot_version_;
  leaf.sha256 = crypto::Sha256Digest(snapshot);
  leaf.name = "snapshot";
  SHOAL_ASSIGN_OR_RETURN(std::string bytes, signing::EncodeLogLeaf(leaf));
  leaves_.push_back(std::move(bytes));
  std::map<std::pair<int, uint64_t>, std::string> nodes;
  signing::LogFrontier frontier;
  for (const std::string& one : leaves_)
    frontier.Append(signing::LogLeafHash(one),
                    [&](int level, uint64_t index, const std::string& hash) {
                      nodes[{level, index}] = hash;
                    });
  const signing::ReadLogNode read =
      [&](int level, uint64_t index) -> absl::StatusOr<std::string> {
    return nodes.at({level, index});
  };
  const signing::LogHead head{leaves_.size(), frontier.Root(),
                              leaves_.size() - 1};
  log::v1::LogProof proof;
  proof.set_size(head.size);
  proof.set_root(head.root);
  SHOAL_ASSIGN_OR_RETURN(
      const auto inclusion,
      signing::InclusionPath(head.snapshot, head.size, read));
  for (const std::string& hash : inclusion) proof.add_inclusion(hash);
  // With a proof from every size that a device may have seen: what gives a
  // second truth away is the proof itself.
  for (const uint64_t size : heads_) {
    if (size >= head.size) continue;
    SHOAL_ASSIGN_OR_RETURN(const auto path,
                           signing::PrefixPath(size, head.size, read));
    auto* prefix = proof.add_prefixes();
    prefix->set_size(size);
    for (const std::string& hash : path) prefix->add_path(hash);
  }
  heads_.push_back(head.size);
  if (heads_.size() > 8) heads_.erase(heads_.begin());
  for (uint64_t n = bundles_sent_; n * signing::kLogBundle < leaves_.size();
       ++n) {
    const auto first = leaves_.begin() + static_cast<long>(n * 64);
    const auto last =
        std::min(leaves_.end(), first + static_cast<long>(signing::kLogBundle));
    SHOAL_RETURN_IF_ERROR(SendAsDirector(
        records::v1::RECORD_KIND_LOG_ENTRIES, std::to_string(n),
        ++record_version_, signing::EncodeLogEntries({first, last})));
    bundles_sent_ = n;
  }
  SHOAL_RETURN_IF_ERROR(SendAsDirector(records::v1::RECORD_KIND_LOG_PROOF,
                                       HexEncode(head.root), 1,
                                       proof.SerializeAsString()));
  return head;
}

absl::StatusOr<std::string> StolenPlane::AnotherTruth() {
  SHOAL_ASSIGN_OR_RETURN(const auto last, signing::ParseTimestamp(timestamp_));
  signing::Timestamp other = last.value;
  other.version += 1;
  other.log->root = crypto::Sha256Digest("another truth");
  return signing::SignTimestamp(other, {&keys_->timestamp});
}

absl::Status StolenPlane::Publish(uint64_t add) {
  for (const std::string& role : changed_) {
    const auto file = roles_.find(role);
    if (file == roles_.end()) continue;
    SHOAL_RETURN_IF_ERROR(
        SendAsDirector(records::v1::RECORD_KIND_METADATA,
                       fmt::format("{}/{}", role, file->second.version), 1,
                       file->second.bytes));
  }
  changed_.clear();
  for (const auto& [path, bytes] : documents_)
    SHOAL_RETURN_IF_ERROR(SendAsDirector(records::v1::RECORD_KIND_DOCUMENT,
                                         HexEncode(crypto::Sha256Digest(bytes)),
                                         1, bytes));
  documents_.clear();
  snapshot_version_ += add;
  timestamp_version_ += add;
  SHOAL_ASSIGN_OR_RETURN(
      const std::string snapshot,
      signing::BuildSnapshot(snapshot_version_, InSeconds(absl::Hours(720)),
                             roles_, {&keys_->snapshot}));
  SHOAL_RETURN_IF_ERROR(SendAsDirector(
      records::v1::RECORD_KIND_METADATA,
      fmt::format("snapshot/{}", snapshot_version_), 1, snapshot));
  SHOAL_ASSIGN_OR_RETURN(const signing::LogHead log, ExtendLog(snapshot));
  SHOAL_ASSIGN_OR_RETURN(const std::string timestamp,
                         signing::BuildTimestamp(
                             timestamp_version_, InSeconds(absl::Hours(168)),
                             snapshot_version_, snapshot, {&keys_->timestamp},
                             without_log_ ? std::nullopt : std::optional(log)));
  timestamp_ = timestamp;
  records::v1::Head head;
  head.set_timestamp(timestamp);
  head.set_snapshot_version(snapshot_version_);
  record_version_ += add;
  return SendAsDirector(records::v1::RECORD_KIND_HEAD, "gateway",
                        record_version_, head.SerializeAsString());
}

}  // namespace shoal::testing
