#include "server/release/blob_sweeper.h"

#include <vector>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "server/release/release_files.h"
#include "server/release/signed_deltas.h"
#include "server/store/state.pb.h"

namespace shoal::server {

absl::StatusOr<std::set<std::string>> BlobSweeper::Named() const {
  SHOAL_ASSIGN_OR_RETURN(SignedDeltas in_use, ReadSignedDeltas(store_));
  // A delta that was made anew stays as long as a rollout at work names it.
  std::set<std::string> named = std::move(in_use.digests);
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DeltaRow>(
      kDeltas, "", "", [&](std::string_view, const store::DeltaRow& row) {
        if (row.has_delta()) named.insert(row.delta().sha256());
        return true;
      }));
  absl::Status bad;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::ReleaseRow>(
      kReleases, "", "", [&](std::string_view, const store::ReleaseRow& row) {
        for (const auto& [hex, length] : FilesOf(row.release())) {
          const auto digest = HexDecode(hex);
          if (!digest.ok()) bad = digest.status();
          if (digest.ok()) named.insert(*digest);
        }
        return bad.ok();
      }));
  SHOAL_RETURN_IF_ERROR(bad);
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DocumentRow>(
      kDocuments, "", "", [&](std::string_view, const store::DocumentRow& row) {
        named.insert(crypto::Sha256Digest(row.content()));
        return true;
      }));
  return named;
}

absl::Status BlobSweeper::Sweep() {
  // While this is held nobody gives a blob a place that no row names yet; a
  // document's row is there before its file. So the files are listed first.
  const auto hold = blobs_.Hold();
  SHOAL_ASSIGN_OR_RETURN(std::vector<std::string> strays, blobs_.List());
  SHOAL_ASSIGN_OR_RETURN(const auto named, Named());
  std::erase_if(strays, [&](const std::string& digest) {
    return named.contains(digest);
  });
  if (strays.empty()) return absl::OkStatus();
  Transaction tx(store_);
  for (const std::string& digest : strays)
    SHOAL_RETURN_IF_ERROR(
        writer_.Drop(tx, records::v1::RECORD_KIND_PROVIDER, HexEncode(digest)));
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  for (const std::string& digest : strays) {
    if (on_gone_) on_gone_(digest);
    SHOAL_RETURN_IF_ERROR(blobs_.Remove(digest));
  }
  LogInfo("blobs_swept", {{"files", strays.size()}});
  return absl::OkStatus();
}

}  // namespace shoal::server
