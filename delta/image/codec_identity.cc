#include <fmt/format.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "delta/image/buffer.h"
#include "delta/image/image_map.h"
#include "delta/image/lz4_pieces.h"

namespace shoal::delta {
namespace {

// As long as a squashfs block usually is: zstd chooses parameters by length.
constexpr size_t kSampleSize = 128u << 10;
constexpr size_t kFingerprintSize = 4;

// Words and numbers of a small generator: matches near and far, literals, no
// long repetition. The bytes are part of the format.
void MakeSample(char* out) {
  uint32_t state = 1;
  const auto next = [&] {
    state = state * 1664525 + 1013904223;
    return state >> 16;
  };
  for (size_t i = 0; i < kSampleSize;) {
    const uint32_t word = next() % 512 * next() % 512;
    const size_t length = std::min<size_t>(3 + word % 9, kSampleSize - i);
    for (size_t k = 0; k < length; ++k)
      out[i++] = static_cast<char>(word * (k + 7) >> (k % 5));
    if (word % 4 == 0 && i < kSampleSize) out[i++] = static_cast<char>(next());
  }
}

// Of pieces, what follows on half of the sample.
absl::StatusOr<std::string> MakePiece(const CodecSetting& setting) {
  Buffer sample, out;
  SHOAL_RETURN_IF_ERROR(sample.Reserve(kSampleSize));
  SHOAL_RETURN_IF_ERROR(out.Reserve(MaxStoredLength(kSampleSize)));
  MakeSample(sample.data());
  Lz4HcCompressor compressor;
  SHOAL_ASSIGN_OR_RETURN(
      const size_t n,
      compressor.Compress(setting.level, sample.data() + kLz4History,
                          kLz4History, kSampleSize - kLz4History, out.data(),
                          out.size()));
  return std::string(out.data(), n);
}

absl::StatusOr<std::string> Fingerprint(BlockCodec& codec,
                                        const CodecSetting& setting) {
  if (setting.codec == ImageCodec::kLz4HcPieces) {
    SHOAL_ASSIGN_OR_RETURN(const std::string stored, MakePiece(setting));
    return crypto::Sha256Digest(stored).substr(0, kFingerprintSize);
  }
  SHOAL_ASSIGN_OR_RETURN(char* const room, codec.Prepare(setting, kSampleSize));
  MakeSample(room);
  SHOAL_ASSIGN_OR_RETURN(const std::string_view stored,
                         codec.Compress(MaxStoredLength(kSampleSize)));
  return crypto::Sha256Digest(stored).substr(0, kFingerprintSize);
}

// The codecs of the map's settings, each once, in order of their numbers.
std::vector<ImageCodec> CodecsOf(const ImageMap& map) {
  std::vector<ImageCodec> codecs;
  for (const CodecSetting& setting : map.settings)
    codecs.push_back(setting.codec);
  std::sort(codecs.begin(), codecs.end());
  codecs.erase(std::unique(codecs.begin(), codecs.end()), codecs.end());
  return codecs;
}

}  // namespace

std::string LibraryOf(ImageCodec codec) {
  switch (codec) {
    case ImageCodec::kDeflate:
      return fmt::format("zlib {}", zlibVersion());
    case ImageCodec::kXz:
      return fmt::format("liblzma {}", lzma_version_string());
    case ImageCodec::kZstd:
      return fmt::format("zstd {}", ZSTD_versionString());
    case ImageCodec::kLz4:
      // Its fast compressor hashes by the machine's word.
      return fmt::format("lz4 {} ({} bit)", LZ4_versionString(),
                         8 * sizeof(void*));
    case ImageCodec::kLz4Hc:
    case ImageCodec::kLz4HcPieces:
      return fmt::format("lz4 {}", LZ4_versionString());
  }
  return "unknown";
}

std::set<std::string> LibrariesOf(const ImageMap& map) {
  std::set<std::string> libraries;
  for (const ImageCodec codec : CodecsOf(map))
    libraries.insert(LibraryOf(codec));
  return libraries;
}

std::set<std::string> CodecLibraries() {
  std::set<std::string> libraries;
  for (int codec = static_cast<int>(ImageCodec::kDeflate);
       codec <= static_cast<int>(ImageCodec::kLz4HcPieces); ++codec)
    libraries.insert(LibraryOf(static_cast<ImageCodec>(codec)));
  return libraries;
}

uint64_t CheckCodecsMemory(const ImageMap& map) {
  // The codec of whole blocks keeps what it has while a piece is made.
  CodecMemory whole;
  uint64_t piece = 0;
  for (const CodecSetting& setting : map.settings) {
    if (setting.codec == ImageCodec::kLz4HcPieces) {
      piece = std::max(piece, Lz4HcState(setting.level) + kSampleSize +
                                  2 * MaxStoredLength(kSampleSize));
    } else {
      whole.RaiseTo(WholeBlockMemory(setting, kSampleSize));
    }
  }
  return whole.total() + piece;
}

absl::StatusOr<std::string> DescribeCodecs(const ImageMap& map) {
  std::string out;
  for (const ImageCodec codec : CodecsOf(map)) {
    const std::string library = LibraryOf(codec);
    out.push_back(static_cast<char>(library.size()));
    out += library;
  }
  BlockCodec codec;
  for (const CodecSetting& setting : map.settings) {
    SHOAL_ASSIGN_OR_RETURN(const std::string fingerprint,
                           Fingerprint(codec, setting));
    out += fingerprint;
  }
  return out;
}

absl::Status CheckCodecs(const ImageMap& map, std::string_view& bytes) {
  const auto take = [&](size_t n) {
    const std::string_view front = bytes.substr(0, n);
    bytes.remove_prefix(front.size());
    return front;
  };
  for (const ImageCodec codec : CodecsOf(map)) {
    const std::string_view length = take(1);
    const size_t n = length.empty() ? 0 : static_cast<uint8_t>(length[0]);
    const std::string_view wanted = take(n);
    if (n == 0 || wanted.size() != n)
      return DataLoss("image_map", "the codecs are cut off");
    const std::string here = LibraryOf(codec);
    if (wanted != here) {
      // Untrusted text: only what a name and a version may hold is shown.
      std::string shown;
      for (const char c : wanted)
        shown.push_back(c >= ' ' && c <= '~' ? c : '?');
      return FailedPrecondition(
          "codec_differs",
          fmt::format("the delta needs {}, here is {}", shown, here));
    }
  }
  const std::string_view fingerprints =
      take(kFingerprintSize * map.settings.size());
  if (fingerprints.size() != kFingerprintSize * map.settings.size())
    return DataLoss("image_map", "the fingerprints are cut off");
  BlockCodec codec;
  for (size_t i = 0; i < map.settings.size(); ++i) {
    SHOAL_ASSIGN_OR_RETURN(const std::string here,
                           Fingerprint(codec, map.settings[i]));
    if (fingerprints.substr(i * kFingerprintSize, kFingerprintSize) != here)
      return FailedPrecondition(
          "codec_differs",
          fmt::format("{} makes other bytes here", Describe(map.settings[i])));
  }
  return absl::OkStatus();
}

}  // namespace shoal::delta
