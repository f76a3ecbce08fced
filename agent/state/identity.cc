#include "agent/state/identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/state/key_files.h"
#include "common/bytes.h"
#include "common/crypto/keyfile.h"
#include "common/status.h"

namespace shoal::agent {
namespace {
constexpr char kBoxFile[] = "box.key";
constexpr char kMembershipFile[] = "membership.json";
constexpr uint64_t kMaxMembershipBytes = 1u << 20;
}  // namespace

std::vector<std::string> NodeAddressesOf(
    const records::v1::NodeDirectory& directory) {
  std::vector<std::string> addresses;
  for (const records::v1::NodeEntry& node : directory.nodes())
    if (!node.dht_address().empty() && addresses.size() < kMaxFirstNodes)
      addresses.push_back(node.dht_address());
  return addresses;
}

absl::StatusOr<DeviceKeys> DeviceKeys::LoadOrCreate(
    FileSystem& fs, const std::string& directory) {
  const std::string signing_path = JoinPath(directory, kKeyInUseFile);
  const std::string box_path = JoinPath(directory, kBoxFile);
  // The signing key is written last: with it, both exist.
  if (!fs.Exists(signing_path)) {
    SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(directory, 0700));
    const crypto::BoxKey box = crypto::BoxKey::Generate();
    SHOAL_RETURN_IF_ERROR(crypto::WriteSecretFile(fs, box_path, box.secret()));
    const crypto::SigningKey signing = crypto::SigningKey::Generate();
    SHOAL_RETURN_IF_ERROR(
        crypto::WriteSecretFile(fs, signing_path, signing.seed()));
  }
  if (!fs.Exists(box_path))
    return DataLoss("bad_identity", fmt::format("{} is there but {} is not",
                                                signing_path, box_path));
  SHOAL_ASSIGN_OR_RETURN(const crypto::SecretBytes secret,
                         crypto::ReadSecretFile(fs, box_path));
  SHOAL_ASSIGN_OR_RETURN(crypto::BoxKey box,
                         crypto::BoxKey::FromSecret(secret));
  SHOAL_ASSIGN_OR_RETURN(const auto membership, LoadMembership(fs, directory));
  records::v1::CredentialBody credential;
  if (membership &&
      !credential.ParseFromString(membership->grant.credential().body()))
    return DataLoss("bad_identity", "the credential at hand does not parse");
  SHOAL_ASSIGN_OR_RETURN(KeyFiles files,
                         ReadKeyFiles(fs, directory, credential.public_key()));
  return DeviceKeys{std::move(*files.in_use), std::move(box),
                    std::move(files.next), std::move(files.previous)};
}

bool DeviceKeys::Exist(FileSystem& fs, const std::string& directory) {
  return fs.Exists(JoinPath(directory, kKeyInUseFile));
}

absl::StatusOr<std::optional<Membership>> LoadMembership(
    FileSystem& fs, const std::string& directory) {
  const std::string path = JoinPath(directory, kMembershipFile);
  if (!fs.Exists(path)) return std::nullopt;
  SHOAL_ASSIGN_OR_RETURN(const std::string text,
                         fs.Read(path, kMaxMembershipBytes));
  Membership membership;
  try {
    const nlohmann::json j = nlohmann::json::parse(text);
    SHOAL_ASSIGN_OR_RETURN(membership.fleet_id,
                           HexDecode(j.at("fleet_id").get<std::string>()));
    SHOAL_ASSIGN_OR_RETURN(membership.director_key,
                           HexDecode(j.at("director_key").get<std::string>()));
    SHOAL_ASSIGN_OR_RETURN(const std::string grant,
                           HexDecode(j.at("grant").get<std::string>()));
    if (!membership.grant.ParseFromString(grant) ||
        membership.fleet_id.size() != 32 ||
        membership.grant.device_id().size() != 16)
      return DataLoss("bad_state", fmt::format("{} is damaged", path));
    membership.first_nodes = j.value("first_nodes", std::vector<std::string>());
    if (membership.first_nodes.empty())
      membership.first_nodes = NodeAddressesOf(membership.grant.directory());
    // Of a membership that is older than rotation: the key it was paired with.
    uint32_t first = 0;
    for (const auto& key : membership.grant.network().keys())
      first = std::max(first, key.epoch());
    membership.heard_epoch = j.value("heard_epoch", first);
  } catch (const nlohmann::json::exception& error) {
    return DataLoss("bad_state",
                    fmt::format("{} is damaged: {}", path, error.what()));
  }
  return membership;
}

absl::Status SaveMembership(FileSystem& fs, const std::string& directory,
                            const Membership& membership) {
  const nlohmann::json j = {
      {"fleet_id", HexEncode(membership.fleet_id)},
      {"director_key", HexEncode(membership.director_key)},
      {"device_id", HexEncode(membership.device_id())},
      {"first_nodes", membership.first_nodes},
      {"heard_epoch", membership.heard_epoch},
      {"grant", HexEncode(membership.grant.SerializeAsString())}};
  return fs.WriteAtomic(JoinPath(directory, kMembershipFile), j.dump(1) + "\n",
                        0600);
}

}  // namespace shoal::agent
