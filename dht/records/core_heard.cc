// Under which keys the nodes of `bootstrap` answer (docs/adr/0013): what a
// device must not be made to give up.
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "dht/records/core.h"
#include "shoal/records/v1/datagram.pb.h"

namespace shoal::dht {
namespace {

constexpr size_t kAskNonceSize = 8;  // what nodes answer
// Between questions to an address under one key.
constexpr absl::Duration kHomePause = absl::Seconds(5);

}  // namespace

std::map<std::string, uint32_t> Network::Core::HeardEpochs() const {
  std::lock_guard lock(proven_mutex_);
  return proven_;
}

// A question that every node answers, for the sake of the answer: it tells the
// key.
void Network::Core::AskUnder(uint32_t epoch, const Address& address) {
  records::v1::Datagram datagram;
  auto* confirm = datagram.mutable_confirm();
  confirm->set_place(std::string(kPlaceSize, '\0'));
  confirm->set_digest(std::string(kDigestSize, '\0'));
  confirm->set_nonce(crypto::RandomBytes(kAskNonceSize));
  if (bootstrap_.contains(address)) {
    auto& asked = asked_[address];
    if (asked.size() >= kMaxNetworkKeys && !asked.contains(epoch))
      asked.clear();
    asked[epoch] = {confirm->nonce(), Now()};
  }
  (void)SendUnder(epoch, address, Channel::kShoal,
                  datagram.SerializeAsString());
}

// A datagram alone proves nothing: its sender's address may be forged, by
// somebody who has the key. Whoever returns the nonce got the question.
void Network::Core::OnHomeAnswer(const Address& from, uint32_t epoch,
                                 const records::v1::Receipt& receipt) {
  const auto asked = asked_.find(from);
  if (asked == asked_.end()) return;
  const auto question = asked->second.find(epoch);
  records::v1::ReceiptBody body;
  if (question == asked->second.end() ||
      !body.ParseFromString(receipt.body()) ||
      !crypto::EqualConstantTime(body.nonce(), question->second.nonce))
    return;
  asked->second.erase(question);
  std::lock_guard lock(proven_mutex_);
  proven_[from.ToString()] = epoch;
}

void Network::Core::ProveHome() {
  if (is_node()) return;
  const auto proven = HeardEpochs();
  for (const Address& address : bootstrap_) {
    const auto heard = heard_.find(address);
    if (heard == heard_.end() || heard->second.epoch == kBootstrapEpoch)
      continue;
    const uint32_t epoch = heard->second.epoch;
    const auto known = proven.find(address.ToString());
    if (known != proven.end() && known->second == epoch) continue;
    const auto& asked = asked_[address];
    const auto question = asked.find(epoch);
    if (question == asked.end() || Now() - question->second.at >= kHomePause)
      AskUnder(epoch, address);
  }
}

}  // namespace shoal::dht
