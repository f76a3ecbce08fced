#include "server/pull/puller.h"

#include <algorithm>
#include <condition_variable>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "dht/node_client/pull_client.h"
#include "server/pull/batcher.h"
#include "server/store/state.pb.h"
#include "shoal/node/v1/node_service.pb.h"

namespace shoal::server {
namespace {

constexpr size_t kBatchRecords = 256;
constexpr absl::Duration kCallLength = absl::Minutes(30);
constexpr absl::Duration kStatusPause = absl::Seconds(1);
constexpr absl::Duration kMaxPause = absl::Seconds(10);

}  // namespace

struct Puller::Reader {
  records::v1::NodeEntry entry;
  std::string name;  // of its cursor row: the node's id in hex
  std::unique_ptr<dht::PullClient> client;
  std::atomic<bool> stop{false};
  std::atomic<bool> caught_up{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::set<std::string> artifacts;  // hex
  bool reachable = false;
  std::thread read_thread;
  std::thread watch_thread;

  // False: stopped.
  bool Pause(absl::Duration time) {
    std::unique_lock lock(mutex);
    wake.wait_for(lock, absl::ToChronoMilliseconds(time),
                  [this] { return stop.load(); });
    return !stop;
  }
  void End() {
    {
      std::lock_guard lock(mutex);
      stop = true;
    }
    wake.notify_all();
    if (client) client->Cancel();
    if (read_thread.joinable()) read_thread.join();
    if (watch_thread.joinable()) watch_thread.join();
  }
};

Puller::Puller(Store& store, Intake& intake, const PlaneKeys& keys)
    : store_(store), intake_(intake), keys_(keys) {}

Puller::~Puller() { Stop(); }

void Puller::Stop() {
  std::map<std::string, std::unique_ptr<Reader>> readers;
  {
    std::lock_guard lock(mutex_);
    readers.swap(readers_);
  }
  for (auto& [id, reader] : readers) reader->End();
}

void Puller::SetDirectory(const records::v1::NodeDirectory& directory) {
  std::vector<std::unique_ptr<Reader>> ended;
  std::lock_guard lock(mutex_);
  std::set<std::string> wanted;
  for (const records::v1::NodeEntry& entry : directory.nodes()) {
    wanted.insert(entry.id());
    auto& reader = readers_[entry.id()];
    if (reader) {
      if (reader->entry.grpc_address() == entry.grpc_address() &&
          reader->entry.tls_spki_sha256() == entry.tls_spki_sha256()) {
        continue;
      }
      ended.push_back(std::move(reader));
    }
    reader = std::make_unique<Reader>();
    reader->entry = entry;
    reader->name = HexEncode(entry.id());
    crypto::TlsKeyPair tls;
    tls.key_pem = keys_.tls_key_pem.Clone();
    tls.cert_pem = keys_.tls_cert_pem;
    auto client = dht::PullClient::Open(
        {entry.grpc_address(), entry.tls_spki_sha256()}, tls);
    if (!client.ok()) {
      LogError("pull_client_failed",
               {{"node", reader->name}, {"error", client.status()}});
      readers_.erase(entry.id());
      continue;
    }
    reader->client = *std::move(client);
    Reader* started = reader.get();
    reader->read_thread = std::thread([this, started] { Read(*started); });
    reader->watch_thread = std::thread([this, started] { Watch(*started); });
  }
  for (auto it = readers_.begin(); it != readers_.end();) {
    if (wanted.contains(it->first)) {
      ++it;
      continue;
    }
    ended.push_back(std::move(it->second));
    it = readers_.erase(it);
  }
  // Their threads never take mutex_, so they can be waited for here.
  for (auto& reader : ended) reader->End();
}

void Puller::Read(Reader& reader) {
  absl::Duration pause = absl::Milliseconds(100);
  bool reported = false;
  while (!reader.stop) {
    dht::PullPosition position;
    auto row = store_.Get<store::CursorRow>(kCursors, reader.name);
    if (row.ok()) {
      position.store_id = row->store_id();
      position.cursor = row->cursor();
    }
    std::vector<std::string> batch;
    absl::Status taken;
    // The position is that of the last record in the batch.
    const auto flush = [&](const dht::PullPosition& after) {
      if (batch.empty()) return true;
      taken = intake_.Take(batch, {.node = reader.name,
                                   .store_id = after.store_id,
                                   .cursor = after.cursor});
      batch.clear();
      return taken.ok();
    };
    dht::PullPosition last = position;
    // First what is there already, in batches; then what arrives, at once or
    // as fast as the disk takes it.
    auto caught_up = reader.client->Pull(
        position, intake_.Kinds(), /*follow=*/false, kCallLength,
        [&](std::string record, const records::v1::Credential*,
            const dht::PullPosition& after) {
          last = after;
          if (!record.empty()) batch.push_back(std::move(record));
          return batch.size() < kBatchRecords || flush(after);
        });
    if (caught_up.ok() && taken.ok() && flush(last)) {
      pause = absl::Milliseconds(100);
      reader.caught_up = true;
      if (reported) {
        LogInfo("node_back", {{"node", reader.name}});
        reported = false;
      }
      Batcher arriving(
          [&](const std::vector<std::string>& records,
              const dht::PullPosition& after) {
            return intake_.Take(records, {.node = reader.name,
                                          .store_id = after.store_id,
                                          .cursor = after.cursor});
          },
          kBatchRecords);
      caught_up = reader.client->Pull(
          last, intake_.Kinds(), /*follow=*/true, kCallLength,
          [&](std::string record, const records::v1::Credential*,
              const dht::PullPosition& after) {
            return !reader.stop &&
                   (record.empty() ? arriving.ok()
                                   : arriving.Add(std::move(record), after));
          });
      taken = arriving.Finish();
    }
    if (reader.stop) return;
    if (!taken.ok()) {
      LogError("intake_failed", {{"node", reader.name}, {"error", taken}});
    } else if (!caught_up.ok() && !reported) {
      // Logged once per absence.
      LogWarn("node_unreachable",
              {{"node", reader.name}, {"error", caught_up.status()}});
      reported = true;
    }
    if (!reader.Pause(pause)) return;
    pause = std::min(pause * 2, kMaxPause);
  }
}

void Puller::Watch(Reader& reader) {
  do {
    node::v1::GetStatusResponse response;
    const absl::Status status =
        reader.client->GetStatus(absl::Seconds(5), &response);
    std::lock_guard lock(reader.mutex);
    reader.reachable = status.ok();
    reader.artifacts.clear();
    if (status.ok()) {
      reader.artifacts.insert(response.artifacts().begin(),
                              response.artifacts().end());
    }
  } while (reader.Pause(kStatusPause));
}

uint32_t Puller::NodesWith(const std::vector<std::string>& digests) const {
  std::lock_guard lock(mutex_);
  uint32_t nodes = 0;
  for (const auto& [id, reader] : readers_) {
    std::lock_guard reader_lock(reader->mutex);
    nodes += std::all_of(digests.begin(), digests.end(),
                         [&](const std::string& digest) {
                           return reader->artifacts.contains(HexEncode(digest));
                         });
  }
  return nodes;
}

bool Puller::CaughtUp() const {
  std::lock_guard lock(mutex_);
  return std::all_of(readers_.begin(), readers_.end(), [](const auto& entry) {
    return entry.second->caught_up.load();
  });
}

uint32_t Puller::nodes_reachable() const {
  std::lock_guard lock(mutex_);
  uint32_t nodes = 0;
  for (const auto& [id, reader] : readers_) {
    std::lock_guard reader_lock(reader->mutex);
    nodes += reader->reachable;
  }
  return nodes;
}

uint32_t Puller::node_count() const {
  std::lock_guard lock(mutex_);
  return static_cast<uint32_t>(readers_.size());
}

}  // namespace shoal::server
