#include "signing/verify/time_floor.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::signing {
namespace {

constexpr size_t kCheckBytes = 8;
constexpr uint64_t kMaxFileBytes = 64;

std::string CopyPath(const std::string& path) { return path + ".copy"; }

std::string CheckOf(std::string_view seconds) {
  return HexEncode(crypto::Sha256Digest(seconds).substr(0, kCheckBytes));
}

std::string Format(int64_t seconds) {
  const std::string text = std::to_string(seconds);
  return text + " " + CheckOf(text) + "\n";
}

// "SECONDS CHECK\n", or "SECONDS\n" as earlier versions wrote it.
std::optional<int64_t> Parse(std::string_view text) {
  int64_t seconds = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, seconds);
  if (error != std::errc() || seconds < 0) return std::nullopt;
  const std::string_view rest = text.substr(at - text.data());
  const std::string_view digits = text.substr(0, at - text.data());
  if (rest == "\n" || rest == " " + CheckOf(digits) + "\n") return seconds;
  return std::nullopt;
}

// One after the other: whatever a power cut does to the one being written, the
// other one is whole.
absl::Status Save(FileSystem& fs, const std::string& path, int64_t seconds) {
  const std::string text = Format(seconds);
  SHOAL_RETURN_IF_ERROR(fs.WriteAtomic(CopyPath(path), text));
  return fs.WriteAtomic(path, text);
}

}  // namespace

absl::StatusOr<TimeFloor> TimeFloor::Load(FileSystem& fs, std::string path) {
  int64_t highest = 0;
  int good = 0;
  bool damaged = false;
  for (const std::string& file : {path, CopyPath(path)}) {
    if (!fs.Exists(file)) continue;
    const auto text = fs.Read(file, kMaxFileBytes);
    const auto seconds = text.ok() ? Parse(*text) : std::nullopt;
    if (seconds) {
      ++good;
      highest = std::max(highest, *seconds);
    } else {
      damaged = true;
      LogWarn("time_floor_damaged", {{"file", file}});
    }
  }
  TimeFloor floor(fs, std::move(path), absl::FromUnixSeconds(highest));
  if (damaged && good == 0)
    LogError(
        "time_floor_lost",
        {{"file", floor.path_},
         {"explanation",
          "both copies are damaged: until the storage nodes tell the time, "
          "the machine's own clock counts"}});
  // Whole again, both of them.
  if (damaged && good > 0)
    SHOAL_RETURN_IF_ERROR(Save(fs, floor.path_, highest));
  return floor;
}

absl::Time TimeFloor::Now(Clock& clock) const {
  return std::max(clock.WallNow(), floor_);
}

absl::Status TimeFloor::Raise(absl::Time authenticated) {
  const absl::Time whole =
      absl::FromUnixSeconds(absl::ToUnixSeconds(authenticated));
  if (whole <= floor_) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(Save(*fs_, path_, absl::ToUnixSeconds(whole)));
  floor_ = whole;
  return absl::OkStatus();
}

}  // namespace shoal::signing
