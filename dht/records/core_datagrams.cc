// What comes in by the socket and goes out of it.
#include <cerrno>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/ed25519.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/records/core.h"
#include "dht/records/packet_filter.h"
#include "shoal/records/v1/datagram.pb.h"

namespace shoal::dht {
namespace {

constexpr size_t kMaxOwnDatagram = 1400;
constexpr size_t kMaxHeard = 65536;
constexpr absl::Duration kEpochHolds = absl::Minutes(1);
constexpr size_t kConfirmNonceSize = 8;
constexpr std::string_view kReceiptDomain = "shoal.receipt.v1";

}  // namespace

int Network::Core::SendSealed(const Address& to, Channel channel,
                              std::string_view payload) {
  const auto heard = heard_.find(to);
  if (heard == heard_.end())
    return SendUnder(keys_.Older(epoch_steps_), to, channel, payload);
  // Two share the address, or one comes after the other.
  if (Now() - heard->second.bootstrap_at < kEpochHolds)
    (void)SendUnder(kBootstrapEpoch, to, channel, payload);
  return SendUnder(heard->second.epoch, to, channel, payload);
}

int Network::Core::SendUnder(uint32_t epoch, const Address& to, Channel channel,
                             std::string_view payload) {
  const std::string datagram = keys_.Seal(epoch, channel, payload);
  ++counters_.packets_out;
  counters_.bytes_out += datagram.size();
  return socket_.Send(to, datagram);
}

int Network::Core::SendOpenDht(const Address& to, std::string_view packet) {
  if (admission_ && !admission_->Proven(to)) {
    // A peer that takes our first packets for a client's would go on doing so
    // (OpenDHT decides once for each node it knows): prove first. Answers and
    // pushes go out, since clients ask for them.
    const auto info = InspectPacket(packet);
    if (info && info->kind == PacketInfo::Kind::kRequest &&
        info->query != "update") {
      admission_->Greet(to);
      return 0;  // lost; OpenDHT tries again
    }
  }
  return SendSealed(to, Channel::kOpenDht, packet);
}

void Network::Core::SendDatagram(const Address& to,
                                 const records::v1::Datagram& datagram) {
  (void)SendSealed(to, Channel::kShoal, datagram.SerializeAsString());
}

void Network::Core::OnDatagram(const Address& from, std::string_view datagram) {
  ++counters_.packets_in;
  counters_.bytes_in += datagram.size();
  auto opened = datagram.size() <= kMaxDatagram && from.valid()
                    ? keys_.Open(datagram)
                    : std::nullopt;
  if (!opened) {
    ++counters_.dropped;
    return;
  }
  if (opened->retired) {
    OnRetired(from, *opened);
    return;
  }
  if (heard_.size() >= kMaxHeard && !heard_.contains(from)) heard_.clear();
  Heard& heard = heard_[from];
  const bool back = opened->epoch < heard.epoch;
  if (back && opened->epoch == kBootstrapEpoch) {
    // A new device that comes by the port that a member had (NAT, or one host):
    // it is answered beside the member, never instead of it, since the holder
    // of a mere ticket could silence members by forged sender addresses.
    heard.bootstrap_at = Now();
  } else if (!back || Now() - heard.at > kEpochHolds) {
    // Back to an older key only after a silence, for the same reason: those who
    // left the fleet have it.
    if (back) probes_.erase(from);
    heard.epoch = opened->epoch;
    heard.at = Now();
  }
  if (opened->channel == Channel::kOpenDht) {
    OnOpenDht(from, std::move(opened->payload));
  } else {
    OnShoal(from, opened->epoch, opened->payload);
  }
}

bool Network::Core::PassForNode(const Address& from, const PacketInfo& info,
                                bool& mark) {
  if (const auto id = admission_->AdmittedId(from)) {
    mark = false;
    return info.id.empty() || info.id == *id;
  }
  if (reserved_ids_.contains(std::string(info.id)) ||
      admission_->IsAdmittedId(std::string(info.id))) {
    // Somebody with a node's id that has not proven to be it: the node itself,
    // whose proof we have forgotten, or a forger. Only the former can answer.
    if (trusted_.contains(from)) admission_->Greet(from);
    return false;
  }
  mark = true;
  return info.kind != PacketInfo::Kind::kValueUpdate;
}

bool Network::Core::PassForClient(const Address& from, const PacketInfo& info,
                                  bool& mark) {
  // A client keeps nothing for others and tells nobody who is where.
  if (info.kind == PacketInfo::Kind::kRequest && info.query != "ping" &&
      info.query != "update")
    return false;
  const auto trusted = trusted_.find(from);
  mark = trusted == trusted_.end();
  if (info.id.empty()) return true;
  if (!mark && !trusted->second.empty()) return info.id == trusted->second;
  // From an address that the directory does not name (or that a ticket names
  // without its key): may be a new node, but none of those we know.
  return mark ? !reserved_ids_.contains(std::string(info.id)) : true;
}

void Network::Core::OnOpenDht(const Address& from, std::string packet) {
  const auto info = InspectPacket(packet);
  bool mark = true;
  if (!info || !(is_node() ? PassForNode(from, *info, mark)
                           : PassForClient(from, *info, mark))) {
    ++counters_.filtered;
    return;
  }
  const bool push = !is_node() && !mark && !info->place.empty() &&
                    info->kind == PacketInfo::Kind::kRequest &&
                    info->query == "update";
  const std::string place(push ? info->place : std::string_view());
  if (mark && !info->marked) MarkAsClient(packet);
  const absl::Duration since = Now();
  (void)engine_->Receive(from, packet);
  if (push) OnPush(place, since);
}

void Network::Core::OnShoal(const Address& from, uint32_t epoch,
                            const std::string& payload) {
  records::v1::Datagram datagram;
  if (payload.size() > kMaxOwnDatagram || !datagram.ParseFromString(payload)) {
    ++counters_.filtered;
    return;
  }
  // The bootstrap key is for pairing: nobody becomes a node with it.
  const bool member = epoch != kBootstrapEpoch || keys_.newest() == epoch;
  switch (datagram.message_case()) {
    case records::v1::Datagram::kConfirm:
      if (is_node()) OnConfirm(from, datagram.confirm());
      break;
    case records::v1::Datagram::kReceipt:
      OnHomeAnswer(from, epoch, datagram.receipt());
      publisher_->OnReceipt(from, datagram.receipt());
      break;
    case records::v1::Datagram::kHello:
      if (admission_ && member) admission_->OnHello(from, datagram.hello());
      break;
    case records::v1::Datagram::kChallenge:
      if (admission_ && member)
        admission_->OnChallenge(from, datagram.challenge());
      break;
    case records::v1::Datagram::kProof:
      if (admission_ && member) admission_->OnProof(from, datagram.proof());
      break;
    case records::v1::Datagram::kTimeRequest:
      if (options_.time_key) OnTimeRequest(from, datagram.time_request());
      break;
    case records::v1::Datagram::kTimeAnswer:
      time_asker_->OnAnswer(datagram.time_answer());
      break;
    case records::v1::Datagram::kGrantRequest:
      OnGrantRequest(from, epoch, payload.size(), datagram.grant_request());
      break;
    case records::v1::Datagram::kGrantReply:
      OnGrantReply(from, datagram.grant_reply());
      break;
    case records::v1::Datagram::MESSAGE_NOT_SET:
      ++counters_.filtered;
      break;
  }
}

void Network::Core::OnTimeRequest(const Address& from,
                                  const records::v1::TimeRequest& ask) {
  if (ask.nonce().size() != kTimeNonceSize) {
    ++counters_.filtered;
    return;
  }
  if (!time_budget_.Spend(Now())) return;  // it asks again
  records::v1::Datagram datagram;
  *datagram.mutable_time_answer() =
      MakeTimeAnswer(*options_.time_key, options_.fleet_id, ask.nonce(),
                     options_.clock->WallNow());
  SendDatagram(from, datagram);
}

void Network::Core::AskTime(std::vector<std::string> keys,
                            absl::Duration timeout, TimeCallback done) {
  std::vector<Address> nodes;
  for (const auto& [address, id] : trusted_) nodes.push_back(address);
  time_asker_->Start(std::move(nodes), std::move(keys), timeout,
                     std::move(done));
}

void Network::Core::OnConfirm(const Address& from,
                              const records::v1::Confirm& confirm) {
  if (confirm.place().size() != kPlaceSize ||
      confirm.digest().size() != kDigestSize ||
      confirm.nonce().size() != kConfirmNonceSize) {
    ++counters_.filtered;
    return;
  }
  options_.hooks.on_confirm(
      confirm.place(), confirm.digest(),
      // `this` is alive whenever the mailbox runs a task.
      [this, mailbox = mailbox_, from,
       confirm](absl::StatusOr<absl::Time> until) {
        mailbox->Post([this, from, confirm, until = std::move(until)] {
          Answer(from, confirm, until);
        });
      });
}

void Network::Core::Answer(const Address& from,
                           const records::v1::Confirm& confirm,
                           const absl::StatusOr<absl::Time>& until) {
  if (!until.ok() && until.status().code() != absl::StatusCode::kNotFound) {
    LogWarn("confirm_failed", {{"error", until.status()}});
    return;
  }
  records::v1::ReceiptBody body;
  body.set_place(confirm.place());
  body.set_digest(confirm.digest());
  body.set_nonce(confirm.nonce());
  body.set_node_id(options_.identity->id);
  if (until.ok()) {
    body.set_until(absl::ToUnixSeconds(*until));
  } else {
    body.set_missing(true);
  }
  records::v1::Datagram datagram;
  auto* receipt = datagram.mutable_receipt();
  body.SerializeToString(receipt->mutable_body());
  receipt->set_signature(options_.identity->key.Sign(crypto::SigningInput(
      kReceiptDomain, options_.fleet_id, receipt->body())));
  SendDatagram(from, datagram);
}

}  // namespace shoal::dht
