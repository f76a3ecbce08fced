// Takes the fields of one control line out of its JSON object.
#ifndef SHOAL_DHT_SWARM_CONTROL_READER_H_
#define SHOAL_DHT_SWARM_CONTROL_READER_H_

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "dht/swarm/artifact.h"
#include "dht/swarm/control.h"

namespace shoal::dht {

// What is left at the end is unknown. The first failure stays and is what
// Finish() returns; until then a failed field has a harmless value.
class ControlReader {
 public:
  explicit ControlReader(nlohmann::json object) : object_(std::move(object)) {}

  std::string Text(const char* key, size_t max);
  std::string Id(const char* key = "id");
  std::string Path(const char* key);
  // 32 bytes as hex; "" only where allowed.
  std::string Hash(const char* key, bool may_be_empty = false);
  uint64_t Number(const char* key, uint64_t min, uint64_t max);
  int64_t Signed(const char* key, int64_t min = 0,
                 int64_t max = std::numeric_limits<int64_t>::max());
  bool Boolean(const char* key);
  std::vector<std::string> Texts(const char* key, size_t max_count,
                                 size_t max_size);
  std::vector<std::string> Peers();
  std::vector<std::string> Urls();
  Artifact TakeArtifact();
  LimitsCommand Limits();
  absl::Status TakeStatus();
  Counters TakeCounters();
  bool Has(const char* key) const { return object_.contains(key); }
  bool ok() const { return status_.ok(); }
  absl::Status Finish();

 private:
  nlohmann::json Take(const char* key);
  void Fail(std::string_view key, std::string_view what);

  nlohmann::json object_;
  absl::Status status_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_CONTROL_READER_H_
