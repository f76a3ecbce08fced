#include "delta/tool/info.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/files.h"
#include "common/status.h"
#include "delta/apply/bsdiff40.h"
#include "delta/entropy/mix_coder.h"
#include "delta/format/format.h"
#include "delta/make/mapped_file.h"

namespace shoal::delta {
namespace {

constexpr size_t kRegions = 64;

// Stored bytes of the patch, by what they are.
enum Part { kHeaders, kMoves, kDifferences, kNew, kCoded, kParts };
constexpr std::array<std::string_view, kParts> kPartNames = {
    "headers and checksums", "operations", "differences", "new bytes",
    "content (model)"};
constexpr std::array<std::string_view, kParts> kPartColours = {
    "#888888", "#e69f00", "#0072b2", "#009e73", "#0072b2"};

struct Window {
  WindowHeader header;
  uint64_t new_at = 0;
  std::array<uint64_t, kParts> parts{};
};

struct Contents {
  Header header;
  uint64_t patch_size = 0;
  uint64_t maps = 0;  // bytes stored
  std::vector<Window> windows;
  uint64_t made = 0;  // what the windows make
};

absl::StatusOr<Contents> ReadContents(std::string_view patch) {
  Contents contents;
  contents.patch_size = patch.size();
  SHOAL_ASSIGN_OR_RETURN(contents.header, ParseHeader(patch));
  const std::string checksum(
      patch.substr(kHeaderSize - kChecksumSize, kChecksumSize));
  std::string_view rest = patch.substr(kHeaderSize);
  const auto damaged = [&] {
    return DataLoss("delta_corrupt",
                    fmt::format("the patch is damaged or cut off behind byte "
                                "{}",
                                patch.size() - rest.size()));
  };
  if (contents.header.maps_stored > 0) {
    contents.maps = contents.header.maps_stored + kChecksumSize;
    if (rest.size() < contents.maps) return damaged();
    rest.remove_prefix(contents.maps);
  }
  while (!rest.empty()) {
    Window window;
    window.new_at = contents.made;
    std::string_view at = rest;
    const auto header = TakeWindowHeader(at);
    if (!header || at.size() < kChecksumSize ||
        at.size() - kChecksumSize < header->StoredSize())
      return damaged();
    const std::string_view record = rest.substr(0, rest.size() - at.size());
    const std::string_view stored =
        at.substr(kChecksumSize, header->StoredSize());
    if (WindowChecksum(checksum, contents.made, record, stored) !=
        at.substr(0, kChecksumSize))
      return damaged();
    window.header = *header;
    window.parts[kHeaders] = record.size() + kChecksumSize;
    window.parts[kMoves] = header->sections[kControl].stored_size;
    window.parts[kDifferences] = header->sections[kDiff].stored_size;
    window.parts[kNew] = header->sections[kExtra].stored_size;
    const bool moves = header->kind == WindowKind::kOperations;
    window.parts[moves ? kMoves : kCoded] += header->coded_size;
    if (!moves) contents.made += header->new_size;
    contents.windows.push_back(window);
    rest = at.substr(kChecksumSize + stored.size());
  }
  return contents;
}

// Bytes of the patch by region of what it makes, parts side by side. A
// window's bytes are spread evenly over what it makes.
using Regions = std::array<std::array<double, kParts>, kRegions>;
Regions Spread(const Contents& contents) {
  Regions regions{};
  const double size =
      static_cast<double>(std::max<uint64_t>(1, contents.made)) / kRegions;
  for (const Window& window : contents.windows) {
    const double begin = static_cast<double>(window.new_at) / size;
    const double end =
        static_cast<double>(window.new_at + window.header.new_size) / size;
    for (size_t r = static_cast<size_t>(begin); r < kRegions; ++r) {
      const double share = (std::min(end, static_cast<double>(r + 1)) -
                            std::max(begin, static_cast<double>(r))) /
                           (end - begin);
      if (share <= 0) break;
      for (size_t p = 0; p < kParts; ++p)
        regions[r][p] += share * static_cast<double>(window.parts[p]);
    }
  }
  return regions;
}

double Sum(const std::array<double, kParts>& parts) {
  double sum = 0;
  for (const double part : parts) sum += part;
  return sum;
}

double Highest(const Regions& regions) {
  double highest = 1;
  for (const auto& region : regions) highest = std::max(highest, Sum(region));
  return highest;
}

void PrintPlot(const Contents& contents, const Regions& regions) {
  constexpr std::array<std::string_view, 9> kBlocks = {" ", "▁", "▂", "▃", "▄",
                                                       "▅", "▆", "▇", "█"};
  std::string line;
  const double highest = Highest(regions);
  for (const auto& region : regions)
    line += kBlocks[static_cast<size_t>(Sum(region) / highest * 8 + 0.5)];
  fmt::print("\nbytes of the patch by region of {} (highest: {:.0f} bytes)\n",
             HumanBytes(contents.made), highest);
  fmt::print("|{}|\n", line);
}

std::string Svg(const Contents& contents, const Regions& regions) {
  constexpr int kWidth = 960, kHeight = 300, kLeft = 80, kTop = 40;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" "
      "font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" "
      "height=\"100%\" fill=\"white\"/>\n",
      kWidth + kLeft + 20, kHeight + kTop + 60);
  const double highest = Highest(regions);
  const double width = static_cast<double>(kWidth) / kRegions;
  for (size_t r = 0; r < kRegions; ++r) {
    double bottom = kTop + kHeight;
    for (size_t p = 0; p < kParts; ++p) {
      const double height = regions[r][p] / highest * kHeight;
      if (height <= 0) continue;
      bottom -= height;
      out += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.2f}\" width=\"{:.1f}\" height=\"{:.2f}\" "
          "fill=\"{}\"/>\n",
          kLeft + static_cast<double>(r) * width, bottom, width - 1, height,
          kPartColours[p]);
    }
  }
  out += fmt::format(
      "<text x=\"{}\" y=\"20\">Bytes of the patch ({}) by region of the result "
      "({})</text>\n<text x=\"8\" y=\"{}\">{}</text>\n<text x=\"{}\" "
      "y=\"{}\">0</text>\n<text x=\"{}\" y=\"{}\" "
      "text-anchor=\"end\">{}</text>\n",
      kLeft, HumanBytes(contents.patch_size), HumanBytes(contents.made),
      kTop + 10, HumanBytes(static_cast<uint64_t>(highest)), kLeft,
      kTop + kHeight + 18, kLeft + kWidth, kTop + kHeight + 18,
      HumanBytes(contents.made));
  int x = kLeft;
  for (size_t p = 0; p < kParts; ++p) {
    out += fmt::format(
        "<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{}\"/>"
        "<text x=\"{}\" y=\"{}\">{}</text>\n",
        x, kTop + kHeight + 34, kPartColours[p], x + 18, kTop + kHeight + 45,
        kPartNames[p]);
    x += 190;
  }
  return out + "</svg>\n";
}

