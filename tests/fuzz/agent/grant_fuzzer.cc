// What a plane, or whoever poses as one, seals to a device as its grant.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "agent/link/pairing_grant.h"
#include "common/crypto/box.h"
#include "common/crypto/key_certificate.h"

namespace {

// The grant stands alone; it answers "said".
class OpenWay final : public shoal::agent::PairingWay {
 public:
  std::string fleet_id() const override { return std::string(32, 'f'); }
  std::string bootstrap_key() const override { return ""; }
  std::vector<std::string> endpoints() const override { return {}; }
  std::string place() const override { return ""; }
  absl::Status Prepare(const std::vector<shoal::dht::VerifiedRecord>&,
                       bool) override {
    return absl::OkStatus();
  }
  std::string outgoing() const override { return ""; }
  std::string transcript() const override { return "said"; }
  absl::StatusOr<std::string> Unwrap(std::string_view payload) const override {
    return std::string(payload);
  }
  absl::Status Forget() override { return absl::OkStatus(); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const shoal::agent::DeviceKeys keys{
      shoal::crypto::SigningKey::Generate(),
      std::make_shared<shoal::agent::BoxKeys>(
          shoal::crypto::BoxKey::Generate()),
      std::nullopt, std::nullopt};
  shoal::agent::PairingDevice device;
  device.keys = &keys;
  const OpenWay way;
  shoal::dht::VerifiedRecord record;
  record.body.set_payload(*shoal::crypto::SealTo(
      keys.box->public_key(),
      std::string_view(reinterpret_cast<const char*>(data), size)));
  const auto grant = shoal::agent::OpenGrant(device, way, record);
  if (!grant.ok()) return 0;
  if (grant->answer_digest() != "said") std::abort();
  if (grant->verdict() == shoal::pairing::v1::VERDICT_UNSPECIFIED &&
      (grant->device_id().size() != 16 ||
       grant->certificate().size() > shoal::crypto::kMaxCertificateDer))
    std::abort();
  return 0;
}
