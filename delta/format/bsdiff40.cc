#include "delta/format/bsdiff40.h"

#include "common/status.h"
#include "delta/format/format.h"

namespace shoal::delta {

void AppendBsdiff40Number(std::string& out, int64_t value) {
  const bool negative = value < 0;
  uint64_t magnitude = negative ? uint64_t{0} - static_cast<uint64_t>(value)
                                : static_cast<uint64_t>(value);
  if (negative) magnitude |= uint64_t{1} << 63;
  for (int i = 0; i < 8; ++i)
    out.push_back(static_cast<char>(magnitude >> (8 * i)));
}

int64_t ReadBsdiff40Number(const char* bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i)
    value = value << 8 | static_cast<uint8_t>(bytes[i]);
  const int64_t magnitude = static_cast<int64_t>(value & ~(uint64_t{1} << 63));
  return value >> 63 ? -magnitude : magnitude;
}

std::string EncodeBsdiff40Header(const Bsdiff40Header& header) {
  std::string out(kBsdiff40Magic);
  AppendBsdiff40Number(out, static_cast<int64_t>(header.control_size));
  AppendBsdiff40Number(out, static_cast<int64_t>(header.diff_size));
  AppendBsdiff40Number(out, static_cast<int64_t>(header.new_size));
  return out;
}

absl::StatusOr<Bsdiff40Header> ParseBsdiff40Header(std::string_view bytes,
                                                   uint64_t patch_size) {
  if (bytes.size() < kBsdiff40HeaderSize || !IsBsdiff40(bytes))
    return DataLoss("delta_corrupt", "this is not a BSDIFF40 patch");
  const int64_t control = ReadBsdiff40Number(bytes.data() + 8);
  const int64_t diff = ReadBsdiff40Number(bytes.data() + 16);
  const int64_t result = ReadBsdiff40Number(bytes.data() + 24);
  const int64_t room = static_cast<int64_t>(patch_size - kBsdiff40HeaderSize);
  if (patch_size < kBsdiff40HeaderSize || patch_size > kMaxImageSize ||
      control < 0 || diff < 0 || control > room || diff > room - control ||
      result < 0 || static_cast<uint64_t>(result) > kMaxImageSize)
    return DataLoss("delta_corrupt", "the lengths of the patch are impossible");
  return Bsdiff40Header{static_cast<uint64_t>(control),
                        static_cast<uint64_t>(diff),
                        static_cast<uint64_t>(result)};
}

}  // namespace shoal::delta
