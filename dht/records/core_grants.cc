// How a device finds back whose network keys were all retired while it was away
// (docs/records.md): it asks every node it knows, under every key it has, for
// the grant that waits for it.
#include <algorithm>

#include "common/crypto/ed25519.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/records/core.h"
#include "shoal/records/v1/datagram.pb.h"

namespace shoal::dht {
namespace {

constexpr std::string_view kDomain = "shoal.grant.request.v1";
constexpr size_t kNonceSize = 16;
// A reply is never longer than the request: nothing is amplified.
constexpr size_t kRequestSize = 1380;
constexpr size_t kMaxOwnDatagram = 1400;
constexpr int kMaxPerSecond = 200;
constexpr size_t kAskedAtOnce = 3;
constexpr absl::Duration kPatience = absl::Seconds(3);
constexpr absl::Duration kFirstPause = absl::Seconds(5);
constexpr absl::Duration kLongestPause = absl::Minutes(5);

}  // namespace

void Network::Core::SetClientCredential(
    const crypto::SigningKey* key, const records::v1::Credential& credential) {
  if (!options_.client) return;
  options_.client->key = key;
  options_.client->credential = credential;
}

void Network::Core::OnRetired(const Address& from,
                              const OpenedDatagram& opened) {
  records::v1::Datagram datagram;
  if (!is_node() || opened.channel != Channel::kShoal ||
      opened.payload.size() > kMaxOwnDatagram ||
      !datagram.ParseFromString(opened.payload) ||
      !datagram.has_grant_request()) {
    ++counters_.retired;
    return;
  }
  OnGrantRequest(from, opened.epoch, opened.payload.size(),
                 datagram.grant_request());
}

void Network::Core::OnGrantRequest(const Address& from, uint32_t epoch,
                                   size_t size,
                                   const records::v1::GrantRequest& request) {
  const absl::Duration now = Now();
  if (now - grant_second_ >= absl::Seconds(1)) {
    grant_second_ = now;
    grants_this_second_ = 0;
  }
  if (!is_node() || !options_.hooks.on_grant_request || size < kRequestSize ||
      request.nonce().size() != kNonceSize ||
      ++grants_this_second_ > kMaxPerSecond) {
    ++counters_.filtered;
    return;
  }
  RecordBody question;
  *question.mutable_credential() = request.credential();
  const auto writer = options_.resolver(question, options_.clock->WallNow());
  if (!writer.ok() || writer->kind != records::v1::WRITER_CLASS_DEVICE ||
      !crypto::Ed25519Verify(
          writer->public_key,
          crypto::SigningInput(kDomain, options_.fleet_id, request.nonce()),
          request.signature())) {
    ++counters_.refused;
    return;
  }
  options_.hooks.on_grant_request(
      writer->id, [this, mailbox = mailbox_, from, epoch, size,
                   nonce = request.nonce()](absl::StatusOr<std::string> grant) {
        if (!grant.ok()) return;
        mailbox->Post(
            [this, from, epoch, size, nonce, grant = *std::move(grant)] {
              records::v1::Datagram datagram;
              datagram.mutable_grant_reply()->set_nonce(nonce);
              datagram.mutable_grant_reply()->set_record(grant);
              const std::string bytes = datagram.SerializeAsString();
              if (bytes.size() > size) {
                LogWarn("grant_too_large", {{"bytes", bytes.size()}});
                return;
              }
              (void)SendUnder(epoch, from, Channel::kShoal, bytes);
            });
      });
}

void Network::Core::MaybeAskForGrant() {
  if (!options_.client || options_.client->key == nullptr) return;
  const absl::Duration now = Now();
  // Company is not enough: a revoked node answers under the old key for ever.
  if (last_missing_ == 0) {
    missing_since_ = absl::InfiniteDuration();
    return;
  }
  if (missing_since_ == absl::InfiniteDuration()) {
    missing_since_ = now;
    grant_pause_ = kFirstPause;
    next_grant_request_ = now + kPatience;
  }
  if (now < next_grant_request_) return;
  next_grant_request_ = now + grant_pause_;
  grant_pause_ = std::min(grant_pause_ * 2, kLongestPause);
  for (const Address& address : SomeMissing(kAskedAtOnce)) {
    const std::string request = GrantRequestTo(address);
    grant_asked_.insert(address);
    for (size_t step = 0; step < kMaxNetworkKeys; ++step) {
      if (step > 0 && keys_.Older(step) == keys_.newest()) break;
      (void)SendUnder(keys_.Older(step), address, Channel::kShoal, request);
    }
  }
}

// None but the node that is asked can answer for its address.
std::string Network::Core::GrantNonce(const Address& address) const {
  return crypto::Blake2b(grant_secret_, address.Key(), kNonceSize);
}

std::string Network::Core::GrantRequestTo(const Address& address) const {
  records::v1::Datagram datagram;
  records::v1::GrantRequest& request = *datagram.mutable_grant_request();
  *request.mutable_credential() = options_.client->credential;
  request.set_nonce(GrantNonce(address));
  request.set_signature(options_.client->key->Sign(
      crypto::SigningInput(kDomain, options_.fleet_id, request.nonce())));
  // Tag and length of the padding are a few bytes themselves.
  const size_t short_by = kMaxOwnDatagram - 8 - datagram.ByteSizeLong();
  request.set_padding(std::string(short_by, '\0'));
  return datagram.SerializeAsString();
}

void Network::Core::OnGrantReply(const Address& from,
                                 const records::v1::GrantReply& reply) {
  if (!options_.client || !options_.client->on_grant ||
      !crypto::EqualConstantTime(reply.nonce(), GrantNonce(from)) ||
      grant_asked_.erase(from) == 0)
    return;
  options_.client->on_grant(from.ToString(), reply.record());
}

}  // namespace shoal::dht
