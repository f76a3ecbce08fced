// Watches the places of open claim tickets: listens, and looks again every few
// seconds, since a listen can be lost while nodes come and go.
#ifndef SHOAL_SERVER_PULL_PAIR_LISTENER_H_
#define SHOAL_SERVER_PULL_PAIR_LISTENER_H_

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "dht/records/network.h"
#include "server/fleet/pairing.h"
#include "server/pull/intake.h"

namespace shoal::server {

class PairListener {
 public:
  PairListener(Store& store, Pairing& pairing, Intake& intake,
               dht::Network& network);
  ~PairListener();
  void Start();
  void Stop();  // ends by Store::Shutdown()

 private:
  // Shared with the network's callbacks.
  struct Inbox {
    std::mutex mutex;
    std::condition_variable arrived;
    std::vector<std::string> records;
  };
  void Run();
  Store& store_;
  Pairing& pairing_;
  Intake& intake_;
  dht::Network& network_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::map<std::string, dht::ListenToken> tokens_;  // the thread's own
  std::thread thread_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PULL_PAIR_LISTENER_H_
