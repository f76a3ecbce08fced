#include "dht/records/packet_filter.h"

#include <algorithm>
#include <cstdint>
#include <set>

#include "common/bytes.h"

namespace shoal::dht {
namespace {

constexpr int kMaxDepth = 16;
constexpr size_t kIdSize = 20;
constexpr uint8_t kFixMap = 0x80;
constexpr size_t kMaxTopEntries = 14;  // one more still fits a fixmap

enum class Type {
  kNil,
  kBool,
  kInteger,
  kFloat,
  kString,
  kBinary,
  kArray,
  kMap,
  kExtension
};

struct Head {
  Type type = Type::kNil;
  uint64_t count = 0;  // of elements, pairs or bytes
  bool truth = false;  // of a kBool
};

// Reads msgpack (https://msgpack.org, spec of 2013) without building objects:
// time and memory are bounded by the bytes at hand.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool done() const { return rest_.empty(); }

  std::optional<Head> ReadHead() {
    if (rest_.empty()) return std::nullopt;
    const auto first = static_cast<uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    if (first < 0x80 || first >= 0xe0) return Head{Type::kInteger};
    if (first < 0x90) return Head{Type::kMap, first & 0x0fu};
    if (first < 0xa0) return Head{Type::kArray, first & 0x0fu};
    if (first < 0xc0) return Head{Type::kString, first & 0x1fu};
    switch (first) {
      case 0xc0:
        return Head{Type::kNil};
      case 0xc2:
        return Head{Type::kBool, 0, false};
      case 0xc3:
        return Head{Type::kBool, 0, true};
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return Counted(Type::kBinary, 1 << (first - 0xc4), 0);
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return Counted(Type::kExtension, 1 << (first - 0xc7), 1);
      case 0xca:
        return Fixed(Type::kFloat, 4);
      case 0xcb:
        return Fixed(Type::kFloat, 8);
      case 0xcc:
      case 0xcd:
      case 0xce:
      case 0xcf:
        return Fixed(Type::kInteger, 1u << (first - 0xcc));
      case 0xd0:
      case 0xd1:
      case 0xd2:
      case 0xd3:
        return Fixed(Type::kInteger, 1u << (first - 0xd0));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return Head{Type::kExtension, (1u << (first - 0xd4)) + 1};
      case 0xd9:
      case 0xda:
      case 0xdb:
        return Counted(Type::kString, 1 << (first - 0xd9), 0);
      case 0xdc:
        return Counted(Type::kArray, 2, 0);
      case 0xdd:
        return Counted(Type::kArray, 4, 0);
      case 0xde:
        return Counted(Type::kMap, 2, 0);
      case 0xdf:
        return Counted(Type::kMap, 4, 0);
      default:
        return std::nullopt;  // 0xc1 is never used
    }
  }

