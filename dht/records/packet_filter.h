// A strict look at an OpenDHT packet before OpenDHT parses it. The datagram
// was sealed by a member of the network, but a member may be hostile (T45):
// the filter tells who the packet says it is from and what it wants, refuses
// shapes that OpenDHT 2.4 reads without checking, and marks a packet as a
// client's, so that its sender enters no routing table.
#ifndef SHOAL_DHT_RECORDS_PACKET_FILTER_H_
#define SHOAL_DHT_RECORDS_PACKET_FILTER_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace shoal::dht {

struct PacketInfo {
  enum class Kind {
    kRequest,  // `query` says which
    kReply,
    kError,
    kValueParts,   // a piece of a large value; carries no sender id
    kValueUpdate,  // refreshed or expired values for an open listen
  };
  Kind kind = Kind::kRequest;
  std::string_view query;  // "ping", "find", "get", "put", "listen", …
  std::string_view id;     // the sender's OpenDHT id, 20 bytes; or empty
  std::string_view place;  // that it is about, 20 bytes; or empty
  bool marked = false;     // already says that it comes from a client
};

// nullopt: not one well-formed msgpack map of at most 14 entries with plain
// string keys, none twice, none that OpenDHT does not know; nested deeper than
// 16; trailing bytes; or inner values of types that OpenDHT takes for granted.
// Views point into `packet`.
std::optional<PacketInfo> InspectPacket(std::string_view packet);

// Adds `"s": true` to a packet that InspectPacket accepted and that is not
// marked yet.
void MarkAsClient(std::string& packet);

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_PACKET_FILTER_H_
