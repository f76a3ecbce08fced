// Feeds any bytes as the state that applying goes on from: it lies on the
// device's disk, where anything may happen to it. Its checksum would hide the
// rest from a fuzzer, so the input is the state's fields and the checksum is
// made right (unless the first byte says to take the rest as the state itself).
//
// What must hold: no crash, nothing read outside of base and result, never more
// written than the expected length, every outcome is OK or one of the known
// reasons, and OK means the right image.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "delta/apply/apply.h"
#include "delta/format/format.h"

namespace shoal::delta {
namespace {

constexpr int kWindows = 8;
constexpr size_t kCopied = 900, kNew = 100;

void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "broken: %s\n", what);
  abort();
}

// A patch of several windows that copy and add something.
struct Subject {
  std::string base, result, patch, header_checksum;
};

Subject MakeSubject() {
  Subject s;
  for (int i = 0; i < 5000; ++i)
    s.base.push_back(static_cast<char>(i * i >> 3));
  std::array<std::string, kWindows> extras;
  for (int w = 0; w < kWindows; ++w) {
    extras[w].assign(kNew, static_cast<char>('a' + w));
    s.result += s.base.substr(400u * w, kCopied) + extras[w];
  }
  Header header;
  header.old_size = s.base.size();
  header.new_size = s.result.size();
  header.old_sha256 = crypto::Sha256Digest(s.base);
  header.new_sha256 = crypto::Sha256Digest(s.result);
  header.window_size = kMinWindowSize;
  header.reader_memory = static_cast<uint32_t>(ReaderMemory(header));
  s.patch = EncodeHeader(header);
  s.header_checksum = s.patch.substr(kHeaderSize - kChecksumSize);
  for (int w = 0; w < kWindows; ++w) {
    std::string control;
    AppendVarint(control, Zigzag(400 * w) << 2 | 3);
    AppendVarint(control, kCopied << 2 | 0);
    AppendVarint(control, kNew << 2 | 2);
    WindowHeader window;
    window.new_size = kCopied + kNew;
    window.sections[kControl].raw_size = window.sections[kControl].stored_size =
        control.size();
    window.sections[kExtra].raw_size = window.sections[kExtra].stored_size =
        kNew;
    std::string record;
    AppendWindowHeader(record, window);
    const std::string stored = control + extras[w];
    s.patch += record +
               WindowChecksum(s.header_checksum, (kCopied + kNew) * w, record,
                              stored) +
               stored;
  }
  return s;
}

// Input: where in the patch to begin, what is made before there, up to where it
// was made, what was written (2 bytes each); a byte: 0 takes the right digest;
// then 32 bytes of another one.
std::string StateFromRecipe(std::string_view in, const Subject& s) {
  const auto number = [&](size_t n) {
    uint64_t value = 0;
    for (; n > 0 && !in.empty(); --n, in.remove_prefix(1))
      value = value << 8 | static_cast<uint8_t>(in[0]);
    return value;
  };
  std::string state = "SDS2" + s.header_checksum;
  uint64_t written = 0;
  for (int field = 0; field < 4; ++field)
    AppendBigEndian(state, written = number(2), 8);
  if (number(1) == 0) {
    state +=
        crypto::Sha256Digest(std::string_view(s.result).substr(0, written));
  } else {
    std::string digest(in.substr(0, crypto::kSha256Size));
    digest.resize(crypto::kSha256Size);
    state += digest;
  }
  return state + crypto::Sha256Digest(state).substr(0, kChecksumSize);
}

void RunOne(std::string_view input) {
  static const Subject s = MakeSubject();
  if (input.empty()) return;
  const bool recipe = input[0] != 0;
  input.remove_prefix(1);
  std::string_view rest = s.patch;
  ApplyOptions options;
  options.resume_state =
      recipe ? StateFromRecipe(input, s) : std::string(input);
  options.read_patch = [&](char* buffer,
                           size_t size) -> absl::StatusOr<size_t> {
    const size_t n = std::min(size, rest.size());
    memcpy(buffer, rest.data(), n);
    rest.remove_prefix(n);
    return n;
  };
  const auto read_from = [](const std::string& bytes, const char* what) {
    return [&bytes, what](uint64_t at, char* buffer, size_t size) {
      Require(at <= bytes.size() && size <= bytes.size() - at, what);
      memcpy(buffer, bytes.data() + at, size);
      return absl::OkStatus();
    };
  };
  options.read_old = read_from(s.base, "read outside base");
  options.read_new = read_from(s.result, "read outside result");
  options.old_size = s.base.size();
  options.expected_size = s.result.size();
  options.expected_sha256 = crypto::Sha256Digest(s.result);
  std::string result = s.result;
  uint64_t at = 0;
  options.write_new = [&](std::string_view bytes) {
    Require(bytes.size() <= result.size() - at,
            "written beyond the expected length");
    result.replace(at, bytes.size(), bytes);
    at += bytes.size();
    return absl::OkStatus();
  };
  auto applier = Applier::Create(std::move(options));
  absl::Status status = applier.status();
  if (applier.ok()) {
    at = (*applier)->resume_offset();
    status = (*applier)->Run();
  }
  Require(!status.ok() || (at == s.result.size() && result == s.result),
          "another image");
  constexpr std::array<std::string_view, 6> kReasons = {
      "ok",           "bad_resume",      "delta_corrupt",
      "wrong_result", "delta_truncated", "delta_too_large"};
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
