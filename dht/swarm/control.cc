#include "dht/swarm/control.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/escaping.h"
#include "common/bytes.h"
#include "common/status.h"
#include "dht/swarm/endpoint.h"

namespace shoal::dht {
namespace {

using nlohmann::json;

absl::Status Bad(std::string_view what) {
  return InvalidArgument("bad_control", what);
}

// An object of scalars and arrays of scalars, nothing deeper.
absl::StatusOr<json> ParseObject(std::string_view line) {
  if (line.size() >= kMaxControlLine) return Bad("line too long");
  std::string problem;
  std::set<std::string> keys;
  const auto check = [&](int depth, json::parse_event_t event, json& value) {
    using E = json::parse_event_t;
    if ((event == E::object_start && depth > 0) ||
        (event == E::array_start && depth > 1)) {
      problem = "too deep";
    } else if (event == E::key &&
               !keys.insert(value.get<std::string>()).second) {
      problem = "duplicate field";
    } else if (event == E::value && value.is_number_float()) {
      problem = "float";
    }
    return problem.empty();
  };
  // The parser allocates for nesting before the callback sees it go back up;
  // lines are short, and this refuses depth before it starts.
  int depth = 0;
  bool text = false, escaped = false;
  for (const char c : line) {
    if (text) {
      if (escaped)
        escaped = false;
      else if (c == '\\')
        escaped = true;
      else if (c == '"')
        text = false;
      continue;
    }
    if (c == '"') text = true;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > 2) return Bad("too deep");
  }
  json parsed = json::parse(line, check, /*allow_exceptions=*/false);
  if (!problem.empty()) return Bad(problem);
  if (parsed.is_discarded() || !parsed.is_object())
    return Bad("no JSON object");
  return parsed;
}

// Takes fields out of an object; what is left at the end is unknown.
class Reader {
 public:
  explicit Reader(json object) : object_(std::move(object)) {}

  std::string Text(const char* key, size_t max) {
    json value = Take(key);
    if (!value.is_string()) return Fail(key, "is no text"), "";
    auto text = value.get<std::string>();
    if (text.size() > max) return Fail(key, "is too long"), "";
    return text;
  }
  std::string Id(const char* key = "id") {
    std::string id = Text(key, 64);
    if (ok() && !IsIdentifier(id)) Fail(key, "is no identifier");
    return id;
  }
  std::string Path(const char* key) {
    std::string path = Text(key, 4095);
    if (ok() &&
        (!path.starts_with('/') || path.find('\0') != std::string::npos)) {
      Fail(key, "is no absolute path");
    }
    return path;
  }
  // 32 bytes as hex; "" only where allowed.
  std::string Hash(const char* key, bool may_be_empty = false) {
    const std::string hex = Text(key, 64);
    if (!ok() || (hex.empty() && may_be_empty)) return "";
    auto bytes = HexDecode(hex);
    if (!bytes.ok() || bytes->size() != 32) return Fail(key, "is no hash"), "";
    return *std::move(bytes);
  }
  uint64_t Number(const char* key, uint64_t min, uint64_t max) {
    json value = Take(key);
    if (!value.is_number_unsigned()) return Fail(key, "is no number"), min;
    const auto number = value.get<uint64_t>();
    if (number < min || number > max) return Fail(key, "is out of range"), min;
    return number;
  }
  int64_t Signed(const char* key, int64_t min = 0,
                 int64_t max = std::numeric_limits<int64_t>::max()) {
    return static_cast<int64_t>(
        Number(key, static_cast<uint64_t>(min), static_cast<uint64_t>(max)));
  }
  bool Boolean(const char* key) {
    json value = Take(key);
    if (!value.is_boolean()) return Fail(key, "is no boolean"), false;
    return value.get<bool>();
  }
  std::vector<std::string> Texts(const char* key, size_t max_count,
                                 size_t max_size) {
    std::vector<std::string> out;
    json value = Take(key);
    if (!value.is_array() || value.size() > max_count) {
      return Fail(key, "is no array or too long"), out;
    }
    for (const json& item : value) {
      if (!item.is_string()) return Fail(key, "holds no texts"), out;
      out.push_back(item.get<std::string>());
      if (out.back().size() > max_size) return Fail(key, "is too long"), out;
    }
    return out;
  }
  std::vector<std::string> Peers() {
    auto peers = Texts("peers", kMaxPeers, 64);
    for (const auto& peer : peers) {
      if (!ParseEndpoint(peer).ok()) Fail("peers", "holds no ip:port");
    }
    return peers;
  }
  std::vector<std::string> Urls() {
    auto urls = Texts("urls", kMaxUrls, 2048);
    for (const auto& url : urls) {
      if (!ValidateUrl(url).ok()) Fail("urls", "holds no http URL");
    }
    return urls;
  }
  Artifact TakeArtifact() {
    Artifact artifact;
    artifact.file_root = Hash("root");
    artifact.sha256 = Hash("sha256");
    artifact.length = Number("length", 1, kMaxArtifactLength);
    artifact.piece_length = static_cast<uint32_t>(
        Number("piece_length", kMinPieceLength, kMaxPieceLength));
    if (ok()) {
      if (auto valid = ValidateArtifact(artifact); !valid.ok()) {
        Fail("piece_length", "does not fit");
      }
    }
    return artifact;
  }
  LimitsCommand Limits() {
    LimitsCommand limits;
    limits.upload = Signed("upload", 0, kMaxRate);
    limits.download = Signed("download", 0, kMaxRate);
    limits.allow_upload = Boolean("allow_upload");
    return limits;
  }
  absl::Status TakeStatus() {
    const int code = static_cast<int>(Number("code", 1, 16));
    const std::string reason = Id("reason");
    const std::string message = Text("message", 2048);
    if (!ok()) return absl::OkStatus();
    return MakeError(static_cast<absl::StatusCode>(code), reason, message);
  }
  Counters TakeCounters() {
    Counters c;
    c.peers = Number("peers", 0, kMaxCount);
    c.origin = Number("origin", 0, kMaxCount);
    c.discarded = Number("discarded", 0, kMaxCount);
    return c;
  }
  bool Has(const char* key) const { return object_.contains(key); }
  bool ok() const { return status_.ok(); }
  absl::Status Finish() {
    if (ok() && !object_.empty()) {
      return Bad("unknown field '" + object_.begin().key().substr(0, 32) + "'");
    }
    return status_;
  }

