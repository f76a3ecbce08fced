// The signing key of a running agent, and its replacement (docs/pairing.md, "A
// key anew"). The control thread's, unless a method says otherwise.
#ifndef SHOAL_AGENT_LINK_SIGNING_KEYS_H_
#define SHOAL_AGENT_LINK_SIGNING_KEYS_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/state/identity.h"
#include "common/files.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::agent {

class SigningKeys {
 public:
  // `fs` outlives it. `keys` as LoadOrCreate() read them from `directory`.
  SigningKeys(FileSystem* fs, std::string directory, const DeviceKeys& keys);

  using Key = std::shared_ptr<const crypto::SigningKey>;
  // What records are signed with. Any thread may use the key; keys stay at
  // their address as long as this object lives, the replaced ones too.
  const Key& in_use() const { return in_use_; }
  // Null: no change is asked for.
  const Key& next() const { return next_; }

  // Whose a credential is.
  enum class Owner { kNobody, kInUse, kNext, kPrevious };
  Owner OwnerOf(std::string_view public_key) const;

  // Looks whether `shoal-agent rotate-key` asks for a key by now.
  void LookForNext();

  // The credential for this key is in membership.json: it is the one in use
  // from now on. The files that don't follow now do so at the next start.
  void Use(Owner owner);
  // What an interrupted Use() has left.
  void Settle();

  // For the report: what this device has changed last and what it asks for.
  const std::vector<records::v1::KeyChange>& Changes(
      const std::string& fleet_id, const std::string& device_id);

 private:
  FileSystem* const fs_;
  const std::string directory_;
  Key in_use_;
  Key next_;
  Key previous_;
  const std::shared_ptr<BoxKeys> box_;
  std::optional<std::vector<records::v1::KeyChange>> changes_;
  std::vector<Key> held_;  // the network may still look at a replaced one
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_SIGNING_KEYS_H_
