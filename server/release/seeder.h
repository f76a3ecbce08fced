// Offers the plane's images and deltas: seeds them in the swarm and says in
// provider records where they are to be had.
#ifndef SHOAL_SERVER_RELEASE_SEEDER_H_
#define SHOAL_SERVER_RELEASE_SEEDER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "dht/swarm/fetch_process.h"
#include "server/publish/record_writer.h"
#include "server/release/blobs.h"
#include "server/release/deltas.h"
#include "server/release/releases.h"

namespace shoal::server {

// Thread-safe.
class Seeder {
 public:
  Seeder(Store& store, const RecordWriter& writer, Blobs& blobs,
         dht::FetchProcess& fetch, std::string swarm_address,
         std::string origin_url);

  absl::Status Offer(const dht::Artifact& artifact);
  // Everything that the store names, at start.
  absl::Status OfferAll(const Releases& releases, const Deltas& deltas);

 private:
  Store& store_;
  const RecordWriter& writer_;
  Blobs& blobs_;
  dht::FetchProcess& fetch_;
  const std::string swarm_address_;
  const std::string origin_url_;
};

// The image of a release.
absl::StatusOr<dht::Artifact> ArtifactOfRelease(const store::ReleaseRow& row);
// The image, and the artifacts for other components of the device. Attachments
// are for people: they come from the plane and from origins.
absl::StatusOr<std::vector<dht::Artifact>> ArtifactsOfRelease(
    const store::ReleaseRow& row);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_RELEASE_SEEDER_H_
