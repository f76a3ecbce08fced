// A repository in memory whose every file a test may forge.
#ifndef SHOAL_TESTS_UNIT_SIGNING_TEST_REPOSITORY_H_
#define SHOAL_TESTS_UNIT_SIGNING_TEST_REPOSITORY_H_

#include <map>
#include <string>
#include <vector>

#include "common/crypto/ed25519.h"
#include "signing/metadata/metadata.h"
#include "signing/sign/builder.h"
#include "signing/verify/fetcher.h"
#include "tests/support/fake_clock.h"

namespace shoal::signing {

class TestRepository : public Fetcher {
 public:
  // Root 1 of two keys, both needed; targets delegates "fw-a" (terminating,
  // fw/a/*/*), "policy" (terminating, policy/*) and "director"
  // (director/*/*/*), which delegates "director-a". Everything is valid for
  // 30 days from `now`.
  explicit TestRepository(absl::Time now);

  absl::StatusOr<std::string> FetchMetadata(std::string_view role,
                                            std::optional<uint64_t> version,
                                            uint64_t max_bytes) override;
  absl::StatusOr<std::string> FetchTarget(const TargetFile& target) override;

  // Signs the next root by the keys named.
  void PublishRoot(const std::vector<std::string>& signers);
  // Signs the next version of a role and keeps it; not yet in a snapshot.
  void PublishRole(const std::string& role);
  // Snapshot and timestamp over the newest of everything.
  void PublishSnapshot();
  void PublishTimestamp();
  void PublishAll();
  // A target with these bytes in the role's next version.
  void AddTarget(const std::string& role, const std::string& path,
                 const std::string& bytes);

  // `parent` delegates one more role, under a key of `key`'s name ("": the
  // role's own). The role's content is made when it has none.
  void Delegate(const std::string& parent, const std::string& role,
                const std::vector<std::string>& patterns,
                bool terminating = false, const std::string& key = "");
  // Gives a top-level role one key alone, which signs from now on; root is yet
  // to be published.
  void RotateKey(const std::string& role, const std::string& key);

  const crypto::SigningKey& key(const std::string& name);
  Key public_key(const std::string& name);
  std::string fleet_id() const;
  std::string& file(const std::string& name) { return files_[name]; }
  void Erase(const std::string& name) { files_.erase(name); }
  const std::string& newest(const std::string& role) const {
    return newest_.at(role).bytes;
  }

  absl::Time expires;
  Root root;
  std::map<std::string, Targets> roles;       // content by role
  std::map<std::string, std::string> signer;  // role → key name
  uint64_t snapshot_version = 0;
  uint64_t timestamp_version = 0;
  std::vector<std::string> requests;  // "2.root", "timestamp"
  std::map<std::string, RoleFile> newest_;

 private:
  std::map<std::string, crypto::SigningKey> keys_;
  std::map<std::string, std::string> files_;    // "1.root", "timestamp"
  std::map<std::string, std::string> targets_;  // by digest
};

}  // namespace shoal::signing

#endif  // SHOAL_TESTS_UNIT_SIGNING_TEST_REPOSITORY_H_
