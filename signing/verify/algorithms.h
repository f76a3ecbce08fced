// Which signatures count: the policy object that a verifier is given. What a
// device links knows ed25519 alone; signing/interop has more, for shoal-tuf.
#ifndef SHOAL_SIGNING_VERIFY_ALGORITHMS_H_
#define SHOAL_SIGNING_VERIFY_ALGORITHMS_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing {

// Thread-safe.
class KeyAlgorithms {
 public:
  virtual ~KeyAlgorithms() = default;
  // The key in a form in which equal keys are equal bytes, however they are
  // written down: what is counted against a threshold (T11). "" for a key that
  // counts for nothing.
  virtual std::string Identity(const Key& key) const = 0;
  // Only called with keys that have an identity.
  virtual bool Verify(const Key& key, std::string_view message,
                      std::string_view signature) const = 0;
};

// Lives as long as the program.
const KeyAlgorithms& Ed25519Only();

struct VerifierPolicy {
  Dialect dialect = Dialect::kFleet;
  const KeyAlgorithms* algorithms = &Ed25519Only();  // outlives the verifier
};

// The rule behind every role (T01, T11): at least `threshold` *distinct public
// keys* among those that `role` names have a valid signature. Duplicate
// signatures and one key under several ids count once. kPermissionDenied
// "bad_signature".
absl::Status VerifySignatures(const SignedBytes& envelope,
                              const std::map<std::string, Key>& keys,
                              const RoleKeys& role, std::string_view role_name,
                              const KeyAlgorithms& algorithms = Ed25519Only());

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_ALGORITHMS_H_
