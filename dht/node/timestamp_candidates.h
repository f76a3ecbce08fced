// Timestamps that somebody announced and that may be newer than the one in
// force. Anybody who may write a HEAD can announce anything under any number,
// so several wait side by side: one that nobody signed, or that a key signed
// which the fleet has lost, keeps no honest one from its turn (T05, T41).
#ifndef SHOAL_DHT_NODE_TIMESTAMP_CANDIDATES_H_
#define SHOAL_DHT_NODE_TIMESTAMP_CANDIDATES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::dht::node {

// Not thread-safe.
class TimestampCandidates {
 public:
  // Of one writer (public key), each of those that seem signed and of those
  // that don't.
  static constexpr size_t kMaxOfWriter = 4;
  static constexpr size_t kMaxWriters = 8;
  static constexpr size_t kMaxWaiting = 64;

  // Whether the keys that are known now signed these bytes
  // (signing::Updater::MayBe). A root that is not known yet may change it.
  using Plausible = std::function<bool(std::string_view timestamp)>;

  // False: it waits already, or its writer has as many that are newer.
  bool Add(uint64_t version, std::string_view timestamp,
           std::string_view writer, const Plausible& plausible);
  // The ones of this version, to be compared.
  std::vector<std::string> OfVersion(uint64_t version) const;
  // In the order in which they are to be tried: the plausible ones, then the
  // others; of either those that were tried least, the newest first.
  std::vector<std::string> InOrder(const Plausible& plausible) const;
  // Counts a try that failed; answers how many there were.
  int Failed(std::string_view timestamp);
  void Drop(std::string_view timestamp);
  // Those that are not above the version in force.
  void DropUpTo(uint64_t version);
  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }

 private:
  struct Candidate {
    uint64_t version = 0;
    std::string bytes;
    std::string writer;
    int tries = 0;
  };
  bool MakeRoom(uint64_t version, std::string_view writer, bool seems_signed,
                const Plausible& plausible);

  std::vector<Candidate> waiting_;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_TIMESTAMP_CANDIDATES_H_
