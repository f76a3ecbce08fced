// The release log as the plane keeps it: leaves and the hashes over them in the
// store, grown in the same transaction as the metadata that a head is signed
// over. So there is never a second head of one size: what was not committed has
// left this process for nobody. docs/log.md.
#ifndef SHOAL_SERVER_TRUST_RELEASE_LOG_H_
#define SHOAL_SERVER_TRUST_RELEASE_LOG_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/store.h"
#include "shoal/log/v1/log.pb.h"
#include "shoal/records/v1/credential.pb.h"
#include "signing/log/directory.h"
#include "signing/log/leaf.h"
#include "signing/log/merkle.h"
#include "signing/metadata/metadata.h"

namespace shoal::server {

// What a change adds to the log; nothing of it counts before it is committed.
struct LogGrowth {
  signing::LogHead head;  // after
  std::vector<std::string> leaves;
  std::map<std::pair<int, uint64_t>, std::string> nodes;
  std::vector<std::string> pending;      // rows that became leaves
  std::vector<log::v1::LogPoint> heads;  // the newest ones after, oldest first
  std::string retired;  // root of the head that fell out of them, or ""
  std::string proof;    // serialised shoal.log.v1.LogProof under the head
};

// One change at a time (TrustRepository sees to it); Bundle, Proof and
// CopyTo are thread-safe.
class ReleaseLog {
 public:
  explicit ReleaseLog(Store& store) : store_(store) {}
  absl::Status Load();

  bool empty() const { return head_.size == 0; }
  const signing::LogHead& head() const { return head_; }

  // Behind what is waiting come `leaves`, of which the last is the snapshot's
  // if `new_snapshot`. Without any leaf the head stays as it is.
  absl::StatusOr<LogGrowth> Grow(const std::vector<signing::LogLeaf>& leaves,
                                 bool new_snapshot) const;
  static absl::Status Put(Transaction& tx, const LogGrowth& growth);
  void Adopt(const LogGrowth& growth);

  // Leaves [64 n, 64 n + 64) below `size`, as signing/log/files.h writes them.
  absl::StatusOr<std::string> Bundle(uint64_t n, uint64_t size) const;
  // The committed proof under `head`, with one from `from` added; 0: none.
  absl::StatusOr<std::string> Proof(const signing::LogHead& head,
                                    uint64_t from) const;
  // The root over the first `size` leaves, at most head().size.
  absl::StatusOr<std::string> RootAt(uint64_t size) const;
  // Brings the served files up to `head`.
  absl::Status CopyTo(signing::LogDirectory& directory,
                      const signing::LogHead& head) const;

 private:
  signing::ReadLogNode Nodes(const LogGrowth* growth) const;
  absl::StatusOr<std::string> MakeProof(
      const signing::LogHead& head, const std::vector<uint64_t>& from,
      const signing::ReadLogNode& nodes) const;
  absl::StatusOr<std::vector<std::string>> Leaves(uint64_t from,
                                                  uint64_t to) const;

  Store& store_;
  signing::LogHead head_;
  std::vector<log::v1::LogPoint> heads_;
  signing::LogFrontier frontier_;
};

// A credential that this change issues: a leaf of the next head. `kind`:
// "device", "node" or "claim".
absl::Status LogCredential(Transaction& tx, std::string_view kind,
                           std::string_view subject_id, uint64_t serial,
                           const records::v1::Credential& credential);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_TRUST_RELEASE_LOG_H_