void PrintHeader(const Contents& contents) {
  const Header& header = contents.header;
  fmt::print("format   SDELTA {}, {}\n", kVersion,
             header.coding == Coding::kZstd
                 ? std::string("zstd")
                 : fmt::format("model version {} level {}, {} operations a "
                               "group",
                               header.model_version, header.model_level,
                               1u << header.group_log2));
  fmt::print("base     {} bytes, sha256 {}\nresult   {} bytes, sha256 {}\n",
             header.old_size, HexEncode(header.old_sha256), header.new_size,
             HexEncode(header.new_sha256));
  if (contents.maps > 0)
    fmt::print("expanded {} bytes of the result; maps {} bytes, stored {}\n",
               contents.made, header.maps_size, header.maps_stored);
  fmt::print("windows  {} of at most {} bytes; reader memory {} bytes\n",
             contents.windows.size(), header.window_size, header.reader_memory);
}

void PrintParts(const Contents& contents) {
  std::array<uint64_t, kParts> parts{};
  for (const Window& window : contents.windows)
    for (size_t p = 0; p < kParts; ++p) parts[p] += window.parts[p];
  parts[kHeaders] += kHeaderSize;
  const auto print = [&](std::string_view name, uint64_t bytes) {
    fmt::print("  {:<22} {:>12} {:>6.2f} %\n", name, bytes,
               100.0 * static_cast<double>(bytes) /
                   static_cast<double>(contents.patch_size));
  };
  fmt::print("\n{} bytes of patch:\n", contents.patch_size);
  for (size_t p = 0; p < kParts; ++p)
    if (parts[p] > 0) print(kPartNames[p], parts[p]);
  if (contents.maps > 0) print("maps of the images", contents.maps);
}

}  // namespace

absl::Status PrintInfo(const std::string& patch_path,
                       const std::string& svg_path) {
  SHOAL_ASSIGN_OR_RETURN(auto file, MappedFile::Open(patch_path));
  if (IsBsdiff40(file->bytes())) {
    SHOAL_ASSIGN_OR_RETURN(
        const Bsdiff40Header header,
        ParseBsdiff40Header(file->bytes().substr(0, kBsdiff40HeaderSize),
                            file->bytes().size()));
    fmt::print(
        "format   BSDIFF40\nresult   {} bytes\ncontrol  {} bytes\n"
        "diff     {} bytes\nextra    {} bytes\nreader memory {} bytes\n",
        header.new_size, header.control_size, header.diff_size,
        file->bytes().size() - kBsdiff40HeaderSize - header.control_size -
            header.diff_size,
        kBsdiff40Memory);
    return absl::OkStatus();
  }
  SHOAL_ASSIGN_OR_RETURN(const Contents contents, ReadContents(file->bytes()));
  PrintHeader(contents);
  PrintParts(contents);
  const Regions regions = Spread(contents);
  PrintPlot(contents, regions);
  if (svg_path.empty()) return absl::OkStatus();
  return RealFileSystem().WriteAtomic(svg_path, Svg(contents, regions));
}

}  // namespace shoal::delta
