#include "signing/tool/tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "common/bytes.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/metadata/json.h"

namespace shoal::signing {
namespace {

constexpr size_t kMaxKeyFile = 4096;
constexpr char kSuffix[] = ".json";

// "12.fw-gateway.json" → ("fw-gateway", 12); version 0: no such name.
std::pair<std::string, uint64_t> ParseName(const std::string& name) {
  uint64_t version = 0;
  const auto [end, error] =
      std::from_chars(name.data(), name.data() + name.size(), version);
  const std::string_view rest(
      end, static_cast<size_t>(name.data() + name.size() - end));
  if (error != std::errc() || !rest.starts_with('.') ||
      !rest.ends_with(kSuffix) || rest.size() <= 6)
    return {};
  return {std::string(rest.substr(1, rest.size() - 6)), version};
}

// Directories that hold .pub files beside trees on a stick are no key files.
bool IsPublicKeyName(const std::string& name) { return name.ends_with(".pub"); }

}  // namespace

bool IsOnlineRole(std::string_view role) {
  return role == "snapshot" || role == "timestamp" ||
         role.starts_with("director-");
}

absl::StatusOr<std::string> ReadPublicKeyFile(const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text,
                         RealFileSystem().Read(path, kMaxKeyFile));
  SHOAL_ASSIGN_OR_RETURN(const nlohmann::json json,
                         ParseStrictJson(text, kMaxKeyFile));
  if (json.is_object() && json.contains("public") &&
      json["public"].is_string()) {
    auto key = HexDecode(json["public"].get_ref<const std::string&>());
    if (key.ok() && key->size() == 32) return key;
  }
  return InvalidArgument("bad_key_file", path + " holds no public key");
}

DelegatedRole* FindDelegation(Targets& top, std::string_view role) {
  if (!top.delegations) return nullptr;
  for (DelegatedRole& delegation : top.delegations->roles)
    if (delegation.name == role) return &delegation;
  return nullptr;
}

absl::StatusOr<Tree> Tree::Load(std::string repository) {
  Tree tree(std::move(repository));
  SHOAL_RETURN_IF_ERROR(tree.LoadRoles("metadata", tree.in_force_));
  SHOAL_RETURN_IF_ERROR(tree.LoadRoles("drafts", tree.drafts_));
  // What is in force already waits for nobody.
  std::erase_if(tree.drafts_, [&](const auto& draft) {
    return draft.second.version < tree.NextVersion(draft.first);
  });
  SHOAL_RETURN_IF_ERROR(tree.LoadKeys());
  return tree;
}

absl::Status Tree::LoadRoles(const std::string& directory, RoleFiles& roles) {
  FileSystem& fs = RealFileSystem();
  const std::string path = JoinPath(repository_, directory);
  if (!fs.Exists(path)) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(path));
  for (const std::string& name : names) {
    const auto [role, version] = ParseName(name);
    if (version > roles[role].version && !IsOnlineRole(role))
      roles[role].version = version;
  }
  std::erase_if(roles, [](const auto& r) { return r.second.version == 0; });
  for (auto& [role, file] : roles) {
    SHOAL_ASSIGN_OR_RETURN(
        file.bytes,
        fs.Read(JoinPath(path, fmt::format("{}.{}.json", file.version, role)),
                MaxMetadataBytes(role)));
  }
  return absl::OkStatus();
}

absl::Status Tree::LoadKeys() {
  FileSystem& fs = RealFileSystem();
  const std::string path = JoinPath(repository_, "keys");
  if (!fs.Exists(path)) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(path));
  for (const std::string& name : names) {
    if (!IsPublicKeyName(name)) continue;
    SHOAL_ASSIGN_OR_RETURN(const std::string key,
                           ReadPublicKeyFile(JoinPath(path, name)));
    names_.emplace(key, name.substr(0, name.size() - 4));
  }
  return absl::OkStatus();
}

std::string Tree::MetadataPath(std::string_view role, uint64_t version) const {
  return JoinPath(repository_,
                  fmt::format("metadata/{}.{}.json", version, role));
}

std::string Tree::DraftPath(std::string_view role, uint64_t version) const {
  return JoinPath(repository_, fmt::format("drafts/{}.{}.json", version, role));
}

RoleFiles Tree::With(const RoleFiles& drafts) const {
  RoleFiles files = in_force_;
  for (const auto& [role, file] : drafts) files[role] = file;
  return files;
}

