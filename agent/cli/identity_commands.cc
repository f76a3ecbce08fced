// shoal-agent fingerprint, rotate-key, certificate: the device's own key.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/cli/command.h"
#include "agent/cli/read_only_files.h"
#include "agent/state/identity.h"
#include "agent/state/key_files.h"
#include "common/bytes.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "common/crypto/key_certificate.h"
#include "common/crypto/keyfile.h"
#include "common/status.h"
#include "signing/verify/entry_credential.h"
#include "signing/verify/fleet_trust.h"
#include "signing/verify/updater.h"

namespace shoal::agent {
namespace {

using nlohmann::json;

std::string Fingerprint(const crypto::SigningKey& key) {
  return signing::FingerprintOf(key.public_key());
}

int ShowFingerprint(const std::string& state, bool as_json) {
  const auto keys = DeviceKeys::LoadOrCreate(RealFileSystem(), state);
  if (!keys.ok()) return PrintError(keys.status(), as_json);
  if (as_json)
    std::cout << json{{"fingerprint", Fingerprint(keys->signing)},
                      {"device_key", HexEncode(keys->signing.public_key())}}
                     .dump(2)
              << "\n";
  else
    std::cout << Fingerprint(keys->signing) << "\n";
  return 0;
}

absl::StatusOr<Membership> Member(const AgentConfig& config) {
  SHOAL_ASSIGN_OR_RETURN(
      std::optional<Membership> membership,
      LoadMembership(RealFileSystem(), config.StateDirectory()));
  if (!membership)
    return FailedPrecondition("not_paired", "this device is in no fleet yet");
  return *std::move(membership);
}

struct RotateFlags {
  std::string wait = "0s";
};

// Done: the key in use is `wanted`.
absl::StatusOr<bool> WaitForKey(const std::string& state,
                                const std::string& wanted,
                                absl::Duration wait) {
  const absl::Time until = absl::Now() + wait;
  while (true) {
    SHOAL_ASSIGN_OR_RETURN(const DeviceKeys keys,
                           DeviceKeys::LoadOrCreate(RealFileSystem(), state));
    if (keys.signing.public_key() == wanted) return true;
    if (absl::Now() >= until) return false;
    absl::SleepFor(absl::Milliseconds(200));
  }
}

absl::Status RotateKey(const AgentConfig& config, absl::Duration wait,
                       bool as_json) {
  FileSystem& fs = RealFileSystem();
  const std::string state = config.StateDirectory();
  SHOAL_RETURN_IF_ERROR(Member(config));
  // Reads all keys first: nothing is asked for with a damaged identity.
  SHOAL_RETURN_IF_ERROR(DeviceKeys::LoadOrCreate(fs, state));
  SHOAL_ASSIGN_OR_RETURN(const bool made, MakeNextKey(fs, state));
  SHOAL_ASSIGN_OR_RETURN(const auto next, ReadNextKey(fs, state));
  if (!next)
    return Unavailable("key_changed_meanwhile",
                       "the change that was under way has just ended; run this "
                       "again for another one");
  SHOAL_ASSIGN_OR_RETURN(const bool done,
                         WaitForKey(state, next->public_key(), wait));
  if (as_json) {
    std::cout << json{{"result", done ? "changed" : "asked"},
                      {"fingerprint", Fingerprint(*next)},
                      {"new_request", made}}
                     .dump(2)
              << "\n";
  } else if (done) {
    std::cout << fmt::format("The device's key is {} now.\n",
                             Fingerprint(*next));
  } else {
    std::cout << fmt::format(
        "{} {}.\nThe device goes on with its old key until the plane has "
        "answered, now or when it is up again; `shoal-agent status` shows "
        "when.\n",
        made ? "A new key is made and asked for:"
             : "A change is under way already, to",
        Fingerprint(*next));
  }
  if (!done && wait > absl::ZeroDuration())
    return MakeError(absl::StatusCode::kDeadlineExceeded, "key_change_waits",
                     "the plane has not answered in time; the request stands");
  return absl::OkStatus();
}

struct CertificateFlags {
  bool csr = false;
  std::string out;
  std::string key_out;
};

// The fleet's own word for this key, checked here: the daemon only carries it.
absl::StatusOr<std::string> FleetCertificate(const AgentConfig& config,
                                             const Membership& membership,
                                             const crypto::SigningKey& key) {
  const std::string& der = membership.grant.certificate();
  if (der.empty())
    return NotFound("no_certificate",
                    "the plane has sent none with the credential at hand; the "
                    "next credential brings one, and shoal-agent rotate-key "
                    "gets one at once");
  signing::UpdaterOptions options;
  options.directory = config.MetadataDirectory();
  options.fleet_id = membership.fleet_id;
  ReadOnlyFiles files;
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<signing::Updater> updater,
                         signing::Updater::Open(options, files, SystemClock()));
  SHOAL_RETURN_IF_ERROR(updater->UseStored(/*allow_expired=*/true));
  SHOAL_ASSIGN_OR_RETURN(const signing::FleetTrust trust,
                         signing::BuildFleetTrust(*updater, nullptr));
  absl::Status why =
      PermissionDenied("bad_signature", "the fleet names no device CA");
  for (const std::string& ca : trust.device_ca_keys) {
    why = crypto::CheckKeyCertificate(der, ca, key.public_key());
    if (why.ok()) return crypto::CertificatePem(der);
  }
  return why;
}

absl::Status Certificate(const AgentConfig& config,
                         const CertificateFlags& flags) {
  FileSystem& fs = RealFileSystem();
  SHOAL_ASSIGN_OR_RETURN(const Membership membership, Member(config));
  SHOAL_ASSIGN_OR_RETURN(const DeviceKeys keys,
                         DeviceKeys::LoadOrCreate(fs, config.StateDirectory()));
  std::string pem;
  if (flags.csr) {
    const std::string id = HexEncode(membership.device_id());
    SHOAL_ASSIGN_OR_RETURN(
        pem, crypto::MakeCertificationRequest(
                 keys.signing, {HexEncode(membership.fleet_id), id},
                 "shoal:device/" + id));
  } else {
    SHOAL_ASSIGN_OR_RETURN(pem,
                           FleetCertificate(config, membership, keys.signing));
  }
  if (!flags.key_out.empty())
    SHOAL_RETURN_IF_ERROR(crypto::WriteSecretFile(
        fs, flags.key_out, crypto::SigningKeyPem(keys.signing)));
  if (!flags.out.empty()) return fs.WriteAtomic(flags.out, pem);
  std::cout << pem;
  return absl::OkStatus();
}

void AddFingerprint(CLI::App& app, Shared& shared, Commands& commands) {
  CLI::App* fingerprint = app.add_subcommand(
      "fingerprint",
      "Show the device key's fingerprint, to be compared with "
      "what the operator sees; makes the key if need be");
  auto data = std::make_shared<std::string>();
  AddConfig(fingerprint, shared);
  fingerprint->add_option("--data", *data,
                          "Data directory, before there is a configuration");
  AddOutput(fingerprint, shared);
  fingerprint->footer(
      "Examples:\n"
      "  shoal-agent fingerprint --config /var/lib/shoal/agent.toml\n"
      "  shoal-agent fingerprint --data /var/lib/shoal --output json\n"
      "The second is what the factory asks a new device.");
  commands.push_back(
      {fingerprint, [data, &shared] {
         if (!data->empty())
           return ShowFingerprint(JoinPath(*data, "state"), shared.as_json());
         if (shared.config_path.empty()) {
           std::cerr << "shoal-agent: --config or --data is needed\n";
           return kExitUsage;
         }
         const auto config = shared.Config();
         if (!config.ok()) return PrintError(config.status(), shared.as_json());
         return ShowFingerprint(config->StateDirectory(), shared.as_json());
       }});
}

void AddRotateKey(CLI::App& app, Shared& shared, Commands& commands) {
  auto flags = std::make_shared<RotateFlags>();
  CLI::App* rotate = app.add_subcommand(
      "rotate-key",
      "Replace the device's key: made here, certified by the fleet when the "
      "management plane is up; until then the old one goes on");
  AddConfig(rotate, shared)->required();
  rotate->add_option("--wait", flags->wait,
                     "Wait so long for the change, such as 10m [0s]");
  AddOutput(rotate, shared);
  rotate->footer(
      "Examples:\n"
      "  shoal-agent rotate-key --config /var/lib/shoal/agent.toml\n"
      "  shoal-agent rotate-key --config /var/lib/shoal/agent.toml --wait 10m "
      "--output json\n"
      "Run it as the owner of the data directory, beside the running agent.");
  commands.push_back(
      {rotate, [flags, &shared] {
         absl::Duration wait;
         if (!absl::ParseDuration(flags->wait, &wait) ||
             wait < absl::ZeroDuration() || wait > absl::Hours(24)) {
           std::cerr << "shoal-agent: --wait is a time such as 10m, at most a "
                        "day\n";
           return kExitUsage;
         }
         const auto config = shared.Config();
         if (!config.ok()) return PrintError(config.status(), shared.as_json());
         const absl::Status done = RotateKey(*config, wait, shared.as_json());
         // What was printed stands; this is why the code is not 0.
         return done.ok() ? 0 : PrintError(done, false);
       }});
}

void AddCertificate(CLI::App& app, Shared& shared, Commands& commands) {
  auto flags = std::make_shared<CertificateFlags>();
  CLI::App* certificate = app.add_subcommand(
      "certificate",
      "The device's X.509 certificate by the fleet's device CA, in PEM, for "
      "TLS with other services");
  AddConfig(certificate, shared)->required();
  certificate->add_flag("--csr", flags->csr,
                        "A certification request for another CA instead");
  certificate->add_option("--out", flags->out, "Write it to a file");
  certificate->add_option(
      "--key-out", flags->key_out,
      "Also write the private key as PKCS#8 in PEM, mode 0600");
  certificate->footer(
      "Examples:\n"
      "  shoal-agent certificate --config C | openssl x509 -noout -text\n"
      "  shoal-agent certificate --config C --out device.crt --key-out "
      "device.key\n"
      "  shoal-agent certificate --config C --csr --out device.csr\n"
      "After rotate-key and after a renewal, run it again.");
  commands.push_back({certificate, [flags, &shared] {
                        const auto config = shared.Config();
                        if (!config.ok())
                          return PrintError(config.status(), false);
                        const absl::Status done = Certificate(*config, *flags);
                        return done.ok() ? 0 : PrintError(done, false);
                      }});
}

}  // namespace

void AddIdentityCommands(CLI::App& app, Shared& shared, Commands& commands) {
  AddFingerprint(app, shared, commands);
  AddRotateKey(app, shared, commands);
  AddCertificate(app, shared, commands);
}

}  // namespace shoal::agent
