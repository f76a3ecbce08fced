#include "signing/verify/time_floor.h"

#include <algorithm>
#include <charconv>

#include "common/status.h"

namespace shoal::signing {

absl::StatusOr<TimeFloor> TimeFloor::Load(FileSystem& fs, std::string path) {
  if (!fs.Exists(path))
    return TimeFloor(fs, std::move(path), absl::UnixEpoch());
  SHOAL_ASSIGN_OR_RETURN(const std::string text, fs.Read(path, 32));
  int64_t seconds = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || std::string_view(end) != "\n" || seconds < 0)
    return DataLoss("bad_time_floor",
                    path + " holds no time; remove it once the clock is right");
  return TimeFloor(fs, std::move(path), absl::FromUnixSeconds(seconds));
}

absl::Time TimeFloor::Now(Clock& clock) const {
  return std::max(clock.WallNow(), floor_);
}

absl::Status TimeFloor::Raise(absl::Time authenticated) {
  const absl::Time whole =
      absl::FromUnixSeconds(absl::ToUnixSeconds(authenticated));
  if (whole <= floor_) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(fs_->WriteAtomic(
      path_, std::to_string(absl::ToUnixSeconds(whole)) + "\n"));
  floor_ = whole;
  return absl::OkStatus();
}

}  // namespace shoal::signing