uint64_t Tree::NextVersion(std::string_view role) const {
  const auto it = in_force_.find(std::string(role));
  return it == in_force_.end() ? 1 : it->second.version + 1;
}

absl::Status Tree::PutDraft(const std::string& role, RoleFile file) {
  FileSystem& fs = RealFileSystem();
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(JoinPath(repository_, "drafts")));
  SHOAL_RETURN_IF_ERROR(
      fs.WriteAtomic(DraftPath(role, file.version), file.bytes));
  drafts_[role] = std::move(file);
  return absl::OkStatus();
}

absl::Status Tree::DropDraft(const std::string& role) {
  const auto it = drafts_.find(role);
  if (it == drafts_.end())
    return NotFound("no_such_draft",
                    fmt::format("no version of {} waits for signatures", role));
  SHOAL_RETURN_IF_ERROR(
      RealFileSystem().Remove(DraftPath(role, it->second.version)));
  drafts_.erase(it);
  return absl::OkStatus();
}

RoleFiles Tree::Complete() const {
  RoleFiles chosen = drafts_;
  for (;;) {
    const auto failing = Failing(With(chosen), in_force_);
    bool changed = false;
    for (const auto& [role, why] : failing) {
      if (chosen.erase(role) > 0) {
        changed = true;
        continue;
      }
      // In force and fine so far: the draft above it asks for other keys.
      changed |= chosen.erase(role == "targets" ? "root" : "targets") > 0;
    }
    if (!changed) return failing.empty() ? chosen : RoleFiles{};
  }
}

absl::StatusOr<std::vector<std::string>> Tree::Promote() {
  const RoleFiles complete = Complete();
  FileSystem& fs = RealFileSystem();
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(JoinPath(repository_, "metadata")));
  std::vector<std::string> roles;
  for (const auto& [role, file] : complete) roles.push_back(role);
  // Whom another role names comes first, so that a tree that is read meanwhile
  // lacks nothing: delegated roles, targets, root.
  const auto rank = [](const std::string& role) {
    return role == "root" ? 2 : role == "targets" ? 1 : 0;
  };
  std::stable_sort(
      roles.begin(), roles.end(),
      [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  for (const std::string& role : roles) {
    const RoleFile& file = complete.at(role);
    const std::string path = MetadataPath(role, file.version);
    SHOAL_RETURN_IF_ERROR(fs.WriteAtomic(path, file.bytes));
    in_force_[role] = file;
  }
  for (const std::string& role : roles) SHOAL_RETURN_IF_ERROR(DropDraft(role));
  return roles;
}

std::string Tree::NameOf(std::string_view public_key) const {
  const auto it = names_.find(std::string(public_key));
  return it == names_.end() ? HexEncode(public_key).substr(0, 16) : it->second;
}

absl::StatusOr<std::string> Tree::FindKey(
    const std::string& text, const std::map<std::string, Key>& known) const {
  for (const auto& [key, name] : names_)
    if (name == text) return key;
  if (const auto it = known.find(text); it != known.end())
    return it->second.public_key;
  if (RealFileSystem().Exists(text)) return ReadPublicKeyFile(text);
  auto key = HexDecode(text);
  if (key.ok() && key->size() == 32) return key;
  return NotFound("no_such_key",
                  fmt::format("'{:.80}' is no name under {}/keys, no .pub file "
                              "and no public key in hex",
                              text, repository_));
}

absl::Status Tree::RememberKey(const std::string& name,
                               std::string_view public_key) {
  if (names_.contains(std::string(public_key))) return absl::OkStatus();
  FileSystem& fs = RealFileSystem();
  const std::string directory = JoinPath(repository_, "keys");
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(directory));
  std::string free = name;
  for (int n = 2; fs.Exists(JoinPath(directory, free + ".pub")); ++n)
    free = fmt::format("{}-{}", name, n);
  SHOAL_RETURN_IF_ERROR(fs.WriteAtomic(
      JoinPath(directory, free + ".pub"),
      fmt::format("{{\"keytype\":\"ed25519\",\"public\":\"{}\"}}\n",
                  HexEncode(public_key))));
  names_[std::string(public_key)] = free;
  return absl::OkStatus();
}

absl::Status Tree::CopyKeyNames(Tree& other) const {
  for (const auto& [key, name] : names_)
    SHOAL_RETURN_IF_ERROR(other.RememberKey(name, key));
  return absl::OkStatus();
}

}  // namespace shoal::signing
