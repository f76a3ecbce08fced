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

absl::StatusOr<ImageInfo> ParseImageInfo(const TargetFile& target) {
  const auto bad = [&](std::string_view what) {
    return InvalidArgument("bad_image_info",
                           fmt::format("{}: {}", target.path, what));
  };
  auto parsed = ParseStrictJson(target.custom, kMaxTargetsBytes);
  if (!parsed.ok() || !parsed->is_object() || !parsed->contains("shoal"))
    return bad("its custom part has no 'shoal' object");
  const json& object = (*parsed)["shoal"];
  if (!object.is_object()) return bad("'shoal' is not an object");
  std::string problem;
  const auto text = [&](const char* key) -> std::string {
    const auto it = object.find(key);
    if (it == object.end() || !it->is_string()) {
      problem = key;
      return "";
    }
    return it->get<std::string>();
  };
  const auto number = [&](const char* key) -> uint64_t {
    const auto it = object.find(key);
    if (it == object.end() || !it->is_number_unsigned()) {
      problem = key;
      return 0;
    }
    return it->get<uint64_t>();
  };
  ImageInfo info;
  info.device_type = text("device_type");
  info.version = text("version");
  info.artifact = text("artifact");
  info.counter = number("counter");
  info.min_counter = number("min_counter");
  info.piece_length = number("piece_length");
  const std::string root = text("file_root");
  if (!problem.empty())
    return bad(fmt::format("'{}' is missing or has the wrong type", problem));
  if (!IsIdentifier(info.device_type) || !IsIdentifier(info.version) ||
      !IsIdentifier(info.artifact))
    return bad("device type, version or artifact is not an identifier");
  if (target.path != ImagePath(info.device_type, info.version, info.artifact))
    return bad(
        "it says another device type, version or artifact than its path");
  if (info.min_counter > info.counter)
    return bad("min_counter is above counter");
  auto file_root = HexDecode(root);
  if (!file_root.ok() || file_root->size() != crypto::kSha256Size)
    return bad("file_root is not 32 bytes in hex");
  info.file_root = *std::move(file_root);
  if (info.piece_length < kLeafBlock ||
      (info.piece_length & (info.piece_length - 1)) != 0)
    return bad("piece_length is not a power of two of at least 16384");
  return info;
}

std::string FormatImageInfo(const ImageInfo& info) {
  const json object = {{"device_type", info.device_type},
                       {"version", info.version},
                       {"artifact", info.artifact},
                       {"counter", info.counter},
                       {"min_counter", info.min_counter},
                       {"file_root", HexEncode(info.file_root)},
                       {"piece_length", info.piece_length}};
  return json{{"shoal", object}}.dump();
}

}  // namespace shoal::signing
