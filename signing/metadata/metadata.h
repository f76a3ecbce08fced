// Typed metadata of The Update Framework 1.0 (theupdateframework.github.io/
// specification), JSON as stock clients read it. docs/metadata.md has the
// formats and what Shoal adds.
//
// Parsing is strict (signing/metadata/json.h) and tolerates unknown fields.
// It verifies nothing but form: signatures are signing/verify's matter.
// Binary values (digests, keys, signatures) are raw bytes here, hex in files.
// Everything is a plain value: thread-safe as long as nobody writes.
//
// Errors: kInvalidArgument "bad_metadata" with the field at fault, or
// kResourceExhausted "metadata_too_large".
#ifndef SHOAL_SIGNING_METADATA_METADATA_H_
#define SHOAL_SIGNING_METADATA_METADATA_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace shoal::signing {

// Byte caps before parsing (T02); tuf-js has the same ones.
inline constexpr uint64_t kMaxRootBytes = 512'000;
inline constexpr uint64_t kMaxTimestampBytes = 16'384;
inline constexpr uint64_t kMaxSnapshotBytes = 2'000'000;
inline constexpr uint64_t kMaxTargetsBytes = 5'000'000;
uint64_t MaxMetadataBytes(std::string_view role);
// And within one file, against costly but small ones; beyond: "bad_metadata".
inline constexpr size_t kMaxSignatures = 64;
inline constexpr size_t kMaxKeys = 4096;
inline constexpr size_t kMaxKeysOfRole = 1024;
inline constexpr size_t kMaxDelegatedRoles = 16'384;

// How much of TUF a reader takes.
enum class Dialect {
  // A fleet's own documents: role names are identifiers (common/bytes.h), JSON
  // keys printable ASCII, sha256 is always given.
  kFleet,
  // Whatever the specification allows: role names of up to 128 bytes of any
  // text, any UTF-8 in keys, sha512 or no known digest instead of sha256.
  kStock,
};

struct Key {
  std::string id;      // hex SHA-256 of the canonical key object: recomputed
  std::string type;    // "ed25519"
  std::string scheme;  // "ed25519"
  std::string public_key;  // 32 raw bytes for ed25519; else the text as given
  // Whether it is a well-formed ed25519 key. What else counts, if anything, is
  // for signing/verify/algorithms.h to say.
  bool supported = false;
};

// The Key of a raw ed25519 public key, id computed.
Key MakeEd25519Key(std::string_view public_key);

struct RoleKeys {
  std::vector<std::string> key_ids;
  uint32_t threshold = 1;
};

struct Signature {
  std::string key_id;
  std::string bytes;
};

// What all four types share.
struct SignedCommon {
  uint64_t version = 0;  // ≥ 1
  absl::Time expires;    // whole seconds
};

struct Root : SignedCommon {
  bool consistent_snapshot = true;
  std::map<std::string, Key> keys;        // by id
  std::map<std::string, RoleKeys> roles;  // root, targets, snapshot, timestamp
};

// A file of the repository that other metadata pins.
struct MetaFile {
  uint64_t version = 0;
  std::optional<uint64_t> length;
  std::optional<std::string> sha256 = std::nullopt;  // 32 bytes
  std::optional<std::string> sha512 = std::nullopt;  // 64 bytes
  // It has "hashes", but none of a known algorithm: nothing can satisfy it.
  bool unknown_hashes = false;
};

inline constexpr uint64_t kMaxLogHeadSize = uint64_t{1} << 40;

// A head of the release log (docs/log.md), in the unknown field "shoal" of the
// timestamp's signed part:
//   "shoal":{"log":{"root":HEX,"size":N,"snapshot":INDEX}}
struct LogHead {
  uint64_t size = 0;      // leaves, at least 1
  std::string root;       // 32 bytes
  uint64_t snapshot = 0;  // index of the leaf of the snapshot that is pinned
  bool operator==(const LogHead&) const = default;
};

struct Timestamp : SignedCommon {
  MetaFile snapshot;
  std::optional<LogHead> log = std::nullopt;  // Dialect::kFleet only
};

struct Snapshot : SignedCommon {
  std::map<std::string, MetaFile> meta;  // by role name, without ".json"
};

struct TargetFile {
  std::string path;  // "fw/gateway/1.4.0/image"
  uint64_t length = 0;
  std::string sha256;       // 32 bytes; "" only in Dialect::kStock
  std::string custom;       // JSON object text; "" when absent
  std::string sha512 = {};  // 64 bytes, or ""
};

struct DelegatedRole {
  std::string name;
  RoleKeys keys;
  bool terminating = false;
  std::vector<std::string> paths;               // '*' never matches '/'
  std::vector<std::string> path_hash_prefixes;  // hex; instead of paths
};

