// The client's directory: what is trusted, and what an earlier run left.
#include <fmt/format.h>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/verify/updater_impl.h"

namespace shoal::signing {
namespace {

constexpr uint64_t kMaxLastGoodBytes =
    kMaxTimestampBytes + kMaxSnapshotBytes + kMaxTargetsBytes + 24;
// Of a file's name; a longer role goes by its digest.
constexpr size_t kMaxNameBytes = 200;

// Takes one length-prefixed part off `rest`; nullopt when it is damaged.
std::optional<std::string_view> TakePart(std::string_view& rest) {
  if (rest.size() < 8) return std::nullopt;
  const uint64_t size = ReadBigEndian(rest, 8);
  rest.remove_prefix(8);
  if (size > rest.size()) return std::nullopt;
  const std::string_view part = rest.substr(0, size);
  rest.remove_prefix(size);
  return part;
}

}  // namespace

absl::Status Updater::InstallRoot(const std::string& directory,
                                  std::string_view root,
                                  const VerifierPolicy& policy,
                                  FileSystem& fs) {
  SHOAL_RETURN_IF_ERROR(ParseSelfSignedRoot(root, policy));
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(directory));
  for (const char* name : {"timestamp.json", "snapshot.json", "targets.json",
                           "last_good", "fleet"})
    SHOAL_RETURN_IF_ERROR(fs.Remove(JoinPath(directory, name)));
  return fs.WriteAtomic(JoinPath(directory, "root.json"), root);
}

std::string Updater::Impl::Path(std::string_view name) const {
  return JoinPath(options.directory, name);
}

std::string Updater::Impl::RolePath(std::string_view role) const {
  std::string name = MetadataFileName(role, std::nullopt);
  if (name.size() > kMaxNameBytes)
    name = HexEncode(crypto::Sha256Digest(role)) + ".json";
  return Path(name);
}

absl::Status Updater::Impl::Save(std::string_view name,
                                 std::string_view bytes) {
  return WithRoom([&] { return fs.WriteAtomic(Path(name), bytes); });
}

absl::Status Updater::Impl::AdoptFirstRoot(std::string bytes) {
  if (crypto::Sha256Digest(bytes) != options.fleet_id)
    return PermissionDenied(
        "wrong_fleet", "root version 1 is not the one that the fleet id names");
  SHOAL_ASSIGN_OR_RETURN(ParsedRoot parsed,
                         ParseSelfSignedRoot(bytes, options.policy));
  if (parsed.value.version != 1)
    return DataLoss("wrong_version", "the first root is not version 1");
  // The fleet file first: a root without it would be taken for nobody's.
  SHOAL_RETURN_IF_ERROR(Save("fleet", HexEncode(options.fleet_id) + "\n"));
  SHOAL_RETURN_IF_ERROR(Save("root.json", bytes));
  state.root = std::move(parsed.value);
  state.root_bytes = std::move(bytes);
  has_root = true;
  return absl::OkStatus();
}

// Here the stored root is all there is to trust: without it, or with a damaged
// one, nothing can be said.
absl::Status Updater::Impl::LoadAnchoredRoot() {
  if (!fs.Exists(Path("root.json")))
    return FailedPrecondition(
        "not_initialised",
        fmt::format("{} holds no root.json", options.directory));
  SHOAL_ASSIGN_OR_RETURN(std::string bytes,
                         fs.Read(Path("root.json"), kMaxRootBytes));
  SHOAL_ASSIGN_OR_RETURN(ParsedRoot root,
                         ParseSelfSignedRoot(bytes, options.policy));
  state.root = std::move(root.value);
  state.root_bytes = std::move(bytes);
  has_root = true;
  return absl::OkStatus();
}

