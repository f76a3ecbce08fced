#include "signing/sign/builder.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "signing/metadata/json.h"
#include "signing/verify/credential.h"

namespace shoal::signing {
namespace {

using nlohmann::json;

json SignatureJson(const crypto::SigningKey& key, std::string_view message) {
  return {{"keyid", MakeEd25519Key(key.public_key()).id},
          {"sig", HexEncode(key.Sign(message))}};
}

// `parse` is the reader's own parser: what it would refuse is never signed.
template <typename Parse>
absl::StatusOr<std::string> Sign(const std::string& content, uint64_t max_bytes,
                                 const Signers& signers, Parse parse) {
  SHOAL_ASSIGN_OR_RETURN(json value, ParseStrictJson(content, max_bytes));
  const std::string canonical = Canonicalize(value);
  json signatures = json::array();
  for (const crypto::SigningKey* signer : signers)
    signatures.push_back(SignatureJson(*signer, canonical));
  const json file = {{"signatures", std::move(signatures)},
                     {"signed", std::move(value)}};
  std::string bytes = file.dump();
  SHOAL_RETURN_IF_ERROR(parse(bytes));
  return bytes;
}

absl::StatusOr<json> ParseSigned(std::string_view metadata) {
  SHOAL_ASSIGN_OR_RETURN(json file,
                         ParseStrictJson(metadata, kMaxTargetsBytes));
  if (!file.is_object() || !file.contains("signed") ||
      !file["signed"].is_object() || !file.contains("signatures") ||
      !file["signatures"].is_array())
    return InvalidArgument("bad_metadata", "not a signed metadata file");
  return file;
}

// Entries without a key id are worth nothing and go.
std::map<std::string, json> ById(const json& signatures) {
  std::map<std::string, json> by_id;
  for (const json& entry : signatures)
    if (entry.is_object() && entry.contains("keyid") &&
        entry["keyid"].is_string())
      by_id.emplace(entry["keyid"].get<std::string>(), entry);
  return by_id;
}

std::string WithSignatures(json file, std::map<std::string, json> signatures) {
  json sorted = json::array();
  for (auto& [id, entry] : signatures) sorted.push_back(std::move(entry));
  file["signatures"] = std::move(sorted);
  return file.dump();
}

}  // namespace

absl::StatusOr<std::string> SignRoot(const Root& root, const Signers& signers) {
  return Sign(FormatRoot(root), kMaxRootBytes, signers, ParseRoot);
}
absl::StatusOr<std::string> SignTargets(const Targets& targets,
                                        const Signers& signers) {
  return Sign(FormatTargets(targets), kMaxTargetsBytes, signers, ParseTargets);
}
absl::StatusOr<std::string> SignSnapshot(const Snapshot& snapshot,
                                         const Signers& signers) {
  return Sign(FormatSnapshot(snapshot), kMaxSnapshotBytes, signers,
              ParseSnapshot);
}
absl::StatusOr<std::string> SignTimestamp(const Timestamp& timestamp,
                                          const Signers& signers) {
  return Sign(FormatTimestamp(timestamp), kMaxTimestampBytes, signers,
              ParseTimestamp);
}

absl::StatusOr<std::string> AddSignature(std::string_view metadata,
                                         const crypto::SigningKey& signer) {
  SHOAL_ASSIGN_OR_RETURN(json file, ParseSigned(metadata));
  json entry = SignatureJson(signer, Canonicalize(file["signed"]));
  std::map<std::string, json> signatures = ById(file["signatures"]);
  const std::string id = entry["keyid"];
  signatures[id] = std::move(entry);
  return WithSignatures(std::move(file), std::move(signatures));
}

absl::StatusOr<std::string> MergeSignatures(std::string_view metadata,
                                            std::string_view other) {
  SHOAL_ASSIGN_OR_RETURN(json file, ParseSigned(metadata));
  SHOAL_ASSIGN_OR_RETURN(const json more, ParseSigned(other));
  std::map<std::string, json> signatures = ById(file["signatures"]);
  signatures.merge(ById(more["signatures"]));
  return WithSignatures(std::move(file), std::move(signatures));
}

MetaFile PinOf(uint64_t version, std::string_view bytes) {
  return {version, bytes.size(), crypto::Sha256Digest(bytes)};
}

absl::StatusOr<std::string> BuildSnapshot(
    uint64_t version, absl::Time expires,
    const std::map<std::string, RoleFile>& roles, const Signers& signers) {
  Snapshot snapshot;
  snapshot.version = version;
  snapshot.expires = expires;
  for (const auto& [name, file] : roles)
    snapshot.meta[name] = PinOf(file.version, file.bytes);
  return SignSnapshot(snapshot, signers);
}

absl::StatusOr<std::string> BuildTimestamp(uint64_t version, absl::Time expires,
                                           uint64_t snapshot_version,
                                           std::string_view snapshot_bytes,
                                           const Signers& signers,
                                           std::optional<LogHead> log) {
  Timestamp timestamp;
  timestamp.version = version;
  timestamp.expires = expires;
  timestamp.snapshot = PinOf(snapshot_version, snapshot_bytes);
  timestamp.log = std::move(log);
  return SignTimestamp(timestamp, signers);
}

absl::StatusOr<records::v1::Credential> IssueCredential(
    const crypto::SigningKey& ca, std::string_view fleet_id,
    const records::v1::CredentialBody& body) {
  const bool kind_ok = body.kind() == records::v1::WRITER_CLASS_DEVICE ||
                       body.kind() == records::v1::WRITER_CLASS_NODE ||
                       body.kind() == records::v1::WRITER_CLASS_CLAIM ||
                       body.kind() == records::v1::WRITER_CLASS_DOOR;
  if (!kind_ok || body.public_key().size() != crypto::kEd25519PublicKeySize ||
      body.subject_id().size() != 16 || body.not_after() <= 0 ||
      fleet_id.size() != crypto::kSha256Size)
    return InvalidArgument("bad_credential",
                           "a credential is of a device, node, claim or door, "
                           "with a key of 32 bytes, "
                           "a subject of 16 and an expiry");
  records::v1::Credential credential;
  credential.set_body(body.SerializeAsString());
  credential.set_signature(ca.Sign(
      crypto::SigningInput(kCredentialDomain, fleet_id, credential.body())));
  return credential;
}

}  // namespace shoal::signing
