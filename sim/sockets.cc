#include "sim/sockets.h"

#include <fmt/format.h>

#include <utility>

#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"

namespace shoal::sim {

Sockets::Sockets(size_t devices, size_t devices_per_socket,
                 std::string directory)
    : devices_per_socket_(devices_per_socket),
      directory_(std::move(directory)) {
  const size_t count = (devices + devices_per_socket - 1) / devices_per_socket;
  for (size_t i = 0; i < count; ++i)
    sockets_.push_back(std::make_unique<Socket>());
}

absl::Status Sockets::Open(Socket& socket, size_t index,
                           const agent::Membership& membership) {
  const pairing::v1::Grant& grant = membership.grant;
  dht::NetworkOptions network;
  network.fleet_id = membership.fleet_id;
  network.keys = {grant.network().keys().begin(), grant.network().keys().end()};
  network.place_key = grant.network().place_key();
  network.directory = grant.directory();
  network.bootstrap = membership.first_nodes;
  network.resolver = agent::MakeResolver(socket.holder);
  network.clock = &SystemClock();
  SHOAL_ASSIGN_OR_RETURN(socket.network,
                         dht::Network::Open(std::move(network)));
  dht::SpoolOptions spool;
  spool.directory = JoinPath(directory_, fmt::format("socket-{}", index));
  spool.files = &RealFileSystem();
  spool.clock = &SystemClock();
  spool.network = socket.network.get();
  // Of one device, for each that is here.
  spool.max_records *= devices_per_socket_;
  spool.max_bytes *= devices_per_socket_;
  spool.max_in_flight = 64;
  SHOAL_ASSIGN_OR_RETURN(socket.spool, dht::Spool::Open(std::move(spool)));
  return absl::OkStatus();
}

absl::StatusOr<agent::SharedLink> Sockets::LinkFor(
    size_t device, const agent::Membership& membership) {
  const size_t index = IndexOf(device);
  Socket& socket = *sockets_[index];
  std::lock_guard lock(socket.mutex);
  if (!socket.spool) SHOAL_RETURN_IF_ERROR(Open(socket, index, membership));
  agent::SharedLink link{socket.network.get(), socket.spool.get(), {}};
  // A device that has a socket to itself is as it would be in the field.
  if (devices_per_socket_ > 1)
    link.wrap_source = [source = socket.source](signing::Fetcher& own) {
      return source->Wrap(own);
    };
  return link;
}

void Sockets::Pushed(size_t device) {
  sockets_[IndexOf(device)]->source->Forget();
}

void Sockets::OfferTrust(size_t device,
                         const std::shared_ptr<const agent::TrustView>& trust) {
  if (!trust) return;
  std::string key = fmt::format("{}/{}/", trust->trust.root_version,
                                trust->trust.revoked_device_ids.size());
  key += trust->policy_sha256;
  for (const auto* list :
       {&trust->trust.director_keys, &trust->trust.device_ca_keys,
        &trust->trust.node_ca_keys})
    for (const std::string& one : *list) key += one;
  Socket& socket = *sockets_[IndexOf(device)];
  std::lock_guard lock(socket.mutex);
  if (key == socket.trust_key || !socket.network) return;
  socket.trust_key = key;
  socket.holder->Set(agent::TrustView(*trust));
  socket.network->SetResolver(agent::MakeResolver(socket.holder));
}

size_t Sockets::spooled() const {
  size_t records = 0;
  for (const auto& socket : sockets_) {
    std::lock_guard lock(socket->mutex);
    if (socket->spool) records += socket->spool->pending();
  }
  return records;
}

uint64_t Sockets::bytes_in() const {
  uint64_t bytes = 0;
  for (const auto& socket : sockets_) {
    std::lock_guard lock(socket->mutex);
    if (socket->network) bytes += socket->network->Stats().bytes_in;
  }
  return bytes;
}

uint64_t Sockets::bytes_out() const {
  uint64_t bytes = 0;
  for (const auto& socket : sockets_) {
    std::lock_guard lock(socket->mutex);
    if (socket->network) bytes += socket->network->Stats().bytes_out;
  }
  return bytes;
}

}  // namespace shoal::sim
