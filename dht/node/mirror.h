// Keeps a whole copy of every artifact that the metadata in force names,
// serves it by swarm and origin, and announces it. What no metadata names any
// more is deleted after a grace time.
#ifndef SHOAL_DHT_NODE_MIRROR_H_
#define SHOAL_DHT_NODE_MIRROR_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/files.h"
#include "dht/node/trust_keeper.h"
#include "dht/swarm/fetch_process.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::dht::node {

struct MirrorOptions {
  std::string public_dir;   // <public_dir>/blobs/<hex>, targets/…
  std::string partial_dir;  // unfinished downloads; the same file system
  absl::Duration interval = absl::Seconds(5);         // between two looks
  absl::Duration fetch_deadline = absl::Minutes(10);  // of one try
  absl::Duration provider_lifetime = absl::Hours(1);
  // How long an artifact stays after the last metadata that named it.
  absl::Duration grace = absl::Minutes(30);
  int max_fetches = 4;  // at a time
};

struct MirrorSources {
  std::vector<std::string> peers;    // "ip:port"
  std::vector<std::string> origins;  // "http://host:port/"
};

// Called on the mirror's thread; they may block for some seconds.
struct MirrorHooks {
  std::function<std::shared_ptr<const Publication>()> publication;
  // Where others offer these bytes (32-byte SHA-256).
  std::function<MirrorSources(const std::string& sha256)> sources;
  // Publishes this node's PROVIDER record; `done` may come on any thread, and
  // also after the Mirror's end.
  std::function<void(const std::string& sha256,
                     std::function<void(absl::Status)> done)>
      announce;
};

class Mirror {
 public:
  // `fetch`, `fs` and `clock` outlive it.
  static absl::StatusOr<std::unique_ptr<Mirror>> Start(MirrorOptions options,
                                                       FetchProcess& fetch,
                                                       FileSystem& fs,
                                                       Clock& clock,
                                                       MirrorHooks hooks);
  ~Mirror();

  void Kick();  // the metadata changed
  // Somebody offers bytes that may be among those being fetched.
  void OfferSource(const std::string& sha256, const MirrorSources& sources);
  // SHA-256 (32 bytes) of artifacts being fetched, for OfferSource.
  std::vector<std::string> Fetching() const;
  // Hex digests of artifacts that were verified in full and are served.
  std::vector<std::string> Held() const;

 private:
  class Impl;
  explicit Mirror(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_MIRROR_H_
