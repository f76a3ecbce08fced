#include "dht/records/admission.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "shoal/records/v1/credential.pb.h"

namespace shoal::dht {
namespace {

constexpr std::string_view kDomain = "shoal.admission.v1";
constexpr size_t kNonceSize = 16;
constexpr size_t kMaxPeers = 4096;
constexpr absl::Duration kChallengePeriod = absl::Seconds(30);
// Between two Hellos to one address.
constexpr absl::Duration kHelloPause = absl::Seconds(1);
// A peer that proves itself this long after our last proof did not do it in
// answer: it may have restarted and forgotten us.
constexpr absl::Duration kGreetBackPause = absl::Seconds(2);

}  // namespace

std::string NodeDhtId(std::string_view node_public_key) {
  return crypto::Blake2b(
      "", "shoal.dht.node-id.v1" + std::string(node_public_key), 20);
}

Admission::Admission(Options options)
    : options_(std::move(options)), secret_(crypto::RandomBytes(32)) {}

void Admission::SetPeers(std::vector<Address> peers) {
  for (auto& [address, peer] : peers_) peer.standing = false;
  for (const Address& address : peers) peers_[address].standing = true;
  std::erase_if(peers_,
                [](const auto& entry) { return !entry.second.standing; });
}

void Admission::Tick() {
  const absl::Duration now = options_.monotonic();
  for (auto& [address, peer] : peers_) {
    const bool due = now - peer.last_proof >= kAdmissionRenewal;
    if (due && peer.standing && now - peer.last_hello >= kHelloPause)
      SendHello(address, peer);
  }
  std::erase_if(peers_, [now](const auto& entry) {
    return !entry.second.standing &&
           now - entry.second.last_hello > kAdmissionLifetime;
  });
  for (auto it = admitted_.begin(); it != admitted_.end();) {
    if (it->second.until > now) {
      ++it;
      continue;
    }
    by_id_.erase(it->second.dht_id);
    it = admitted_.erase(it);
  }
}

void Admission::Greet(const Address& to) {
  auto it = peers_.find(to);
  if (it == peers_.end()) {
    if (peers_.size() >= kMaxPeers) return;
    it = peers_.try_emplace(to).first;
  }
  if (options_.monotonic() - it->second.last_hello >= kHelloPause)
    SendHello(to, it->second);
}

void Admission::SendHello(const Address& to, Peer& peer) {
  peer.last_hello = options_.monotonic();
  peer.hello_nonce = crypto::RandomBytes(kNonceSize);
  records::v1::Datagram datagram;
  auto* hello = datagram.mutable_hello();
  hello->set_nonce(peer.hello_nonce);
  *hello->mutable_credential() = options_.credential;
  options_.send(to, datagram);
}

int64_t Admission::Period() const {
  return options_.monotonic() / kChallengePeriod;
}

std::string Admission::ChallengeNonce(const Address& address,
                                      int64_t period) const {
  std::string input = address.Key();
  AppendBigEndian(input, static_cast<uint64_t>(period), 8);
  return crypto::Blake2b(secret_, input, kNonceSize);
}

void Admission::OnHello(const Address& from, const records::v1::Hello& hello) {
  if (hello.nonce().size() != kNonceSize) return;
  records::v1::Datagram datagram;
  auto* challenge = datagram.mutable_challenge();
  challenge->set_hello_nonce(hello.nonce());
  challenge->set_nonce(ChallengeNonce(from, Period()));
  options_.send(from, datagram);
}

void Admission::OnChallenge(const Address& from,
                            const records::v1::Challenge& challenge) {
  const auto it = peers_.find(from);
  if (it == peers_.end() || it->second.hello_nonce.empty() ||
      challenge.hello_nonce() != it->second.hello_nonce ||
      challenge.nonce().size() != kNonceSize)
    return;
  it->second.hello_nonce.clear();  // one proof for one hello
  it->second.last_proof = options_.monotonic();
  records::v1::Datagram datagram;
  auto* proof = datagram.mutable_proof();
  *proof->mutable_credential() = options_.credential;
  proof->set_nonce(challenge.nonce());
  proof->set_signature(options_.key->Sign(
      crypto::SigningInput(kDomain, options_.fleet_id, challenge.nonce())));
  options_.send(from, datagram);
  if (options_.on_proven) options_.on_proven(from);
}

void Admission::OnProof(const Address& from, const records::v1::Proof& proof) {
  const int64_t period = Period();
  if (!crypto::EqualConstantTime(proof.nonce(), ChallengeNonce(from, period)) &&
      !crypto::EqualConstantTime(proof.nonce(),
                                 ChallengeNonce(from, period - 1)))
    return;
  records::v1::CredentialBody body;
  if (!body.ParseFromString(proof.credential().body()) ||
      body.kind() != records::v1::WRITER_CLASS_NODE ||
      !crypto::Ed25519Verify(
          body.public_key(),
          crypto::SigningInput(kDomain, options_.fleet_id, proof.nonce()),
          proof.signature())) {
    LogWarn("node_not_admitted",
            {{"from", from.ToString()}, {"reason", "bad_proof"}});
    return;
  }
  const absl::Status status =
      options_.verify_node(proof.credential(), options_.clock->WallNow());
  if (!status.ok()) {
    LogWarn("node_not_admitted",
            {{"from", from.ToString()}, {"error", status}});
    return;
  }
  const std::string id = NodeDhtId(body.public_key());
  if (admitted_.size() >= kMaxPeers && !admitted_.contains(from)) return;
  // One address a node: the newest. And one node an address.
  if (const auto old = by_id_.find(id); old != by_id_.end())
    admitted_.erase(old->second);
  if (const auto old = admitted_.find(from); old != admitted_.end())
    by_id_.erase(old->second.dht_id);
  const absl::Duration now = options_.monotonic();
  admitted_[from] = {id, now + kAdmissionLifetime};
  by_id_[id] = from;
  if (options_.on_admitted) options_.on_admitted(from);
  // Mutual, also when the peer has restarted and forgot our proof.
  const auto peer = peers_.find(from);
  if (peer == peers_.end() || now - peer->second.last_proof >= kGreetBackPause)
    Greet(from);
}

std::optional<std::string> Admission::AdmittedId(const Address& address) const {
  const auto it = admitted_.find(address);
  if (it == admitted_.end() || it->second.until <= options_.monotonic())
    return std::nullopt;
  return it->second.dht_id;
}

bool Admission::IsAdmittedId(const std::string& dht_id) const {
  return by_id_.contains(dht_id);
}

bool Admission::Proven(const Address& address) const {
  const auto it = peers_.find(address);
  return it != peers_.end() &&
         options_.monotonic() - it->second.last_proof < kAdmissionLifetime;
}

size_t Admission::admitted() const { return admitted_.size(); }

}  // namespace shoal::dht