absl::Status Updater::Impl::LoadFleetRoot() {
  // A root without the name of its fleet, or one that cannot be read, is as
  // good as none: the chain is taken anew from root version 1, which the fleet
  // id names. A damaged disk must not take a device out of its fleet for good.
  const std::string expected = HexEncode(options.fleet_id) + "\n";
  const auto fleet = fs.Read(Path("fleet"), 128);
  const bool named = fleet.ok() && *fleet == expected;
  if (fleet.ok() && !named && fleet->size() == expected.size() &&
      HexDecode(std::string_view(*fleet).substr(0, 64)).ok()) {
    return PermissionDenied(
        "wrong_fleet",
        fmt::format("{} names another fleet: to join this one, remove {}",
                    Path("fleet"), options.directory));
  }
  absl::Status usable = fleet.status();
  if (fleet.ok() && !named)
    usable = DataLoss("bad_metadata", Path("fleet") + " is damaged");
  if (usable.ok()) usable = LoadAnchoredRoot();
  if (has_root) return absl::OkStatus();
  if (fs.Exists(Path("root.json")) || fs.Exists(Path("fleet")))
    LogWarn("stored_root_dropped", {{"error", usable}});
  if (options.root_v1.empty()) return absl::OkStatus();
  return AdoptFirstRoot(options.root_v1);
}

// A file that does not verify (its keys rotated, or it is damaged) is as good
// as none. Expired ones still bound the versions from below (T07).
void Updater::Impl::LoadOldVersions() {
  auto bytes = fs.Read(Path("timestamp.json"), kMaxTimestampBytes);
  if (bytes.ok()) {
    const absl::Status status = state.UpdateTimestamp(*bytes);
    if (!status.ok()) LogWarn("stored_timestamp_dropped", {{"error", status}});
  }
  // A timestamp that was forgotten takes its snapshot along (T04).
  if (!state.timestamp) return;
  bytes = fs.Read(Path("snapshot.json"), kMaxSnapshotBytes);
  if (bytes.ok()) {
    const absl::Status status = state.AdoptOldSnapshot(*bytes);
    if (!status.ok()) LogWarn("stored_snapshot_dropped", {{"error", status}});
  }
}

absl::Status Updater::Impl::LoadStore() {
  state.policy = options.policy;
  SHOAL_RETURN_IF_ERROR(options.anchored_by_root ? LoadAnchoredRoot()
                                                 : LoadFleetRoot());
  if (has_root) LoadOldVersions();
  log.Load();
  return absl::OkStatus();
}

absl::Status Updater::Impl::SaveLastGood() {
  std::string bytes;
  for (const std::string* part : {&state.timestamp_bytes, &state.snapshot_bytes,
                                  &state.roles.at("targets").bytes}) {
    AppendBigEndian(bytes, part->size(), 8);
    bytes.append(*part);
  }
  auto stored = fs.Read(Path("last_good"), kMaxLastGoodBytes);
  if (stored.ok() && *stored == bytes) return absl::OkStatus();
  return Save("last_good", bytes);
}

absl::Status Updater::UseStored(bool allow_expired) {
  Impl& impl = *impl_;
  impl.fresh = false;
  impl.ready = false;
  impl.start = Now();
  if (!impl.has_root || !impl.fs.Exists(impl.Path("last_good")))
    return FailedPrecondition("not_refreshed",
                              "no complete metadata is stored yet");
  SHOAL_ASSIGN_OR_RETURN(
      const std::string bytes,
      impl.fs.Read(impl.Path("last_good"), kMaxLastGoodBytes));
  std::string_view rest = bytes;
  const auto timestamp = TakePart(rest);
  const auto snapshot = TakePart(rest);
  const auto targets = TakePart(rest);
  if (!targets) return DataLoss("bad_metadata", "last_good is damaged");
  TrustedSet set;
  set.policy = impl.options.policy;
  set.root = impl.state.root;
  set.root_bytes = impl.state.root_bytes;
  if (!allow_expired) {
    set.expired_at = impl.start;
    SHOAL_RETURN_IF_ERROR(CheckExpiry("root", set.root.expires, impl.start));
  }
  SHOAL_RETURN_IF_ERROR(set.UpdateTimestamp(*timestamp));
  SHOAL_RETURN_IF_ERROR(set.UpdateSnapshot(*snapshot));
  SHOAL_RETURN_IF_ERROR(set.UpdateRole("targets", *targets, set.root.keys,
                                       set.root.roles.at("targets")));
  impl.view = std::move(set);
  impl.ready = true;
  impl.fresh = !allow_expired;
  return absl::OkStatus();
}

}  // namespace shoal::signing
