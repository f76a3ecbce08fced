// Feeds any bytes as a patch to the applier. Checksums would hide most of the
// code from a fuzzer, so the input is not a patch but a recipe: the header's
// fields and the windows are the fuzzer's, their checksums are made right
// (unless the first byte says to take the rest as the patch itself).
//
// What must hold: no crash, no read outside the base, never more written than
// the expected length, and every outcome is OK or one of the known reasons.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "delta/apply/apply.h"
#include "delta/entropy/mix_coder.h"
#include "delta/format/format.h"

namespace shoal::delta {
namespace {

constexpr uint64_t kMostOutput = 1 << 20;  // keeps one run short

std::string Base() {
  std::string base;
  for (int i = 0; i < 5000; ++i) base.push_back(static_cast<char>(i * i >> 3));
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

// Input: new size (3 bytes), window size (log2) and coding, windows without
// checksums.
std::string PatchFromRecipe(std::string_view in, const std::string& base) {
  Header header;
  header.old_size = base.size();
  header.old_sha256 = crypto::Sha256Digest(base);
  header.new_sha256 = crypto::Sha256Digest("");
  if (in.size() < 4) return EncodeHeader(header);
  header.new_size = static_cast<uint64_t>(static_cast<uint8_t>(in[0])) << 16 |
                    static_cast<uint64_t>(static_cast<uint8_t>(in[1])) << 8 |
                    static_cast<uint8_t>(in[2]);
  header.window_size = 1u << (12 + (static_cast<uint8_t>(in[3]) & 0x7f) % 6);
  header.reader_memory = static_cast<uint32_t>(ReaderMemory(header));
  if (static_cast<uint8_t>(in[3]) & 0x80) {
    header.coding = Coding::kModel;
    header.model_version = kModelVersion;
    header.model_level = kMinMixLevel;
    header.group_log2 = 8;
    header.reader_memory =
        static_cast<uint32_t>(ReaderMemory(header) + MixMemory(kMinMixLevel));
  }
  in.remove_prefix(4);
  std::string out = EncodeHeader(header);
  const std::string checksum = out.substr(kHeaderSize - kChecksumSize);
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
  static const std::string base = Base();
  if (input.empty()) return;
  const bool recipe = input[0] != 0;
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
  options.expected_size =
      header.ok() ? std::min(header->new_size, kMostOutput) : 0;
  options.expected_sha256 =
      header.ok() ? header->new_sha256 : std::string(32, 0);
  options.max_memory = 4u << 20;
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
