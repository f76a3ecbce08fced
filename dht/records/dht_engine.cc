#include "dht/records/dht_engine.h"

#include <opendht/dht.h>
#include <opendht/network_utils.h>
#include <opendht/value.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <map>
#include <set>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/records/record.h"

namespace shoal::dht {
namespace {

namespace od = ::dht;

// What travels. Everything else that a peer wants stored is refused.
constexpr od::ValueType::Id kRecordType = 0x5348;
// What a node holds. Another type than the wire's, with a lifetime of zero:
// OpenDHT then finds that a repeated put differs, asks our edit policy (never),
// and a "refresh" by anyone can't lengthen a life.
constexpr od::ValueType::Id kStoredType = 0x5349;
constexpr od::NetId kNetwork = 0x5348;
constexpr auto kPlaceholderLife = std::chrono::hours(24 * 3650);

od::SockAddr ToSockAddr(const Address& address) {
  sockaddr_storage storage;
  const socklen_t length = address.ToSockaddr(storage);
  return od::SockAddr(reinterpret_cast<sockaddr*>(&storage), length);
}

od::InfoHash ToKey(const std::string& place) {
  return od::InfoHash(reinterpret_cast<const uint8_t*>(place.data()),
                      place.size());
}

std::string ToText(const od::Blob& blob) { return {blob.begin(), blob.end()}; }

od::Value::Id IdOf(std::string_view value) {
  const uint64_t id = ReadBigEndian(RecordDigest(value), 8);
  return id == od::Value::INVALID_ID ? 1 : id;
}

std::shared_ptr<od::Value> MakeValue(od::ValueType::Id type,
                                     const std::string& value) {
  return std::make_shared<od::Value>(
      type, reinterpret_cast<const uint8_t*>(value.data()), value.size(),
      IdOf(value));
}

// Nothing but the record: no field of OpenDHT's that could carry more.
bool IsBare(const od::Value& value) {
  return !value.owner && value.cypher.empty() && value.signature.empty() &&
         value.user_type.empty() && value.seq == 0 && value.priority == 0 &&
         !value.recipient && value.data.size() <= kMaxRecordSize;
}

// A condition that every record fulfils (IsBare). OpenDHT answers a get from a
// listener's cache unless the listener asked for less, and what a push lost is
// missing there for ever: nodes send a listener each value once, three times
// within some seconds. With a condition it asked for less, as OpenDHT sees it,
// and the nodes are asked. Not by type: 2.4.12 applies the conditions of a
// listener to an empty value instead of the one that came.
od::Where AnyRecord() {
  od::Where where;
  where.userType("");
  return where;
}

class Socket final : public od::net::DatagramSocket {
 public:
  explicit Socket(const DhtEngine::Options& options)
      : send_(options.send),
        has4_(options.has_ipv4),
        has6_(options.has_ipv6),
        bound_(ToSockAddr(options.bound)) {}
  int sendTo(const od::SockAddr& to, const uint8_t* data, size_t size,
             bool) override {
    return send_(Address::From(to.get(), to.getLength()),
                 std::string_view(reinterpret_cast<const char*>(data), size));
  }
  bool hasIPv4() const override { return has4_; }
  bool hasIPv6() const override { return has6_; }
  const od::SockAddr& getBoundRef(sa_family_t) const override { return bound_; }
  void stop() override {}

 private:
  const std::function<int(const Address&, std::string_view)> send_;
  const bool has4_;
  const bool has6_;
  const od::SockAddr bound_;
};

}  // namespace

class DhtEngine::Impl {
 public:
  explicit Impl(Options options) : options_(std::move(options)) {
    od::Config config;
    if (!options_.id.empty()) config.node_id = ToKey(options_.id);
    config.network = kNetwork;
    config.max_req_per_sec = -1;
    config.max_peer_req_per_sec = -1;
    // Our own cap: OpenDHT's evicts without regard to our expiry.
    config.max_store_size = -1;
    config.max_store_keys = options_.node ? -1 : 1;
    dht_ = std::make_unique<od::Dht>(std::make_unique<Socket>(options_), config,
                                     std::shared_ptr<od::Logger>());
    RegisterTypes();
    // A client's one storage slot is taken by an empty value, so that its own
    // puts are not kept in its memory.
    if (!options_.node)
      Import(std::string(20, '\1'), "", std::chrono::hours(kPlaceholderLife));
  }

  od::Dht& dht() { return *dht_; }
  const od::Dht& dht() const { return *dht_; }

  // `call` with OpenDHT's exceptions logged.
  template <typename F>
  void Guard(const char* what, F&& call) {
    try {
      call();
    } catch (const std::exception& e) {
      LogError("dht_engine_failed", {{"call", what}, {"what", e.what()}});
    }
  }

