#include "signing/verify/updater.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/verify/updater_impl.h"

namespace shoal::signing {
namespace {

constexpr uint64_t kMaxLastGoodBytes =
    kMaxTimestampBytes + kMaxSnapshotBytes + kMaxTargetsBytes + 24;

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

Updater::Updater(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Updater::~Updater() = default;

absl::StatusOr<std::unique_ptr<Updater>> Updater::Open(UpdaterOptions options,
                                                       FileSystem& fs,
                                                       Clock& clock) {
  if (options.fleet_id.size() != crypto::kSha256Size)
    return InvalidArgument("bad_fleet_id", "a fleet id has 32 bytes");
  SHOAL_RETURN_IF_ERROR(
      fs.MakeDirectories(JoinPath(options.directory, "roles")));
  SHOAL_RETURN_IF_ERROR(
      fs.MakeDirectories(JoinPath(options.directory, "targets")));
  SHOAL_ASSIGN_OR_RETURN(
      TimeFloor floor,
      TimeFloor::Load(fs, JoinPath(options.directory, "time_floor")));
  auto impl =
      std::make_unique<Impl>(std::move(options), fs, clock, std::move(floor));
  SHOAL_RETURN_IF_ERROR(impl->LoadStore());
  return std::unique_ptr<Updater>(new Updater(std::move(impl)));
}

std::string Updater::Impl::Path(std::string_view name) const {
  return JoinPath(options.directory, name);
}

absl::Status Updater::Impl::Save(std::string_view name,
                                 std::string_view bytes) {
  return fs.WriteAtomic(Path(name), bytes);
}

absl::Status Updater::Impl::AdoptFirstRoot(std::string bytes) {
  if (crypto::Sha256Digest(bytes) != options.fleet_id)
    return PermissionDenied(
        "wrong_fleet", "root version 1 is not the one that the fleet id names");
  SHOAL_ASSIGN_OR_RETURN(ParsedRoot parsed, ParseSelfSignedRoot(bytes));
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

absl::Status Updater::Impl::LoadStore() {
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
  if (usable.ok()) {
    auto bytes = fs.Read(Path("root.json"), kMaxRootBytes);
    usable = bytes.status();
    if (bytes.ok()) {
      auto root = ParseSelfSignedRoot(*bytes);
      usable = root.status();
      if (root.ok()) {
        state.root = std::move(root->value);
        state.root_bytes = *std::move(bytes);
        has_root = true;
      }
    }
  }
  if (!has_root) {
    if (fs.Exists(Path("root.json")) || fs.Exists(Path("fleet")))
      LogWarn("stored_root_dropped", {{"error", usable}});
    if (options.root_v1.empty()) return absl::OkStatus();
    return AdoptFirstRoot(options.root_v1);
  }

  // From here on a file that does not verify (its keys rotated, or it is
  // damaged) is as good as none.
  auto bytes = fs.Read(Path("timestamp.json"), kMaxTimestampBytes);
  if (bytes.ok()) {
    const absl::Status status = state.UpdateTimestamp(*bytes);
    if (!status.ok()) LogWarn("stored_timestamp_dropped", {{"error", status}});
  }
  bytes = fs.Read(Path("snapshot.json"), kMaxSnapshotBytes);
  if (bytes.ok()) {
    auto snapshot = ParseSnapshot(*bytes);
    absl::Status status = snapshot.status();
    if (status.ok())
      status = VerifySignatures(snapshot->envelope, state.root.keys,
                                state.root.roles.at("snapshot"), "snapshot");
    // A timestamp that was forgotten takes its snapshot along (T04).
    if (status.ok() && state.timestamp) {
      state.snapshot = std::move(snapshot->value);
      state.snapshot_bytes = *std::move(bytes);
    } else if (!status.ok()) {
      LogWarn("stored_snapshot_dropped", {{"error", status}});
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Updater::Impl::Fetch(
    Fetcher& source, std::string_view role, std::optional<uint64_t> version,
    uint64_t max_bytes) {
  auto bytes = source.FetchMetadata(role, version, max_bytes);
  if (!bytes.ok()) {
    if (bytes.status().code() == absl::StatusCode::kNotFound)
      return NotFound(
          "metadata_missing",
          fmt::format("the repository has no {}{}", role,
                      version ? fmt::format(" {}", *version) : std::string()));
    return bytes.status();
  }
  if (bytes->size() > max_bytes)
    return ResourceExhausted(
        "metadata_too_large",
        fmt::format("{} has more than the {} bytes allowed", role, max_bytes));
  return bytes;
}

absl::Status Updater::Impl::RefreshRoot(Fetcher& source) {
  if (!has_root) {
    SHOAL_ASSIGN_OR_RETURN(std::string bytes,
                           Fetch(source, "root", 1, kMaxRootBytes));
    SHOAL_RETURN_IF_ERROR(AdoptFirstRoot(std::move(bytes)));
  }
  for (uint32_t rotations = 0;; ++rotations) {
    auto bytes = Fetch(source, "root", state.root.version + 1, kMaxRootBytes);
    if (bytes.status().code() == absl::StatusCode::kNotFound) break;
    SHOAL_RETURN_IF_ERROR(bytes);
    if (rotations >= options.max_root_rotations)
      return ResourceExhausted(
          "too_many_roots",
          fmt::format("more than {} root versions at once", rotations));
    const bool had_timestamp = state.timestamp.has_value();
    SHOAL_RETURN_IF_ERROR(state.AdvanceRoot(*bytes));
    // What was verified under the old keys is no answer any more: a rotated
    // key may be a stolen one. UseStored verifies it under the new ones.
    ready = false;
    if (had_timestamp && !state.timestamp) {
      // Durable before the new root: a crash in between only forgets early.
      SHOAL_RETURN_IF_ERROR(fs.Remove(Path("timestamp.json")));
      SHOAL_RETURN_IF_ERROR(fs.Remove(Path("snapshot.json")));
    }
    SHOAL_RETURN_IF_ERROR(Save("root.json", *bytes));
  }
  return CheckExpiry("root", state.root.expires, start);
}

absl::Status Updater::Impl::RefreshTimestamp(Fetcher& source) {
  SHOAL_ASSIGN_OR_RETURN(
      const std::string bytes,
      Fetch(source, "timestamp", std::nullopt, kMaxTimestampBytes));
  const absl::Status status = state.UpdateTimestamp(bytes);
  if (status.ok()) {
    SHOAL_RETURN_IF_ERROR(Save("timestamp.json", bytes));
  } else if (status.code() != absl::StatusCode::kAlreadyExists) {
    return status;
  }
  return CheckExpiry("timestamp", state.timestamp->expires, start);
}

absl::Status Updater::Impl::RefreshSnapshot(Fetcher& source) {
  const MetaFile pin = state.timestamp->snapshot;
  // Our own copy is judged like any other, since keys and pin may be new.
  const std::string stored = state.snapshot_bytes;
  if (stored.empty() || !state.UpdateSnapshot(stored).ok()) {
    SHOAL_ASSIGN_OR_RETURN(
        const std::string bytes,
        Fetch(source, "snapshot",
              state.root.consistent_snapshot ? std::optional(pin.version)
                                             : std::nullopt,
              std::min(pin.length.value_or(kMaxSnapshotBytes),
                       kMaxSnapshotBytes)));
    SHOAL_RETURN_IF_ERROR(state.UpdateSnapshot(bytes));
    SHOAL_RETURN_IF_ERROR(Save("snapshot.json", bytes));
  }
  return CheckExpiry("snapshot", state.snapshot->expires, start);
}

absl::Status Updater::Impl::RefreshTargets(Fetcher& source) {
  const RoleKeys& keys = state.root.roles.at("targets");
  SHOAL_ASSIGN_OR_RETURN(const MetaFile pin, state.Pin("targets"));
  auto stored = fs.Read(Path("targets.json"), kMaxTargetsBytes);
  if (!stored.ok() ||
      !state.UpdateRole("targets", *stored, state.root.keys, keys).ok()) {
    SHOAL_ASSIGN_OR_RETURN(
        const std::string bytes,
        Fetch(
            source, "targets",
            state.root.consistent_snapshot ? std::optional(pin.version)
                                           : std::nullopt,
            std::min(pin.length.value_or(kMaxTargetsBytes), kMaxTargetsBytes)));
    SHOAL_RETURN_IF_ERROR(
        state.UpdateRole("targets", bytes, state.root.keys, keys));
    SHOAL_RETURN_IF_ERROR(Save("targets.json", bytes));
  }
  return CheckExpiry("targets", state.roles.at("targets").value.expires, start);
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

absl::Status Updater::Refresh(Fetcher& source) {
  Impl& impl = *impl_;
  // One time for the whole refresh: a slow source can't make a file expire, or
  // not expire, between two checks (T05).
  impl.start = Now();
  impl.enforce_expiry = true;
  impl.fresh = false;
  SHOAL_RETURN_IF_ERROR(impl.RefreshRoot(source));
  SHOAL_RETURN_IF_ERROR(impl.RefreshTimestamp(source));
  SHOAL_RETURN_IF_ERROR(impl.RefreshSnapshot(source));
  SHOAL_RETURN_IF_ERROR(impl.RefreshTargets(source));
  SHOAL_RETURN_IF_ERROR(impl.SaveLastGood());
  // Delegated roles are verified again against the new snapshot when asked for.
  std::erase_if(impl.state.roles,
                [](const auto& role) { return role.first != "targets"; });
  impl.view = impl.state;
  impl.ready = true;
  impl.fresh = true;
  return absl::OkStatus();
}

absl::Status Updater::UseStored(bool allow_expired) {
  Impl& impl = *impl_;
  impl.fresh = false;
  impl.ready = false;
  impl.start = Now();
  impl.enforce_expiry = !allow_expired;
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
  set.root = impl.state.root;
  set.root_bytes = impl.state.root_bytes;
  SHOAL_RETURN_IF_ERROR(set.UpdateTimestamp(*timestamp));
  SHOAL_RETURN_IF_ERROR(set.UpdateSnapshot(*snapshot));
  SHOAL_RETURN_IF_ERROR(set.UpdateRole("targets", *targets, set.root.keys,
                                       set.root.roles.at("targets")));
  if (!allow_expired) SHOAL_RETURN_IF_ERROR(impl.CheckTopExpiries(set));
  impl.view = std::move(set);
  impl.ready = true;
  impl.fresh = !allow_expired;
  return absl::OkStatus();
}

absl::Status Updater::Impl::CheckTopExpiries(const TrustedSet& set) const {
  SHOAL_RETURN_IF_ERROR(CheckExpiry("root", set.root.expires, start));
  SHOAL_RETURN_IF_ERROR(
      CheckExpiry("timestamp", set.timestamp->expires, start));
  SHOAL_RETURN_IF_ERROR(CheckExpiry("snapshot", set.snapshot->expires, start));
  return CheckExpiry("targets", set.roles.at("targets").value.expires, start);
}

bool Updater::fresh() const { return impl_->fresh; }

absl::Time Updater::FreshUntil() const {
  if (!impl_->ready) return absl::InfinitePast();
  const TrustedSet& set = impl_->view;
  return std::min({set.root.expires, set.timestamp->expires,
                   set.snapshot->expires,
                   set.roles.at("targets").value.expires});
}

const Root& Updater::root() const { return impl_->state.root; }
const Targets& Updater::targets() const {
  return impl_->view.roles.at("targets").value;
}
const Snapshot& Updater::snapshot() const { return *impl_->view.snapshot; }
const Timestamp& Updater::timestamp() const { return *impl_->view.timestamp; }
const std::string& Updater::fleet_id() const { return impl_->options.fleet_id; }
absl::Time Updater::Now() const { return impl_->floor.Now(impl_->clock); }
TimeFloor& Updater::time_floor() { return impl_->floor; }

absl::StatusOr<std::string> Updater::StoredBytes(std::string_view role) const {
  const TrustedSet& set = impl_->view;
  if (role == "root" && impl_->has_root) return impl_->state.root_bytes;
  if (impl_->ready && role == "timestamp") return set.timestamp_bytes;
  if (impl_->ready && role == "snapshot") return set.snapshot_bytes;
  const auto it = set.roles.find(std::string(role));
  if (impl_->ready && it != set.roles.end()) return it->second.bytes;
  return NotFound("unknown_role", fmt::format("{} is not loaded", role));
}

}  // namespace shoal::signing
