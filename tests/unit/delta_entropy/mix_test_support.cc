#include "tests/unit/delta_entropy/mix_test_support.h"

#include <algorithm>
#include <memory>

namespace shoal::delta {
namespace {

void Append32(std::string& out, uint32_t v) {
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(v >> (8 * i)));
}

std::string Word(Numbers& numbers, Shape shape) {
  const uint32_t r = static_cast<uint32_t>(numbers.Next());
  std::string out;
  switch (shape) {
    case Shape::kRandom:
      Append32(out, r);
      break;
    case Shape::kZeros:
      Append32(out, r % 50 == 0 ? r : 0);
      break;
    case Shape::kText: {
      static constexpr std::string_view kWords[] = {"alpha ", "beta ", "ge ",
                                                    "de\n"};
      out = kWords[r % 4];
      break;
    }
    case Shape::kPointers:
      Append32(out, 0x08000000 + (r & 0xfffc));
      break;
    case Shape::kArm64: {
      const uint32_t kinds[] = {0x94000000 | (r >> 8 & 0xfff),
                                0x54000000 | (r >> 8 & 0xff) << 5,
                                0x90000001 | (r >> 8 & 0x7) << 5,
                                0x91000021 | (r >> 8 & 0xfff) << 10,
                                0xf9400021 | (r >> 8 & 0xfff) << 10,
                                0x36000000 | (r >> 8 & 0xff) << 5,
                                0xaa0003e0 | (r >> 8 & 31) << 16,
                                0xd503201f};
      Append32(out, kinds[r % 8]);
      break;
    }
    case Shape::kX86:
      if (r % 3 == 0) {
        out = "\xe8";
        Append32(out, r >> 16);
      } else if (r % 3 == 1) {
        out = "\x48\x8b\x05";
        Append32(out, r >> 14);
      } else {
        out = "\x0f\x84";
        Append32(out, ~(r >> 20));
      }
      break;
    case Shape::kThumb:
      if (r % 4 == 0)
        Append32(out, 0xf800f000 | (r >> 8 & 0x3ff) << 16 | (r >> 20 & 3));
      else
        Append32(out, 0x4770b500 | (r & 0xff));
      break;
  }
  return out;
}

}  // namespace

