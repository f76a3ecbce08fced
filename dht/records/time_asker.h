// Time from storage nodes: nonce'd questions, answers signed by time keys
// (T26; docs/records.md). Knows nothing of who is right: see
// signing/verify/time_quorum.h.
#ifndef SHOAL_DHT_RECORDS_TIME_ASKER_H_
#define SHOAL_DHT_RECORDS_TIME_ASKER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/crypto/ed25519.h"
#include "dht/records/address.h"
#include "dht/records/network.h"
#include "shoal/records/v1/datagram.pb.h"

namespace shoal::dht {

inline constexpr size_t kTimeNonceSize = 16;

records::v1::TimeAnswer MakeTimeAnswer(const crypto::SigningKey& key,
                                       std::string_view fleet_id,
                                       std::string_view nonce, absl::Time now);

// A node signs no more answers a second, whoever asks.
inline constexpr double kTimeAnswersPerSecond = 200;

// One thread at a time.
class TimeAsker {
 public:
  struct Options {
    std::string fleet_id;
    std::function<absl::Duration()> monotonic;
    std::function<void(const Address&, const records::v1::Datagram&)> send;
    // Runs `task` at that moment; not after CancelAll().
    std::function<void(absl::Duration when, std::function<void()> task)> at;
  };
  explicit TimeAsker(Options options) : options_(std::move(options)) {}

  void Start(std::vector<Address> nodes, std::vector<std::string> keys,
             absl::Duration timeout, Network::TimeCallback done);
  void OnAnswer(const records::v1::TimeAnswer& answer);
  // Ends all with what they have.
  void CancelAll();

 private:
  struct Question {
    std::vector<Address> nodes;
    std::vector<std::string> keys;  // that have not answered
    size_t wanted = 0;              // samples, to end early
    absl::Duration deadline;
    std::vector<TimeSample> samples;
    Network::TimeCallback done;
  };
  struct Sent {
    uint64_t question;
    absl::Duration at;
  };
  void Ask(uint64_t id);
  void Finish(uint64_t id);

  const Options options_;
  std::map<uint64_t, Question> questions_;
  std::map<std::string, Sent> sent_;  // by nonce
  uint64_t next_id_ = 1;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_TIME_ASKER_H_
