// A repository tree and the secret keys at hand: what every command works on.
#ifndef SHOAL_SIGNING_TOOL_WORKSPACE_H_
#define SHOAL_SIGNING_TOOL_WORKSPACE_H_

#include <map>
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
#include "signing/tool/tree.h"

namespace shoal::signing {

struct Options {
  std::string keys;        // --keys; empty: no secret key at hand
  std::string repository;  // --repo
  std::string passphrase_file;
  std::string kdf = "moderate";
  int expires_days = 365;  // of what this command proposes
  bool dry_run = false;    // show it, write nothing
  bool yes = false;        // don't ask
};

// One thread.
class Workspace {
 public:
  // Asks for the passphrase when there are keys; twice with `new_keys`.
  static absl::StatusOr<std::unique_ptr<Workspace>> Open(const Options& options,
                                                         bool new_keys = false);

  const Options& options() const { return options_; }
  Tree& tree() { return tree_; }
  const std::string& repository() const { return options_.repository; }
  // Null without --keys.
  KeyStore* keys() { return keys_.get(); }
  absl::Time Expires() const { return expires_; }

  // The newest content of a role: its draft's, else what is in force.
  // "no_such_role".
  absl::StatusOr<Root> NewestRoot();
  absl::StatusOr<Targets> NewestTargets(const std::string& role);

  // A new ed25519 key under the first free name of NAME, NAME-2, …; known to
  // the tree by that name from then on. With --dry-run a key that nobody
  // keeps. "no_keys" without --keys.
  absl::StatusOr<std::string> NewKey(const std::string& name);

  // `bytes` with a signature by every key at hand that `authority` names.
  absl::StatusOr<std::string> SignWithKeysAtHand(std::string bytes,
                                                 const Authority& authority);
  // At least the threshold of `authority`, from the keys at hand.
  // "not_enough_keys".
  absl::StatusOr<Signers> RequireSigners(std::string_view role,
                                         const Authority& authority);

 private:
  Workspace(Options options, Tree tree, std::unique_ptr<KeyStore> keys,
            absl::Time expires)
      : options_(std::move(options)),
        tree_(std::move(tree)),
        keys_(std::move(keys)),
        expires_(expires) {}
  // Null: not at hand.
  absl::StatusOr<const crypto::SigningKey*> Load(std::string_view public_key);
  absl::StatusOr<Signers> AtHand(const Authority& authority);

  const Options options_;
  Tree tree_;
  std::unique_ptr<KeyStore> keys_;
  std::map<std::string, std::unique_ptr<crypto::SigningKey>> loaded_;
  absl::Time expires_;
};

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_TOOL_WORKSPACE_H_
