// Which setting compresses a block to exactly the bytes that it has.
#ifndef SHOAL_DELTA_IMAGE_ANALYZE_SETTINGS_H_
#define SHOAL_DELTA_IMAGE_ANALYZE_SETTINGS_H_

#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "delta/image/analyze/candidates.h"
#include "delta/image/codec.h"

namespace shoal::delta {

// True when the device's own code makes `stored` of `raw`, which may be long
// for LZ4 only; other long blocks: ReproducesLong.
bool Reproduces(BlockCodec& codec, const CodecSetting& setting,
                std::string_view raw, std::string_view stored);

// The same for a deflate block of any length, read from the image in passing;
// gives up at the first other byte. Errors of reads.
absl::StatusOr<bool> ReproducesLong(const CodecSetting& setting,
                                    const Source& source,
                                    const Candidate& block, uint32_t raw);

// Learns from block to block what a family's blocks were made with, so that
// most blocks need one attempt. Thread-safe.
class SettingFinder {
 public:
  explicit SettingFinder(const Family& family);

  // The order in which to try settings for the next block: those that worked,
  // the likely ones, and, unless it was in vain too often, every other one.
  std::vector<CodecSetting> Order() const;
  void Worked(const CodecSetting& setting);
  void InVain();

 private:
  const Family& family_;
  const std::vector<CodecSetting> others_;
  mutable std::mutex mutex_;
  std::vector<CodecSetting> worked_;  // last one first
  int in_vain_ = 0;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_ANALYZE_SETTINGS_H_
