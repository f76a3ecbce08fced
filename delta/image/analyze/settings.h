// Which setting compresses a block to exactly the bytes that it has.
#ifndef SHOAL_DELTA_IMAGE_ANALYZE_SETTINGS_H_
#define SHOAL_DELTA_IMAGE_ANALYZE_SETTINGS_H_

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

// Every setting worth trying for the family's blocks, likeliest first.
std::vector<CodecSetting> SettingsToTry(const Family& family);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_ANALYZE_SETTINGS_H_
