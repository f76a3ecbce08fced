// Damaged windows: an error or wrong bytes, but no crash, no byte read or
// written out of bounds (the sanitizers watch), no endless work.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/status.h"
#include "delta/entropy/mix_coder.h"
#include "tests/unit/delta_entropy/mix_test_support.h"

namespace shoal::delta {
namespace {

Script SmallScript() { return MakeScript(23, Shape::kArm64, 3000); }

void ExpectNoOtherOutcome(const Decoded& decoded) {
  if (decoded.status.ok()) return;
  EXPECT_EQ(ReasonOf(decoded.status), "delta_corrupt");
}

TEST(HostileWindow, T31_EveryTruncationIsAnErrorOrEndsTheSame) {
  const Script script = SmallScript();
  const std::vector<std::string> windows = Encode(script, 1);
  const std::string& last = windows.back();
  ASSERT_GT(last.size(), 20u);
  for (size_t size = 0; size < last.size(); ++size) {
    std::vector<std::string> cut = windows;
    cut.back().resize(size);
    const Decoded decoded = Decode(script, cut, 1);
    ExpectNoOtherOutcome(decoded);
    // What is missing is read as zeros, of which four are no error.
    EXPECT_FALSE(size + 8 < last.size() && decoded.status.ok() &&
                 decoded.result == script.new_image);
  }
}

TEST(HostileWindow, T31_BytesBehindTheEndAreAnError) {
  const Script script = SmallScript();
  std::vector<std::string> windows = Encode(script, 1);
  windows.back() += std::string(9, '\x01');
  const Decoded decoded = Decode(script, windows, 1);
  EXPECT_EQ(ReasonOf(decoded.status), "delta_corrupt");
}

TEST(HostileWindow, T31_EveryFlippedByteEnds) {
  const Script script = SmallScript();
  const std::vector<std::string> windows = Encode(script, 1);
  for (size_t w = 0; w < windows.size(); ++w) {
    for (size_t i = 0; i < windows[w].size(); i += 1 + windows[w].size() / 60) {
      std::vector<std::string> damaged = windows;
      damaged[w][i] = static_cast<char>(~damaged[w][i]);
      ExpectNoOtherOutcome(Decode(script, damaged, 1));
    }
  }
}

TEST(HostileWindow, T31_AnyBytesEnd) {
  for (const Shape shape : kShapes) {
    Numbers numbers(31);
    for (int i = 0; i < 6; ++i) {
      const Script script = MakeScript(numbers.Next(), shape, 6000);
      std::vector<std::string> windows;
      for (int w = 0; w < 3; ++w)
        windows.push_back(MakeImage(numbers,
                                    i % 2 ? Shape::kRandom : Shape::kZeros,
                                    numbers.Below(5000)));
      ExpectNoOtherOutcome(Decode(script, windows, 1));
    }
  }
}

TEST(HostileWindow, T31_AnEmptyWindowMakesTheWholeRegionAndThenFails) {
  auto d = MixDecoder::Create(1);
  (*d)->BeginWindow({});
  std::vector<uint8_t> fresh(100000);
  const std::string old_image(fresh.size(), 'o');
  absl::Status status;
  for (int i = 0; i < 20 && status.ok(); ++i)
    status = (*d)->Insert({Bytes(old_image), 0, 0}, 0, fresh);
  EXPECT_EQ(ReasonOf(status), "delta_corrupt");
}

TEST(HostileWindow, T31_PlacesOutsideTheBaseAreZeros) {
  auto e = MixEncoder::Create(1);
  auto d = MixDecoder::Create(1);
  const std::string old_image(100, 'x');
  std::string fresh(5000, 'y');
  std::string window;
  for (const size_t begin :
       {size_t{0}, size_t{99}, size_t{100}, size_t{5000}, ~size_t{0} - 4000}) {
    const OldBytes old = {Bytes(old_image), begin, begin};
    (*e)->Add(old, ~uint64_t{0} - 100, Bytes(fresh));
    (*e)->Insert(old, 0, Bytes(fresh));
  }
  window = (*e)->EndWindow();
  (*d)->BeginWindow(Bytes(window));
  std::string out(fresh.size(), 0);
  for (const size_t begin :
       {size_t{0}, size_t{99}, size_t{100}, size_t{5000}, ~size_t{0} - 4000}) {
    const OldBytes old = {Bytes(old_image), begin, begin};
    const std::span<uint8_t> to(reinterpret_cast<uint8_t*>(out.data()),
                                out.size());
    EXPECT_TRUE((*d)->Add(old, ~uint64_t{0} - 100, to).ok());
    EXPECT_EQ(out, fresh);
    EXPECT_TRUE((*d)->Insert(old, 0, to).ok());
    EXPECT_EQ(out, fresh);
  }
  EXPECT_TRUE((*d)->EndWindow().ok());
}

}  // namespace
}  // namespace shoal::delta
