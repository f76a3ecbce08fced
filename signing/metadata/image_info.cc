#include "signing/metadata/image_info.h"

#include <fmt/format.h>

#include "common/bytes.h"
#include "common/status.h"
#include "signing/metadata/file_root.h"
#include "signing/metadata/json.h"

namespace shoal::signing {

using nlohmann::json;

std::string ImagePath(std::string_view device_type, std::string_view version,
                      std::string_view artifact) {
  return fmt::format("fw/{}/{}/{}", device_type, version, artifact);
}

namespace {

constexpr size_t kMaxHardware = 32;
constexpr size_t kMaxNeeds = 16;
constexpr size_t kMaxMediaType = 128;

// Reads the "shoal" object of a target, noting the first problem.
class Reader {
 public:
  explicit Reader(const TargetFile& target) : path_(target.path) {
    auto parsed = ParseStrictJson(target.custom, kMaxTargetsBytes);
    if (!parsed.ok() || !parsed->is_object() || !parsed->contains("shoal")) {
      problem_ = "its custom part has no 'shoal' object";
      return;
    }
    object_ = (*parsed)["shoal"];
    if (!object_.is_object()) problem_ = "'shoal' is not an object";
  }
  bool Has(const char* key) const {
    return object_.is_object() && object_.contains(key);
  }
  std::string Text(const char* key) {
    if (Has(key) && object_[key].is_string())
      return object_[key].get<std::string>();
    return Missing(key), "";
  }
  uint64_t Number(const char* key) {
    if (Has(key) && object_[key].is_number_unsigned())
      return object_[key].get<uint64_t>();
    return Missing(key), 0;
  }
  const json& Value(const char* key) const { return object_[key]; }
  void Expect(bool right, std::string_view otherwise) {
    if (!right && problem_.empty()) problem_ = otherwise;
  }
  // Digest tree and piece length, as images and attachments have them.
  void Bulk(std::string& file_root, uint64_t& piece_length) {
    auto root = HexDecode(Text("file_root"));
    piece_length = Number("piece_length");
    Expect(root.ok() && root->size() == crypto::kSha256Size,
           "file_root is not 32 bytes in hex");
    Expect(
        piece_length >= kLeafBlock && (piece_length & (piece_length - 1)) == 0,
        "piece_length is not a power of two of at least 16384");
    if (root.ok()) file_root = *std::move(root);
  }
  absl::Status status() const {
    if (problem_.empty()) return absl::OkStatus();
    return InvalidArgument("bad_image_info",
                           fmt::format("{}: {}", path_, problem_));
  }

