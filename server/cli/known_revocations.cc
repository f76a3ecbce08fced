#include "server/cli/known_revocations.h"

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "common/status.h"
#include "shoal/trust/v1/revocations.pb.h"

namespace shoal::cli {
namespace {

// As large as what GetNetwork answers may be.
constexpr uint64_t kMaxKnownBytes = 64u << 20;

std::string PathOf(const Context& context) {
  return JoinPath(context.directory, "revocations.pb");
}

}  // namespace

absl::Status RecallRevocations(const Context& context, FileSystem& fs,
                               signing::FleetTrust& trust) {
  const std::string path = PathOf(context);
  if (!fs.Exists(path)) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                         fs.Read(path, kMaxKnownBytes));
  trust::v1::KnownRevocations known;
  if (!known.ParseFromString(bytes)) {
    return InvalidArgument(
        "bad_context",
        fmt::format("{} is damaged; remove it, and with shoald up: shoal "
                    "context refresh",
                    path));
  }
  const std::vector<std::string> directors(known.director_keys().begin(),
                                           known.director_keys().end());
  if (directors != trust.director_keys) return absl::OkStatus();
  trust.revoked_device_ids.insert(known.device_ids().begin(),
                                  known.device_ids().end());
  for (const auto& list : known.lists())
    for (const auto& key : list.superseded())
      trust.superseded_keys[list.device_type()].emplace(
          key.key_digest(), absl::FromUnixMillis(key.since()));
  return absl::OkStatus();
}

absl::Status KeepRevocations(const Context& context, FileSystem& fs,
                             const signing::FleetTrust& trust) {
  trust::v1::KnownRevocations known;
  for (const std::string& key : trust.director_keys)
    known.add_director_keys(key);
  for (const std::string& id : trust.revoked_device_ids)
    known.add_device_ids(id);
  for (const auto& [type, keys] : trust.superseded_keys) {
    auto& list = *known.add_lists();
    list.set_device_type(type);
    for (const auto& [digest, since] : keys) {
      auto& key = *list.add_superseded();
      key.set_key_digest(digest);
      key.set_since(absl::ToUnixMillis(since));
    }
  }
  const std::string bytes = known.SerializeAsString();
  if (bytes.size() > kMaxKnownBytes)
    return ResourceExhausted("network_too_large",
                             "the lists of revocations are beyond 64 MB");
  const std::string path = PathOf(context);
  if (const auto old = fs.Read(path, kMaxKnownBytes);
      old.ok() ? *old == bytes : bytes.empty())
    return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(context.directory, 0700));
  return fs.WriteAtomic(path, bytes, 0600);
}

}  // namespace shoal::cli
