#include "server/release/seeder.h"

#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::server {
namespace {

constexpr absl::Duration kProviderLifetime = absl::Hours(1);

}  // namespace

absl::StatusOr<dht::Artifact> ArtifactOfRelease(const store::ReleaseRow& row) {
  dht::Artifact artifact;
  artifact.file_root = row.file_root();
  artifact.piece_length = row.piece_length();
  artifact.length = row.release().length();
  SHOAL_ASSIGN_OR_RETURN(artifact.sha256, HexDecode(row.release().sha256()));
  return artifact;
}

absl::StatusOr<std::vector<dht::Artifact>> ArtifactsOfRelease(
    const store::ReleaseRow& row) {
  std::vector<dht::Artifact> artifacts(1);
  SHOAL_ASSIGN_OR_RETURN(artifacts[0], ArtifactOfRelease(row));
  for (const auto& one : row.release().artifacts()) {
    if (one.target() == row.release().image_target()) continue;
    dht::Artifact artifact;
    artifact.file_root = one.file_root();
    artifact.piece_length = one.piece_length();
    artifact.length = one.length();
    SHOAL_ASSIGN_OR_RETURN(artifact.sha256, HexDecode(one.sha256()));
    artifacts.push_back(std::move(artifact));
  }
  return artifacts;
}

Seeder::Seeder(Store& store, const RecordWriter& writer, Blobs& blobs,
               dht::FetchProcess& fetch, std::string swarm_address,
               std::string origin_url)
    : store_(store),
      writer_(writer),
      blobs_(blobs),
      fetch_(fetch),
      swarm_address_(std::move(swarm_address)),
      origin_url_(std::move(origin_url)) {}

absl::Status Seeder::Offer(const dht::Artifact& artifact) {
  dht::SeedJob job;
  job.artifact = artifact;
  job.path = blobs_.PathOf(artifact.sha256);
  const std::string hex = HexEncode(artifact.sha256);
  SHOAL_RETURN_IF_ERROR(fetch_.Seed(std::move(job), [hex](absl::Status status) {
    if (!status.ok()) {
      LogError("seed_failed", {{"sha256", hex}, {"error", status}});
    }
  }));
  records::v1::Provider provider;
  provider.set_swarm_address(swarm_address_);
  provider.set_origin_url(origin_url_);
  Transaction tx(store_);
  SHOAL_RETURN_IF_ERROR(writer_.Publish(tx, records::v1::RECORD_KIND_PROVIDER,
                                        hex, provider.SerializeAsString(),
                                        kProviderLifetime, true));
  return tx.Commit();
}

absl::Status Seeder::OfferAll(const Releases& releases, const Deltas& deltas) {
  SHOAL_ASSIGN_OR_RETURN(auto rows, releases.All());
  for (const store::ReleaseRow& row : rows) {
    SHOAL_ASSIGN_OR_RETURN(const auto artifacts, ArtifactsOfRelease(row));
    for (const dht::Artifact& artifact : artifacts)
      SHOAL_RETURN_IF_ERROR(Offer(artifact));
  }
  SHOAL_ASSIGN_OR_RETURN(auto made, deltas.Artifacts());
  for (const dht::Artifact& artifact : made) {
    SHOAL_RETURN_IF_ERROR(Offer(artifact));
  }
  return absl::OkStatus();
}

}  // namespace shoal::server
