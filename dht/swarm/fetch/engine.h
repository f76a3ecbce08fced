// What shoal-fetch does with its commands: jobs, documents and seeds over one
// TorrentSession and one OriginClient. One thread.
#ifndef SHOAL_DHT_SWARM_FETCH_ENGINE_H_
#define SHOAL_DHT_SWARM_FETCH_ENGINE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/files.h"
#include "dht/swarm/control.h"
#include "dht/swarm/fetch/document.h"
#include "dht/swarm/fetch/job.h"

namespace shoal::dht {

class Engine {
 public:
  // Listens and emits ReadyEvent.
  static absl::StatusOr<std::unique_ptr<Engine>> Open(
      const ConfigureCommand& configure, Clock& clock,
      std::function<void(const Event&)> emit);

  // Anything but a second ConfigureCommand ("bad_control").
  absl::Status Handle(Command command);
  // Waits for the network, `input_fd` or the next tick, and does what is due.
  void Run(int input_fd);

 private:
  struct SeedState {
    SeedCommand command;
    bool serving = false;
  };
  Engine(Clock& clock, FileDescriptor wake,
         std::unique_ptr<TorrentSession> torrents,
         std::unique_ptr<OriginClient> origins,
         std::function<void(const Event&)> emit);
  void StartFetch(FetchCommand command);
  void StartSeed(SeedCommand command);
  absl::Status CheckSeed(const SeedCommand& command) const;
  void TickSeeds();
  void Tick();

  FileDescriptor wake_;
  std::unique_ptr<TorrentSession> torrents_;
  std::unique_ptr<OriginClient> origins_;
  FetchContext context_;
  std::map<std::string, std::unique_ptr<Job>> jobs_;
  std::map<std::string, std::unique_ptr<DocumentJob>> documents_;
  std::map<std::string, SeedState> seeds_;  // by SHA-256
  absl::Duration last_tick_, last_stats_;
  uint64_t reported_uploaded_ = 0;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_FETCH_ENGINE_H_
