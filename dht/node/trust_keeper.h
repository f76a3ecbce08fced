// A storage node's view of the fleet's trust, kept up to date from records and
// published as a tree that any TUF client can read.
#ifndef SHOAL_DHT_NODE_TRUST_KEEPER_H_
#define SHOAL_DHT_NODE_TRUST_KEEPER_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/files.h"
#include "dht/node/writer_resolver.h"
#include "dht/swarm/artifact.h"
#include "shoal/fleet/v1/node_service.pb.h"
#include "shoal/log/v1/log.pb.h"
#include "signing/verify/updater.h"

namespace shoal::dht::node {

// What the metadata in force names: to be mirrored by every storage node.
struct Publication {
  struct Wanted {
    Artifact artifact;
    // Path below the public tree ("targets/fw/…"); empty for deltas, which
    // are served as blobs only.
    std::string target_path;
  };
  std::map<std::string, Wanted> artifacts;   // by SHA-256 (32 bytes)
  std::set<std::string> documents;           // SHA-256 of small targets
  std::map<std::string, uint64_t> versions;  // by role
};

// view() and publication() are thread-safe; the rest is for one thread.
class TrustKeeper {
 public:
  // `directory` holds the Updater's store, `public_dir` the served tree; both
  // are made when missing. Starts with what the store holds, or with the
  // bundle's metadata. Expired metadata is good enough to carry records: it is
  // logged, and devices judge for themselves.
  static absl::StatusOr<std::unique_ptr<TrustKeeper>> Open(
      const std::string& directory, const std::string& public_dir,
      const fleet::v1::NodeBundle& bundle, FileSystem& fs, Clock& clock);

  std::shared_ptr<const TrustView> view() const;
  std::shared_ptr<const Publication> publication() const;

  // The TUF workflow over `source`, then view, publication and the tree anew.
  // On an error what was in force stays.
  absl::Status Refresh(signing::Fetcher& source);
  // Root versions other than the newest, for the tree.
  absl::Status ExportRoots(const std::map<uint64_t, std::string>& roots);

  // The release log as far as it is proven here; nullopt: the fleet has none.
  std::optional<signing::LogHead> log_head() const;
  std::string log_timestamp() const;  // by which
  // The proof of a fork that was seen, or nullopt.
  std::optional<log::v1::LogFork> log_fork() const;
  // Updater::TakeForkProof.
  absl::Status TakeForkProof(std::string_view one, std::string_view other);
  // Updater::CompareLog; a fork is OK too, since it is kept and said.
  absl::Status CompareLog(signing::Fetcher& source, std::string_view timestamp);

  // Updater::MayBe.
  absl::Status MayBe(std::string_view role, std::optional<uint64_t> version,
                     std::string_view bytes) const {
    return updater_->MayBe(role, version, bytes);
  }
  // Whether these bytes look like a timestamp newer than the one in force.
  bool IsNewer(std::string_view timestamp) const;

 private:
  TrustKeeper(std::unique_ptr<signing::Updater> updater, std::string public_dir,
              FileSystem& fs)
      : updater_(std::move(updater)),
        public_dir_(std::move(public_dir)),
        fs_(fs) {}
  absl::Status Take(signing::Fetcher* source);
  void AddRevocations(signing::Fetcher* source, signing::FleetTrust* trust);
  absl::StatusOr<Publication> ReadPublication(signing::Fetcher* source);
  absl::Status ReadTargets(signing::Fetcher* source, const std::string& role,
                           Publication* publication);
  absl::Status AddDeltas(std::string_view index, Publication* publication);
  absl::Status WriteDocument(const signing::TargetFile& target,
                             std::string_view bytes);
  absl::Status WriteMetadata(const Publication& publication);

  std::unique_ptr<signing::Updater> updater_;
  const std::string public_dir_;
  FileSystem& fs_;
  mutable std::mutex mutex_;
  std::shared_ptr<const TrustView> view_;
  std::shared_ptr<const Publication> publication_;
  uint64_t timestamp_version_ = 0;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_TRUST_KEEPER_H_
