// Reads every storage node's record stream, for as long as the plane runs, and
// asks what artifacts each node holds. A node that is away is tried again with
// growing pauses; the cursor stands in the store.
#ifndef SHOAL_SERVER_PULL_PULLER_H_
#define SHOAL_SERVER_PULL_PULLER_H_

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "server/identity/plane_keys.h"
#include "server/pull/intake.h"
#include "server/store/store.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::server {

// Thread-safe.
class Puller {
 public:
  Puller(Store& store, Intake& intake, const PlaneKeys& keys);
  ~Puller();  // as Stop()

  // Starts readers of new nodes and ends those of nodes that are gone or have
  // another address.
  void SetDirectory(const records::v1::NodeDirectory& directory);
  void Stop();

  // Nodes that said they hold all of these artifacts (32-byte digests).
  uint32_t NodesWith(const std::vector<std::string>& digests) const;
  uint32_t node_count() const;
  // Every node of the directory was read to its end since the start.
  bool CaughtUp() const;
  // Nodes that answered the last time they were asked, a second ago or so.
  uint32_t nodes_reachable() const;

 private:
  struct Reader;
  void Read(Reader& reader);
  void Watch(Reader& reader);
  Store& store_;
  Intake& intake_;
  const PlaneKeys& keys_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Reader>> readers_;  // by node id
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PULL_PULLER_H_
