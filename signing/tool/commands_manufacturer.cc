// Manufacturers: named by the fleet, and what they do in their factory.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"
#include "shoal/records/v1/credential.pb.h"
#include "signing/tool/change.h"
#include "signing/tool/commands.h"
#include "signing/tool/passphrase.h"
#include "signing/verify/entry_credential.h"

namespace shoal::signing {
namespace {

constexpr size_t kMaxKeyFile = 64 * 1024;

// Hex, or the JSON that `shoal-agent fingerprint --output json` prints.
absl::StatusOr<std::string> ReadDeviceKey(const std::string& text) {
  std::string hex = text;
  if (RealFileSystem().Exists(text)) {
    SHOAL_ASSIGN_OR_RETURN(const std::string file,
                           RealFileSystem().Read(text, kMaxKeyFile));
    const auto json = nlohmann::json::parse(file, nullptr, false);
    hex = json.is_object() && json.contains("device_key") &&
                  json["device_key"].is_string()
              ? json["device_key"].get<std::string>()
              : file.substr(0, file.find('\n'));
  }
  auto key = HexDecode(hex);
  if (key.ok() && key->size() == 32) return key;
  return InvalidArgument("bad_key",
                         "--device-key is 64 hex digits, or a file that "
                         "'shoal-agent fingerprint --output json' wrote");
}

}  // namespace

absl::Status RunManufacturerAdd(const Options& options,
                                const ManufacturerOptions& o) {
  if (!IsIdentifier(o.name))
    return InvalidArgument("bad_name", "a manufacturer's name: an identifier");
  for (const std::string& type : o.device_types)
    if (!IsIdentifier(type))
      return InvalidArgument("bad_name", "--type: an identifier");
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options));
  SHOAL_ASSIGN_OR_RETURN(Targets targets, work->NewestTargets("targets"));
  if (!targets.fleet_keys) targets.fleet_keys.emplace();
  auto& list = targets.fleet_keys->manufacturers;
  Manufacturer fresh{o.name, "", o.device_types};
  SHOAL_ASSIGN_OR_RETURN(fresh.key, work->tree().FindKey(o.key, {}));
  // A second key of one manufacturer stands beside the first: devices made with
  // either are good.
  std::erase_if(list, [&](const Manufacturer& one) {
    return one.name == fresh.name && one.key == fresh.key;
  });
  list.push_back(std::move(fresh));
  Change change(*work);
  SHOAL_RETURN_IF_ERROR(change.Propose("targets", targets));
  return change.Finish();
}

absl::Status RunManufacturerRemove(const Options& options,
                                   const std::string& name) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options));
  SHOAL_ASSIGN_OR_RETURN(Targets targets, work->NewestTargets("targets"));
  if (!targets.fleet_keys || std::erase_if(targets.fleet_keys->manufacturers,
                                           [&](const Manufacturer& one) {
                                             return one.name == name;
                                           }) == 0)
    return NotFound(
        "no_such_manufacturer",
        fmt::format("targets names no manufacturer '{:.80}'", name));
  Change change(*work);
  SHOAL_RETURN_IF_ERROR(change.Propose("targets", targets));
  return change.Finish();
}

absl::Status RunFactoryIssue(const Options& options, const FactoryOptions& o) {
  if (options.keys.empty())
    return InvalidArgument("no_keys", "say where with --keys");
  if (!IsIdentifier(o.device_type))
    return InvalidArgument("bad_name", "--type: an identifier");
  if (o.serial_number.empty() ||
      o.serial_number.size() > kMaxSerialNumberBytes ||
      std::any_of(o.serial_number.begin(), o.serial_number.end(),
                  [](char c) { return c <= ' ' || c > '~' || c == '/'; }))
    return InvalidArgument("bad_name",
                           "--serial: at most 64 printable characters, without "
                           "blanks and '/'");
  SHOAL_ASSIGN_OR_RETURN(const std::string device_key,
                         ReadDeviceKey(o.device_key));
  SHOAL_ASSIGN_OR_RETURN(crypto::SecretBytes passphrase,
                         ReadPassphrase(options.passphrase_file, false));
  SHOAL_ASSIGN_OR_RETURN(
      const std::unique_ptr<KeyStore> keys,
      KeyStore::Open(RealFileSystem(), options.keys, std::move(passphrase)));
  SHOAL_ASSIGN_OR_RETURN(const crypto::SigningKey signer, keys->Load(o.signer));
  records::v1::CredentialBody body;
  body.set_public_key(device_key);
  body.set_subject_id(KeySubject(device_key));
  body.set_kind(records::v1::WRITER_CLASS_FACTORY);
  if (o.valid_days > 0)
    body.set_not_after(absl::ToUnixSeconds(SystemClock().WallNow() +
                                           absl::Hours(24 * o.valid_days)));
  body.set_serial_number(o.serial_number);
  body.set_device_type(o.device_type);
  records::v1::Credential credential;
  credential.set_body(body.SerializeAsString());
  credential.set_signature(signer.Sign(FactorySigningInput(credential.body())));
  SHOAL_RETURN_IF_ERROR(CheckFactory(credential, signer.public_key()));
  const std::string text =
      "SHOALF1-" + Base32Encode(credential.SerializeAsString());
  if (o.out.empty()) {
    fmt::print("{}\n", text);
    return absl::OkStatus();
  }
  SHOAL_RETURN_IF_ERROR(RealFileSystem().WriteAtomic(o.out, text + "\n"));
  fmt::print("{}: {} {} {}\n", o.out, o.device_type, o.serial_number,
             FingerprintOf(device_key));
  return absl::OkStatus();
}

}  // namespace shoal::signing
