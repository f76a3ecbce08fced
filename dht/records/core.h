// The inside of Network: one thread that owns the socket, OpenDHT and all
// state. Other threads only post tasks to it.
#ifndef SHOAL_DHT_RECORDS_CORE_H_
#define SHOAL_DHT_RECORDS_CORE_H_

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/budget.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "dht/records/address.h"
#include "dht/records/admission.h"
#include "dht/records/dht_engine.h"
#include "dht/records/found_records.h"
#include "dht/records/key_ring.h"
#include "dht/records/network.h"
#include "dht/records/publisher.h"
#include "dht/records/time_asker.h"
#include "dht/records/udp_socket.h"

namespace shoal::dht {

// Tasks for the network's thread. Shared, so that a store hook may answer
// after the Network is gone. Thread-safe.
class Mailbox {
 public:
  static absl::StatusOr<std::shared_ptr<Mailbox>> Create();
  // Lost when closed.
  void Post(std::function<void()> task);
  std::vector<std::function<void()>> Take();
  void Close();  // forgets what waits and all that comes
  int descriptor() const { return event_.get(); }

 private:
  FileDescriptor event_;
  std::mutex mutex_;
  bool closed_ = false;
  std::vector<std::function<void()>> tasks_;
};

class Network::Core {
 public:
  static absl::StatusOr<std::unique_ptr<Core>> Create(NetworkOptions options);
  ~Core();

  Mailbox& mailbox() { return *mailbox_; }
  const std::vector<Address>& bound() const { return socket_.bound(); }
  NetworkStats Stats() const;
  bool OnOwnThread() const {
    return std::this_thread::get_id() == own_thread_.load();
  }
  bool is_node() const { return options_.role == NetworkRole::kNode; }
  ListenToken NewToken() { return next_token_++; }

  // On the network's thread:
  void Put(std::string record, const PutOptions& options, bool announce,
           PutCallback done);
  void Get(const std::string& place, absl::Duration timeout, GetCallback done);
  void Listen(ListenToken token, const std::string& place,
              ListenCallback callback);
  void Cancel(ListenToken token);
  void AskTime(std::vector<std::string> keys, absl::Duration timeout,
               TimeCallback done);
  void SetDirectory(const records::v1::NodeDirectory& directory);
  void SetNetworkKeys(const std::vector<pairing::v1::NetworkKey>& keys,
                      const std::vector<pairing::v1::NetworkKey>& retired);
  void SetClientCredential(const crypto::SigningKey* key,
                           const records::v1::Credential& credential);
  std::map<std::string, uint32_t> HeardEpochs() const;  // any thread
  void SetPlaceKey(const std::string& place_key);
  void SetResolver(WriterResolver resolver);
  absl::Status StoreLocal(const std::string& record);
  void ForEachLocal(const std::function<void(const std::string&)>& each);
  bool Connected() const { return engine_->good_nodes() > 0; }
  void WhenConnected(absl::Duration deadline, std::function<void(bool)> done);

 private:
  struct Listening {
    std::string place;
    ListenCallback callback;
    uint64_t engine_token = 0;
    // When OpenDHT last handed out anything, known or not.
    absl::Duration heard = -absl::InfiniteDuration();
    std::set<std::string> seen;                  // digests given out
    std::deque<std::string> recent;              // the newest of them
    std::map<std::string, std::string> refused;  // digest → record
    // There were more than are kept: the place is looked up once the trust
    // changes.
    bool refused_more = false;
  };
  struct Getting {
    std::string place;
    FoundRecords found;
    GetCallback done;
  };
  struct Heard {
    uint32_t epoch = 0;
    absl::Duration at;
    absl::Duration bootstrap_at = -absl::InfiniteDuration();
  };
  struct Probe {
    absl::Duration next;
    absl::Duration pause;
  };
  struct Question {
    std::string nonce;
    absl::Duration at;
  };
  struct Counters {
    std::atomic<uint64_t> connected{0}, known{0}, admitted{0}, dropped{0},
        filtered{0}, refused{0}, packets_in{0}, packets_out{0}, bytes_in{0},
        bytes_out{0}, stored_values{0}, stored_bytes{0}, retired{0};
  };

  Core(NetworkOptions options, UdpSocket socket,
       std::shared_ptr<Mailbox> mailbox);
  absl::Status Start();
  void Run();
  void Finish();

  // Time.
  static absl::Duration Now();
  void At(absl::Duration when, std::function<void()> task);
  absl::Duration RunTimers();
  void Maintain();
  void Publish();  // the numbers of Stats()
  std::vector<Address> MissingNodes() const;
  void ReachOut();

