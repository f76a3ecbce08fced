// Look-ups among the delegated roles of a verified set.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/bytes.h"
#include "common/status.h"
#include "signing/verify/target_check.h"
#include "signing/verify/updater_impl.h"

namespace shoal::signing {
namespace {

absl::Status TooManyBytes(std::string_view role, uint64_t bytes,
                          uint64_t room) {
  return ResourceExhausted(
      "too_many_delegations",
      fmt::format("{} has {} bytes, and this look-up may load {} more", role,
                  bytes, room));
}

absl::Status UnknownTarget(std::string_view path) {
  return NotFound("unknown_target",
                  fmt::format("no role that may say so signs '{}'", path));
}

}  // namespace

absl::Status Updater::Impl::RequireReady() const {
  if (ready) return absl::OkStatus();
  return FailedPrecondition("not_refreshed",
                            "neither Refresh nor UseStored succeeded");
}

absl::StatusOr<const Targets*> Updater::Impl::LoadRole(
    Fetcher* source, const DelegatedRole& role,
    const std::map<std::string, Key>& keys, uint64_t& room) {
  const auto loaded = [&]() -> absl::StatusOr<const Targets*> {
    const TrustedRole& known = view.roles.at(role.name);
    if (known.bytes.size() > room)
      return TooManyBytes(role.name, known.bytes.size(), room);
    room -= known.bytes.size();
    return &known.value;
  };
  // What is in memory was verified with the keys of whoever asked first; two
  // delegators may name different ones, so each has it verified by its own.
  if (view.VerifiedBy(role.name, keys, role.keys)) return loaded();
  SHOAL_ASSIGN_OR_RETURN(const MetaFile pin, view.Pin(role.name));
  if (pin.length.value_or(0) > room)
    return TooManyBytes(role.name, *pin.length, room);
  const uint64_t cap = std::min(kMaxTargetsBytes, room);
  const std::string path = RolePath(role.name);
  std::string stored;
  if (const auto it = view.roles.find(role.name); it != view.roles.end()) {
    stored = it->second.bytes;
  } else if (auto bytes = fs.Read(path, cap); bytes.ok()) {
    stored = *std::move(bytes);
  }
  const absl::Status status =
      stored.empty()
          ? NotFound("metadata_missing", role.name + " is not stored")
          : view.UpdateRole(role.name, stored, keys, role.keys);
  if (!status.ok()) {
    if (source == nullptr || ReasonOf(status) == "expired_metadata")
      return status;
    SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                           FetchPinned(*source, role.name, pin, cap));
    SHOAL_RETURN_IF_ERROR(view.UpdateRole(role.name, bytes, keys, role.keys));
    KeepRole(role.name, bytes);
  }
  return loaded();
}

absl::StatusOr<TargetFile> Updater::GetTarget(Fetcher* source,
                                              std::string_view path) {
  SHOAL_ASSIGN_OR_RETURN(Impl::Found found, impl_->Search(source, path));
  return std::move(found.target);
}

absl::StatusOr<TargetFile> Updater::GetTargetOf(Fetcher* source,
                                                std::string_view role,
                                                std::string_view path) {
  SHOAL_ASSIGN_OR_RETURN(Impl::Found found, impl_->Search(source, path));
  if (found.role == role) return std::move(found.target);
  return PermissionDenied(
      "wrong_role", fmt::format("{} is the word of {}, and only {}'s counts",
                                path, found.role, role));
}

absl::StatusOr<Updater::Impl::Found> Updater::Impl::Search(
    Fetcher* source, std::string_view path) {
  SHOAL_RETURN_IF_ERROR(RequireReady());
  struct Visit {
    DelegatedRole role;
    // The delegator's, in `view`: it is visited once, and so stays as it is.
    const std::map<std::string, Key>* keys;
  };
  TrimLoaded();
  uint64_t room = options.max_lookup_bytes;
  const std::string wanted(path);
  std::vector<Visit> stack;  // next to visit at the back
  std::set<std::string> visited;
  const Targets* targets = &view.roles.at("targets").value;
  std::string role = "targets";
  for (;;) {
    if (const auto it = targets->targets.find(wanted);
        it != targets->targets.end())
      return Found{it->second, role};
    if (targets->delegations) {
      std::vector<Visit> children;
      for (DelegatedRole& child : RolesFor(*targets->delegations, path)) {
        const bool terminating = child.terminating;
        children.push_back({std::move(child), &targets->delegations->keys});
        if (terminating) {
          // Nothing after it, nor after any of its ancestors, is asked.
          stack.clear();
          break;
        }
      }
      std::move(children.rbegin(), children.rend(), std::back_inserter(stack));
    }
    while (!stack.empty() && visited.contains(stack.back().role.name))
      stack.pop_back();
    if (stack.empty()) return UnknownTarget(path);
    if (visited.size() >= options.max_delegations)
      return ResourceExhausted(
          "too_many_delegations",
          fmt::format(
              "'{:.80}' is not found in {} roles, and no more are asked", path,
              visited.size()));
    const Visit next = std::move(stack.back());
    stack.pop_back();
    visited.insert(next.role.name);
    SHOAL_ASSIGN_OR_RETURN(targets,
                           LoadRole(source, next.role, *next.keys, room));
    role = next.role.name;
  }
}

