// The DHT clients of the simulated devices: many devices on one socket and one
// outbox, each with its own key, credential and records.
#ifndef SHOAL_SIM_SOCKETS_H_
#define SHOAL_SIM_SOCKETS_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/link/fleet_link.h"
#include "sim/shared_source.h"

namespace shoal::sim {

// Thread-safe.
class Sockets {
 public:
  // `directory`: of the outboxes. Sockets are opened when their first device
  // has its network keys.
  Sockets(size_t devices, size_t devices_per_socket, std::string directory);

  absl::StatusOr<agent::SharedLink> LinkFor(
      size_t device, const agent::Membership& membership);
  // What a device of the socket believes now: the socket reads records by it.
  void OfferTrust(size_t device,
                  const std::shared_ptr<const agent::TrustView>& trust);

  // A record was pushed to the device: what its socket looked up may be old.
  void Pushed(size_t device);

  size_t IndexOf(size_t device) const { return device / devices_per_socket_; }
  size_t count() const { return sockets_.size(); }
  size_t spooled() const;  // records that wait for receipts
  // Bytes of UDP payload of all sockets.
  uint64_t bytes_in() const;
  uint64_t bytes_out() const;

 private:
  struct Socket {
    mutable std::mutex mutex;
    std::shared_ptr<agent::TrustHolder> holder =
        std::make_shared<agent::TrustHolder>();
    std::string trust_key;
    std::shared_ptr<SharedSource> source = std::make_shared<SharedSource>();
    // In this order: the outbox ends first.
    std::unique_ptr<dht::Network> network;
    std::unique_ptr<dht::Spool> spool;
  };
  absl::Status Open(Socket& socket, size_t index,
                    const agent::Membership& membership);
  const size_t devices_per_socket_;
  const std::string directory_;
  std::vector<std::unique_ptr<Socket>> sockets_;
};

}  // namespace shoal::sim

#endif  // SHOAL_SIM_SOCKETS_H_
