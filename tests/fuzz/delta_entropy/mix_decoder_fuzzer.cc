// Feeds any bytes as windows to the decoder, under a program of calls that the
// input chooses too. What must hold: no crash, nothing read or written out of
// bounds, every error "delta_corrupt".
//
// Input: a byte for the level; calls of four bytes (kind and number kind, two
// bytes for a size, one for a place) up to one of kind 7; the rest is the
// window.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/status.h"
#include "delta/entropy/mix_coder.h"

namespace shoal::delta {
namespace {

// Keeps one run short: with the sanitizers a byte takes up to 80 µs.
constexpr size_t kMostOutput = 1 << 12;
constexpr size_t kMostCalls = 64;

void Check(const absl::Status& status) {
  if (status.ok() || ReasonOf(status) == "delta_corrupt") return;
  fprintf(stderr, "unknown reason %s\n", ReasonOf(status).c_str());
  abort();
}

std::vector<uint8_t> Base() {
  std::vector<uint8_t> base;
  for (uint32_t i = 0; i < 5000; ++i) {
    // Calls of arm64 and x86-64, BL of Thumb-2, pointers, text.
    const uint32_t words[] = {0x94000000 + i,
                              0x0000e800 | i << 20,
                              0xf800f000 + (i & 7),
                              0x08000000 + i * 4,
                              0x90000001,
                              0x91048c21,
                              i};
    const uint32_t w = words[i / 8 % 7];
    for (int k = 0; k < 4; ++k)
      base.push_back(static_cast<uint8_t>(w >> 8 * k));
  }
  return base;
}

void RunOne(std::span<const uint8_t> in) {
  static const std::vector<uint8_t> base = Base();
  if (in.empty()) return;
  static std::unique_ptr<MixDecoder> decoders[3];
  const size_t level = 1 + in[0] % 2;
  in = in.subspan(1);
  auto& decoder = decoders[level];
  if (decoder == nullptr)
    decoder = std::move(*MixDecoder::Create(static_cast<int>(level)));
  decoder->Reset();
  size_t calls = 0;
  while (calls < kMostCalls && in.size() >= 4 * (calls + 1) &&
         in[4 * calls] % 8 != 7)
    ++calls;
  const std::span<const uint8_t> program = in.first(4 * calls);
  decoder->BeginWindow(in.subspan(4 * calls));
  size_t left = kMostOutput;
  uint64_t value = 0, new_at = 0;
  for (size_t i = 0; i < calls; ++i) {
    const uint8_t* c = program.data() + 4 * i;
    const size_t size = std::min<size_t>(c[1] | c[2] << 8, left);
    // Mostly inside of the base; the decoded number too.
    const uint64_t at = c[3] == 255 ? value : c[3] * 80u;
    const OldBytes old = {base, static_cast<size_t>(at), at};
    switch (c[0] % 8) {
      case 0:
      case 1: {
        const auto n = c[0] % 8 == 0 ? decoder->Number(static_cast<NumberKind>(
                                           c[0] / 8 % kNumberKinds))
                                     : decoder->Place(new_at);
        Check(n.status());
        if (n.ok()) value = *n;
        break;
      }
      case 2:
        decoder->Moved(at, new_at + c[2], size);
        break;
      case 3:
        Check(decoder->EndWindow());
        decoder->BeginWindow(in.subspan(4 * i));
        break;
      default: {
        const std::unique_ptr<uint8_t[]> fresh(new uint8_t[size]);
        const std::span<uint8_t> out(fresh.get(), size);
        Check(c[0] % 8 == 4 ? decoder->Insert(old, new_at, out)
                            : decoder->Add(old, new_at, out));
        new_at += size;
        left -= size;
        break;
      }
    }
  }
  Check(decoder->EndWindow());
}

}  // namespace
}  // namespace shoal::delta

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shoal::delta::RunOne({data, size});
  return 0;
}
