// A datagram's way in: first as a stranger's bytes (the seal must hold), then
// as the payload of a member's sealed datagram, into the packet filter, the
// mark and our own datagrams' parser and admission.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/status.h"
#include "dht/records/admission.h"
#include "dht/records/key_ring.h"
#include "dht/records/packet_filter.h"
#include "shoal/records/v1/datagram.pb.h"

namespace {

using namespace shoal::dht;

const KeyRing& Ring() {
  static const KeyRing* ring = [] {
    auto* fresh = new KeyRing;
    shoal::pairing::v1::NetworkKey key;
    key.set_epoch(1);
    key.set_key(std::string(32, 'k'));
    if (!fresh->SetKeys({key}).ok()) std::abort();
    return fresh;
  }();
  return *ring;
}

void OwnDatagram(const std::string& payload) {
  shoal::records::v1::Datagram datagram;
  if (!datagram.ParseFromString(payload)) return;
  static const auto* key =
      new shoal::crypto::SigningKey(shoal::crypto::SigningKey::Generate());
  Admission::Options options;
  options.fleet_id = std::string(32, 'f');
  options.key = key;
  options.verify_node = [](const auto&, absl::Time) {
    return shoal::PermissionDenied("foreign", "nobody is a node here");
  };
  options.clock = &shoal::SystemClock();
  options.monotonic = [] { return absl::Seconds(100); };
  options.send = [](const Address&, const auto&) {};
  Admission admission(std::move(options));
  const Address from = *Address::Parse("127.0.0.1:1000");
  admission.OnHello(from, datagram.hello());
  admission.OnChallenge(from, datagram.challenge());
  admission.OnProof(from, datagram.proof());
  if (admission.AdmittedId(from)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (Ring().Open(bytes)) std::abort();  // a forgery
  const auto opened = Ring().Open(Ring().Seal(1, Channel::kOpenDht, bytes));
  if (!opened || opened->payload != bytes) std::abort();
  std::string packet(bytes);
  if (const auto info = InspectPacket(packet); info && !info->marked) {
    MarkAsClient(packet);
    const auto marked = InspectPacket(packet);
    if (!marked || !marked->marked) std::abort();
  }
  OwnDatagram(opened->payload);
  return 0;
}