uint64_t Numbers::Next() {
  uint64_t z = state_ += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

std::span<const uint8_t> Bytes(std::string_view s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}

std::string MakeImage(Numbers& numbers, Shape shape, size_t size) {
  std::string image;
  while (image.size() < size) image += Word(numbers, shape);
  image.resize(size);
  return image;
}

Script MakeScript(uint64_t seed, Shape shape, size_t size) {
  Numbers numbers(seed);
  Script script;
  script.old_image = MakeImage(numbers, shape, size);
  const auto call = [&](Call c) { script.calls.push_back(c); };
  while (script.new_image.size() < size) {
    const uint64_t new_at = script.new_image.size();
    const uint64_t n =
        1 + numbers.Below(numbers.Below(4) == 0 ? size : size / 16 + 1);
    switch (numbers.Below(8)) {
      case 0: {
        script.new_image += MakeImage(numbers, shape, n % 500);
        const uint64_t at = numbers.Below(size + 1);
        call({Call::kPlace, NumberKind::kOther0, at, new_at, 0});
        call({Call::kInsert, NumberKind::kOther0, at, new_at, n % 500});
        break;
      }
      case 1:
        call({Call::kNumber, static_cast<NumberKind>(numbers.Below(8)),
              numbers.Next() >> numbers.Below(64), 0, 0});
        break;
      case 2:
        call({Call::kMoved, NumberKind::kOther0, numbers.Below(size),
              numbers.Below(uint64_t{1} << numbers.Below(60)), n});
        break;
      case 3:
        if (numbers.Below(3) != 0) break;
        call({Call::kEndWindow, NumberKind::kOther0, 0, 0, 0});
        if (numbers.Below(3) == 0)
          call({Call::kReset, NumberKind::kOther0, 0, 0, 0});
        break;
      default: {
        const uint64_t at = numbers.Below(size);
        const uint64_t m = std::min<uint64_t>(n, size - at);
        std::string fresh = script.old_image.substr(at, m);
        const uint64_t rarity = 1 + numbers.Below(2000);
        for (char& c : fresh)
          if (numbers.Below(rarity) == 0)
            c = static_cast<char>(static_cast<uint64_t>(c) +
                                  numbers.Below(numbers.Below(2) ? 4 : 256));
        script.new_image += fresh;
        call({Call::kPlace, NumberKind::kOther0, at, new_at, 0});
        call({Call::kAdd, NumberKind::kOther0, at, new_at, m});
        break;
      }
    }
  }
  call({Call::kEndWindow, NumberKind::kOther0, 0, 0, 0});
  return script;
}

std::vector<std::string> Encode(const Script& script, int level) {
  auto encoder = MixEncoder::Create(level);
  if (!encoder.ok()) return {};
  MixEncoder& e = **encoder;
  const auto old_bytes = Bytes(script.old_image);
  std::vector<std::string> windows;
  for (const Call& c : script.calls) {
    const OldBytes old = {old_bytes, static_cast<size_t>(c.value), c.value};
    switch (c.kind) {
      case Call::kNumber:
        e.Number(c.number_kind, c.value);
        break;
      case Call::kPlace:
        e.Place(c.new_at, c.value);
        break;
      case Call::kMoved:
        e.Moved(c.value, c.new_at, c.size);
        break;
      case Call::kAdd:
        e.Add(old, c.new_at, Bytes(script.new_image).subspan(c.new_at, c.size));
        break;
      case Call::kInsert:
        e.Insert(old, c.new_at,
                 Bytes(script.new_image).subspan(c.new_at, c.size));
        break;
      case Call::kEndWindow:
        windows.push_back(e.EndWindow());
        break;
      case Call::kReset:
        e.Reset();
        break;
    }
  }
  return windows;
}

Decoded Decode(const Script& script, const std::vector<std::string>& windows,
               int level) {
  Decoded out;
  auto decoder = MixDecoder::Create(level);
  out.status = decoder.status();
  if (!out.status.ok()) return out;
  MixDecoder& d = **decoder;
  out.result.assign(script.new_image.size(), '\x55');
  // A buffer of its own exact size for each output, so that the sanitizer
  // sees any byte written beyond.
  const auto run = [&](const Call& c, auto&& decode) {
    const std::unique_ptr<uint8_t[]> fresh(new uint8_t[c.size]());
    const OldBytes old = {Bytes(script.old_image), static_cast<size_t>(c.value),
                          c.value};
    const absl::Status status =
        decode(old, std::span<uint8_t>(fresh.get(), c.size));
    std::copy_n(fresh.get(), c.size, out.result.data() + c.new_at);
    return status;
  };
  // Exact copies of the windows, for the same reason.
  std::vector<std::vector<uint8_t>> exact;
  for (const std::string& w : windows) exact.emplace_back(w.begin(), w.end());
  size_t window = 0;
  bool open = false;
  for (const Call& c : script.calls) {
    if (!open && c.kind != Call::kReset) {
      d.BeginWindow(window < exact.size()
                        ? std::span<const uint8_t>(exact[window])
                        : std::span<const uint8_t>());
      ++window;
      open = true;
    }
    switch (c.kind) {
      case Call::kNumber:
      case Call::kPlace: {
        const auto value = c.kind == Call::kNumber ? d.Number(c.number_kind)
                                                   : d.Place(c.new_at);
        out.status = value.status();
        if (value.ok()) out.numbers.push_back(*value);
        break;
      }
      case Call::kMoved:
        d.Moved(c.value, c.new_at, c.size);
        break;
      case Call::kAdd:
        out.status = run(c, [&](const OldBytes& old, std::span<uint8_t> fresh) {
          return d.Add(old, c.new_at, fresh);
        });
        break;
      case Call::kInsert:
        out.status = run(c, [&](const OldBytes& old, std::span<uint8_t> fresh) {
          return d.Insert(old, c.new_at, fresh);
        });
        break;
      case Call::kEndWindow:
        out.status = d.EndWindow();
        open = false;
        break;
      case Call::kReset:
        d.Reset();
        break;
    }
    if (!out.status.ok()) return out;
  }
  return out;
}

std::vector<uint64_t> NumbersOf(const Script& script) {
  std::vector<uint64_t> out;
  for (const Call& c : script.calls)
    if (c.kind == Call::kNumber || c.kind == Call::kPlace)
      out.push_back(c.value);
  return out;
}

}  // namespace shoal::delta
