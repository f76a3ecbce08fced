#include "dht/swarm/control_reader.h"

#include <fmt/format.h>

#include "common/bytes.h"
#include "common/status.h"
#include "dht/swarm/control_line.h"
#include "dht/swarm/endpoint.h"

namespace shoal::dht {
namespace {

using nlohmann::json;

constexpr int64_t kMaxRate = int64_t{1} << 40;
constexpr uint64_t kMaxCount = uint64_t{1} << 60;

}  // namespace

std::string ControlReader::Text(const char* key, size_t max) {
  json value = Take(key);
  if (!value.is_string()) return Fail(key, "is no text"), "";
  auto text = value.get<std::string>();
  if (text.size() > max) return Fail(key, "is too long"), "";
  return text;
}

std::string ControlReader::Id(const char* key) {
  std::string id = Text(key, 64);
  if (ok() && !IsIdentifier(id)) Fail(key, "is no identifier");
  return id;
}

std::string ControlReader::Path(const char* key) {
  std::string path = Text(key, 4095);
  if (ok() &&
      (!path.starts_with('/') || path.find('\0') != std::string::npos)) {
    Fail(key, "is no absolute path");
  }
  return path;
}

std::string ControlReader::Hash(const char* key, bool may_be_empty) {
  const std::string hex = Text(key, 64);
  if (!ok() || (hex.empty() && may_be_empty)) return "";
  auto bytes = HexDecode(hex);
  if (!bytes.ok() || bytes->size() != 32) return Fail(key, "is no hash"), "";
  return *std::move(bytes);
}

uint64_t ControlReader::Number(const char* key, uint64_t min, uint64_t max) {
  json value = Take(key);
  if (!value.is_number_unsigned()) return Fail(key, "is no number"), min;
  const auto number = value.get<uint64_t>();
  if (number < min || number > max) return Fail(key, "is out of range"), min;
  return number;
}

int64_t ControlReader::Signed(const char* key, int64_t min, int64_t max) {
  return static_cast<int64_t>(
      Number(key, static_cast<uint64_t>(min), static_cast<uint64_t>(max)));
}

bool ControlReader::Boolean(const char* key) {
  json value = Take(key);
  if (!value.is_boolean()) return Fail(key, "is no boolean"), false;
  return value.get<bool>();
}

std::vector<std::string> ControlReader::Texts(const char* key, size_t max_count,
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

std::vector<std::string> ControlReader::Peers() {
  auto peers = Texts("peers", kMaxPeers, 64);
  for (const auto& peer : peers) {
    if (!ParseEndpoint(peer).ok()) Fail("peers", "holds no ip:port");
  }
  return peers;
}

std::vector<std::string> ControlReader::Urls() {
  auto urls = Texts("urls", kMaxUrls, 2048);
  for (const auto& url : urls) {
    if (!ValidateUrl(url).ok()) Fail("urls", "holds no http URL");
  }
  return urls;
}

Artifact ControlReader::TakeArtifact() {
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

LimitsCommand ControlReader::Limits() {
  LimitsCommand limits;
  limits.upload = Signed("upload", 0, kMaxRate);
  limits.download = Signed("download", 0, kMaxRate);
  limits.allow_upload = Boolean("allow_upload");
  return limits;
}

absl::Status ControlReader::TakeStatus() {
  const int code = static_cast<int>(Number("code", 1, 16));
  const std::string reason = Id("reason");
  const std::string message = Text("message", 2048);
  if (!ok()) return absl::OkStatus();
  return MakeError(static_cast<absl::StatusCode>(code), reason, message);
}

Counters ControlReader::TakeCounters() {
  Counters c;
  c.peers = Number("peers", 0, kMaxCount);
  c.origin = Number("origin", 0, kMaxCount);
  c.discarded = Number("discarded", 0, kMaxCount);
  return c;
}

absl::Status ControlReader::Finish() {
  if (ok() && !object_.empty()) {
    return BadControl("unknown field '" + object_.begin().key().substr(0, 32) +
                      "'");
  }
  return status_;
}

json ControlReader::Take(const char* key) {
  auto it = object_.find(key);
  if (it == object_.end()) {
    Fail(key, "is missing");
    return nullptr;
  }
  json value = std::move(*it);
  object_.erase(it);
  return value;
}

void ControlReader::Fail(std::string_view key, std::string_view what) {
  if (status_.ok())
    status_ = BadControl(fmt::format("field '{}' {}", key, what));
}

}  // namespace shoal::dht
