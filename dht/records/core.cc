#include "dht/records/core.h"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "common/crypto/secret.h"
#include "common/status.h"

namespace shoal::dht {
namespace {

constexpr absl::Duration kMaxRest = absl::Seconds(1);
constexpr int kReceiveBurst = 128;

absl::Status Bad(std::string_view what) {
  return InvalidArgument("bad_network_options", what);
}

absl::Status Check(const NetworkOptions& options) {
  if (options.fleet_id.size() != kDigestSize)
    return Bad("fleet_id has not 32 bytes");
  if (!options.clock) return Bad("no clock");
  if (!options.resolver) return Bad("no resolver");
  if (!options.place_key.empty() && options.place_key.size() != kPlaceKeySize)
    return Bad("place_key has not 32 bytes");
  for (const std::string& address : options.bootstrap)
    SHOAL_RETURN_IF_ERROR(Address::Parse(address));
  if (options.role != NetworkRole::kNode) return absl::OkStatus();
  if (!options.identity || options.identity->id.empty())
    return Bad("a node without identity");
  if (!options.verify_node) return Bad("a node without verify_node");
  if (!options.hooks.on_store || !options.hooks.on_confirm)
    return Bad("a node without store hooks");
  return absl::OkStatus();
}

}  // namespace

Network::Core::Core(NetworkOptions options, UdpSocket socket,
                    std::shared_ptr<Mailbox> mailbox)
    : options_(std::move(options)),
      socket_(std::move(socket)),
      mailbox_(std::move(mailbox)) {}

absl::StatusOr<std::unique_ptr<Network::Core>> Network::Core::Create(
    NetworkOptions options) {
  SHOAL_RETURN_IF_ERROR(Check(options));
  SHOAL_ASSIGN_OR_RETURN(
      UdpSocket socket,
      UdpSocket::Bind(options.bind_address, options.second_bind_address));
  SHOAL_ASSIGN_OR_RETURN(auto mailbox, Mailbox::Create());
  std::unique_ptr<Core> core(
      new Core(std::move(options), std::move(socket), std::move(mailbox)));
  SHOAL_RETURN_IF_ERROR(core->Start());
  return core;
}

absl::Status Network::Core::Start() {
  SHOAL_RETURN_IF_ERROR(keys_.SetKeys(options_.keys));
  for (auto& key : options_.keys) crypto::Wipe(*key.mutable_key());
  options_.keys.clear();
  keys_.SetRetired(options_.retired_keys);
  for (auto& key : options_.retired_keys) crypto::Wipe(*key.mutable_key());
  options_.retired_keys.clear();
  SetPlaceKey(options_.place_key);
  crypto::Wipe(options_.place_key);

  Publisher::Options publisher;
  publisher.fleet_id = options_.fleet_id;
  publisher.monotonic = Now;
  publisher.send = [this](const Address& to, const auto& datagram) {
    SendDatagram(to, datagram);
  };
  publisher.put = [this](const std::string& place, const std::string& value) {
    engine_->Put(place, value);
    // OpenDHT keeps what a node puts for its own idea of a lifetime.
    if (is_node())
      if (auto record = Verify(value); record.ok())
        engine_->Store(place, value,
                       KeepUntil(record->body, options_.clock->WallNow()) -
                           options_.clock->WallNow());
  };
  publisher.connected = [this] { return Connected(); };
  publisher.ping = [this](const Address& to) { engine_->Ping(to); };
  if (is_node())
    publisher.confirm_self = [this](const std::string& place,
                                    const std::string& digest,
                                    std::function<void(bool)> reply) {
      options_.hooks.on_confirm(
          place, digest,
          [mailbox = mailbox_, reply](absl::StatusOr<absl::Time> until) {
            mailbox->Post([reply, ok = until.ok()] { reply(ok); });
          });
    };
  publisher_ = std::make_unique<Publisher>(std::move(publisher));

  TimeAsker::Options time;
  time.fleet_id = options_.fleet_id;
  time.monotonic = Now;
  time.send = [this](const Address& to, const auto& datagram) {
    SendDatagram(to, datagram);
  };
  time.at = [this](absl::Duration when, std::function<void()> task) {
    At(when, std::move(task));
  };
  time_asker_ = std::make_unique<TimeAsker>(std::move(time));

  if (is_node()) {
    Admission::Options admission;
    admission.fleet_id = options_.fleet_id;
    admission.key = &options_.identity->key;
    admission.credential = options_.identity->credential;
    admission.verify_node = options_.verify_node;
    admission.clock = options_.clock;
    admission.monotonic = Now;
    admission.send = [this](const Address& to, const auto& datagram) {
      SendDatagram(to, datagram);
    };
    // Once both sides take each other for nodes, they may talk.
    const auto meet = [this](const Address& peer) {
      if (admission_->Proven(peer) && admission_->AdmittedId(peer))
        engine_->Ping(peer);
    };
    admission.on_proven = meet;
    admission.on_admitted = meet;
    admission_ = std::make_unique<Admission>(std::move(admission));
  }

  DhtEngine::Options engine;
  engine.node = is_node();
  if (is_node()) engine.id = NodeDhtId(options_.identity->key.public_key());
  engine.has_ipv4 = socket_.Has(AF_INET);
  engine.has_ipv6 = socket_.Has(AF_INET6);
  engine.bound = socket_.bound().front();
  engine.send = [this](const Address& to, std::string_view packet) {
    return SendOpenDht(to, packet);
  };
  engine.accept = [this](const std::string& place, const std::string& value,
                         const Address& from) {
    return Accept(place, value, from);
  };
  engine.max_store_bytes = options_.max_store_bytes;
  SHOAL_ASSIGN_OR_RETURN(engine_, DhtEngine::Create(std::move(engine)));

  for (const std::string& text : options_.bootstrap)
    if (const auto address = Address::Parse(text); address.ok())
      bootstrap_.insert(*address);
  SetDirectory(options_.directory);
  At(Now(), [this] { Maintain(); });
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

Network::Core::~Core() {
  if (!thread_.joinable()) return;
  mailbox_->Post([this] { stopping_ = true; });
  thread_.join();
}

absl::Duration Network::Core::Now() { return SystemClock().MonotonicNow(); }

void Network::Core::At(absl::Duration when, std::function<void()> task) {
  timers_.emplace(when, std::move(task));
}

absl::Duration Network::Core::RunTimers() {
  while (!timers_.empty() && timers_.begin()->first <= Now()) {
    auto task = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    task();
  }
  if (Now() >= publisher_due_) publisher_due_ = publisher_->Tick();
  const absl::Duration next =
      timers_.empty() ? absl::InfiniteDuration() : timers_.begin()->first;
  return std::min(next, publisher_due_);
}

void Network::Core::Run() {
  own_thread_ = std::this_thread::get_id();
  std::vector<pollfd> waits;
  waits.push_back({mailbox_->descriptor(), POLLIN, 0});
  for (const int fd : socket_.descriptors()) waits.push_back({fd, POLLIN, 0});
  while (!stopping_) {
    const absl::Duration wake = Now() + engine_->Periodic();
    Publish();
    const absl::Duration rest = std::clamp(std::min(wake, RunTimers()) - Now(),
                                           absl::ZeroDuration(), kMaxRest);
    // Up, so that a timer in 0.3 ms is no busy loop.
    const int milliseconds = static_cast<int>(
        absl::ToInt64Milliseconds(rest + absl::Microseconds(999)));
    (void)poll(waits.data(), waits.size(), milliseconds);
    for (const auto& task : mailbox_->Take()) task();
    socket_.Receive(kReceiveBurst,
                    [this](const Address& from, std::string_view datagram) {
                      OnDatagram(from, datagram);
                    });
  }
  Finish();
}

void Network::Core::Finish() {
  for (const auto& task : mailbox_->Take()) task();
  publisher_->CancelAll();
  time_asker_->CancelAll();
  while (!getting_.empty()) FinishGet(getting_.begin()->first);
  mailbox_->Close();
  listening_.clear();
  timers_.clear();
  engine_.reset();
}

void Network::Core::Publish() {
  counters_.connected = engine_->good_nodes();
  counters_.admitted = admission_ ? admission_->admitted() : 0;
  const auto [bytes, values] = engine_->store_size();
  counters_.stored_bytes = bytes;
  counters_.stored_values = values;
}

NetworkStats Network::Core::Stats() const {
  NetworkStats stats;
  stats.connected_nodes = counters_.connected;
  stats.known_nodes = counters_.known;
  stats.admitted_nodes = counters_.admitted;
  stats.dropped_datagrams = counters_.dropped;
  stats.retired_datagrams = counters_.retired;
  stats.filtered_packets = counters_.filtered;
  stats.refused_records = counters_.refused;
  stats.packets_in = counters_.packets_in;
  stats.packets_out = counters_.packets_out;
  stats.bytes_in = counters_.bytes_in;
  stats.bytes_out = counters_.bytes_out;
  stats.stored_values = counters_.stored_values;
  stats.stored_bytes = counters_.stored_bytes;
  return stats;
}

}  // namespace shoal::dht
