// The metadata parsers, in both dialects, on any bytes: no crash, and what they
// accept has the form that the rest relies on.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "signing/metadata/image_info.h"
#include "signing/metadata/metadata.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/updater.h"

namespace {

using namespace shoal::signing;  // NOLINT: a fuzzer's only file

void Require(bool ok) {
  if (!ok) abort();
}

// One file, whatever the role is called (T34).
void CheckRoleName(std::string_view name) {
  const std::string file = MetadataFileName(name, 1);
  Require(!name.empty() && name.size() <= 128 && file.find('/') == file.npos &&
          file.find('\0') == file.npos);
}

void CheckRole(const RoleKeys& role) {
  Require(role.threshold >= 1 && role.key_ids.size() <= kMaxKeysOfRole);
}

void CheckDelegations(const Delegations& delegations, std::string_view path) {
  Require(!delegations.succinct || delegations.roles.empty());
  for (const auto& [id, key] : delegations.keys)
    Require(id == key.id && (!key.supported || key.public_key.size() == 32));
  for (const DelegatedRole& role : delegations.roles) {
    CheckRoleName(role.name);
    CheckRole(role.keys);
    Require(FindDelegation(delegations, role.name).has_value());
  }
  for (const DelegatedRole& role : RolesFor(delegations, path)) {
    CheckRoleName(role.name);
    Require(DelegationMatches(role, path));
    Require(FindDelegation(delegations, role.name).has_value());
  }
}

void CheckTargets(const ParsedTargets& parsed, Dialect dialect) {
  for (const auto& [path, file] : parsed.value.targets) {
    Require(file.sha256.size() == 32 ||
            (dialect == Dialect::kStock && file.sha256.empty()));
    Require(file.sha512.empty() || file.sha512.size() == 64);
    const auto image = ParseImageInfo(file);
    Require(!image.ok() || image->min_counter <= image->counter);
    const auto place = TargetFilePath(file);
    Require(!place.ok() || (place->find("//") == place->npos &&
                            place->find("/../") == place->npos));
    if (parsed.value.delegations)
      CheckDelegations(*parsed.value.delegations, path);
  }
  if (parsed.value.delegations)
    CheckDelegations(*parsed.value.delegations, "some/path");
}

void Check(std::string_view bytes, Dialect dialect) {
  if (const auto root = ParseRootAs(dialect, bytes); root.ok()) {
    Require(root->value.version >= 1 && root->value.roles.size() == 4);
    for (const auto& [name, role] : root->value.roles) CheckRole(role);
    // Nobody signed this: a fuzzer that finds a signature found a hole.
    const auto status = VerifySignatures(root->envelope, root->value.keys,
                                         root->value.roles.at("root"), "root");
    (void)status;
    Require(CanonicalJson(FormatRoot(root->value), 4 * kMaxRootBytes).ok() ||
            dialect == Dialect::kStock);
  }
  if (const auto timestamp = ParseTimestampAs(dialect, bytes); timestamp.ok())
    Require(timestamp->value.snapshot.version >= 1);
  if (const auto snapshot = ParseSnapshotAs(dialect, bytes); snapshot.ok())
    for (const auto& [name, file] : snapshot->value.meta) {
      CheckRoleName(name);
      Require(file.version >= 1);
    }
  if (const auto targets = ParseTargetsAs(dialect, bytes); targets.ok())
    CheckTargets(*targets, dialect);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Check(bytes, Dialect::kFleet);
  Check(bytes, Dialect::kStock);
  // What a fleet may say, anybody may.
  Require(!ParseRoot(bytes).ok() || ParseRootAs(Dialect::kStock, bytes).ok());
  Require(!ParseTargets(bytes).ok() ||
          ParseTargetsAs(Dialect::kStock, bytes).ok());
  return 0;
}
