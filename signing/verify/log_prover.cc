#include "signing/verify/log_prover.h"

#include <fmt/format.h>

#include "common/status.h"
#include "signing/log/files.h"

namespace shoal::signing {
namespace {

constexpr int kMaxPrefixes = 16;
// Of one head, as many as a place of records holds: whoever likes puts some
// there, and the one that holds may be the last.
constexpr size_t kMaxProofs = 256;

HashPath PathOf(const google::protobuf::RepeatedPtrField<std::string>& path) {
  return {path.begin(), path.end()};
}

bool Bounded(const google::protobuf::RepeatedPtrField<std::string>& path) {
  return path.size() <= static_cast<int>(kMaxLogPath);
}

}  // namespace

absl::StatusOr<log::v1::LogProof> ParseLogProof(std::string_view bytes,
                                                const LogHead& head) {
  const auto bad = [](std::string_view what) {
    return InvalidArgument("bad_log_proof", what);
  };
  if (bytes.size() > kMaxLogProofBytes) return bad("a proof that is too large");
  log::v1::LogProof proof;
  if (!proof.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return bad("not a proof");
  if (proof.size() != head.size || proof.root() != head.root)
    return bad("a proof under another head");
  if (!Bounded(proof.inclusion()) || proof.prefixes_size() > kMaxPrefixes)
    return bad("a path that is too long");
  for (const log::v1::LogPrefix& prefix : proof.prefixes())
    if (!Bounded(prefix.path())) return bad("a path that is too long");
  return proof;
}

void LogProver::LoadProofs() {
  if (proofs_) return;
  proofs_.emplace();
  for (size_t i = 0; i < kMaxProofs; ++i) {
    const auto bytes =
        source_.FetchLog(LogProofName(head_.root), i, kMaxLogProofBytes);
    if (ReasonOf(bytes.status()) == "no_more_sources") break;
    auto proof = bytes.ok() ? ParseLogProof(*bytes, head_)
                            : absl::StatusOr<log::v1::LogProof>(bytes.status());
    if (proof.ok())
      proofs_->push_back(*std::move(proof));
    else
      last_ = proof.status();
  }
}

ReadLogNode LogProver::Tiles(size_t source, bool* over) {
  return NodesFromTiles([this, source, over](const std::string& name) {
    auto bytes = source_.FetchLog(name, source, kMaxLogTileBytes);
    if (ReasonOf(bytes.status()) == "no_more_sources") *over = true;
    return bytes;
  });
}

absl::Status LogProver::Unproven() const {
  return Unavailable(
      "log_unproven",
      fmt::format("nobody proves yet that the release log with {} entries goes "
                  "on from the one before{}{}",
                  head_.size, last_.ok() ? "" : "; last: ",
                  last_.ok() ? "" : std::string(last_.message())));
}

absl::StatusOr<std::string> LogProver::RootAt(uint64_t size) {
  LoadProofs();
  for (const log::v1::LogProof& proof : *proofs_)
    for (const log::v1::LogPrefix& prefix : proof.prefixes()) {
      if (prefix.size() != size) continue;
      auto root =
          RootOfPrefix(size, head_.size, head_.root, PathOf(prefix.path()));
      if (root.ok()) return root;
      last_ = root.status();
    }
  for (size_t i = 0; i < kMaxLogSources; ++i) {
    bool over = false;
    const auto path = PrefixPath(size, head_.size, Tiles(i, &over));
    if (over) break;
    auto root = path.ok() ? RootOfPrefix(size, head_.size, head_.root, *path)
                          : absl::StatusOr<std::string>(path.status());
    if (root.ok()) return root;
    last_ = root.status();
  }
  return Unproven();
}

absl::Status LogProver::ProveSnapshot(const std::string& leaf_hash) {
  LoadProofs();
  const auto holds = [&](const HashPath& path) {
    const absl::Status status = VerifyInclusion(leaf_hash, head_.snapshot,
                                                head_.size, path, head_.root);
    if (!status.ok()) last_ = status;
    return status.ok();
  };
  for (const log::v1::LogProof& proof : *proofs_)
    if (holds(PathOf(proof.inclusion()))) return absl::OkStatus();
  for (size_t i = 0; i < kMaxLogSources; ++i) {
    bool over = false;
    const auto path =
        InclusionPath(head_.snapshot, head_.size, Tiles(i, &over));
    if (over) break;
    if (!path.ok())
      last_ = path.status();
    else if (holds(*path))
      return absl::OkStatus();
  }
  return Unproven();
}

}  // namespace shoal::signing