  absl::Duration Step(const Address* from, const std::string* packet) {
    const od::time_point now = od::clock::now();
    od::time_point wake = now + std::chrono::seconds(1);
    Guard("periodic", [&] {
      wake = from ? dht_->periodic(
                        reinterpret_cast<const uint8_t*>(packet->data()),
                        packet->size(), ToSockAddr(*from), now)
                  : dht_->periodic(nullptr, 0, od::SockAddr(), now);
    });
    // Accepted in the policy, stored outside of OpenDHT's own loop.
    for (Accepted& value : std::exchange(accepted_, {}))
      Store(value.place, value.value, value.lifetime);
    return absl::FromChrono(std::max<od::clock::duration>(
        wake - od::clock::now(), od::clock::duration::zero()));
  }

  void Store(const std::string& place, const std::string& value,
             absl::Duration lifetime) {
    if (lifetime <= absl::ZeroDuration()) return;
    const auto life =
        absl::ToChronoMilliseconds(std::min(lifetime, absl::Hours(24 * 3650)));
    Guard("store", [&] { Import(place, value, life); });
    places_.insert(place);
    Notify(place, value);
  }

  // OpenDHT cancels a node's own local listening when one address family is
  // missing, so a node's listeners hear of local values from here.
  void Notify(const std::string& place, const std::string& value) {
    if (!options_.node) return;
    std::vector<ValueCallback> callbacks;
    const auto range = local_.equal_range(place);
    for (auto it = range.first; it != range.second; ++it)
      callbacks.push_back(it->second.callback);
    for (const auto& callback : callbacks) callback(value);
  }

  struct Listener {
    uint64_t token = 0;
    ValueCallback callback;
  };
  struct Listening {
    std::string place;
    size_t engine_token = 0;
  };

  const Options options_;
  std::unique_ptr<od::Dht> dht_;
  struct Accepted {
    std::string place;
    std::string value;
    absl::Duration lifetime;
  };
  std::vector<Accepted> accepted_;
  std::set<std::string> places_;
  std::multimap<std::string, Listener> local_;
  std::map<uint64_t, Listening> listening_;
  uint64_t next_token_ = 1;

 private:
  void RegisterTypes() {
    const auto refuse = [](od::InfoHash, std::shared_ptr<od::Value>&,
                           const od::InfoHash&,
                           const od::SockAddr&) { return false; };
    const auto never = [](od::InfoHash, const std::shared_ptr<od::Value>&,
                          std::shared_ptr<od::Value>&, const od::InfoHash&,
                          const od::SockAddr&) { return false; };
    // A client's filter lets no put through; a node must refuse every type by
    // itself, since OpenDHT stores what it does not know.
    if (options_.node)
      for (uint32_t id = 0; id <= 0xffff; ++id)
        dht_->registerType(od::ValueType(static_cast<od::ValueType::Id>(id), "",
                                         std::chrono::minutes(1), refuse,
                                         never));
    dht_->registerType(od::ValueType(
        kRecordType, "", std::chrono::minutes(10),
        [this](od::InfoHash key, std::shared_ptr<od::Value>& value,
               const od::InfoHash&, const od::SockAddr& from) {
          Consider(key, *value, from);
          return false;  // stored by ourselves, with the signed lifetime
        },
        never));
    SetStoredLife(od::duration::zero());
  }

  void Consider(const od::InfoHash& key, const od::Value& value,
                const od::SockAddr& from) {
    if (!options_.accept || !IsBare(value)) return;
    const std::string bytes = ToText(value.data);
    if (value.id != IdOf(bytes)) return;  // squatting on another record's id
    if (dht_->getStoreSize().first + bytes.size() > options_.max_store_bytes)
      return;
    const std::string place(reinterpret_cast<const char*>(key.data()),
                            key.size());
    const auto lifetime = options_.accept(
        place, bytes, Address::From(from.get(), from.getLength()));
    if (lifetime) accepted_.push_back({place, bytes, *lifetime});
  }

  void SetStoredLife(od::duration life) {
    dht_->registerType(od::ValueType(
        kStoredType, "", life,
        [](od::InfoHash, std::shared_ptr<od::Value>&, const od::InfoHash&,
           const od::SockAddr&) { return false; },
        [](od::InfoHash, const std::shared_ptr<od::Value>&,
           std::shared_ptr<od::Value>&, const od::InfoHash&,
           const od::SockAddr&) { return false; }));
  }

