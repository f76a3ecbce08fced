// A set of devices by their numbers, a bit each; and its form in the store:
// chunks of 4,096 numbers, so that a change of one device touches half a
// kilobyte and a read of a whole fleet's worth is a short scan.
#ifndef SHOAL_SERVER_FLEET_DEVICE_SET_H_
#define SHOAL_SERVER_FLEET_DEVICE_SET_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::server {

class DeviceSet {
 public:
  void Add(uint32_t number);
  bool Contains(uint32_t number) const {
    const size_t word = number / 64;
    return word < words_.size() && (words_[word] >> (number % 64) & 1) != 0;
  }
  size_t Count() const;
  bool empty() const;
  // In rising order; false ends it.
  void ForEach(const std::function<bool(uint32_t number)>& visit) const;

  DeviceSet& operator|=(const DeviceSet& other);
  DeviceSet& operator&=(const DeviceSet& other);
  DeviceSet& operator-=(const DeviceSet& other);
  DeviceSet& operator^=(const DeviceSet& other);

  // Adds what a stored chunk holds; a damaged one adds nothing and is false.
  bool AddChunk(uint32_t chunk, std::string_view bytes);

 private:
  std::vector<uint64_t> words_;
};

inline constexpr uint32_t kChunkSize = 4096;

// A chunk is 512 bytes (a bit each, lowest first) or, up to 255 devices, the
// numbers within the chunk, rising, 2 bytes each, big endian.
std::string ChunkWith(std::string_view chunk, uint32_t number);
// Empty: nobody is left.
std::string ChunkWithout(std::string_view chunk, uint32_t number);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_DEVICE_SET_H_
