#include "server/trust/release_log.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "server/store/state.pb.h"
#include "signing/log/files.h"

namespace shoal::server {
namespace {

constexpr char kLogKey[] = "log";
// Devices that missed fewer heads than this need no tiles.
constexpr size_t kHeadsKept = 5;
constexpr uint64_t kLeavesAtOnce = 4096;

std::string NodeKey(int level, uint64_t index) {
  std::string key(1, static_cast<char>(level));
  AppendBigEndian(key, index, 8);
  return key;
}

template <typename Heads>
std::vector<uint64_t> NewestFirst(const Heads& heads) {
  std::vector<uint64_t> sizes;
  for (const log::v1::LogPoint& head : heads) sizes.push_back(head.size());
  std::reverse(sizes.begin(), sizes.end());
  return sizes;
}

void SetPath(const signing::HashPath& path,
             google::protobuf::RepeatedPtrField<std::string>& out) {
  for (const std::string& hash : path) *out.Add() = hash;
}

}  // namespace

absl::Status ReleaseLog::Load() {
  const auto row = store_.Get<store::LogRow>(kMeta, kLogKey);
  if (absl::IsNotFound(row.status())) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(row);
  heads_ = {row->heads().begin(), row->heads().end()};
  if (heads_.empty()) return DataLoss("bad_row", "the log's row has no head");
  head_ = {heads_.back().size(), heads_.back().root(), row->snapshot()};
  SHOAL_ASSIGN_OR_RETURN(
      frontier_, signing::LogFrontier::Read(head_.size, Nodes(nullptr)));
  if (frontier_.Root() != head_.root)
    return DataLoss("bad_row", "the release log's hashes do not give its head");
  return absl::OkStatus();
}

signing::ReadLogNode ReleaseLog::Nodes(const LogGrowth* growth) const {
  return
      [this, growth](int level, uint64_t index) -> absl::StatusOr<std::string> {
        if (growth != nullptr) {
          const auto it = growth->nodes.find({level, index});
          if (it != growth->nodes.end()) return it->second;
        }
        SHOAL_ASSIGN_OR_RETURN(auto row, store_.Get<store::LogNodeRow>(
                                             kLogNodes, NodeKey(level, index)));
        return std::move(*row.mutable_hash());
      };
}

absl::StatusOr<std::string> ReleaseLog::MakeProof(
    const signing::LogHead& head, const std::vector<uint64_t>& from,
    const signing::ReadLogNode& nodes) const {
  log::v1::LogProof proof;
  proof.set_size(head.size);
  proof.set_root(head.root);
  SHOAL_ASSIGN_OR_RETURN(
      const signing::HashPath inclusion,
      signing::InclusionPath(head.snapshot, head.size, nodes));
  SetPath(inclusion, *proof.mutable_inclusion());
  for (const uint64_t size : from) {
    if (size == 0 || size >= head.size) continue;
    SHOAL_ASSIGN_OR_RETURN(const signing::HashPath path,
                           signing::PrefixPath(size, head.size, nodes));
    log::v1::LogPrefix* prefix = proof.add_prefixes();
    prefix->set_size(size);
    SetPath(path, *prefix->mutable_path());
  }
  return proof.SerializeAsString();
}

absl::StatusOr<LogGrowth> ReleaseLog::Grow(
    const std::vector<signing::LogLeaf>& leaves, bool new_snapshot) const {
  LogGrowth growth;
  growth.head = head_;
  growth.heads = heads_;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::LogLeafRow>(
      kLogPending, "", "",
      [&](std::string_view key, const store::LogLeafRow& row) {
        growth.pending.emplace_back(key);
        growth.leaves.push_back(row.leaf());
        return true;
      }));
  for (const signing::LogLeaf& leaf : leaves) {
    SHOAL_ASSIGN_OR_RETURN(std::string bytes, signing::EncodeLogLeaf(leaf));
    growth.leaves.push_back(std::move(bytes));
  }
  if (growth.leaves.empty()) return growth;
  signing::LogFrontier frontier = frontier_;
  for (const std::string& leaf : growth.leaves)
    frontier.Append(signing::LogLeafHash(leaf),
                    [&](int level, uint64_t index, const std::string& hash) {
                      growth.nodes[{level, index}] = hash;
                    });
  growth.head.size = frontier.size();
  growth.head.root = frontier.Root();
  if (new_snapshot) growth.head.snapshot = frontier.size() - 1;
  log::v1::LogPoint point;
  point.set_size(growth.head.size);
  point.set_root(growth.head.root);
  growth.heads.push_back(std::move(point));
  if (growth.heads.size() > kHeadsKept) {
    growth.retired = growth.heads.front().root();
    growth.heads.erase(growth.heads.begin());
  }
  SHOAL_ASSIGN_OR_RETURN(
      growth.proof,
      MakeProof(growth.head, NewestFirst(growth.heads), Nodes(&growth)));
  return growth;
}

