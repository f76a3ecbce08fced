// The agent's crash-safe memory: one small JSON file, replaced as a whole
// (write, fsync, rename, fsync of the directory). No database.
#ifndef SHOAL_AGENT_STATE_DEVICE_STATE_H_
#define SHOAL_AGENT_STATE_DEVICE_STATE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/state/update_record.h"
#include "common/files.h"

namespace shoal::agent {

// What is remembered of one rollout.
struct RolloutMemory {
  uint64_t version = 0;   // highest verified
  std::string digest;     // of that version's bytes; the first one is kept
  bool conflict = false;  // equal version, other bytes (T28): as if halted
  uint32_t attempts = 0;  // starts of this device
  int64_t last_attempt_ms = 0;
  // The phase in which it began; -1: not known (states of older agents).
  int phase = -1;
  bool finished = false;  // committed: it never starts again
  uint64_t order = 0;
  std::set<std::string> refusals;  // reasons that an outcome told already
  // By phase, decimal: since when the outcomes read are enough for its gate.
  std::map<std::string, int64_t> enough_since_ms;
  std::string ran_before;  // image that its last try began from, 32 bytes
  // For rules::PhaseFor: -1 while it has not begun.
  int BeganIn() const { return attempts > 0 || finished ? phase : -1; }
};

struct HaltMemory {
  std::string rollout_id;
  uint64_t counter = 0;
  std::string reason;
  std::string operator_key;  // hex; "" in states of older agents
};

struct Refusal {
  std::string what;  // the case: "update", "metadata", "command", "record" …
  std::string reason;
  std::string message;
  int64_t time_ms = 0;
};

// What is counted over the device's life, for whoever watches it.
struct Tally {
  std::map<std::string, uint64_t> updates;   // that ended, by their result
  std::map<std::string, uint64_t> refusals;  // by Refusal::what
  uint64_t bytes_from_peers = 0;             // of updates that ended
  uint64_t bytes_from_origin = 0;
};

struct StateData {
  uint64_t floor = 0;            // no image below this counter (T24)
  uint64_t outcome_counter = 0;  // last used (T27)
  uint64_t report_version = 0;   // last used for DEVICE_REPORT
  std::map<std::string, RolloutMemory> rollouts;  // by id
  std::map<std::string, HaltMemory> halts;  // by hex SHA-256 of the record
  // Keys, in hex, of operators who halted more than is remembered one by one
  // (agent/engine/halts.h).
  std::set<std::string> halts_all;
  std::map<std::string, int64_t> seen_commands;  // hex id → expires, ms
  uint64_t assignment_version = 0;
  uint64_t policy_version = 0;
  std::vector<int64_t> starts_ms;  // of the last 24 hours
  std::optional<Refusal> last_refusal;
  Tally tally;
  std::optional<UpdateRecord> update;
  std::optional<UpdateRecord> last_update;  // the one before
};

// Thread-safe.
class DeviceState {
 public:
  // `path`: DIR/state/journal.json; missing: empty state. "bad_state"
  // (kDataLoss) when it can't be read: nothing is guessed.
  static absl::StatusOr<std::unique_ptr<DeviceState>> Open(
      FileSystem& fs, const std::string& path);

  StateData Get() const;
  // Applies `change` to a copy and writes it. After OK it is on disk; after an
  // error nothing has changed, neither here nor there; "state_too_large" above
  // 4 MiB, which the next start could not read. Texts that are not
  // UTF-8 come back with their bad bytes replaced, as after a restart.
  absl::Status Change(const std::function<void(StateData&)>& change);

 private:
  DeviceState(FileSystem& fs, std::string path)
      : fs_(fs), path_(std::move(path)) {}
  FileSystem& fs_;
  const std::string path_;
  mutable std::mutex mutex_;
  StateData data_;
};

// For tests and tools.
std::string EncodeState(const StateData& data);
absl::StatusOr<StateData> DecodeState(std::string_view text);

// A number that only grows, durable before it is used.
class DurableCounter {
 public:
  static absl::StatusOr<std::unique_ptr<DurableCounter>> Open(
      FileSystem& fs, const std::string& path);
  // The next value, from 1 without gaps; on disk when it returns. Not
  // thread-safe.
  absl::StatusOr<uint64_t> Next();
  uint64_t last() const { return value_; }

 private:
  DurableCounter(FileSystem& fs, std::string path, uint64_t value)
      : fs_(fs), path_(std::move(path)), value_(value) {}
  FileSystem& fs_;
  const std::string path_;
  uint64_t value_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_STATE_DEVICE_STATE_H_
