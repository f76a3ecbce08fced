#include "server/cli/context.h"

#include <fmt/format.h>
#include <google/protobuf/util/message_differencer.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "common/bytes.h"
#include "common/config.h"
#include "common/crypto/hash.h"
#include "common/crypto/keyfile.h"
#include "common/status.h"
#include "server/cli/exit_code.h"

namespace shoal::cli {
namespace {

constexpr uint64_t kMaxCertificate = 64 * 1024;
// Metadata of a large fleet: targets and snapshot are 7 MB at most together.
constexpr uint64_t kMaxNetwork = 64ull << 20;

absl::Status CheckName(const std::string& name) {
  if (IsIdentifier(name)) return absl::OkStatus();
  return UsageError(fmt::format(
      "'{}' is no context name: letters, digits, '.', '_', '-'; at most 64",
      name));
}

absl::StatusOr<std::string> TomlText(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      return UsageError("control characters in a path or address");
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string TrimmedLine(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) {
    text.pop_back();
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> ContextStore::DefaultDirectory() {
  if (const char* dir = std::getenv("SHOAL_CONTEXT_DIR"); dir && *dir) {
    return std::string(dir);
  }
  if (const char* dir = std::getenv("XDG_CONFIG_HOME"); dir && *dir == '/') {
    return JoinPath(dir, "shoal");
  }
  if (const char* home = std::getenv("HOME"); home && *home) {
    return JoinPath(home, ".config/shoal");
  }
  return FailedPrecondition("no_context_dir",
                            "neither --context-dir nor SHOAL_CONTEXT_DIR nor "
                            "HOME says where contexts are kept");
}

std::string ContextStore::DirectoryOf(const std::string& name) const {
  return JoinPath(JoinPath(directory_, "contexts"), name);
}

absl::StatusOr<std::vector<std::string>> ContextStore::List() const {
  const std::string root = JoinPath(directory_, "contexts");
  if (!fs_.Exists(root)) return std::vector<std::string>();
  SHOAL_ASSIGN_OR_RETURN(auto names, fs_.List(root));
  std::erase_if(names, [&](const std::string& name) {
    return !IsIdentifier(name) ||
           !fs_.Exists(JoinPath(JoinPath(root, name), "context.toml"));
  });
  return names;
}

absl::StatusOr<std::string> ContextStore::Current() const {
  const std::string path = JoinPath(directory_, "current");
  if (!fs_.Exists(path)) {
    return FailedPrecondition(
        "no_context", fmt::format("no context is in use in {}", directory_));
  }
  SHOAL_ASSIGN_OR_RETURN(std::string name, fs_.Read(path, 256));
  name = TrimmedLine(std::move(name));
  SHOAL_RETURN_IF_ERROR(CheckName(name));
  return name;
}

absl::Status ContextStore::Use(const std::string& name) {
  SHOAL_RETURN_IF_ERROR(Load(name));
  return fs_.WriteAtomic(JoinPath(directory_, "current"), name + "\n");
}

absl::StatusOr<Context> ContextStore::Load(const std::string& wanted) const {
  std::string name = wanted;
  if (name.empty()) {
    SHOAL_ASSIGN_OR_RETURN(name, Current());
  }
  SHOAL_RETURN_IF_ERROR(CheckName(name));
  Context context;
  context.name = name;
  context.directory = DirectoryOf(name);
  const std::string path = JoinPath(context.directory, "context.toml");
  if (!fs_.Exists(path)) {
    return NotFound(
        "unknown_context",
        fmt::format("there is no context '{}' in {}", name, directory_));
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string text, fs_.Read(path, 1 << 20));
  SHOAL_ASSIGN_OR_RETURN(Config config, Config::Parse(text, path));
  context.server = config.RequiredString("server");
  context.operator_dir = config.RequiredString("operator");
  const std::string fleet = config.RequiredString("fleet");
  SHOAL_RETURN_IF_ERROR(config.Finish());
  const auto fleet_id = HexDecode(fleet);
  if (!fleet_id.ok() || fleet_id->size() != crypto::kSha256Size) {
    return InvalidArgument("bad_context",
                           fmt::format("{}: fleet is 64 hex digits", path));
  }
  context.fleet_id = *fleet_id;
  SHOAL_ASSIGN_OR_RETURN(
      context.server_cert_pem,
      fs_.Read(JoinPath(context.directory, "server.crt"), kMaxCertificate));
  return context;
}

absl::Status ContextStore::Save(const Context& context) {
  SHOAL_RETURN_IF_ERROR(CheckName(context.name));
  const std::string directory = DirectoryOf(context.name);
  SHOAL_RETURN_IF_ERROR(fs_.MakeDirectories(directory, 0700));
  SHOAL_ASSIGN_OR_RETURN(const std::string server, TomlText(context.server));
  SHOAL_ASSIGN_OR_RETURN(const std::string keys,
                         TomlText(context.operator_dir));
  SHOAL_RETURN_IF_ERROR(fs_.WriteAtomic(JoinPath(directory, "server.crt"),
                                        context.server_cert_pem));
  return fs_.WriteAtomic(
      JoinPath(directory, "context.toml"),
      fmt::format("server = {}\noperator = {}\nfleet = \"{}\"\n", server, keys,
                  HexEncode(context.fleet_id)));
}

absl::Status ContextStore::Discard(const std::string& name) {
  SHOAL_RETURN_IF_ERROR(CheckName(name));
  std::error_code error;
  std::filesystem::remove_all(DirectoryOf(name), error);
  if (error) return ErrnoError(error.value(), "remove " + DirectoryOf(name));
  return absl::OkStatus();
}

absl::StatusOr<fleet::v1::GetNetworkResponse> ContextStore::LoadNetwork(
    const Context& context) const {
  const std::string path = JoinPath(context.directory, "network.pb");
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes, fs_.Read(path, kMaxNetwork));
  fleet::v1::GetNetworkResponse network;
  if (!network.ParseFromString(bytes)) {
    return InvalidArgument(
        "bad_context",
        fmt::format("{} is damaged; with shoald up: shoal context refresh",
                    path));
  }
  return network;
}

absl::Status ContextStore::SaveNetwork(
    const Context& context, const fleet::v1::GetNetworkResponse& network) {
  const std::string path = JoinPath(context.directory, "network.pb");
  std::string bytes;
  if (!network.SerializeToString(&bytes) || bytes.size() > kMaxNetwork) {
    return ResourceExhausted("network_too_large",
                             "the network's description is beyond 64 MB");
  }
  // Maps serialise in any order: compared by content.
  if (fs_.Exists(path)) {
    const auto old = LoadNetwork(context);
    if (old.ok() &&
        google::protobuf::util::MessageDifferencer::Equals(*old, network)) {
      return absl::OkStatus();
    }
  }
  SHOAL_RETURN_IF_ERROR(fs_.MakeDirectories(context.directory, 0700));
  return fs_.WriteAtomic(path, bytes, 0600);
}

absl::StatusOr<OperatorKeys> LoadOperatorTls(FileSystem& fs,
                                             const std::string& directory) {
  OperatorKeys keys;
  SHOAL_ASSIGN_OR_RETURN(
      keys.tls_key_pem,
      crypto::ReadSecretFile(fs, JoinPath(directory, "tls.key")));
  SHOAL_ASSIGN_OR_RETURN(
      keys.tls_cert_pem,
      fs.Read(JoinPath(directory, "tls.crt"), kMaxCertificate));
  return keys;
}

absl::StatusOr<crypto::SigningKey> LoadOperatorKey(
    FileSystem& fs, const std::string& directory) {
  SHOAL_ASSIGN_OR_RETURN(
      const crypto::SecretBytes seed,
      crypto::ReadSecretFile(fs, JoinPath(directory, "operator.key")));
  return crypto::SigningKey::FromSeed(seed);
}

}  // namespace shoal::cli