  void Import(const std::string& place, const std::string& value,
              std::chrono::milliseconds life) {
    msgpack::sbuffer buffer;
    msgpack::packer<msgpack::sbuffer> packer(&buffer);
    packer.pack_array(1);
    packer.pack_array(2);
    packer.pack(od::clock::now().time_since_epoch().count());
    MakeValue(kStoredType, value)->msgpack_pack(packer);
    // Only for this call: see kStoredType.
    SetStoredLife(life);
    dht_->importValues(
        {{ToKey(place),
          od::Blob(buffer.data(), buffer.data() + buffer.size())}});
    SetStoredLife(od::duration::zero());
  }
};

DhtEngine::DhtEngine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DhtEngine::~DhtEngine() = default;

absl::StatusOr<std::unique_ptr<DhtEngine>> DhtEngine::Create(Options options) {
  try {
    return std::unique_ptr<DhtEngine>(
        new DhtEngine(std::make_unique<Impl>(std::move(options))));
  } catch (const std::exception& e) {
    return Internal("dht_engine_failed", e.what());
  }
}

absl::Duration DhtEngine::Periodic() { return impl_->Step(nullptr, nullptr); }

absl::Duration DhtEngine::Receive(const Address& from,
                                  const std::string& packet) {
  return impl_->Step(&from, &packet);
}

void DhtEngine::Ping(const Address& address) {
  impl_->Guard("ping", [&] { impl_->dht().pingNode(ToSockAddr(address)); });
}

void DhtEngine::Put(const std::string& place, const std::string& value) {
  impl_->Guard("put", [&] {
    impl_->dht().put(ToKey(place), MakeValue(kRecordType, value),
                     od::DoneCallback{});
  });
}

void DhtEngine::Store(const std::string& place, const std::string& value,
                      absl::Duration lifetime) {
  impl_->Store(place, value, lifetime);
}

void DhtEngine::Get(const std::string& place, ValueCallback value,
                    std::function<void()> done) {
  impl_->Guard("get", [&] {
    impl_->dht().get(
        ToKey(place),
        [value](const std::vector<std::shared_ptr<od::Value>>& values) {
          for (const auto& v : values)
            if (v->data.size() <= kMaxRecordSize) value(ToText(v->data));
          return true;
        },
        od::DoneCallback(
            [done](bool, const std::vector<std::shared_ptr<od::Node>>&) {
              done();
            }));
  });
}

uint64_t DhtEngine::Listen(const std::string& place, ValueCallback value) {
  Impl& impl = *impl_;
  const uint64_t token = impl.next_token_++;
  impl.local_.emplace(place, Impl::Listener{token, value});
  impl.listening_[token] = {place, 0};
  for (const std::string& held : Stored(place)) value(held);
  impl.Guard("listen", [&] {
    impl.listening_[token].engine_token = impl.dht().listen(
        ToKey(place),
        od::ValueCallback(
            [this, token, value](
                const std::vector<std::shared_ptr<od::Value>>& values,
                bool expired) {
              if (expired || !impl_->listening_.contains(token)) return true;
              for (const auto& v : values)
                if (v->data.size() <= kMaxRecordSize) value(ToText(v->data));
              return true;
            }),
        {}, AnyRecord());
  });
  return token;
}

void DhtEngine::Cancel(uint64_t token) {
  Impl& impl = *impl_;
  const auto it = impl.listening_.find(token);
  if (it == impl.listening_.end()) return;
  const Impl::Listening listening = it->second;
  impl.listening_.erase(it);
  const auto range = impl.local_.equal_range(listening.place);
  for (auto local = range.first; local != range.second; ++local) {
    if (local->second.token != token) continue;
    impl.local_.erase(local);
    break;
  }
  if (listening.engine_token != 0)
    impl.Guard("cancel", [&] {
      impl.dht().cancelListen(ToKey(listening.place), listening.engine_token);
    });
}

std::vector<std::string> DhtEngine::Stored(const std::string& place) const {
  std::vector<std::string> result;
  if (!impl_->options_.node) return result;
  impl_->Guard("stored", [&] {
    for (const auto& value : impl_->dht().getLocal(ToKey(place)))
      result.push_back(ToText(value->data));
  });
  return result;
}

std::vector<std::string> DhtEngine::StoredPlaces() {
  std::erase_if(impl_->places_, [this](const std::string& place) {
    return impl_->dht().getLocal(ToKey(place)).empty();
  });
  return {impl_->places_.begin(), impl_->places_.end()};
}

size_t DhtEngine::good_nodes() const {
  return impl_->dht().getNodesStats(AF_INET).good_nodes +
         impl_->dht().getNodesStats(AF_INET6).good_nodes;
}

std::vector<std::pair<std::string, Address>> DhtEngine::GoodNodes() const {
  std::vector<std::pair<std::string, Address>> nodes;
  for (const od::NodeExport& node : impl_->dht().exportNodes())
    nodes.emplace_back(
        std::string(reinterpret_cast<const char*>(node.id.data()),
                    node.id.size()),
        Address::From(reinterpret_cast<const sockaddr*>(&node.ss), node.sslen));
  return nodes;
}

std::pair<uint64_t, uint64_t> DhtEngine::store_size() const {
  if (!impl_->options_.node) return {0, 0};
  const auto [bytes, values] = impl_->dht().getStoreSize();
  return {bytes, values};
}

}  // namespace shoal::dht
