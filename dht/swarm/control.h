// What FetchProcess and shoal-fetch say to each other over the child's
// standard input and output: one JSON object a line, at most 64 KiB with its
// line feed. docs/swarm.md has the fields. Both sides parse strictly: unknown,
// missing and duplicate fields, floats, depth, texts that are no UTF-8 and
// values out of range are errors ("bad_control"). All functions are
// thread-safe; no function aborts on any input.
#ifndef SHOAL_DHT_SWARM_CONTROL_H_
#define SHOAL_DHT_SWARM_CONTROL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dht/swarm/artifact.h"

namespace shoal::dht {

inline constexpr size_t kMaxControlLine = 64 * 1024;
inline constexpr size_t kMaxPeers = 200;
inline constexpr size_t kMaxUrls = 16;
inline constexpr uint64_t kMaxDocument = 64 * 1024 * 1024;

// ---- to the child ----
struct LimitsCommand {
  int64_t upload = 0;    // bytes a second, 0: no cap
  int64_t download = 0;  // the same
  bool allow_upload = true;
};
struct ConfigureCommand {  // exactly once, first
  std::string listen;      // "ip:port" or ""
  std::string state_dir;
  std::string ca_file;
  LimitsCommand limits;
  int64_t stall_ms = 3000;
  int64_t min_rate = 1024;
  std::optional<int64_t> user, group;
};
// Milliseconds, more than a job lasts: it is not given up for want of a byte.
inline constexpr int64_t kNoFirstByte = int64_t{1} << 40;
struct FetchCommand {
  std::string id;
  Artifact artifact;
  std::string path;
  std::vector<std::string> peers;
  std::vector<std::string> urls;
  int64_t deadline_ms = 0;
  int64_t first_byte_ms = kNoFirstByte;
  bool seed = false;
};
struct PeersCommand {
  std::string id;
  std::vector<std::string> peers;
};
struct CancelCommand {
  std::string id;  // of a fetch or a document
};
struct SeedCommand {
  Artifact artifact;
  std::string path;
};
struct UnseedCommand {
  std::string sha256;
};
struct DocumentCommand {
  std::string id;
  std::vector<std::string> urls;
  uint64_t max_bytes = 0;
  std::string sha256;  // empty: not checked
  int64_t timeout_ms = 0;
};
using Command =
    std::variant<ConfigureCommand, LimitsCommand, FetchCommand, PeersCommand,
                 CancelCommand, SeedCommand, UnseedCommand, DocumentCommand>;

// ---- from the child ----
struct Counters {
  uint64_t peers = 0, origin = 0, discarded = 0;  // bytes
};
struct ReadyEvent {
  std::string address;
};
struct ProgressEvent {
  std::string id;
  uint64_t bytes = 0;
  Counters counters;
};
struct DoneEvent {  // of a fetch, or a document after its last chunk
  std::string id;
  Counters counters;
};
struct FailedEvent {
  std::string id;
  absl::Status status;  // never OK
  Counters counters;
};
struct ChunkEvent {
  std::string id;
  std::string data;  // at most kMaxChunk bytes
};
struct SeedingEvent {
  std::string sha256;
};
struct SeedFailedEvent {
  std::string sha256;
  absl::Status status;
};
struct StatsEvent {
  uint64_t uploaded = 0;
};
inline constexpr size_t kMaxChunk = 32 * 1024;
using Event =
    std::variant<ReadyEvent, ProgressEvent, DoneEvent, FailedEvent, ChunkEvent,
                 SeedingEvent, SeedFailedEvent, StatsEvent>;

// With the line feed. "bad_control" when a text is no UTF-8 or the line would
// be too long.
absl::StatusOr<std::string> FormatCommand(const Command& command);
absl::StatusOr<std::string> FormatEvent(const Event& event);
// `line` without the line feed.
absl::StatusOr<Command> ParseCommand(std::string_view line);
absl::StatusOr<Event> ParseEvent(std::string_view line);

// Cuts a byte stream into lines. One thread at a time.
class LineBuffer {
 public:
  // "bad_control" once a line is longer than kMaxControlLine.
  absl::Status Append(std::string_view bytes);
  // The next whole line, without its line feed.
  std::optional<std::string> Next();

 private:
  std::string buffer_;
  size_t start_ = 0;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_CONTROL_H_
