// The offline roles of a repository tree: what is in force and what waits for
// signatures.
//
//   metadata/N.ROLE.json  in force: signed by the threshold, never replaced
//   drafts/N.ROLE.json    the next version, on its way from custodian to
//                         custodian; holds the signatures it has so far
//   keys/NAME.pub         public keys, so that people read names for key ids;
//                         they decide nothing
//   targets/…             images and the access policy
//
// Everything in a tree is public. Secret keys are elsewhere (--keys).
#ifndef SHOAL_SIGNING_TOOL_TREE_H_
#define SHOAL_SIGNING_TOOL_TREE_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "signing/metadata/metadata.h"
#include "signing/sign/builder.h"

namespace shoal::signing {

using RoleFiles = std::map<std::string, RoleFile>;  // by role

// snapshot, timestamp and director-TYPE: signed by a plane, or by `publish`.
bool IsOnlineRole(std::string_view role);

// Who must sign `role`.
struct Authority {
  std::map<std::string, Key> keys;  // by id
  RoleKeys role;
};

// As `files` say: root's own keys for "root", root's for "targets", those of
// targets.json for all others. "no_such_role" when nobody delegates to it.
absl::StatusOr<Authority> AuthorityOf(const RoleFiles& files,
                                      std::string_view role);

// Every role of `files` that its authority does not verify, with the reason.
// A new root needs the root in force (`before`, if any) too, and version 1 all
// of its keys: its bytes are the fleet's id, and so they are the same wherever
// they are put together. A role that targets.json delegates to and that has no
// file fails with "metadata_missing". The director's is the plane's affair and
// never fails here.
std::map<std::string, absl::Status> Failing(const RoleFiles& files,
                                            const RoleFiles& before);

// Whether `role`, which is not root, is signed as its delegator asks.
absl::Status CheckRole(const RoleFiles& files, const std::string& role);

// One thread.
class Tree {
 public:
  // A missing directory is an empty tree.
  static absl::StatusOr<Tree> Load(std::string repository);

  const std::string& repository() const { return repository_; }
  const RoleFiles& in_force() const { return in_force_; }
  const RoleFiles& drafts() const { return drafts_; }
  // What would be in force with all of `drafts`.
  RoleFiles With(const RoleFiles& drafts) const;
  uint64_t NextVersion(std::string_view role) const;

  absl::Status PutDraft(const std::string& role, RoleFile file);
  // "no_such_draft".
  absl::Status DropDraft(const std::string& role);

  // The drafts that can come into force together: with them every role
  // verifies.
  RoleFiles Complete() const;
  // Moves Complete() to metadata/; their names.
  absl::StatusOr<std::vector<std::string>> Promote();

  // The name under keys/, or the head of the key in hex.
  std::string NameOf(std::string_view public_key) const;
  // The key that `text` means: a name under keys/, a .pub file, a key id of
  // `known`, or 64 hex digits. "no_such_key".
  absl::StatusOr<std::string> FindKey(
      const std::string& text, const std::map<std::string, Key>& known) const;
  // Under a name that is free: NAME, NAME-2, …; nothing when it is known.
  absl::Status RememberKey(const std::string& name,
                           std::string_view public_key);

  // The names that this tree has and `other` lacks.
  absl::Status CopyKeyNames(Tree& other) const;

  std::string MetadataPath(std::string_view role, uint64_t version) const;
  std::string DraftPath(std::string_view role, uint64_t version) const;

 private:
  explicit Tree(std::string repository) : repository_(std::move(repository)) {}
  absl::Status LoadRoles(const std::string& directory, RoleFiles& roles);
  absl::Status LoadKeys();
  std::string repository_;
  RoleFiles in_force_;
  RoleFiles drafts_;
  std::map<std::string, std::string> names_;  // public key → name
};

// {"keytype":"ed25519","public":HEX}: the raw key of a .pub file.
absl::StatusOr<std::string> ReadPublicKeyFile(const std::string& path);

// The delegation of that name in `top`; null when there is none.
DelegatedRole* FindDelegation(Targets& top, std::string_view role);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_TOOL_TREE_H_