// TAP 15: 2^bit_length roles of one key set, NAME_PREFIX-HEX, each for the
// paths whose SHA-256 begins with its number, all of them terminating.
struct SuccinctRoles {
  RoleKeys keys;
  uint32_t bit_length = 0;  // 1 to 32
  std::string name_prefix;
};

struct Delegations {
  std::map<std::string, Key> keys;
  std::vector<DelegatedRole> roles;  // in order of precedence
  // Instead of roles.
  std::optional<SuccinctRoles> succinct = std::nullopt;
};

// Public keys that targets.json names in the unknown field "shoal" of its
// signed part, since stock clients refuse more roles in root.json:
//   "shoal":{"device_ca":[HEX…],"node_ca":[HEX…],"telemetry":HEX,"time":[HEX…],
//            "manufacturers":[{"name":NAME,"key":HEX,"device_types":[TYPE…]}…]}
// A manufacturer whose factory credentials the fleet takes for a proof of who a
// device is. Without device types: for any.
struct Manufacturer {
  std::string name;  // identifier
  std::string key;   // ed25519, 32 bytes
  std::vector<std::string> device_types;
  bool operator==(const Manufacturer&) const = default;
};

struct FleetKeys {
  std::vector<std::string> device_ca;  // ed25519, issue device and claim
  std::vector<std::string> node_ca;    // ed25519, issue node
  std::string telemetry;               // X25519, or empty
  std::vector<std::string> time;       // ed25519, answer time requests
  std::vector<Manufacturer> manufacturers = {};
};

struct Targets : SignedCommon {
  std::map<std::string, TargetFile> targets;  // by path
  std::optional<Delegations> delegations;
  std::optional<FleetKeys> fleet_keys;
};

// A metadata file taken apart: the signatures and what they cover.
struct SignedBytes {
  std::string type;              // "_type": root, targets, snapshot, timestamp
  std::string canonical_signed;  // canonical JSON of "signed": what is signed
  std::vector<Signature> signatures;
};

// One parse each. `bytes` beyond the type's cap are refused unread. A key
// under a wrong id is left out (T11); a key or a signature of a form that
// nobody here knows stays and counts for nothing.
struct ParsedRoot {
  SignedBytes envelope;
  Root value;
};
struct ParsedTimestamp {
  SignedBytes envelope;
  Timestamp value;
};
struct ParsedSnapshot {
  SignedBytes envelope;
  Snapshot value;
};
struct ParsedTargets {
  SignedBytes envelope;
  Targets value;
};
absl::StatusOr<ParsedRoot> ParseRoot(std::string_view bytes);
absl::StatusOr<ParsedTimestamp> ParseTimestamp(std::string_view bytes);
absl::StatusOr<ParsedSnapshot> ParseSnapshot(std::string_view bytes);
absl::StatusOr<ParsedTargets> ParseTargets(std::string_view bytes);
// The four above are Dialect::kFleet.
absl::StatusOr<ParsedRoot> ParseRootAs(Dialect dialect, std::string_view bytes);
absl::StatusOr<ParsedTimestamp> ParseTimestampAs(Dialect dialect,
                                                 std::string_view bytes);
absl::StatusOr<ParsedSnapshot> ParseSnapshotAs(Dialect dialect,
                                               std::string_view bytes);
absl::StatusOr<ParsedTargets> ParseTargetsAs(Dialect dialect,
                                             std::string_view bytes);

// "2026-01-01T00:00:00Z"
std::string FormatExpires(absl::Time time);

// The "signed" object as JSON text (not canonical: it may hold control
// characters escaped), for signing/sign.
std::string FormatRoot(const Root& root);
std::string FormatTimestamp(const Timestamp& timestamp);
std::string FormatSnapshot(const Snapshot& snapshot);
std::string FormatTargets(const Targets& targets);

// Canonical JSON (OLPC, as TUF signs it) of a JSON text.
absl::StatusOr<std::string> CanonicalJson(std::string_view json,
                                          uint64_t max_bytes);

// Whether `role` may say anything about `path` (T09): one of its path
// patterns or hash prefixes matches.
bool DelegationMatches(const DelegatedRole& role, std::string_view path);
// The delegated roles to ask for `path`, in their order; of succinct ones the
// only bin.
std::vector<DelegatedRole> RolesFor(const Delegations& delegations,
                                    std::string_view path);
// The bin `index` < 2^bit_length as a role of its own.
DelegatedRole SuccinctBin(const SuccinctRoles& roles, uint32_t index);
// The delegation of a role by its name; nullopt when there is none.
std::optional<DelegatedRole> FindDelegation(const Delegations& delegations,
                                            std::string_view name);
// Shell-style, none of it ever matching '/': '*', '?', and sets, "[a-c]",
// "[!a-c]"; a '[' that is not closed is itself.
bool PathMatches(std::string_view pattern, std::string_view path);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_METADATA_METADATA_H_
