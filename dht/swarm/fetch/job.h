// One download: peers, then origins, then the check of the whole file. The
// order of sources and what ends each is in fetch_process.h. One thread.
#ifndef SHOAL_DHT_SWARM_FETCH_JOB_H_
#define SHOAL_DHT_SWARM_FETCH_JOB_H_

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "dht/swarm/control.h"
#include "dht/swarm/fetch/meter.h"
#include "dht/swarm/fetch/origins.h"
#include "dht/swarm/fetch/partial_file.h"
#include "dht/swarm/fetch/torrents.h"

namespace shoal::dht {

// What jobs share; everything outlives them.
struct FetchContext {
  Clock& clock;
  TorrentSession& torrents;
  OriginClient& origins;
  std::function<void(const Event&)> emit;
  std::string state_dir;
  absl::Duration stall;
  int64_t min_rate = 0;
  int64_t download_rate = 0;
};

class Job final : public OriginSink {
 public:
  Job(FetchContext& context, FetchCommand command);
  // Leaves the file and its state for a later run; the torrent is removed
  // unless it stays as a seed.
  ~Job() override;

  void Tick();
  void AddPeers(const std::vector<std::string>& peers);
  void Ban(const std::string& peer);
  // The end of a transfer that may be this job's.
  bool OnEnded(const OriginClient::Ended& ended);

  bool finished() const { return finished_; }
  bool seeding() const { return seeding_; }               // the torrent stays
  bool busy() const { return stage_ == Stage::kVerify; }  // wants ticks at once
  const std::string& id() const { return command_.id; }
  const Artifact& artifact() const { return command_.artifact; }
  const std::string& path() const { return command_.path; }

  absl::Status Begin(uint64_t offset, std::optional<uint64_t> total) override;
  absl::Status Data(std::string_view bytes) override;

 private:
  enum class Stage { kStart, kPeers, kOrigin, kVerify, kPause };
  void Start();
  void NextSource();
  void StartPeers();
  void TickPeers();
  // Takes the counters and the verified pieces out of the torrent.
  void CollectPeers(const TorrentState& state);
  void StartOriginRun();
  void EndOrigin(const absl::Status& status);
  void StartVerify();
  void TickVerify();
  void Fail(absl::Status status);
  // Of sources that answer none has sent a byte for as long as it may take.
  bool InVain(absl::Duration now) const;
  void Report(bool always);
  bool HasOrigins() const;
  Counters TotalCounters() const;

  FetchContext& context_;
  FetchCommand command_;
  std::unique_ptr<PartialFile> file_;
  Stage stage_ = Stage::kStart;
  absl::Duration deadline_;
  absl::Duration answered_at_ = absl::InfiniteDuration();  // the first time
  // Source 0 is the peers, 1… the origins; in a round each has its turn.
  size_t source_ = 0;
  bool first_source_ = true;
  int idle_rounds_ = 0;
  uint64_t round_bytes_ = 0;  // counted at the start of this round
  absl::Duration pause_until_;
  Meter meter_;
  bool checking_ = false;

  std::optional<uint64_t> transfer_;
  PartialFile::Run run_;
  uint64_t stream_at_ = 0;
  uint64_t origin_run_bytes_ = 0;
  // Origins that wrote bytes which no one has verified yet.
  std::set<size_t> suspects_;
  std::set<size_t> liars_;
  bool inherited_ = false;  // unverified bytes of an earlier run are there
  std::set<std::string> banned_;

  Counters counters_;        // of finished stages
  Counters stage_counters_;  // of the running peers stage
  uint64_t live_bytes_ = 0;  // present, for progress
  int contradictions_ = 0;
  bool mismatch_ = false;
  std::string last_error_ = "no source was named";
  absl::Duration last_save_, last_report_;
  uint64_t reported_bytes_ = ~uint64_t{0};
  bool finished_ = false;
  bool seeding_ = false;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_FETCH_JOB_H_
