#include "absl/strings/escaping.h"
#include "common/bytes.h"
#include "common/status.h"
#include "dht/swarm/control.h"
#include "dht/swarm/control_line.h"

namespace shoal::dht {
namespace {

using nlohmann::json;

void Put(json& o, const Artifact& a) {
  o["root"] = HexEncode(a.file_root);
  o["sha256"] = HexEncode(a.sha256);
  o["length"] = a.length;
  o["piece_length"] = a.piece_length;
}
void Put(json& o, const LimitsCommand& limits) {
  o["upload"] = static_cast<uint64_t>(limits.upload);
  o["download"] = static_cast<uint64_t>(limits.download);
  o["allow_upload"] = limits.allow_upload;
}
void Put(json& o, const Counters& c) {
  o["peers"] = c.peers;
  o["origin"] = c.origin;
  o["discarded"] = c.discarded;
}
void Put(json& o, const absl::Status& status) {
  o["code"] = static_cast<uint64_t>(status.code());
  o["reason"] = ReasonOf(status);
  // A message may quote a stranger: keep it to ASCII and short.
  std::string message;
  for (const char c : status.message().substr(0, 500)) {
    message += c >= ' ' && c < 0x7f ? c : '?';
  }
  o["message"] = message;
}

struct CommandWriter {
  json operator()(const ConfigureCommand& c) const {
    json o{{"op", "configure"},
           {"listen", c.listen},
           {"state_dir", c.state_dir},
           {"ca_file", c.ca_file},
           {"stall_ms", static_cast<uint64_t>(c.stall_ms)},
           {"min_rate", static_cast<uint64_t>(c.min_rate)}};
    Put(o, c.limits);
    if (c.user) o["user"] = static_cast<uint64_t>(*c.user);
    if (c.group) o["group"] = static_cast<uint64_t>(*c.group);
    return o;
  }
  json operator()(const LimitsCommand& c) const {
    json o{{"op", "limits"}};
    Put(o, c);
    return o;
  }
  json operator()(const FetchCommand& c) const {
    json o{{"op", "fetch"},
           {"id", c.id},
           {"path", c.path},
           {"peers", c.peers},
           {"urls", c.urls},
           {"deadline_ms", static_cast<uint64_t>(c.deadline_ms)},
           {"first_byte_ms", static_cast<uint64_t>(c.first_byte_ms)},
           {"seed", c.seed}};
    Put(o, c.artifact);
    return o;
  }
  json operator()(const PeersCommand& c) const {
    return {{"op", "peers"}, {"id", c.id}, {"peers", c.peers}};
  }
  json operator()(const CancelCommand& c) const {
    return {{"op", "cancel"}, {"id", c.id}};
  }
  json operator()(const SeedCommand& c) const {
    json o{{"op", "seed"}, {"path", c.path}};
    Put(o, c.artifact);
    return o;
  }
  json operator()(const UnseedCommand& c) const {
    return {{"op", "unseed"}, {"sha256", HexEncode(c.sha256)}};
  }
  json operator()(const DocumentCommand& c) const {
    return {{"op", "document"},
            {"id", c.id},
            {"urls", c.urls},
            {"max_bytes", c.max_bytes},
            {"sha256", HexEncode(c.sha256)},
            {"timeout_ms", static_cast<uint64_t>(c.timeout_ms)}};
  }
};

struct EventWriter {
  json operator()(const ReadyEvent& e) const {
    return {{"event", "ready"}, {"address", e.address}};
  }
  json operator()(const ProgressEvent& e) const {
    json o{{"event", "progress"}, {"id", e.id}, {"bytes", e.bytes}};
    Put(o, e.counters);
    return o;
  }
  json operator()(const DoneEvent& e) const {
    json o{{"event", "done"}, {"id", e.id}};
    Put(o, e.counters);
    return o;
  }
  json operator()(const FailedEvent& e) const {
    json o{{"event", "failed"}, {"id", e.id}};
    Put(o, e.counters);
    Put(o, e.status);
    return o;
  }
  json operator()(const ChunkEvent& e) const {
    return {{"event", "chunk"},
            {"id", e.id},
            {"data", absl::Base64Escape(
                         absl::string_view(e.data.data(), e.data.size()))}};
  }
  json operator()(const SeedingEvent& e) const {
    return {{"event", "seeding"}, {"sha256", HexEncode(e.sha256)}};
  }
  json operator()(const SeedFailedEvent& e) const {
    json o{{"event", "seed_failed"}, {"sha256", HexEncode(e.sha256)}};
    Put(o, e.status);
    return o;
  }
  json operator()(const StatsEvent& e) const {
    return {{"event", "stats"}, {"uploaded", e.uploaded}};
  }
};

}  // namespace

absl::StatusOr<std::string> FormatCommand(const Command& command) {
  return DumpControl(std::visit(CommandWriter(), command));
}

absl::StatusOr<std::string> FormatEvent(const Event& event) {
  return DumpControl(std::visit(EventWriter(), event));
}

}  // namespace shoal::dht
