// The only user of libtorrent: BitTorrent v2 over TCP with forced encryption,
// no DHT, no PEX, no LSD, no trackers, no port mapping, no uTP. Torrents are
// keyed by the artifact's SHA-256. One thread; libtorrent has its own.
#ifndef SHOAL_DHT_SWARM_FETCH_TORRENTS_H_
#define SHOAL_DHT_SWARM_FETCH_TORRENTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dht/swarm/artifact.h"
#include "dht/swarm/control.h"

namespace shoal::dht {

struct TorrentState {
  bool checking = true;    // hashing what is on disk
  bool complete = false;   // every piece verified
  uint64_t done = 0;       // bytes, parts of pieces included
  std::vector<bool> have;  // verified pieces
  uint64_t payload = 0;    // received in this session
  uint64_t failed = 0;     // of these: failed their check
  int peers = 0;           // connected
  absl::Status error;      // of the file
};

struct BannedPeer {
  std::string sha256;
  std::string address;  // "ip:port"
};

class TorrentSession {
 public:
  // `listen`: "ip:port" or "" (nobody may connect). `wake_fd`: an eventfd
  // that is written to when PopBanned() or GetState() has news.
  static absl::StatusOr<std::unique_ptr<TorrentSession>> Open(
      const std::string& listen, const LimitsCommand& limits, int wake_fd);
  ~TorrentSession();

  std::string address() const;  // "" without listening
  void SetLimits(const LimitsCommand& limits);

  // Adds the file at `path`; what is there is checked first. As a seed
  // nothing is ever written to the file.
  absl::Status Add(const Artifact& artifact, const std::string& path,
                   bool seed);
  // The torrent only serves from now on.
  void StopDownloading(const std::string& sha256);
  // Ends all of its transfers; the file stays. Unknown: ignored.
  void Remove(const std::string& sha256);
  bool Has(const std::string& sha256) const;
  void Connect(const std::string& sha256, const std::string& peer);
  absl::StatusOr<TorrentState> GetState(const std::string& sha256) const;
  // Peers that sent blocks which failed their check, since the last call.
  std::vector<BannedPeer> PopBanned();
  uint64_t uploaded() const;  // payload bytes of all torrents, ever

 private:
  struct Impl;
  explicit TorrentSession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_FETCH_TORRENTS_H_
