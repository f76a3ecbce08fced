#include "agent/link/pairing_grant.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "common/crypto/key_certificate.h"
#include "common/status.h"
#include "signing/verify/credential.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::agent {
namespace {

constexpr size_t kMaxTextFile = 8192;

absl::Status Bad(std::string_view what) {
  return PermissionDenied("bad_grant", what);
}

}  // namespace

std::string DeterministicBytes(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

absl::StatusOr<std::unique_ptr<PairingWay>> OpenConfiguredWay(
    const PairingDevice& device) {
  const AgentConfig& config = *device.config;
  FileSystem& fs = *device.fs;
  if (!config.ticket_file.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string text,
                           fs.Read(config.ticket_file, kMaxTextFile));
    SHOAL_ASSIGN_OR_RETURN(pairing::v1::ClaimTicket ticket, ParseTicket(text));
    return OpenTicketWay(device, std::move(ticket));
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string text,
                         fs.Read(config.bootstrap_file, kMaxTextFile));
  SHOAL_ASSIGN_OR_RETURN(pairing::v1::BootstrapFile file,
                         ParseBootstrapFile(text));
  std::optional<records::v1::Credential> factory;
  if (!config.factory_credential.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string given,
                           fs.Read(config.factory_credential, kMaxTextFile));
    SHOAL_ASSIGN_OR_RETURN(factory, ParseFactoryCredential(given));
  }
  return OpenRequestWay(device, std::move(file), factory ? &*factory : nullptr);
}

absl::StatusOr<pairing::v1::Grant> OpenGrant(
    const PairingDevice& device, const PairingWay& way,
    const dht::VerifiedRecord& record) {
  const auto sealed = way.Unwrap(record.body.payload());
  if (!sealed.ok()) return Bad("the grant was not made with this ticket");
  const auto plain = device.keys->box->Open(*sealed);
  pairing::v1::Grant grant;
  if (!plain.ok() || !grant.ParseFromString(*plain))
    return Bad("the grant is for another device");
  if (grant.answer_digest() != way.transcript())
    return Bad("the grant is to another answer");
  if (grant.verdict() != pairing::v1::VERDICT_UNSPECIFIED) return grant;
  if (grant.device_id().size() != 16 ||
      grant.network().place_key().size() != 32 ||
      grant.network().keys().empty() ||
      grant.assignment().device_id() != grant.device_id() ||
      grant.certificate().size() > crypto::kMaxCertificateDer)
    return Bad("the grant lacks something");
  return grant;
}

absl::Status VerifyGrant(
    const PairingDevice& device, const PairingWay& way,
    const dht::VerifiedRecord& record, const pairing::v1::Grant& grant,
    signing::Fetcher& source,
    const std::function<void(const signing::Updater&)>& opened) {
  signing::UpdaterOptions options;
  options.directory = device.config->MetadataDirectory();
  options.fleet_id = way.fleet_id();
  SHOAL_ASSIGN_OR_RETURN(
      const std::unique_ptr<signing::Updater> updater,
      signing::Updater::Open(options, *device.fs, *device.clock));
  if (opened) opened(*updater);
  const absl::Status refreshed = updater->Refresh(source);
  if (ReasonOf(refreshed) == "wrong_fleet")
    return PermissionDenied(
        "fleet_mismatch",
        "root version 1 is not the one that this device was told of");
  SHOAL_RETURN_IF_ERROR(refreshed);
  SHOAL_ASSIGN_OR_RETURN(const signing::FleetTrust trust,
                         signing::BuildFleetTrust(*updater, &source));
  if (std::find(trust.director_keys.begin(), trust.director_keys.end(),
                record.writer.public_key) == trust.director_keys.end())
    return Bad("the grant's writer is no director of the fleet");
  const auto credential =
      signing::VerifyCredential(grant.credential(), trust, updater->Now());
  if (!credential.ok()) return Annotate(credential.status(), "the grant");
  if (credential->kind() != records::v1::WRITER_CLASS_DEVICE ||
      credential->public_key() != device.keys->signing.public_key() ||
      credential->subject_id() != grant.device_id())
    return Bad("the credential is not for this device's key");
  return absl::OkStatus();
}

absl::StatusOr<Membership> BecomeMember(const PairingDevice& device,
                                        PairingWay& way,
                                        const dht::VerifiedRecord& record,
                                        const pairing::v1::Grant& grant) {
  Membership membership;
  membership.fleet_id = way.fleet_id();
  membership.director_key = record.writer.public_key;
  membership.grant = grant;
  membership.first_nodes = NodeAddressesOf(grant.directory());
  membership.heard_epochs = FirstHeard(membership);
  SHOAL_RETURN_IF_ERROR(
      SaveMembership(*device.fs, device.config->StateDirectory(), membership));
  SHOAL_RETURN_IF_ERROR(way.Forget());
  return membership;
}

}  // namespace shoal::agent
