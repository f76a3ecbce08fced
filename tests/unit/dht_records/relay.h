// A UDP relay between clients and one node, which may lose what is large.
#ifndef SHOAL_TESTS_UNIT_DHT_RECORDS_RELAY_H_
#define SHOAL_TESTS_UNIT_DHT_RECORDS_RELAY_H_

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "dht/records/udp_socket.h"

namespace shoal::dht::testing {

// Each client has a socket of its own towards the node, so that the node takes
// clients for different ones. Has a thread.
class Relay {
 public:
  // Numeric "host:port" of the node; aborts the test when sockets fail.
  explicit Relay(const std::string& node);
  ~Relay();
  const std::string& address() const { return address_; }

  // Datagrams of at least so many bytes that come from the node are lost; 0:
  // none is.
  void LoseFromNode(size_t at_least) { lose_ = at_least; }
  int lost() const { return lost_; }

 private:
  void Run();
  const Address node_;
  UdpSocket front_;  // towards the clients
  std::string address_;
  std::map<Address, UdpSocket> backs_;  // by client
  std::atomic<size_t> lose_{0};
  std::atomic<int> lost_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace shoal::dht::testing

#endif  // SHOAL_TESTS_UNIT_DHT_RECORDS_RELAY_H_
