// shoal operator create: an operator's keys, made on the operator's machine.
// Only public halves leave it, into the policy.
#include <fmt/format.h>
#include <sys/stat.h>

#include "common/bytes.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/keyfile.h"
#include "common/crypto/x509.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/exit_code.h"
#include "shoal/policy/v1/policy.pb.h"

namespace shoal::cli {
namespace {

struct CreateOptions {
  std::string name;
  std::string out;
  std::vector<std::string> roles;
};

// Peers pin the key, so who signed the certificate decides nothing: it is
// issued by a CA whose key is forgotten at once.
absl::StatusOr<crypto::TlsKeyPair> MakeTlsIdentity(const std::string& name,
                                                   absl::Time now) {
  const absl::Time from = now - absl::Hours(24);
  const absl::Time until = now + absl::Hours(24 * 3652);
  SHOAL_ASSIGN_OR_RETURN(
      const crypto::TlsKeyPair ca,
      crypto::MakeCertificateAuthority("shoal operator", from, until));
  crypto::CertificateRequest request;
  request.common_name = name;
  request.uri = "shoal:operator/" + name;
  request.client = true;
  request.not_before = from;
  request.not_after = until;
  return crypto::IssueCertificate(ca, request);
}

absl::Status Create(Program& program, const CreateOptions& options) {
  if (!IsIdentifier(options.name)) {
    return UsageError(fmt::format(
        "'{}' is no operator name: letters, digits, '.', '_', '-'; at most 64",
        options.name));
  }
  FileSystem& fs = program.fs();
  for (const char* file : {"operator.key", "tls.key", "operator.json"}) {
    if (fs.Exists(JoinPath(options.out, file))) {
      return MakeError(
          absl::StatusCode::kAlreadyExists, "key_exists",
          fmt::format("{} already holds an operator's keys; choose another "
                      "directory",
                      options.out));
    }
  }
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(options.out, 0700));
  const crypto::SigningKey key = crypto::SigningKey::Generate();
  SHOAL_ASSIGN_OR_RETURN(
      const crypto::TlsKeyPair tls,
      MakeTlsIdentity(options.name, program.clock().WallNow()));
  SHOAL_ASSIGN_OR_RETURN(const std::string spki,
                         crypto::SpkiSha256(tls.cert_pem));
  policy::v1::Operator entry;
  entry.set_name(options.name);
  entry.set_public_key(HexEncode(key.public_key()));
  entry.set_tls_spki_sha256(HexEncode(spki));
  for (const auto& role : options.roles) entry.add_roles(role);
  SHOAL_RETURN_IF_ERROR(crypto::WriteSecretFile(
      fs, JoinPath(options.out, "operator.key"), key.seed()));
  SHOAL_RETURN_IF_ERROR(crypto::WriteSecretFile(
      fs, JoinPath(options.out, "tls.key"), tls.key_pem));
  SHOAL_RETURN_IF_ERROR(
      fs.WriteAtomic(JoinPath(options.out, "tls.crt"), tls.cert_pem));
  SHOAL_RETURN_IF_ERROR(
      fs.WriteAtomic(JoinPath(options.out, "operator.json"),
                     MessageToJson(entry, /*pretty=*/true) + "\n"));
  program.Print(entry, [&] {
    return fmt::format(
        "Operator {}: keys are in {} (keep operator.key and tls.key "
        "secret).\nEntry for the policy, also in {}:\n{}\n",
        options.name, options.out, JoinPath(options.out, "operator.json"),
        MessageToJson(entry, /*pretty=*/true));
  });
  return absl::OkStatus();
}

}  // namespace

void AddOperatorCommands(CLI::App& app, Program& program) {
  CLI::App* group = AddGroup(app, "operator", "Keys of operators");
  auto options = std::make_shared<CreateOptions>();
  CLI::App* create = AddCommand(
      *group, "create", "Make an operator's keys and its entry for the policy",
      "operator create alice --out ~/alice\n"
      "operator create alice --out ~/alice --role admin");
  create->add_option("name", options->name, "The operator's name")->required();
  create->add_option("--out", options->out, "Directory for the keys")
      ->required();
  create
      ->add_option("--role", options->roles,
                   "A role that the policy's rules name; may be repeated")
      ->allow_extra_args(false);
  OnRun(create, program, options, Create);
}

}  // namespace shoal::cli
