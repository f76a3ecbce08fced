// A repository tree and the keys at hand: what every command works on.
#ifndef SHOAL_SIGNING_TOOL_WORKSPACE_H_
#define SHOAL_SIGNING_TOOL_WORKSPACE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "signing/metadata/metadata.h"
#include "signing/sign/builder.h"
#include "signing/sign/key_store.h"

namespace shoal::signing {

struct Options {
  std::string keys;        // --keys
  std::string repository;  // --repo
  std::string passphrase_file;
  std::string kdf = "moderate";
  int expires_days = 365;  // of what this command signs
};

class Workspace {
 public:
  // `new_keys`: ask for the passphrase twice.
  static absl::StatusOr<std::unique_ptr<Workspace>> Open(const Options& options,
                                                         bool new_keys);

  KeyStore& keys() { return *keys_; }
  const std::string& repository() const { return repository_; }
  absl::Time Expires() const { return expires_; }

  // The newest N of metadata/N.ROLE.json; 0: none.
  absl::StatusOr<uint64_t> NewestVersion(std::string_view role);
  absl::StatusOr<std::string> ReadMetadata(std::string_view role,
                                           uint64_t version);
  absl::StatusOr<ParsedRoot> NewestRoot();
  // kNotFound "no_such_role".
  absl::StatusOr<ParsedTargets> NewestTargets(std::string_view role);

  // Every key of `role` whose secret is at hand, at most `threshold`.
  absl::StatusOr<std::vector<crypto::SigningKey>> LoadSigners(
      const std::map<std::string, Key>& keys, const RoleKeys& role);
  // The same, but "not_enough_keys" below the threshold.
  absl::StatusOr<std::vector<crypto::SigningKey>> RequireSigners(
      std::string_view role_name, const std::map<std::string, Key>& keys,
      const RoleKeys& role);

  // Signs the next version of targets.json / of a role that targets.json
  // delegates to, and writes it.
  absl::Status WriteTargets(Targets targets);
  absl::Status WriteDelegated(const Targets& top, std::string_view role,
                              Targets targets);
  // metadata/N.ROLE.json; "version_exists" rather than replacing one.
  absl::Status WriteVersion(std::string_view role, uint64_t version,
                            std::string_view bytes);
  std::string MetadataPath(std::string_view name) const;

 private:
  Workspace(std::string repository, std::unique_ptr<KeyStore> keys,
            absl::Time expires)
      : repository_(std::move(repository)),
        keys_(std::move(keys)),
        expires_(expires) {}
  std::string repository_;
  std::unique_ptr<KeyStore> keys_;
  absl::Time expires_;
};

Signers Pointers(const std::vector<crypto::SigningKey>& keys);
// The delegation of that name in `top`; null when there is none.
DelegatedRole* FindDelegation(Targets& top, std::string_view role);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_TOOL_WORKSPACE_H_