absl::StatusOr<FoundRole> Updater::Impl::FindRole(Fetcher* source,
                                                  std::string_view name) {
  SHOAL_RETURN_IF_ERROR(RequireReady());
  const auto find = [name](const Targets& in, FoundRole& found) {
    if (!in.delegations) return false;
    auto role = FindDelegation(*in.delegations, name);
    if (!role) return false;
    found.role = *std::move(role);
    found.keys = in.delegations->keys;
    for (const DelegatedRole& before : in.delegations->roles) {
      if (before.name == name) break;
      if (before.terminating) found.shadows.push_back(before);
    }
    return true;
  };
  TrimLoaded();
  uint64_t room = options.max_lookup_bytes;
  FoundRole found;
  const Targets& top = view.roles.at("targets").value;
  if (find(top, found)) return found;
  if (top.delegations) {
    for (const DelegatedRole& parent : top.delegations->roles) {
      if (name.substr(0, parent.name.size() + 1) == parent.name + "-") {
        SHOAL_ASSIGN_OR_RETURN(
            const Targets* metadata,
            LoadRole(source, parent, top.delegations->keys, room));
        found.ancestors = {parent};
        if (find(*metadata, found)) return found;
      }
      if (parent.terminating) found.shadows.push_back(parent);
    }
  }
  return NotFound("unknown_role",
                  fmt::format("no role '{:.80}' is delegated", name));
}

absl::StatusOr<Targets> Updater::RoleMetadata(Fetcher* source,
                                              std::string_view role) {
  SHOAL_RETURN_IF_ERROR(impl_->RequireReady());
  if (role == "targets") return targets();
  SHOAL_ASSIGN_OR_RETURN(const FoundRole found, impl_->FindRole(source, role));
  uint64_t room = impl_->options.max_lookup_bytes;
  SHOAL_ASSIGN_OR_RETURN(const Targets* metadata,
                         impl_->LoadRole(source, found.role, found.keys, room));
  return *metadata;
}

absl::StatusOr<std::vector<TargetFile>> Updater::TargetsOf(
    Fetcher* source, std::string_view role) {
  SHOAL_ASSIGN_OR_RETURN(const Targets metadata, RoleMetadata(source, role));
  std::vector<TargetFile> result;
  if (role == "targets") {
    for (const auto& [path, file] : metadata.targets) result.push_back(file);
    return result;
  }
  SHOAL_ASSIGN_OR_RETURN(const FoundRole found, impl_->FindRole(source, role));
  for (const auto& [path, file] : metadata.targets) {
    const auto matches = [&p = path](const DelegatedRole& r) {
      return DelegationMatches(r, p);
    };
    if (matches(found.role) &&
        std::all_of(found.ancestors.begin(), found.ancestors.end(), matches) &&
        std::none_of(found.shadows.begin(), found.shadows.end(), matches) &&
        !targets().targets.contains(path))
      result.push_back(file);
  }
  return result;
}

absl::StatusOr<std::vector<std::string>> Updater::DelegationKeys(
    Fetcher* source, std::string_view role) {
  std::map<std::string, Key> keys;
  std::vector<std::string> ids;
  const auto top = root().roles.find(std::string(role));
  if (top != root().roles.end()) {
    keys = root().keys;
    ids = top->second.key_ids;
  } else {
    SHOAL_ASSIGN_OR_RETURN(FoundRole found, impl_->FindRole(source, role));
    keys = std::move(found.keys);
    ids = std::move(found.role.keys.key_ids);
  }
  std::set<std::string> distinct;
  for (const std::string& id : ids) {
    const auto it = keys.find(id);
    if (it != keys.end() && it->second.supported)
      distinct.insert(it->second.public_key);
  }
  return std::vector<std::string>(distinct.begin(), distinct.end());
}

absl::StatusOr<std::string> Updater::FetchTarget(Fetcher* source,
                                                 const TargetFile& target,
                                                 uint64_t max_bytes) {
  if (target.length > max_bytes)
    return ResourceExhausted(
        "target_too_large", fmt::format("{} has {} bytes, {} are allowed",
                                        target.path, target.length, max_bytes));
  const std::string name =
      "targets/" +
      HexEncode(target.sha256.empty() ? target.sha512 : target.sha256);
  auto stored = impl_->fs.Read(impl_->Path(name), target.length);
  if (stored.ok() && CheckTarget(target, *stored).ok()) return stored;
  if (source == nullptr)
    return Unavailable("target_not_stored", target.path + " is not stored");
  SHOAL_ASSIGN_OR_RETURN(std::string bytes, source->FetchTarget(target));
  SHOAL_RETURN_IF_ERROR(CheckTarget(target, bytes));
  SHOAL_RETURN_IF_ERROR(impl_->MakeRoomForTarget(bytes.size()));
  // Not by Save(): a copy takes no other copy's room on a full disk.
  SHOAL_RETURN_IF_ERROR(impl_->fs.WriteAtomic(impl_->Path(name), bytes));
  return bytes;
}

}  // namespace shoal::signing
