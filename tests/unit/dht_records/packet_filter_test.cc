#include "dht/records/packet_filter.h"

#include <gtest/gtest.h>

#include <string>

namespace shoal::dht {
namespace {

using namespace std::string_literals;

const std::string kId(20, 'i');
// {"id": bin 20}
const std::string kArguments = "\x81\xa2id\xc4\x14"s + kId;

// A ping: {"a": {"id": …}, "q": "ping", "t": 1, "y": "q"}.
std::string Ping() {
  return "\x84\xa1"
         "a"s +
         kArguments + "\xa1q\xa4ping\xa1t\x01\xa1y\xa1q"s;
}

TEST(PacketFilter, ReadsAPing) {
  const std::string packet = Ping();
  const auto info = InspectPacket(packet);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->kind, PacketInfo::Kind::kRequest);
  EXPECT_EQ(info->query, "ping");
  EXPECT_EQ(info->id, kId);
  EXPECT_FALSE(info->marked);
}

TEST(PacketFilter, T45_TheMarkIsAddedAndSeen) {
  std::string packet = Ping();
  MarkAsClient(packet);
  const auto info = InspectPacket(packet);
  ASSERT_TRUE(info);
  EXPECT_TRUE(info->marked);
  EXPECT_EQ(info->query, "ping");
}

TEST(PacketFilter, T45_ASenderCannotOverrideTheMark) {
  // "s": false, which OpenDHT would take over or beside our own.
  EXPECT_FALSE(
      InspectPacket("\x85\xa1"
                    "a"s +
                    kArguments + "\xa1q\xa4ping\xa1t\x01\xa1y\xa1q\xa1s\xc2"s));
  // Twice the same key.
  EXPECT_FALSE(InspectPacket(
      "\x85\xa1"
      "a"s +
      kArguments + "\xa1q\xa4ping\xa1t\x01\xa1y\xa1q\xa1q\xa3get"s));
  // A long map header, whose count the mark could not raise.
  EXPECT_FALSE(InspectPacket("\xde\x00\x04"s + Ping().substr(1)));
  // Bytes behind the map, where a mark would go unread.
  EXPECT_FALSE(InspectPacket(Ping() + "\x01"));
  // Two bodies: whose id counts?
  EXPECT_FALSE(
      InspectPacket("\x85\xa1"
                    "a"s +
                    kArguments + "\xa1r"s + kArguments +
                    "\xa1q\xa4ping\xa1t\x01\xa1y\xa1q"s));
}

TEST(PacketFilter, RefusesShapesThatOpenDhtReadsUnchecked) {
  // An error without a map beside it: OpenDHT would read the array as a map.
  EXPECT_FALSE(
      InspectPacket("\x83\xa1"
                    "e\x92\x01\xa1x\xa1t\x01\xa1y\xa1"
                    "e"s));
  // An empty error array: read out of bounds.
  EXPECT_FALSE(
      InspectPacket("\x84\xa1"
                    "e\x90\xa1r"s +
                    kArguments +
                    "\xa1t\x01\xa1y\xa1"
                    "e"s));
  // Arguments that are no map.
  EXPECT_FALSE(
      InspectPacket("\x84\xa1"
                    "a\xa3xyz\xa1q\xa4ping\xa1t\x01\xa1y\xa1q"s));
  // No fields: a division by zero.
  EXPECT_FALSE(InspectPacket("\x83\xa1r\x82\xa2id\xc4\x14"s + kId +
                             "\xa6"
                             "fileds\x82\xa1"
                             "f\x90\xa1v\x90\xa1t\x01\xa1y\xa1r"s));
  // An array that claims four billion elements.
  EXPECT_FALSE(
      InspectPacket("\x84\xa1"
                    "a"s +
                    kArguments + "\xa1q\xa4ping\xa1t\xdd\xff\xff\xff\xff"s));
  // Nested 1,000 deep.
  EXPECT_FALSE(
      InspectPacket("\x84\xa1"
                    "a"s +
                    kArguments + "\xa1q\xa4ping\xa1t"s +
                    std::string(1000, '\x91') + "\x01\xa1y\xa1q"s));
}

TEST(PacketFilter, TruncatedPacketsAreRefused) {
  const std::string packet = Ping();
  for (size_t size = 0; size < packet.size(); ++size)
    EXPECT_FALSE(InspectPacket(packet.substr(0, size))) << size;
}

}  // namespace
}  // namespace shoal::dht
