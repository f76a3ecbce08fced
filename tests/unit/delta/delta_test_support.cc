#include "tests/unit/delta/delta_test_support.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "delta/apply/bsdiff40.h"
#include "tests/support/temp_dir.h"

namespace shoal::delta {

void WriteFile(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

std::string RandomBytes(std::mt19937_64& random, size_t size) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

std::string CodeLike(std::mt19937_64& random, size_t size) {
  const std::string words = RandomBytes(random, 4 * 64);
  std::string out;
  while (out.size() < size) {
    const uint64_t r = random();
    if (r % 97 == 0) {
      out.append(random() % 600, '\0');
    } else if (r % 5 == 0) {
      out += RandomBytes(random, 4);
    } else {
      out += words.substr(r % 64 * 4, 4);
    }
  }
  out.resize(size);
  return out;
}

std::string Gzip(std::string_view raw) {
  z_stream stream{};
  EXPECT_EQ(
      deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
      Z_OK);
  std::string out(deflateBound(&stream, raw.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(raw.data()));
  stream.avail_in = static_cast<uInt>(raw.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Mutate(std::mt19937_64& random, std::string image) {
  const int edits = 1 + static_cast<int>(random() % 12);
  for (int i = 0; i < edits; ++i) {
    const size_t at = image.empty() ? 0 : random() % image.size();
    const size_t length = random() % 3000;
    switch (random() % 7) {
      case 0:
        image.insert(at, RandomBytes(random, length));
        break;
      case 1:
        image.erase(at, length);
        break;
      case 2: {  // move
        const std::string part = image.substr(at, length * 8);
        image.erase(at, part.size());
        image.insert(image.empty() ? 0 : random() % image.size(), part);
        break;
      }
      case 3:  // a table of addresses shifts
        for (size_t k = at; k + 4 < std::min(image.size(), at + length);
             k += 16)
          image[k] = static_cast<char>(image[k] + 4);
        break;
      case 4:
        image.resize(random() % 4 == 0 ? at : image.size());
        break;
      case 5:
        if (!image.empty()) image[at] = static_cast<char>(image[at] ^ 1);
        break;
      case 6:
        image.insert(at, std::string(length * 10, '\0'));
        break;
    }
  }
  return image;
}

MakeOptions SmallOptions() {
  MakeOptions options;
  options.window_size = kMinWindowSize;
  options.segment_size = 64 << 10;
  options.zstd_level = 3;
  options.coding = Coding::kZstd;
  options.max_reader_memory = 64u << 20;
  options.verify = false;  // the tests are the check
  return options;
}

absl::StatusOr<std::string> Make(std::string_view old_image,
                                 std::string_view new_image,
                                 const MakeOptions& options, MakeStats* stats) {
  testing::TempDir dir;
  WriteFile(dir.File("old"), old_image);
  WriteFile(dir.File("new"), new_image);
  SHOAL_ASSIGN_OR_RETURN(
      const MakeStats made,
      MakeDelta(options, dir.File("old"), dir.File("new"), dir.File("patch")));
  if (stats != nullptr) *stats = made;
  return ReadFile(dir.File("patch"));
}

namespace {

Applied ApplyClassic(std::string_view old_image, std::string_view patch,
                     const ApplySetup& setup) {
  Applied applied;
  Bsdiff40Options options;
  options.read_patch = [&](uint64_t at, char* buffer,
                           size_t size) -> absl::Status {
    if (at > patch.size() || size > patch.size() - at)
      return Internal("test_read_outside", "beyond the patch");
    memcpy(buffer, patch.data() + at, size);
    return absl::OkStatus();
  };
  options.patch_size = patch.size();
  options.read_old = [&](uint64_t at, char* buffer,
                         size_t size) -> absl::Status {
    if (at > old_image.size() || size > old_image.size() - at)
      return Internal("test_read_outside", "beyond the base");
    memcpy(buffer, old_image.data() + at, size);
    return absl::OkStatus();
  };
  options.old_size = old_image.size();
  options.write_new = [&](std::string_view bytes) {
    applied.written += bytes;
    return absl::OkStatus();
  };
  options.expected_size = setup.expected_size.value_or(0);
  options.expected_sha256 = setup.expected_sha256.value_or("");
  options.max_memory = setup.max_memory;
  applied.status = ApplyBsdiff40(options);
  return applied;
}

}  // namespace

Applied Apply(std::string_view old_image, std::string_view patch,
              const ApplySetup& setup) {
  if (IsBsdiff40(patch)) return ApplyClassic(old_image, patch, setup);
  Applied applied;
  std::string_view rest = patch;
  uint64_t expected = 0;
  ApplyOptions options;
  options.read_patch = [&](char* buffer,
                           size_t size) -> absl::StatusOr<size_t> {
    const size_t n = std::min({size, rest.size(), setup.patch_read_step});
    memcpy(buffer, rest.data(), n);
    rest.remove_prefix(n);
    return n;
  };
  options.read_old = [&](uint64_t at, char* buffer,
                         size_t size) -> absl::Status {
    if (at > old_image.size() || size > old_image.size() - at)
      return Internal("test_read_outside",
                      "the applier reads outside the base");
    memcpy(buffer, old_image.data() + at, size);
    return absl::OkStatus();
  };
  options.write_new = [&](std::string_view bytes) -> absl::Status {
    applied.written += bytes;
    if (applied.written.size() > expected)
      return Internal("test_wrote_beyond", "the applier writes too much");
    return absl::OkStatus();
  };
  options.read_new = [&](uint64_t at, char* buffer,
                         size_t size) -> absl::Status {
    if (at + size > setup.already_written.size())
      return DataLoss("io_error", "the slot is shorter");
    memcpy(buffer, setup.already_written.data() + at, size);
    return absl::OkStatus();
  };
  options.checkpoint = [&](uint64_t written, const std::string& state) {
    applied.checkpoints.emplace_back(written, state);
    return absl::OkStatus();
  };
  const auto header = ParseHeader(patch);
  options.expected_size =
      setup.expected_size.value_or(header.ok() ? header->new_size : 0);
  options.expected_sha256 = setup.expected_sha256.value_or(
      header.ok() ? header->new_sha256 : std::string(32, '\0'));
  expected = options.expected_size;
  options.old_size = old_image.size();
  options.max_memory = setup.max_memory;
  options.resume_state = setup.resume_state;
  auto applier = Applier::Create(std::move(options));
  applied.status = applier.ok() ? (*applier)->Run() : applier.status();
  return applied;
}

std::string Instruction(Op op, uint64_t argument) {
  std::string out;
  AppendVarint(out, argument << 2 | static_cast<uint64_t>(op));
  return out;
}

PatchBuilder::PatchBuilder(std::string_view old_image,
                           std::string_view new_image, uint32_t window_size) {
  header_.old_size = old_image.size();
  header_.new_size = new_image.size();
  header_.old_sha256 = crypto::Sha256Digest(old_image);
  header_.new_sha256 = crypto::Sha256Digest(new_image);
  header_.window_size = window_size;
  header_.reader_memory = static_cast<uint32_t>(ReaderMemory(header_));
}

PatchBuilder& PatchBuilder::Add(const Window& w) {
  WindowHeader window;
  window.new_size = w.new_size;
  const std::string* sections[] = {&w.control, &w.diff, &w.extra};
  for (size_t i = 0; i < kSections; ++i)
    window.sections[i] = {sections[i]->size(), SectionCodec::kStored,
                          sections[i]->size()};
  return AddRaw(window, w.control + w.diff + w.extra);
}

PatchBuilder& PatchBuilder::AddRaw(const WindowHeader& window,
                                   std::string_view stored) {
  Raw raw;
  raw.at = at_;
  AppendWindowHeader(raw.record, window);
  raw.stored = std::string(stored);
  windows_.push_back(std::move(raw));
  at_ += window.new_size;
  return *this;
}

std::string PatchBuilder::Build() const {
  std::string out = EncodeHeader(header_);
  const std::string checksum = out.substr(kHeaderSize - kChecksumSize);
  for (const Raw& raw : windows_) {
    out += raw.record;
    out += WindowChecksum(checksum, raw.at, raw.record, raw.stored);
    out += raw.stored;
  }
  return out;
}

}  // namespace shoal::delta
