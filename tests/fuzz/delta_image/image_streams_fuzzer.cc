// Any bytes as one stored block: our LZ4 decoder and the wrapped libraries.
// First byte: the codec; next three: the raw length. What must hold: no crash,
// known reasons, and reading in passing gives the same as expanding at once.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "delta/image/block_stream.h"
#include "delta/image/codec.h"
#include "tests/fuzz/delta_image/fuzz_support.h"

namespace shoal::delta {
namespace {

constexpr CodecSetting kSettings[] = {
    {.codec = ImageCodec::kLz4Hc, .level = 9},
    {.codec = ImageCodec::kDeflate, .level = 6, .window = 15, .memory = 8},
    {.codec = ImageCodec::kDeflate,
     .level = 9,
     .window = 15,
     .memory = 8,
     .wrapper = 1},
    {.codec = ImageCodec::kXz, .level = 6, .check = 1, .dictionary = 65536},
    {.codec = ImageCodec::kZstd, .level = 15},
};

// In uneven pieces, with copies of the decoder and steps back.
absl::Status InPassing(BlockStream& first, std::string& out) {
  BlockStream* stream = &first;
  std::unique_ptr<BlockStream> copy;
  size_t piece = 1;
  while (stream->place() < out.size()) {
    const size_t at = stream->place();
    const size_t n = std::min(piece, out.size() - at);
    SHOAL_RETURN_IF_ERROR(stream->Read(out.data() + at, n));
    piece = piece * 3 % 7001 + 1;
    if (piece % 5 == 0) {
      SHOAL_ASSIGN_OR_RETURN(auto next, stream->Clone());
      copy = std::move(next);
      stream = copy.get();
    }
    if (piece % 7 == 0) {
      const size_t back = std::min<size_t>(stream->place(), piece / 10);
      stream->StepBack(stream->place() - back);
    }
  }
  return stream->CheckEnd();
}

void RunOne(std::string_view input) {
  if (input.size() < 4) return;
  const auto byte = [&](int i) { return static_cast<uint8_t>(input[i]); };
  const size_t kind = byte(0) % std::size(kSettings);
  const CodecSetting& setting = kSettings[kind];
  const size_t raw = (byte(1) | byte(2) << 8 | byte(3) << 16) % (1u << 19);
  input.remove_prefix(4);
  if (input.empty() || raw == 0) return;

  BlockCodec codec;
  std::string at_once(raw, '\0');
  const absl::Status status = codec.Expand(setting, input, at_once.data(), raw);
  RequireKnown(status);
  if (kind > 2) return;  // these are never read in passing

  const ReadAt read = ReadsFrom(input);
  auto stream = BlockStream::Open(setting, read, 0, input.size(), raw);
  Require(stream.ok(), "no stream");
  std::string passing(raw, '\0');
  const absl::Status other = InPassing(**stream, passing);
  RequireKnown(other);
  if (status.ok())
    Require(other.ok() && passing == at_once, "the two ways differ");
}

}  // namespace
}  // namespace shoal::delta

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shoal::delta::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
