// agent.toml: what the owner of one device decides about it. Nothing in the
// network can change any of it. docs/device.md explains every key.
#ifndef SHOAL_AGENT_STATE_AGENT_CONFIG_H_
#define SHOAL_AGENT_STATE_AGENT_CONFIG_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rules/compatibility.h"
#include "rules/facts.h"
#include "shoal/policy/v1/policy.pb.h"

namespace shoal::agent {

// What one argument of a command may be.
struct ArgumentType {
  enum class Kind { kIdentifier, kInteger, kChoice } kind = Kind::kIdentifier;
  int64_t min = 0;  // kInteger
  int64_t max = 0;
  std::vector<std::string> choices;  // kChoice
  // OK when `text` is of this type; else "bad_argument".
  absl::Status Check(std::string_view text) const;
};

// One [commands.NAME]: the only programs that a command can start.
struct CommandDefinition {
  std::string program;                 // absolute path
  std::vector<std::string> arguments;  // "{0}" is the first typed argument
  std::vector<ArgumentType> types;     // one for each argument asked for
  std::string user;                    // empty: the agent's own
  absl::Duration time_limit;
};

// One [components.NAME]: the program that installs a component beside the
// image (install/components.h).
struct ComponentProgram {
  std::string program;  // absolute path
  absl::Duration time_limit;
};

struct AgentConfig {
  std::string path;            // of the file itself, absolute
  std::string data_directory;  // everything the agent writes is below it
  std::string device_type;
  // Hardware, and components with the counters they run that somebody else
  // installs: the owner's word. An image that needs such a component waits
  // until it has been brought up.
  rules::DeviceParts parts;
  std::map<std::string, ComponentProgram> components;  // the agent's to install
  std::string fleet_id;  // 32 bytes, or empty: known from pairing only
  // The way into a fleet: a ticket, else a bootstrap file, with or without a
  // factory credential. None: the device stays alone.
  std::string ticket_file;
  std::string bootstrap_file;
  std::string factory_credential;
  std::string log_level;

  // Network.
  std::string bind_address;      // of the sealed UDP socket, "host:port"
  bool listen = true;            // false: look up every poll_interval only
  absl::Duration poll_interval;  // on average; each poll within 20 % of it
  absl::Duration start_spread;   // the first poll after a start, at most
  absl::Duration log_interval;   // between looks at other devices' log heads
  bool metered = false;          // the owner's word: bytes over this link cost
  std::string swarm_listen;
  int64_t upload_limit = 0;    // bytes per second; 0: no limit
  int64_t download_limit = 0;  // bytes per second; 0: no limit
  absl::Duration seed_time;    // after an installation; 0: never upload

  // Slots and updates.
  int boot_tries = 2;
  std::vector<std::string> boot_start;  // run by shoal-boot, see docs
  bool reboot_automatically = true;
  std::vector<policy::v1::TimeWindow> windows;  // none: always
  absl::Duration min_interval;                  // between two starts
  // Bytes that applying a delta may take; beyond it the full image is taken.
  uint64_t max_delta_memory = 24u << 20;
  int max_starts_per_day = 0;  // 0: no bound
  std::vector<std::string> health_command;
  absl::Duration health_timeout;

  // Where Prometheus finds the agent's metrics, "host:port"; empty: nowhere.
  std::string metrics_listen;

  // Telemetry and commands.
  bool telemetry = true;
  absl::Duration telemetry_interval;
  std::map<std::string, CommandDefinition> commands;

  // Programs beside the agent's own: shoal-patch, shoal-fetch.
  std::string program_directory;

  std::string StateDirectory() const;     // DIR/state
  std::string MetadataDirectory() const;  // DIR/metadata: trusted TUF files
  std::string DownloadDirectory() const;  // DIR/downloads
  std::string SpoolDirectory() const;     // DIR/spool

  // "bad_config" with every problem, one a line.
  static absl::StatusOr<AgentConfig> Load(const std::string& path);
};

// "22:00-06:00" or "mon-fri 22:00-06:00" or "sat,sun 00:00-23:59";
// "bad_window".
absl::StatusOr<policy::v1::TimeWindow> ParseWindow(std::string_view text);
// "identifier", "integer:MIN:MAX", "choice:a|b|c"; "bad_argument_type".
absl::StatusOr<ArgumentType> ParseArgumentType(std::string_view text);

// This machine's civil time and date at `time`.
rules::LocalTime LocalTimeAt(absl::Time time);
// True when `local` falls into one of `windows`, or there are none.
bool InWindows(const std::vector<policy::v1::TimeWindow>& windows,
               const rules::LocalTime& local);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_STATE_AGENT_CONFIG_H_
