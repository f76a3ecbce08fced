// OpenDHT behind a small interface: the only file that includes its headers is
// dht_engine.cc. Runs dht::Dht itself, with our socket, our loop and our store
// policy; its exceptions end here.
#ifndef SHOAL_DHT_RECORDS_DHT_ENGINE_H_
#define SHOAL_DHT_RECORDS_DHT_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dht/records/address.h"

namespace shoal::dht {

// Not thread-safe: everything, callbacks included, happens on one thread.
// Values are serialised records throughout.
class DhtEngine {
 public:
  struct Options {
    bool node = false;
    std::string id;  // 20 bytes; empty: random
    bool has_ipv4 = true;
    bool has_ipv6 = false;
    Address bound;
    // Sends an OpenDHT packet; 0 or an errno value.
    std::function<int(const Address& to, std::string_view packet)> send;
    // Nodes: a peer wants `value` stored. The lifetime to keep it for, or
    // nullopt to refuse.
    std::function<std::optional<absl::Duration>(const std::string& place,
                                                const std::string& value,
                                                const Address& from)>
        accept;
    uint64_t max_store_bytes = 0;
  };
  using ValueCallback = std::function<void(const std::string& value)>;

  static absl::StatusOr<std::unique_ptr<DhtEngine>> Create(Options options);
  ~DhtEngine();

  // Does what is due and says how long it may rest.
  absl::Duration Periodic();
  absl::Duration Receive(const Address& from, const std::string& packet);

  void Ping(const Address& address);
  // Sends the value to the nodes whose ids are closest to `place`.
  void Put(const std::string& place, const std::string& value);
  // Keeps a value here for exactly `lifetime`. Nodes only.
  void Store(const std::string& place, const std::string& value,
             absl::Duration lifetime);
  // `done` comes after the last value, unless the network is gone for good.
  void Get(const std::string& place, ValueCallback value,
           std::function<void()> done);
  // Values there already and new ones; the same value may come more than once.
  uint64_t Listen(const std::string& place, ValueCallback value);
  void Cancel(uint64_t token);

  std::vector<std::string> Stored(const std::string& place) const;
  std::vector<std::string> StoredPlaces();
  size_t good_nodes() const;
  // The same nodes: id and address of each.
  std::vector<std::pair<std::string, Address>> GoodNodes() const;
  // Bytes and values held.
  std::pair<uint64_t, uint64_t> store_size() const;

 private:
  class Impl;
  explicit DhtEngine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_DHT_ENGINE_H_
