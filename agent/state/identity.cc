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

std::map<std::string, uint32_t> FirstHeard(const Membership& membership) {
  uint32_t newest = 0;
  for (const auto& key : membership.grant.network().keys())
    newest = std::max(newest, key.epoch());
  std::map<std::string, uint32_t> heard;
  for (const std::string& node : membership.first_nodes) heard[node] = newest;
  return heard;
}

absl::StatusOr<DeviceKeys> DeviceKeys::LoadOrCreate(
    FileSystem& fs, const std::string& directory) {
  const std::string signing_path = JoinPath(directory, kKeyInUseFile);
  const std::string box_path = JoinPath(directory, kBoxKeyFile);
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
  SHOAL_ASSIGN_OR_RETURN(auto box, BoxKeys::Read(fs, directory));
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
    membership.heard_epochs =
        j.value("heard_epochs", std::map<std::string, uint32_t>());
    if (membership.heard_epochs.empty()) {
      membership.heard_epochs = FirstHeard(membership);
      // An older agent kept one for all of them.
      if (j.contains("heard_epoch"))
        for (auto& [node, epoch] : membership.heard_epochs)
          epoch = j.at("heard_epoch").get<uint32_t>();
    }
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
      {"heard_epochs", membership.heard_epochs},
      {"grant", HexEncode(membership.grant.SerializeAsString())}};
  return fs.WriteAtomic(JoinPath(directory, kMembershipFile), j.dump(1) + "\n",
                        0600);
}

}  // namespace shoal::agent