absl::Status ReleaseLog::Put(Transaction& tx, const LogGrowth& growth) {
  if (growth.leaves.empty()) return absl::OkStatus();
  uint64_t index = growth.head.size - growth.leaves.size();
  for (const std::string& leaf : growth.leaves) {
    const std::string key = SequenceKey(index++);
    if (tx.Has(kLogLeaves, key))
      return Internal("log_conflict",
                      "the release log has an entry at this place already");
    store::LogLeafRow row;
    row.set_leaf(leaf);
    tx.Put(kLogLeaves, key, row);
  }
  for (const auto& [place, hash] : growth.nodes) {
    store::LogNodeRow row;
    row.set_hash(hash);
    tx.Put(kLogNodes, NodeKey(place.first, place.second), row);
  }
  for (const std::string& key : growth.pending) tx.Delete(kLogPending, key);
  store::LogRow row;
  for (const log::v1::LogPoint& head : growth.heads) *row.add_heads() = head;
  row.set_snapshot(growth.head.snapshot);
  tx.Put(kMeta, kLogKey, row);
  return absl::OkStatus();
}

void ReleaseLog::Adopt(const LogGrowth& growth) {
  for (const std::string& leaf : growth.leaves)
    frontier_.Append(signing::LogLeafHash(leaf),
                     [](int, uint64_t, const std::string&) {});
  head_ = growth.head;
  heads_ = growth.heads;
}

absl::StatusOr<std::vector<std::string>> ReleaseLog::Leaves(uint64_t from,
                                                            uint64_t to) const {
  std::vector<std::string> leaves;
  for (uint64_t index = from; index < to; ++index) {
    SHOAL_ASSIGN_OR_RETURN(auto row, store_.Get<store::LogLeafRow>(
                                         kLogLeaves, SequenceKey(index)));
    leaves.push_back(std::move(*row.mutable_leaf()));
  }
  return leaves;
}

absl::StatusOr<std::string> ReleaseLog::Bundle(uint64_t n,
                                               uint64_t size) const {
  const uint64_t first = n * signing::kLogBundle;
  SHOAL_ASSIGN_OR_RETURN(
      const auto leaves,
      Leaves(first, std::min(size, first + signing::kLogBundle)));
  return signing::EncodeLogEntries(leaves);
}

absl::StatusOr<std::string> ReleaseLog::Proof(const signing::LogHead& head,
                                              uint64_t from) const {
  SHOAL_ASSIGN_OR_RETURN(const auto row,
                         store_.Get<store::LogRow>(kMeta, kLogKey));
  std::vector<uint64_t> sizes = NewestFirst(row.heads());
  if (std::find(sizes.begin(), sizes.end(), from) == sizes.end()) {
    sizes.push_back(from);
  }
  return MakeProof(head, sizes, Nodes(nullptr));
}

absl::StatusOr<std::string> ReleaseLog::RootAt(uint64_t size) const {
  return signing::LogRoot(size, Nodes(nullptr));
}

absl::Status ReleaseLog::CopyTo(signing::LogDirectory& directory,
                                const signing::LogHead& head) const {
  // Another log than the one served (the store was replaced): all anew.
  if (directory.size() > 0) {
    const auto root = directory.Root();
    const auto ours = directory.size() <= head.size
                          ? signing::LogRoot(directory.size(), Nodes(nullptr))
                          : absl::StatusOr<std::string>(std::string());
    if (!root.ok() || !ours.ok() || *root != *ours) {
      LogWarn("log_files_replaced", {{"entries", directory.size()}});
      SHOAL_RETURN_IF_ERROR(directory.Clear());
    }
  }
  while (directory.size() < head.size) {
    SHOAL_ASSIGN_OR_RETURN(
        const auto leaves,
        Leaves(directory.size(),
               std::min(head.size, directory.size() + kLeavesAtOnce)));
    SHOAL_ASSIGN_OR_RETURN(const auto extension, directory.Extend(leaves));
    SHOAL_RETURN_IF_ERROR(directory.Write(extension));
  }
  return absl::OkStatus();
}

absl::Status LogCredential(Transaction& tx, std::string_view kind,
                           std::string_view subject_id, uint64_t serial,
                           const records::v1::Credential& credential) {
  signing::LogLeaf leaf;
  leaf.kind = signing::LogLeafKind::kCredential;
  leaf.number = serial;
  leaf.sha256 = crypto::Sha256Digest(credential.SerializeAsString());
  leaf.name = std::string(kind) + "/" + HexEncode(subject_id);
  store::LogLeafRow row;
  SHOAL_ASSIGN_OR_RETURN(*row.mutable_leaf(), signing::EncodeLogLeaf(leaf));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t sequence, tx.NextSequence(kLogPending));
  tx.Put(kLogPending, SequenceKey(sequence), row);
  return absl::OkStatus();
}

}  // namespace shoal::server
