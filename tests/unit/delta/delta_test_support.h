// What the delta tests share: images, making, applying in memory, and
// building patches by hand that no maker would make.
#ifndef SHOAL_TESTS_UNIT_DELTA_DELTA_TEST_SUPPORT_H_
#define SHOAL_TESTS_UNIT_DELTA_DELTA_TEST_SUPPORT_H_

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "delta/apply/apply.h"
#include "delta/format/format.h"
#include "delta/make/make.h"

namespace shoal::delta {

void WriteFile(const std::string& path, std::string_view bytes);
std::string ReadFile(const std::string& path);

// `size` bytes that look like code: words from a small set, some noise.
std::string CodeLike(std::mt19937_64& random, size_t size);
std::string RandomBytes(std::mt19937_64& random, size_t size);
// A gzip member (RFC 1952) of `raw`, as gzip -n makes it.
std::string Gzip(std::string_view raw);
// Some edits, inserts, deletions, moves of blocks, truncations.
std::string Mutate(std::mt19937_64& random, std::string image);

// zstd, 4 KiB windows, 64 KiB segments.
MakeOptions SmallOptions();
absl::StatusOr<std::string> Make(std::string_view old_image,
                                 std::string_view new_image,
                                 const MakeOptions& options,
                                 MakeStats* stats = nullptr);

// What an application did.
struct Applied {
  absl::Status status;
  std::string written;
  std::vector<std::pair<uint64_t, std::string>> checkpoints;
};

struct ApplySetup {
  std::optional<uint64_t> expected_size;       // default: the header's
  std::optional<std::string> expected_sha256;  // default: the header's
  uint64_t max_memory = kDefaultMaxMemory;
  std::string resume_state;
  std::string already_written;  // what the slot holds when resuming
  size_t patch_read_step = 100000;
};
// A patch of either format; of a classic one expected_size must be given.
Applied Apply(std::string_view old_image, std::string_view patch,
              const ApplySetup& setup = {});

// A patch with a right header for the given images and hand-made windows.
class PatchBuilder {
 public:
  PatchBuilder(std::string_view old_image, std::string_view new_image,
               uint32_t window_size = 65536);
  Header& header() { return header_; }
  struct Window {
    uint64_t new_size = 0;
    std::string control, diff, extra;
  };
  PatchBuilder& Add(const Window& window);
  // A window whose header and stored bytes are given as they are.
  PatchBuilder& AddRaw(const WindowHeader& window, std::string_view stored);
  std::string Build() const;

 private:
  struct Raw {
    uint64_t at;
    std::string record, stored;
  };
  Header header_;
  uint64_t at_ = 0;
  std::vector<Raw> windows_;
};

std::string Instruction(Op op, uint64_t argument);

}  // namespace shoal::delta

#endif  // SHOAL_TESTS_UNIT_DELTA_DELTA_TEST_SUPPORT_H_
