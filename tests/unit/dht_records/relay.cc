#include "tests/unit/dht_records/relay.h"

#include <poll.h>

#include <utility>
#include <vector>

namespace shoal::dht::testing {
namespace {

constexpr int kBurst = 64;
constexpr int kTurnMs = 20;

}  // namespace

Relay::Relay(const std::string& node)
    : node_(Address::Parse(node).value()),
      front_(UdpSocket::Bind("127.0.0.1:0", "").value()),
      address_(front_.bound().front().ToString()),
      thread_([this] { Run(); }) {}

Relay::~Relay() {
  stop_ = true;
  thread_.join();
}

void Relay::Run() {
  while (!stop_) {
    std::vector<pollfd> waits;
    for (const int fd : front_.descriptors()) waits.push_back({fd, POLLIN, 0});
    for (const auto& [client, back] : backs_)
      for (const int fd : back.descriptors()) waits.push_back({fd, POLLIN, 0});
    (void)poll(waits.data(), waits.size(), kTurnMs);
    front_.Receive(kBurst, [this](const Address& from, std::string_view bytes) {
      auto it = backs_.find(from);
      if (it == backs_.end())
        it = backs_.emplace(from, UdpSocket::Bind("127.0.0.1:0", "").value())
                 .first;
      (void)it->second.Send(node_, bytes);
    });
    for (auto& [client, back] : backs_)
      back.Receive(kBurst,
                   [&, to = client](const Address&, std::string_view bytes) {
                     const size_t lose = lose_;
                     if (lose != 0 && bytes.size() >= lose)
                       ++lost_;
                     else
                       (void)front_.Send(to, bytes);
                   });
  }
}

}  // namespace shoal::dht::testing