  // Datagrams.
  int SendUnder(uint32_t epoch, const Address& to, Channel channel,
                std::string_view payload);
  int SendSealed(const Address& to, Channel channel, std::string_view payload);
  int SendOpenDht(const Address& to, std::string_view packet);
  void SendDatagram(const Address& to, const records::v1::Datagram& datagram);
  void OnDatagram(const Address& from, std::string_view datagram);
  void OnOpenDht(const Address& from, std::string packet);
  void OnShoal(const Address& from, uint32_t epoch, const std::string& payload);
  void OnRetired(const Address& from, const OpenedDatagram& opened);
  void OnGrantRequest(const Address& from, uint32_t epoch, size_t size,
                      const records::v1::GrantRequest& request);
  std::string GrantNonce(const Address& address) const;
  std::string GrantRequestTo(const Address& address) const;
  void OnGrantReply(const Address& from, const records::v1::GrantReply& reply);
  void MaybeAskForGrant();
  std::vector<Address> SomeMissing(size_t most);
  void AskUnder(uint32_t epoch, const Address& address);
  void ProbeNewest();
  // core_heard.cc
  void ProveHome();
  void OnHomeAnswer(const Address& from, uint32_t epoch,
                    const records::v1::Receipt& receipt);
  void OnConfirm(const Address& from, const records::v1::Confirm& confirm);
  void Answer(const Address& from, const records::v1::Confirm& confirm,
              const absl::StatusOr<absl::Time>& until);
  void OnTimeRequest(const Address& from, const records::v1::TimeRequest& ask);
  bool PassForNode(const Address& from, const struct PacketInfo& info,
                   bool& mark);
  bool PassForClient(const Address& from, const struct PacketInfo& info,
                     bool& mark);

  // Records.
  absl::StatusOr<VerifiedRecord> Verify(std::string_view bytes);
  std::optional<absl::Duration> Accept(const std::string& place,
                                       const std::string& value,
                                       const Address& from);
  void Deliver(ListenToken token, const std::string& value);
  // core_missed.cc. `since`: before OpenDHT was given the push.
  void OnPush(const std::string& place, absl::Duration since);
  void LookForMissed(const std::string& place, absl::Duration since);
  void FinishGet(uint64_t id);

  NetworkOptions options_;
  UdpSocket socket_;
  const std::shared_ptr<Mailbox> mailbox_;
  KeyRing keys_;
  std::optional<PlaceNamer> places_;
  std::unique_ptr<DhtEngine> engine_;
  std::unique_ptr<Admission> admission_;  // nodes only
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<TimeAsker> time_asker_;
  Budget time_budget_{kTimeAnswersPerSecond, kTimeAnswersPerSecond};

  std::map<Address, std::string> trusted_;  // address → OpenDHT id, or ""
  std::set<Address> bootstrap_;             // of the options; never changes
  std::set<std::string> reserved_ids_;
  std::map<Address, Heard> heard_;
  std::map<ListenToken, Listening> listening_;
  std::map<uint64_t, Getting> getting_;
  std::set<std::string> pushed_;  // places; whether a record came is open
  std::multimap<absl::Duration, std::function<void()>> timers_;
  std::map<Address, Probe> probes_;  // of the newest network key
  // How many steps below the newest network key to send to the unheard.
  size_t epoch_steps_ = 0;
  size_t missing_turn_ = 0;
  // Of `bootstrap`: by epoch what was asked, and the last that answered.
  std::map<Address, std::map<uint32_t, Question>> asked_;
  mutable std::mutex proven_mutex_;
  std::map<std::string, uint32_t> proven_;
  // Clients: grant requests under way (core_grants.cc). Every node has a nonce
  // of its own, and each request one answer.
  const std::string grant_secret_ = crypto::RandomBytes(32);
  std::set<Address> grant_asked_;
  absl::Duration missing_since_ = absl::InfiniteDuration();
  absl::Duration next_grant_request_ = absl::ZeroDuration();
  absl::Duration grant_pause_;
  // Nodes: grant requests looked at in this second.
  absl::Duration grant_second_ = absl::ZeroDuration();
  int grants_this_second_ = 0;
  uint64_t next_get_ = 1;
  std::atomic<uint64_t> next_token_{1};
  absl::Duration last_reach_out_ = -absl::InfiniteDuration();
  int reach_outs_ = 0;
  size_t last_missing_ = 0;
  absl::Duration publisher_due_ = absl::InfiniteDuration();

  mutable Counters counters_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::thread::id> own_thread_{};
  std::thread thread_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_CORE_H_
