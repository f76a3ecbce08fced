// Feeds any bytes as a patch to the applier. Checksums would hide most of the
// code from a fuzzer, so the input is not a patch but a recipe: the header's
// fields and the windows are the fuzzer's, their checksums are made right
// (unless the first byte says to take the rest as the patch itself).
//
// What must hold: no crash, no read outside the base, never more written than
// the expected length, and every outcome is OK or one of the known reasons.
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "delta/apply/apply.h"
#include "delta/entropy/mix_coder.h"
#include "delta/format/format.h"
#include "delta/image/image_map.h"

namespace shoal::delta {
namespace {

// Keep one run short: a model's byte takes up to 80 µs with the sanitizers.
constexpr uint64_t kMostOutput = 1 << 20;
constexpr uint64_t kMostModelOutput = 1 << 13;
constexpr uint64_t kMostExpanded = 1 << 14;
constexpr uint64_t kMapMemory = 2 << 20;  // granted for maps and what they need

std::string Base() {
  std::string base;
  for (int i = 0; i < 5000; ++i) base.push_back(static_cast<char>(i * i >> 3));
  return base;
}

// A base that holds compressed blocks: two gzip members (RFC 1952).
std::string ImageBase() {
  std::string base = "boot";
  for (const int lines : {400, 100}) {
    std::string text;
    for (int i = 0; i < lines; ++i)
      text += "line " + std::to_string(i) + " of an image\n";
    z_stream stream{};
    deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    std::string packed(deflateBound(&stream, text.size()) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(text.data());
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
    base += packed;
  }
  return base;
}

void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "broken: %s\n", what);
  abort();
}

// A window header as the applier will read it, to find the stored length.
bool TakeWindow(std::string_view& in, uint64_t& new_size,
                std::string_view& record, uint64_t& stored) {
  std::string_view rest = in;
  const auto window = TakeWindowHeader(rest);
  if (!window) return false;
  stored = 0;
  for (const SectionInfo& s : window->sections) {
    if (s.stored_size > rest.size()) return false;
    stored += s.stored_size;
  }
  if (window->coded_size > rest.size()) return false;
  stored += window->coded_size;
  if (stored > rest.size()) return false;
  // A list of operations makes nothing by itself.
  new_size = window->kind == WindowKind::kOperations ? 0 : window->new_size;
  record = in.substr(0, in.size() - rest.size());
  in = rest;
  return true;
}

// The two maps at the front of `in` and this machine's codecs, so that the
// fuzzer need not guess fingerprints; where the maps are malformed, the rest.
std::string TakeMaps(std::string_view& in) {
  std::string_view rest = in;
  const auto old_map = ParseImageMap(rest, kMapMemory);
  if (old_map.ok()) {
    const auto new_map = ParseImageMap(rest, kMapMemory, OuterSizes(*old_map));
    // A patch that needs more is refused, which needs no codecs.
    if (new_map.ok() && CheckCodecsMemory(*new_map) < kMapMemory &&
        new_map->ExpandedSize() <= kMostExpanded) {
      const auto codecs = DescribeCodecs(*new_map);
      if (codecs.ok()) {
        std::string maps(in.substr(0, in.size() - rest.size()));
        in = rest;
        return maps + *codecs;
      }
    }
  }
  return std::string(std::exchange(in, {}).substr(0, kMaxMapsSize));
}

// Input: new size (3 bytes); window size (log2), coding (bit 7), maps (bit 6);
// maps without codecs; windows without checksums.
std::string PatchFromRecipe(std::string_view in, const std::string& base) {
  Header header;
  header.old_size = base.size();
  header.old_sha256 = crypto::Sha256Digest(base);
  header.new_sha256 = crypto::Sha256Digest("");
  if (in.size() < 4) return EncodeHeader(header);
  header.new_size = static_cast<uint64_t>(static_cast<uint8_t>(in[0])) << 16 |
                    static_cast<uint64_t>(static_cast<uint8_t>(in[1])) << 8 |
                    static_cast<uint8_t>(in[2]);
  header.window_size = 1u << (12 + (static_cast<uint8_t>(in[3]) & 0x3f) % 6);
  header.reader_memory = static_cast<uint32_t>(ReaderMemory(header));
  if (static_cast<uint8_t>(in[3]) & 0x80) {
    header.coding = Coding::kModel;
    header.model_version = kModelVersion;
    header.model_level = kMinMixLevel;
    header.group_log2 = 8;
    header.reader_memory =
        static_cast<uint32_t>(ReaderMemory(header) + MixMemory(kMinMixLevel));
  }
  const bool expanded = static_cast<uint8_t>(in[3]) & 0x40;
  in.remove_prefix(4);
  std::string maps;
  if (expanded) {
    maps = TakeMaps(in);
    header.maps_size = header.maps_stored = static_cast<uint32_t>(maps.size());
    header.reader_memory += static_cast<uint32_t>(kMapMemory);
  }
  std::string out = EncodeHeader(header);
  const std::string checksum = out.substr(kHeaderSize - kChecksumSize);
  if (!maps.empty()) out += WindowChecksum(checksum, 0, "", maps) + maps;
  uint64_t at = 0, new_size = 0, stored = 0;
  for (std::string_view record; TakeWindow(in, new_size, record, stored);) {
    out += record;
    out += WindowChecksum(checksum, at, record, in.substr(0, stored));
    out += in.substr(0, stored);
    in.remove_prefix(stored);
    at += new_size;
  }
  out += in;
  return out;
}

void RunOne(std::string_view input) {
  static const std::string plain_base = Base(), image_base = ImageBase();
  if (input.empty()) return;
  const bool recipe = input[0] != 0;
  const bool expanded = recipe && input.size() > 4 && (input[4] & 0x40) != 0;
  const std::string& base = expanded ? image_base : plain_base;
  input.remove_prefix(1);
  const std::string patch =
      recipe ? PatchFromRecipe(input, base) : std::string(input);
  const auto header = ParseHeader(patch);
  std::string_view rest = patch;
  uint64_t written = 0;
  ApplyOptions options;
  options.read_patch = [&](char* buffer,
                           size_t size) -> absl::StatusOr<size_t> {
    const size_t n = std::min(size, rest.size());
    memcpy(buffer, rest.data(), n);
    rest.remove_prefix(n);
    return n;
  };
  options.read_old = [&](uint64_t at, char* buffer, size_t size) {
    Require(at <= base.size() && size <= base.size() - at, "read outside base");
    memcpy(buffer, base.data() + at, size);
    return absl::OkStatus();
  };
  options.old_size = base.size();
  const bool model = header.ok() && header->coding == Coding::kModel;
  options.expected_size =
      header.ok()
          ? std::min(header->new_size, model ? kMostModelOutput : kMostOutput)
          : 0;
  options.expected_sha256 =
      header.ok() ? header->new_sha256 : std::string(32, 0);
  options.max_memory = 6u << 20;
  const uint64_t limit = options.expected_size;
  options.write_new = [&, limit](std::string_view bytes) {
    written += bytes.size();
    Require(written <= limit, "written beyond the expected length");
    return absl::OkStatus();
  };
  auto applier = Applier::Create(std::move(options));
  const absl::Status status =
      applier.ok() ? (*applier)->Run() : applier.status();
  constexpr std::array<std::string_view, 13> kReasons = {"ok",
                                                         "wrong_base",
                                                         "wrong_result",
                                                         "delta_corrupt",
                                                         "delta_truncated",
                                                         "delta_too_large",
                                                         "delta_memory",
                                                         "unsupported_delta",
                                                         "bad_resume",
                                                         "image_map",
                                                         "image_memory",
                                                         "image_block",
                                                         "codec_differs"};
  Require(std::find(kReasons.begin(), kReasons.end(), ReasonOf(status)) !=
              kReasons.end(),
          "unknown reason");
}

}  // namespace
}  // namespace shoal::delta

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shoal::delta::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
