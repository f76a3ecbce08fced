// A lower bound of the current time that never moves back (T26): a device
// whose clock starts in 1970, or is set back, does not take expired metadata
// for valid.
#ifndef SHOAL_SIGNING_VERIFY_TIME_FLOOR_H_
#define SHOAL_SIGNING_VERIFY_TIME_FLOOR_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/files.h"

namespace shoal::signing {

// One thread.
class TimeFloor {
 public:
  // From `path` and `path`.copy, the higher one that is whole; without any,
  // 1970. Damage is said, and mended from the other. Errors of `fs`.
  static absl::StatusOr<TimeFloor> Load(FileSystem& fs, std::string path);

  absl::Time floor() const { return floor_; }
  absl::Time Now(Clock& clock) const;

  // Raises the floor to an authenticated time (time keys' answers); a lower
  // value is ignored. Durable on return. Never call it with the machine's own
  // clock: one leap into the future would then stay for ever.
  absl::Status Raise(absl::Time authenticated);

 private:
  TimeFloor(FileSystem& fs, std::string path, absl::Time floor)
      : fs_(&fs), path_(std::move(path)), floor_(floor) {}
  FileSystem* fs_;
  std::string path_;
  absl::Time floor_;
};

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_TIME_FLOOR_H_