 private:
  void Missing(const char* key) {
    if (problem_.empty())
      problem_ = fmt::format("'{}' is missing or has the wrong type", key);
  }
  const std::string path_;
  json object_;
  std::string problem_;
};

void ReadHardware(Reader& reader, ImageInfo& info) {
  if (!reader.Has("hardware")) return;
  const json& list = reader.Value("hardware");
  reader.Expect(list.is_array() && !list.empty() && list.size() <= kMaxHardware,
                "'hardware' is a list of 1 to 32 identifiers");
  if (!reader.status().ok()) return;
  for (const json& one : list) {
    const bool right = one.is_string() && IsIdentifier(one.get<std::string>());
    reader.Expect(right, "'hardware' is a list of 1 to 32 identifiers");
    if (right) info.hardware.push_back(one.get<std::string>());
  }
}

void ReadNeeds(Reader& reader, ImageInfo& info) {
  constexpr std::string_view kRule =
      "'requires' is a list of 1 to 16 {artifact, min_counter} of other "
      "artifacts";
  if (!reader.Has("requires")) return;
  const json& list = reader.Value("requires");
  reader.Expect(list.is_array() && !list.empty() && list.size() <= kMaxNeeds,
                kRule);
  if (!reader.status().ok()) return;
  for (const json& one : list) {
    const bool right = one.is_object() && one.contains("artifact") &&
                       one.contains("min_counter") &&
                       one["artifact"].is_string() &&
                       IsIdentifier(one["artifact"].get<std::string>()) &&
                       one["artifact"].get<std::string>() != info.artifact &&
                       one["min_counter"].is_number_unsigned();
    reader.Expect(right, kRule);
    if (right)
      info.needs.push_back({one["artifact"].get<std::string>(),
                            one["min_counter"].get<uint64_t>()});
  }
}

}  // namespace

absl::StatusOr<ImageInfo> ParseImageInfo(const TargetFile& target) {
  Reader reader(target);
  SHOAL_RETURN_IF_ERROR(reader.status());
  ImageInfo info;
  info.device_type = reader.Text("device_type");
  info.version = reader.Text("version");
  info.artifact = reader.Text("artifact");
  info.counter = reader.Number("counter");
  info.min_counter = reader.Number("min_counter");
  reader.Expect(IsIdentifier(info.device_type) && IsIdentifier(info.version) &&
                    IsIdentifier(info.artifact),
                "device type, version or artifact is not an identifier");
  reader.Expect(
      target.path == ImagePath(info.device_type, info.version, info.artifact),
      "it says another device type, version or artifact than its path");
  reader.Expect(info.min_counter <= info.counter,
                "min_counter is above counter");
  reader.Bulk(info.file_root, info.piece_length);
  ReadHardware(reader, info);
  ReadNeeds(reader, info);
  SHOAL_RETURN_IF_ERROR(reader.status());
  return info;
}

std::string FormatImageInfo(const ImageInfo& info) {
  json object = {{"device_type", info.device_type},
                 {"version", info.version},
                 {"artifact", info.artifact},
                 {"counter", info.counter},
                 {"min_counter", info.min_counter},
                 {"file_root", HexEncode(info.file_root)},
                 {"piece_length", info.piece_length}};
  if (!info.hardware.empty()) object["hardware"] = info.hardware;
  for (const ImageNeed& need : info.needs)
    object["requires"].push_back(
        {{"artifact", need.artifact}, {"min_counter", need.min_counter}});
  return json{{"shoal", object}}.dump();
}

bool IsAttachment(const TargetFile& target) {
  return Reader(target).Has("attachment");
}

absl::StatusOr<AttachmentInfo> ParseAttachmentInfo(const TargetFile& target) {
  Reader reader(target);
  SHOAL_RETURN_IF_ERROR(reader.status());
  AttachmentInfo info;
  info.device_type = reader.Text("device_type");
  info.version = reader.Text("version");
  info.name = reader.Text("attachment");
  info.media_type = reader.Text("media_type");
  reader.Expect(IsIdentifier(info.device_type) && IsIdentifier(info.version) &&
                    IsIdentifier(info.name),
                "device type, version or attachment is not an identifier");
  reader.Expect(
      target.path == ImagePath(info.device_type, info.version, info.name),
      "it says another device type, version or name than its path");
  bool printable = info.media_type.size() <= kMaxMediaType;
  for (const char c : info.media_type) printable &= c > ' ' && c <= '~';
  reader.Expect(printable, "media_type is not printable or too long");
  reader.Expect(target.length <= kMaxAttachmentBytes,
                "an attachment has at most 16 MiB");
  reader.Bulk(info.file_root, info.piece_length);
  SHOAL_RETURN_IF_ERROR(reader.status());
  return info;
}

absl::StatusOr<BulkInfo> ParseBulkInfo(const TargetFile& target) {
  if (IsAttachment(target)) {
    SHOAL_ASSIGN_OR_RETURN(auto info, ParseAttachmentInfo(target));
    return BulkInfo{std::move(info.file_root), info.piece_length};
  }
  SHOAL_ASSIGN_OR_RETURN(auto info, ParseImageInfo(target));
  return BulkInfo{std::move(info.file_root), info.piece_length};
}

std::string FormatAttachmentInfo(const AttachmentInfo& info) {
  const json object = {{"device_type", info.device_type},
                       {"version", info.version},
                       {"attachment", info.name},
                       {"media_type", info.media_type},
                       {"file_root", HexEncode(info.file_root)},
                       {"piece_length", info.piece_length}};
  return json{{"shoal", object}}.dump();
}

}  // namespace shoal::signing