 private:
  static constexpr int64_t kMaxRate = int64_t{1} << 40;
  static constexpr uint64_t kMaxCount = uint64_t{1} << 60;
  json Take(const char* key) {
    auto it = object_.find(key);
    if (it == object_.end()) {
      Fail(key, "is missing");
      return nullptr;
    }
    json value = std::move(*it);
    object_.erase(it);
    return value;
  }
  void Fail(std::string_view key, std::string_view what) {
    if (status_.ok()) status_ = Bad(fmt::format("field '{}' {}", key, what));
  }
  json object_;
  absl::Status status_;
};

absl::StatusOr<std::string> Dump(const json& object) {
  try {
    std::string line = object.dump();
    line += '\n';
    if (line.size() > kMaxControlLine) return Bad("line too long");
    return line;
  } catch (const json::exception& e) {
    return Bad(e.what());
  }
}

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
    json o{
        {"op", "fetch"},  {"id", c.id},
        {"path", c.path}, {"peers", c.peers},
        {"urls", c.urls}, {"deadline_ms", static_cast<uint64_t>(c.deadline_ms)},
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

template <typename T, typename V>
absl::StatusOr<V> End(Reader& reader, T value) {
  SHOAL_RETURN_IF_ERROR(reader.Finish());
  return V(std::move(value));
}

}  // namespace

absl::StatusOr<std::string> FormatCommand(const Command& command) {
  return Dump(std::visit(CommandWriter(), command));
}

absl::StatusOr<std::string> FormatEvent(const Event& event) {
  return Dump(std::visit(EventWriter(), event));
}

absl::StatusOr<Command> ParseCommand(std::string_view line) {
  SHOAL_ASSIGN_OR_RETURN(json object, ParseObject(line));
  Reader r(std::move(object));
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
  return Bad("unknown op '" + op + "'");
}

absl::StatusOr<Event> ParseEvent(std::string_view line) {
  SHOAL_ASSIGN_OR_RETURN(json object, ParseObject(line));
  Reader r(std::move(object));
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
      return Bad("field 'data' is no base64 or too long");
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
  return Bad("unknown event '" + name + "'");
}

absl::Status LineBuffer::Append(std::string_view bytes) {
  if (start_ > 0) {
    buffer_.erase(0, start_);
    start_ = 0;
  }
  buffer_ += bytes;
  // Every line in the buffer, finished or not, keeps to the cap.
  size_t begin = 0;
  for (;;) {
    const size_t end = buffer_.find('\n', begin);
    const size_t stop = end == std::string::npos ? buffer_.size() : end;
    if (stop - begin >= kMaxControlLine) return Bad("line too long");
    if (end == std::string::npos) return absl::OkStatus();
    begin = end + 1;
  }
}

std::optional<std::string> LineBuffer::Next() {
  const size_t end = buffer_.find('\n', start_);
  if (end == std::string::npos) return std::nullopt;
  std::string line = buffer_.substr(start_, end - start_);
  start_ = end + 1;
  return line;
}

}  // namespace shoal::dht
