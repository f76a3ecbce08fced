#include "server/publish/new_director.h"

#include <algorithm>
#include <string>
#include <vector>

#include "common/log.h"
#include "dht/records/record.h"
#include "server/store/state.pb.h"
#include "server/store/tables.h"

namespace shoal::server {
namespace {

constexpr char kPlaneKey[] = "identity";
constexpr size_t kRowsPerChange = 512;

// A record that the plane signed itself, with another key than `current`.
bool IsOfOldDirector(const store::OutboxRow& row, const std::string& current) {
  const auto body = dht::BodyOf(row.record());
  return body && body->has_writer_key() && body->writer_key() != current &&
         dht::MayWrite(records::v1::WRITER_CLASS_DIRECTOR, body->kind()) &&
         !dht::MayWrite(records::v1::WRITER_CLASS_OPERATOR, body->kind());
}

template <typename Each>
absl::Status InChanges(Store& store, const std::vector<std::string>& keys,
                       Each each) {
  for (size_t from = 0; from < keys.size(); from += kRowsPerChange) {
    Transaction tx(store);
    const size_t end = std::min(from + kRowsPerChange, keys.size());
    for (size_t i = from; i < end; ++i) {
      SHOAL_RETURN_IF_ERROR(each(tx, keys[i]));
    }
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AdoptDirectorKey(Store& store, const PlaneKeys& keys,
                              const RecordWriter& writer) {
  const std::string& current = keys.director.public_key();
  store::PlaneRow plane;
  if (auto row = store.Get<store::PlaneRow>(kMeta, kPlaneKey); row.ok()) {
    plane = *row;
  }
  if (plane.director_key() == current) return absl::OkStatus();
  std::vector<std::string> waiting;
  SHOAL_RETURN_IF_ERROR(store.Scan<store::OutboxRow>(
      kOutbox, "", "", [&](std::string_view key, const store::OutboxRow& row) {
        if (IsOfOldDirector(row, current)) waiting.emplace_back(key);
        return true;
      }));
  SHOAL_RETURN_IF_ERROR(
      InChanges(store, waiting, [](Transaction& tx, const std::string& key) {
        tx.Delete(kOutbox, key);
        return absl::OkStatus();
      }));
  std::vector<std::string> kept;
  SHOAL_RETURN_IF_ERROR(store.Scan<store::PublicationRow>(
      kPublications, "", "",
      [&](std::string_view key, const store::PublicationRow& row) {
        if (row.keep()) kept.emplace_back(key);
        return true;
      }));
  SHOAL_RETURN_IF_ERROR(
      InChanges(store, kept, [&](Transaction& tx, const std::string& key) {
        return writer.Renew(tx, key);
      }));
  Transaction tx(store);
  if (auto row = tx.Get<store::PlaneRow>(kMeta, kPlaneKey); row.ok()) {
    plane = *row;
  }
  plane.set_director_key(current);
  tx.Put(kMeta, kPlaneKey, plane);
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  LogInfo("director_key_adopted",
          {{"records", kept.size()}, {"dropped", waiting.size()}});
  return absl::OkStatus();
}

}  // namespace shoal::server