  std::optional<std::string_view> Take(uint64_t count) {
    if (count > rest_.size()) return std::nullopt;
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  // Skips what follows `head`.
  bool SkipBody(const Head& head, int depth) {
    switch (head.type) {
      case Type::kString:
      case Type::kBinary:
      case Type::kExtension:
        return Take(head.count).has_value();
      case Type::kArray:
        return SkipMany(head.count, depth);
      case Type::kMap:
        return SkipMany(head.count * 2, depth);
      default:
        return true;
    }
  }

  bool SkipMany(uint64_t count, int depth) {
    if (depth >= kMaxDepth) return false;
    for (uint64_t i = 0; i < count; ++i) {
      const auto head = ReadHead();
      if (!head || !SkipBody(*head, depth + 1)) return false;
    }
    return true;
  }

  // A key: any string; nullopt when it is something else.
  std::optional<std::string_view> ReadString() {
    const auto head = ReadHead();
    if (!head || head->type != Type::kString) return std::nullopt;
    return Take(head->count);
  }

 private:
  std::optional<Head> Fixed(Type type, size_t bytes) {
    if (!Take(bytes)) return std::nullopt;
    return Head{type};
  }
  std::optional<Head> Counted(Type type, int width, uint64_t extra) {
    const auto bytes = Take(static_cast<uint64_t>(width));
    if (!bytes) return std::nullopt;
    return Head{type, ReadBigEndian(*bytes, width) + extra};
  }

  std::string_view rest_;
};

// {"f": [field, …], "v": […]}: OpenDHT divides by the number of fields.
bool CheckFields(Reader& reader, const Head& head) {
  if (head.type != Type::kMap) return false;
  for (uint64_t i = 0; i < head.count; ++i) {
    const auto key = reader.ReadString();
    const auto value = reader.ReadHead();
    if (!key || !value) return false;
    if (*key == "f" && (value->type != Type::kArray || value->count == 0))
      return false;
    if (!reader.SkipBody(*value, 3)) return false;
  }
  return true;
}

// The map under "a", "r" or "u".
bool CheckArguments(Reader& reader, const Head& head, PacketInfo& info) {
  if (head.type != Type::kMap) return false;
  for (uint64_t i = 0; i < head.count; ++i) {
    const auto key = reader.ReadString();
    const auto value = reader.ReadHead();
    if (!key || !value) return false;
    if (*key == "id" || *key == "h") {
      std::string_view& field = *key == "h" ? info.place : info.id;
      if (value->type != Type::kBinary || value->count != kIdSize ||
          !field.empty())
        return false;
      const auto bytes = reader.Take(kIdSize);
      if (!bytes) return false;
      field = *bytes;
    } else if (*key == "fileds") {  // OpenDHT's spelling
      if (!CheckFields(reader, *value)) return false;
    } else if (!reader.SkipBody(*value, 2)) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::optional<PacketInfo> InspectPacket(std::string_view packet) {
  Reader reader(packet);
  const auto top = reader.ReadHead();
  if (!top || (static_cast<uint8_t>(packet[0]) & 0xf0) != kFixMap ||
      top->count > kMaxTopEntries)
    return std::nullopt;
  PacketInfo info;
  std::set<char> seen;
  for (uint64_t i = 0; i < top->count; ++i) {
    const auto key = reader.ReadString();
    if (!key || key->size() != 1 || !seen.insert((*key)[0]).second)
      return std::nullopt;
    const auto value = reader.ReadHead();
    if (!value) return std::nullopt;
    switch ((*key)[0]) {
      case 'a':
      case 'r':
      case 'u':
        if (!CheckArguments(reader, *value, info)) return std::nullopt;
        break;
      case 'e':
        if (value->type != Type::kArray || value->count == 0 ||
            !reader.SkipBody(*value, 1))
          return std::nullopt;
        break;
      case 'p':
        if (value->type != Type::kMap || !reader.SkipBody(*value, 1))
          return std::nullopt;
        break;
      case 'q': {
        if (value->type != Type::kString) return std::nullopt;
        const auto query = reader.Take(value->count);
        if (!query) return std::nullopt;
        info.query = *query;
        break;
      }
      case 's':
        if (value->type != Type::kBool || !value->truth) return std::nullopt;
        info.marked = true;
        break;
      case 't':
      case 'v':
      case 'n':
      case 'y':
        if (!reader.SkipBody(*value, 1)) return std::nullopt;
        break;
      default:
        return std::nullopt;
    }
  }
  if (!reader.done()) return std::nullopt;
  // The same precedence as OpenDHT's parser. Two bodies in one packet would
  // make "whose id" a matter of taste.
  const int bodies = static_cast<int>(seen.contains('a')) +
                     static_cast<int>(seen.contains('r')) +
                     static_cast<int>(seen.contains('u'));
  if (bodies > 1) return std::nullopt;
  if (seen.contains('e')) {
    info.kind = PacketInfo::Kind::kError;
    if (!seen.contains('r')) return std::nullopt;
  } else if (seen.contains('r')) {
    info.kind = PacketInfo::Kind::kReply;
  } else if (seen.contains('p')) {
    info.kind = PacketInfo::Kind::kValueParts;
    if (bodies != 0) return std::nullopt;
    return info;
  } else if (seen.contains('u')) {
    info.kind = PacketInfo::Kind::kValueUpdate;
  } else if (!seen.contains('a') || info.query.empty()) {
    return std::nullopt;
  }
  if (info.id.size() != kIdSize) return std::nullopt;
  return info;
}

void MarkAsClient(std::string& packet) {
  packet[0] = static_cast<char>(static_cast<uint8_t>(packet[0]) + 1);
  packet += "\xa1s\xc3";
}

}  // namespace shoal::dht
