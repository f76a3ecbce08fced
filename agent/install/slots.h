// Where images live. The engine knows slots by this interface only; file
// slots are the first handler, block devices and boot loaders of real boards
// come behind the same calls.
#ifndef SHOAL_AGENT_INSTALL_SLOTS_H_
#define SHOAL_AGENT_INSTALL_SLOTS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/state/image_info.h"
#include "common/files.h"

namespace shoal::agent {

// What runs now.
struct RunningImage {
  std::string slot;
  std::string path;    // of its bytes
  bool trial = false;  // not committed yet
  uint64_t boot_count = 0;
  ImageInfo info;  // as noted when it was installed; hash it before trusting
};

// One thread at a time.
class SlotHandler {
 public:
  virtual ~SlotHandler() = default;

  virtual absl::StatusOr<RunningImage> Running() = 0;
  // The slot that does not run, and the path to write an image to.
  virtual absl::StatusOr<std::string> InactiveSlot() = 0;
  virtual absl::StatusOr<std::string> PathOf(const std::string& slot) = 0;
  // Before the first byte is written: whatever the slot held is no longer
  // bootable. "slot_active" for the running slot.
  virtual absl::Status Invalidate(const std::string& slot) = 0;
  // The slot's bytes are whole and verified: it boots next, `tries` times at
  // most until Commit(). Durable when it returns.
  virtual absl::Status MarkBootable(const std::string& slot,
                                    const ImageInfo& info, int tries) = 0;
  // Whether the slot boots next (kMarked), or the loader tried it and gave it
  // up (kFellBack).
  enum class Mark { kNone, kMarked, kFellBack };
  virtual absl::StatusOr<Mark> MarkOf(const std::string& slot) = 0;
  // The running image becomes the one that boots. Idempotent.
  virtual absl::Status Commit() = 0;
  // The next boot takes the committed slot. Idempotent.
  virtual absl::Status Rollback() = 0;
};

// DIR/slots/{a,b}/image with an info file beside each, DIR/boot/env.
class FileSlots final : public SlotHandler {
 public:
  FileSlots(FileSystem& fs, std::string data_directory)
      : fs_(fs), directory_(std::move(data_directory)) {}

  // Makes directories and the environment; copies `image` (may be empty: no
  // image yet) into slot a and commits it. "already_initialised".
  absl::Status Initialise(const std::string& image, const std::string& version);

  absl::StatusOr<RunningImage> Running() override;
  absl::StatusOr<std::string> InactiveSlot() override;
  absl::StatusOr<std::string> PathOf(const std::string& slot) override;
  absl::Status Invalidate(const std::string& slot) override;
  absl::Status MarkBootable(const std::string& slot, const ImageInfo& info,
                            int tries) override;
  absl::StatusOr<Mark> MarkOf(const std::string& slot) override;
  absl::Status Commit() override;
  absl::Status Rollback() override;

 private:
  std::string BootDirectory() const;
  std::string InfoPath(const std::string& slot) const;
  FileSystem& fs_;
  const std::string directory_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_INSTALL_SLOTS_H_
