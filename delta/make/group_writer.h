// Turns operations into groups of the model: one window that lists a group's
// operations, then windows of their content. A group that is small or hardly
// compressed by that becomes windows of sections where those are smaller.
#ifndef SHOAL_DELTA_MAKE_GROUP_WRITER_H_
#define SHOAL_DELTA_MAKE_GROUP_WRITER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "delta/entropy/mix_coder.h"
#include "delta/format/format.h"

namespace shoal::delta {

struct GroupWriterOptions {
  std::string header_checksum;
  uint32_t window_size = 0;  // most bytes of a coded window
  uint8_t group_log2 = 0;    // most operations of a group
  uint64_t group_coded = 0;  // most bytes of a group that are no copies:
                             // what a reader makes again to resume
  int model_level = 0;
  int zstd_level = 19;
  const std::atomic<bool>* cancel = nullptr;  // optional
  // Called after each window, optional: what was read of the images may be
  // given back to the system. A group can go over all of both.
  std::function<void()> release;
  // Takes whole windows, in order.
  std::function<absl::Status(std::string_view)> write;
};

class GroupWriter {
 public:
  // The images must outlive it. Errors: those of MixEncoder::Create.
  static absl::StatusOr<std::unique_ptr<GroupWriter>> Create(
      std::string_view old_image, std::string_view new_image,
      GroupWriterOptions options);

  // Continues at the place where the one before ended.
  absl::Status Add(Operation operation);
  absl::Status Finish();

  uint64_t windows() const { return windows_; }

 private:
  GroupWriter(std::string_view old_image, std::string_view new_image,
              GroupWriterOptions options, std::unique_ptr<MixEncoder> model);
  absl::Status WriteGroup();
  absl::Status WriteModelled();
  absl::Status WriteSmaller();
  absl::Status WriteContent();
  void CodeContent(const Operation& operation, uint64_t done, uint64_t size);
  absl::Status EndWindow(WindowHeader window, uint64_t new_at);

  std::string_view old_, new_;
  GroupWriterOptions options_;
  std::unique_ptr<MixEncoder> model_;
  std::vector<Operation> operations_;
  uint64_t group_new_ = 0;     // bytes of the result in the open group
  uint64_t group_coded_ = 0;   // those that are no copies
  uint64_t written_ = 0;       // bytes of the result before the open group
  uint64_t old_position_ = 0;  // behind the last copy or add
  uint64_t place_ = 0;         // in the result, of the next content
  uint64_t windows_ = 0;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_GROUP_WRITER_H_
