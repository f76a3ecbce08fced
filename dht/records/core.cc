#include "dht/records/core.h"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::dht {
namespace {

constexpr absl::Duration kMaxRest = absl::Seconds(1);
constexpr absl::Duration kMaintenance = absl::Seconds(1);
// Between pings to directory nodes while some are missing: a second after
// each change, doubled up to these.
constexpr absl::Duration kAlonePause = absl::Seconds(4);
constexpr absl::Duration kNodeRecheck = absl::Seconds(30);
constexpr absl::Duration kClientRecheck = absl::Minutes(5);
constexpr int kMaxDoublings = 9;
constexpr absl::Duration kConnectPoll = absl::Milliseconds(25);
constexpr int kReceiveBurst = 128;
constexpr size_t kMaxSeen = 8192;
constexpr size_t kMaxRecent = 64;
constexpr size_t kMaxRefused = 64;

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
                       absl::FromUnixSeconds(record->body.expires()) -
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

void Network::Core::Maintain() {
  At(Now() + kMaintenance, [this] { Maintain(); });
  if (admission_) admission_->Tick();
  ReachOut();
  std::erase_if(heard_, [now = Now()](const auto& entry) {
    return now - entry.second.at > kAdmissionLifetime;
  });
}

// Keeps knocking at the directory's doors: OpenDHT itself only knows nodes
// that it has heard of.
void Network::Core::ReachOut() {
  const size_t good = engine_->good_nodes();
  if (good != last_good_) reach_outs_ = 0;
  last_good_ = good;
  if (good > 0 && good >= trusted_.size()) return;
  const absl::Duration most = good == 0   ? kAlonePause
                              : is_node() ? kNodeRecheck
                                          : kClientRecheck;
  const absl::Duration pause =
      std::min(kMaintenance * (1 << reach_outs_), most);
  if (Now() - last_reach_out_ < pause - absl::Milliseconds(100)) return;
  last_reach_out_ = Now();
  reach_outs_ = std::min(reach_outs_ + 1, kMaxDoublings);
  for (const auto& [address, id] : trusted_) engine_->Ping(address);
}

void Network::Core::SetDirectory(const records::v1::NodeDirectory& directory) {
  trusted_.clear();
  reserved_ids_.clear();
  std::vector<StorageNode> nodes;
  const std::string self = is_node() ? options_.identity->id : "";
  if (is_node())
    reserved_ids_.insert(NodeDhtId(options_.identity->key.public_key()));
  for (const auto& entry : directory.nodes()) {
    if (entry.id() == self) continue;
    const auto address = Address::Parse(entry.dht_address());
    if (!address.ok() || entry.id().empty() ||
        entry.public_key().size() != crypto::kEd25519PublicKeySize) {
      LogWarn("bad_directory_entry", {{"node", HexEncode(entry.id())}});
      continue;
    }
    const std::string dht_id = NodeDhtId(entry.public_key());
    trusted_[*address] = dht_id;
    reserved_ids_.insert(dht_id);
    nodes.push_back({*address, entry.id(), entry.public_key(), dht_id});
  }
  for (const std::string& text : options_.bootstrap) {
    const auto address = Address::Parse(text);
    if (!address.ok()) continue;
    const auto& own = socket_.bound();
    if (std::find(own.begin(), own.end(), *address) != own.end()) continue;
    trusted_.try_emplace(*address, "");
    if (directory.nodes().empty()) nodes.push_back({*address, "", "", ""});
  }
  if (admission_) {
    std::vector<Address> peers;
    for (const auto& [address, id] : trusted_) peers.push_back(address);
    admission_->SetPeers(std::move(peers));
    admission_->Tick();
  }
  counters_.known = trusted_.size();
  publisher_->SetNodes(std::move(nodes));
  last_reach_out_ = -absl::InfiniteDuration();
  reach_outs_ = 0;
  ReachOut();
}

void Network::Core::SetNetworkKeys(
    const std::vector<pairing::v1::NetworkKey>& keys) {
  const absl::Status status = keys_.SetKeys(keys);
  if (!status.ok()) LogError("network_keys_refused", {{"error", status}});
}

void Network::Core::SetPlaceKey(const std::string& place_key) {
  if (place_key.size() == kPlaceKeySize) places_.emplace(place_key);
}

void Network::Core::SetResolver(WriterResolver resolver) {
  options_.resolver = std::move(resolver);
  std::vector<ListenToken> tokens;
  for (const auto& [token, listening] : listening_) tokens.push_back(token);
  for (const ListenToken token : tokens) {
    const auto it = listening_.find(token);
    if (it == listening_.end()) continue;
    for (const auto& [digest, value] : std::exchange(it->second.refused, {}))
      Deliver(token, value);
  }
}

void Network::Core::Put(std::string record, const PutOptions& options,
                        bool announce, PutCallback done) {
  if (!done) done = [](const absl::StatusOr<PutResult>&) {};
  records::v1::Record parsed;
  RecordBody body;
  if (record.size() > kMaxRecordSize || !parsed.ParseFromString(record) ||
      !body.ParseFromString(parsed.body()) ||
      body.place().size() != kPlaceSize) {
    done(InvalidArgument("bad_record", "not a serialised Record"));
    return;
  }
  if (is_node() && !announce) {
    auto verified = Verify(record);
    if (!verified.ok()) {
      done(verified.status());
      return;
    }
    if (!options_.hooks.on_store(*verified, "")) {
      done(ResourceExhausted("store_refused",
                             "this node's store refused the record"));
      return;
    }
  }
  const std::string digest = RecordDigest(record);
  publisher_->Start(std::move(record), body.place(), digest, options,
                    is_node() && !announce, std::move(done));
  publisher_due_ = absl::ZeroDuration();
}

void Network::Core::WhenConnected(absl::Duration deadline,
                                  std::function<void(bool)> done) {
  if (Connected() || Now() >= deadline) {
    done(Connected());
    return;
  }
  At(Now() + kConnectPoll, [this, deadline, done = std::move(done)]() mutable {
    WhenConnected(deadline, std::move(done));
  });
}

void Network::Core::Get(const std::string& place, absl::Duration timeout,
                        GetCallback done) {
  const uint64_t id = next_get_++;
  Getting& started = getting_[id] = {place, {}, std::move(done)};
  // OpenDHT answers a get at a place that it listens at from its listener's
  // cache, which does not hold our values: what we heard belongs to the answer.
  for (const auto& [token, listening] : listening_) {
    if (listening.place != place) continue;
    for (const std::string& value : listening.recent)
      if (auto record = Verify(value); record.ok())
        started.found.try_emplace(record->digest, *record);
  }
  const absl::Duration deadline = Now() + timeout;
  At(deadline, [this, id] { FinishGet(id); });
  WhenConnected(deadline, [this, id](bool) {
    const auto it = getting_.find(id);
    if (it == getting_.end()) return;
    engine_->Get(
        it->second.place,
        [this, id](const std::string& value) {
          const auto getting = getting_.find(id);
          if (getting == getting_.end()) return;
          auto record = Verify(value);
          if (record.ok() && record->body.place() == getting->second.place)
            getting->second.found.try_emplace(record->digest, *record);
        },
        [this, id] { FinishGet(id); });
  });
}

void Network::Core::FinishGet(uint64_t id) {
  const auto it = getting_.find(id);
  if (it == getting_.end()) return;
  Getting getting = std::move(it->second);
  getting_.erase(it);
  std::vector<VerifiedRecord> records;
  for (auto& [digest, record] : getting.found)
    records.push_back(std::move(record));
  std::stable_sort(records.begin(), records.end(),
                   [](const VerifiedRecord& a, const VerifiedRecord& b) {
                     return a.body.version() > b.body.version();
                   });
  if (getting.done) getting.done(std::move(records));
}

void Network::Core::Listen(ListenToken token, const std::string& place,
                           ListenCallback callback) {
  listening_[token] = {place, std::move(callback), 0, {}, {}, {}};
  const uint64_t engine_token = engine_->Listen(
      place,
      [this, token](const std::string& value) { Deliver(token, value); });
  const auto it = listening_.find(token);
  if (it != listening_.end()) {
    it->second.engine_token = engine_token;
  } else {
    engine_->Cancel(engine_token);  // cancelled by its first callback
  }
}

void Network::Core::Deliver(ListenToken token, const std::string& value) {
  const auto it = listening_.find(token);
  if (it == listening_.end()) return;
  Listening& listening = it->second;
  const std::string digest = RecordDigest(value);
  if (listening.seen.contains(digest) || listening.refused.contains(digest))
    return;
  auto record = Verify(value);
  if (!record.ok() || record->body.place() != listening.place) {
    if (listening.refused.size() < kMaxRefused)
      listening.refused.emplace(digest, value);
    return;
  }
  // A crowded place that changes a lot: some records may come twice then.
  if (listening.seen.size() >= kMaxSeen) listening.seen.clear();
  listening.seen.insert(digest);
  listening.recent.push_back(value);
  if (listening.recent.size() > kMaxRecent) listening.recent.pop_front();
  const ListenCallback callback = listening.callback;  // it may cancel itself
  callback(*record);
}

void Network::Core::Cancel(ListenToken token) {
  const auto it = listening_.find(token);
  if (it == listening_.end()) return;
  const uint64_t engine_token = it->second.engine_token;
  listening_.erase(it);
  if (engine_token != 0) engine_->Cancel(engine_token);
}

absl::StatusOr<VerifiedRecord> Network::Core::Verify(std::string_view bytes) {
  auto record =
      VerifyRecord(bytes, {options_.fleet_id, places_ ? &*places_ : nullptr,
                           options_.resolver, options_.clock->WallNow()});
  if (!record.ok()) {
    ++counters_.refused;
    LogDebug("record_refused", {{"error", record.status()}});
  }
  return record;
}

std::optional<absl::Duration> Network::Core::Accept(const std::string& place,
                                                    const std::string& value,
                                                    const Address& from) {
  const auto record = Verify(value);
  if (!record.ok()) return std::nullopt;
  if (record->body.place() != place ||
      !options_.hooks.on_store(*record, from.ToString())) {
    ++counters_.refused;
    return std::nullopt;
  }
  return absl::FromUnixSeconds(record->body.expires()) -
         options_.clock->WallNow();
}

absl::Status Network::Core::StoreLocal(const std::string& record) {
  if (!is_node())
    return FailedPrecondition("not_a_node", "only nodes keep records");
  SHOAL_ASSIGN_OR_RETURN(const VerifiedRecord verified, Verify(record));
  if (engine_->store_size().first + record.size() > options_.max_store_bytes)
    return ResourceExhausted("store_full", "no memory left for records");
  engine_->Store(verified.body.place(), record,
                 absl::FromUnixSeconds(verified.body.expires()) -
                     options_.clock->WallNow());
  return absl::OkStatus();
}

void Network::Core::ForEachLocal(
    const std::function<void(const std::string&)>& each) {
  for (const std::string& place : engine_->StoredPlaces())
    for (const std::string& record : engine_->Stored(place)) each(record);
}

NetworkStats Network::Core::Stats() const {
  NetworkStats stats;
  stats.connected_nodes = counters_.connected;
  stats.known_nodes = counters_.known;
  stats.admitted_nodes = counters_.admitted;
  stats.dropped_datagrams = counters_.dropped;
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
