#include "server/fleet/device_set.h"

#include <algorithm>
#include <bit>

#include "common/bytes.h"

namespace shoal::server {
namespace {

constexpr size_t kBitmapBytes = kChunkSize / 8;

// Numbers within the chunk, rising.
std::vector<uint16_t> Numbers(std::string_view chunk) {
  std::vector<uint16_t> numbers;
  if (chunk.size() == kBitmapBytes) {
    for (uint32_t i = 0; i < kChunkSize; ++i) {
      if ((static_cast<unsigned char>(chunk[i / 8]) >> (i % 8) & 1) != 0) {
        numbers.push_back(static_cast<uint16_t>(i));
      }
    }
    return numbers;
  }
  for (size_t i = 0; i + 2 <= chunk.size(); i += 2) {
    numbers.push_back(static_cast<uint16_t>(ReadBigEndian(chunk.substr(i), 2)));
  }
  return numbers;
}

std::string Sparse(const std::vector<uint16_t>& numbers) {
  std::string chunk;
  chunk.reserve(2 * numbers.size());
  for (const uint16_t number : numbers) AppendBigEndian(chunk, number, 2);
  return chunk;
}

}  // namespace

void DeviceSet::Add(uint32_t number) {
  const size_t word = number / 64;
  if (word >= words_.size()) words_.resize(word + 1);
  words_[word] |= uint64_t{1} << (number % 64);
}

size_t DeviceSet::Count() const {
  size_t count = 0;
  for (const uint64_t word : words_) {
    count += static_cast<size_t>(std::popcount(word));
  }
  return count;
}

bool DeviceSet::empty() const {
  return std::all_of(words_.begin(), words_.end(),
                     [](uint64_t word) { return word == 0; });
}

void DeviceSet::ForEach(const std::function<bool(uint32_t)>& visit) const {
  for (size_t i = 0; i < words_.size(); ++i) {
    for (uint64_t rest = words_[i]; rest != 0; rest &= rest - 1) {
      const auto bit = static_cast<uint32_t>(std::countr_zero(rest));
      if (!visit(static_cast<uint32_t>(i) * 64 + bit)) return;
    }
  }
}

DeviceSet& DeviceSet::operator|=(const DeviceSet& other) {
  if (words_.size() < other.words_.size()) words_.resize(other.words_.size());
  for (size_t i = 0; i < other.words_.size(); ++i) words_[i] |= other.words_[i];
  return *this;
}

DeviceSet& DeviceSet::operator&=(const DeviceSet& other) {
  if (words_.size() > other.words_.size()) words_.resize(other.words_.size());
  for (size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
  return *this;
}

DeviceSet& DeviceSet::operator-=(const DeviceSet& other) {
  const size_t size = std::min(words_.size(), other.words_.size());
  for (size_t i = 0; i < size; ++i) words_[i] &= ~other.words_[i];
  return *this;
}

DeviceSet& DeviceSet::operator^=(const DeviceSet& other) {
  if (words_.size() < other.words_.size()) words_.resize(other.words_.size());
  for (size_t i = 0; i < other.words_.size(); ++i) words_[i] ^= other.words_[i];
  return *this;
}

bool DeviceSet::AddChunk(uint32_t chunk, std::string_view bytes) {
  const size_t first = size_t{chunk} * (kChunkSize / 64);
  if (chunk > (UINT32_MAX / kChunkSize)) return false;
  if (words_.size() < first + kChunkSize / 64) {
    words_.resize(first + kChunkSize / 64);
  }
  if (bytes.size() == kBitmapBytes) {
    for (size_t i = 0; i < kBitmapBytes; ++i) {
      words_[first + i / 8] |= uint64_t{static_cast<unsigned char>(bytes[i])}
                               << (8 * (i % 8));
    }
    return true;
  }
  if (bytes.size() % 2 != 0 || bytes.size() > kBitmapBytes) return false;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    const uint64_t number = ReadBigEndian(bytes.substr(i), 2);
    if (number >= kChunkSize) return false;
    words_[first + number / 64] |= uint64_t{1} << (number % 64);
  }
  return true;
}

std::string ChunkWith(std::string_view chunk, uint32_t number) {
  const auto within = static_cast<uint16_t>(number % kChunkSize);
  if (chunk.size() == kBitmapBytes) {
    std::string bitmap(chunk);
    bitmap[within / 8] = static_cast<char>(
        static_cast<unsigned char>(bitmap[within / 8]) | 1u << (within % 8));
    return bitmap;
  }
  std::vector<uint16_t> numbers = Numbers(chunk);
  const auto at = std::lower_bound(numbers.begin(), numbers.end(), within);
  if (at != numbers.end() && *at == within) return std::string(chunk);
  numbers.insert(at, within);
  if (2 * numbers.size() < kBitmapBytes) return Sparse(numbers);
  std::string bitmap(kBitmapBytes, '\0');
  for (const uint16_t n : numbers) {
    bitmap[n / 8] = static_cast<char>(
        static_cast<unsigned char>(bitmap[n / 8]) | 1u << (n % 8));
  }
  return bitmap;
}

std::string ChunkWithout(std::string_view chunk, uint32_t number) {
  const auto within = static_cast<uint16_t>(number % kChunkSize);
  if (chunk.size() != kBitmapBytes) {
    std::vector<uint16_t> numbers = Numbers(chunk);
    std::erase(numbers, within);
    return Sparse(numbers);
  }
  std::string bitmap(chunk);
  bitmap[within / 8] = static_cast<char>(
      static_cast<unsigned char>(bitmap[within / 8]) & ~(1u << (within % 8)));
  const auto set = [](size_t sum, char c) {
    return sum +
           static_cast<size_t>(std::popcount(static_cast<unsigned char>(c)));
  };
  size_t count = 0;
  for (const char c : bitmap) count = set(count, c);
  return 2 * count < kBitmapBytes ? Sparse(Numbers(bitmap)) : bitmap;
}

}  // namespace shoal::server
