#include "absl/strings/escaping.h"
#include "common/status.h"
#include "dht/swarm/control.h"
#include "dht/swarm/control_line.h"
#include "dht/swarm/control_reader.h"
#include "dht/swarm/endpoint.h"

namespace shoal::dht {
namespace {

using nlohmann::json;

template <typename T, typename V>
absl::StatusOr<V> End(ControlReader& reader, T value) {
  SHOAL_RETURN_IF_ERROR(reader.Finish());
  return V(std::move(value));
}

}  // namespace

absl::StatusOr<Command> ParseCommand(std::string_view line) {
  SHOAL_ASSIGN_OR_RETURN(json object, ParseControlObject(line));
  ControlReader r(std::move(object));
  const std::string op = r.Text("op", 32);
  if (op == "configure") {
    ConfigureCommand c;
    c.listen = r.Text("listen", 64);
    c.state_dir = r.Path("state_dir");
    c.ca_file = r.Text("ca_file", 4095);
    c.limits = r.Limits();
    c.stall_ms = r.Signed("stall_ms", 100, 600'000);
    c.min_rate = r.Signed("min_rate", 0, int64_t{1} << 40);
    if (r.Has("user")) c.user = r.Signed("user", 1, 0xfffffffe);
    if (r.Has("group")) c.group = r.Signed("group", 1, 0xfffffffe);
    return End<ConfigureCommand, Command>(r, std::move(c));
  }
  if (op == "limits") {
    return End<LimitsCommand, Command>(r, r.Limits());
  }
  if (op == "fetch") {
    FetchCommand c;
    c.id = r.Id();
    c.artifact = r.TakeArtifact();
    c.path = r.Path("path");
    c.peers = r.Peers();
    c.urls = r.Urls();
    c.deadline_ms = r.Signed("deadline_ms", 1, int64_t{1} << 40);
    c.first_byte_ms = r.Signed("first_byte_ms", 1, kNoFirstByte);
    c.seed = r.Boolean("seed");
    return End<FetchCommand, Command>(r, std::move(c));
  }
  if (op == "peers") {
    PeersCommand c;
    c.id = r.Id();
    c.peers = r.Peers();
    return End<PeersCommand, Command>(r, std::move(c));
  }
  if (op == "cancel") {
    return End<CancelCommand, Command>(r, CancelCommand{r.Id()});
  }
  if (op == "seed") {
    SeedCommand c;
    c.artifact = r.TakeArtifact();
    c.path = r.Path("path");
    return End<SeedCommand, Command>(r, std::move(c));
  }
  if (op == "unseed") {
    return End<UnseedCommand, Command>(r, UnseedCommand{r.Hash("sha256")});
  }
  if (op == "document") {
    DocumentCommand c;
    c.id = r.Id();
    c.urls = r.Urls();
    c.max_bytes = r.Number("max_bytes", 1, kMaxDocument);
    c.sha256 = r.Hash("sha256", /*may_be_empty=*/true);
    c.timeout_ms = r.Signed("timeout_ms", 1, int64_t{1} << 40);
    return End<DocumentCommand, Command>(r, std::move(c));
  }
  return BadControl("unknown op '" + op + "'");
}

absl::StatusOr<Event> ParseEvent(std::string_view line) {
  SHOAL_ASSIGN_OR_RETURN(json object, ParseControlObject(line));
  ControlReader r(std::move(object));
  const std::string name = r.Text("event", 32);
  if (name == "ready") {
    ReadyEvent e{r.Text("address", 64)};
    if (!e.address.empty()) {
      SHOAL_RETURN_IF_ERROR(ParseEndpoint(e.address));
    }
    return End<ReadyEvent, Event>(r, std::move(e));
  }
  if (name == "progress") {
    ProgressEvent e;
    e.id = r.Id();
    e.bytes = r.Number("bytes", 0, kMaxArtifactLength);
    e.counters = r.TakeCounters();
    return End<ProgressEvent, Event>(r, std::move(e));
  }
  if (name == "done") {
    DoneEvent e;
    e.id = r.Id();
    e.counters = r.TakeCounters();
    return End<DoneEvent, Event>(r, std::move(e));
  }
  if (name == "failed") {
    FailedEvent e;
    e.id = r.Id();
    e.counters = r.TakeCounters();
    e.status = r.TakeStatus();
    return End<FailedEvent, Event>(r, std::move(e));
  }
  if (name == "chunk") {
    ChunkEvent e;
    e.id = r.Id();
    const std::string data = r.Text("data", kMaxControlLine);
    if (r.ok() && (!absl::Base64Unescape(
                       absl::string_view(data.data(), data.size()), &e.data) ||
                   e.data.size() > kMaxChunk)) {
      return BadControl("field 'data' is no base64 or too long");
    }
    return End<ChunkEvent, Event>(r, std::move(e));
  }
  if (name == "seeding") {
    return End<SeedingEvent, Event>(r, SeedingEvent{r.Hash("sha256")});
  }
  if (name == "seed_failed") {
    SeedFailedEvent e;
    e.sha256 = r.Hash("sha256");
    e.status = r.TakeStatus();
    return End<SeedFailedEvent, Event>(r, std::move(e));
  }
  if (name == "stats") {
    return End<StatsEvent, Event>(
        r, StatsEvent{r.Number("uploaded", 0, uint64_t{1} << 60)});
  }
  return BadControl("unknown event '" + name + "'");
}

}  // namespace shoal::dht
