// The classic format of bsdiff 4.x ("BSDIFF40", C. Percival), for existing
// pipelines: header, then three bzip2 streams (control, diff, extra).
//
//   0   8  BSDIFF40
//   8   8  bytes of the control stream as stored
//   16  8  bytes of the diff stream as stored
//   24  8  bytes of the result
//
// Numbers are 8 bytes, least significant first, the highest bit is the sign
// (no two's complement). Control: triples (bytes of the base and of diff to
// add; bytes of extra to take; how far to move in the base, signed). Places
// outside the base count as zeros. It holds no digests.
#ifndef SHOAL_DELTA_FORMAT_BSDIFF40_H_
#define SHOAL_DELTA_FORMAT_BSDIFF40_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace shoal::delta {

inline constexpr std::string_view kBsdiff40Magic = "BSDIFF40";
inline constexpr size_t kBsdiff40HeaderSize = 32;

struct Bsdiff40Header {
  uint64_t control_size = 0;  // as stored
  uint64_t diff_size = 0;     // as stored
  uint64_t new_size = 0;      // ≤ kMaxImageSize
};

void AppendBsdiff40Number(std::string& out, int64_t value);
int64_t ReadBsdiff40Number(const char* bytes);  // 8 of them

// Whether a file that begins with `bytes` (8 or more) may be one.
inline bool IsBsdiff40(std::string_view bytes) {
  return bytes.substr(0, kBsdiff40Magic.size()) == kBsdiff40Magic;
}

std::string EncodeBsdiff40Header(const Bsdiff40Header& header);
// `bytes`: kBsdiff40HeaderSize of them; `patch_size`: of the whole file.
// Reason: "delta_corrupt".
absl::StatusOr<Bsdiff40Header> ParseBsdiff40Header(std::string_view bytes,
                                                   uint64_t patch_size);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_FORMAT_BSDIFF40_H_
