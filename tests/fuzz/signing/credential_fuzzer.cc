// Credentials and the documents that say who may write, on any bytes: nothing
// that no CA signed is taken, and what is taken has the form that readers rely
// on.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "rules/access.h"
#include "rules/rollout.h"
#include "shoal/records/v1/credential.pb.h"
#include "shoal/records/v1/record.pb.h"
#include "shoal/rollout/v1/document.pb.h"
#include "signing/verify/credential.h"
#include "signing/verify/writer.h"

namespace {

using namespace shoal;  // NOLINT: a fuzzer's only file

void Require(bool ok) {
  if (!ok) abort();
}

signing::FleetTrust Trust() {
  signing::FleetTrust trust;
  trust.fleet_id = std::string(32, 'f');
  // Public keys whose secrets nobody kept.
  trust.device_ca_keys = {std::string(32, 'd')};
  trust.node_ca_keys = {std::string(32, 'n')};
  trust.director_keys = {std::string(32, 'D')};
  return trust;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* const trust = new signing::FleetTrust(Trust());
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const absl::Time now = absl::FromUnixSeconds(1000);

  records::v1::Credential credential;
  if (credential.ParseFromString(bytes)) {
    Require(!signing::VerifyCredential(credential, *trust, now).ok());
    Require(!signing::VerifyCredential(credential, trust->device_ca_keys,
                                       trust->fleet_id, now)
                 .ok());
  }
  records::v1::RecordBody body;
  if (body.ParseFromString(bytes)) {
    const auto writer = signing::ResolveWriter(*trust, {}, body, now);
    // Only a bare key can be right without a signature here: the record's own
    // signature by that key is checked afterwards.
    Require(!writer.ok() ||
            (writer->kind == records::v1::WRITER_CLASS_DIRECTOR &&
             writer->public_key == trust->director_keys[0]));
  }
  if (const auto policy = rules::ParsePolicy(bytes); policy.ok()) {
    // Default deny, whatever else it says.
    Require(rules::FindOperatorByKey(*policy, "no such key") == nullptr);
  }
  rollout::v1::RolloutDocument document;
  if (document.ParseFromString(bytes) && rules::ValidateRollout(document).ok())
    Require(!document.phases().empty());
  return 0;
}
