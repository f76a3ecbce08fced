#include "dht/records/time_asker.h"

#include <algorithm>
#include <random>
#include <utility>

#include "common/crypto/hash.h"

namespace shoal::dht {
namespace {

constexpr std::string_view kDomain = "shoal.time.v1";
constexpr size_t kMaxAsked = 8;
constexpr absl::Duration kAskAgain = absl::Milliseconds(500);

}  // namespace

records::v1::TimeAnswer MakeTimeAnswer(const crypto::SigningKey& key,
                                       std::string_view fleet_id,
                                       std::string_view nonce, absl::Time now) {
  records::v1::TimeAnswerBody body;
  body.set_nonce(std::string(nonce));
  body.set_time_ms(absl::ToUnixMillis(now));
  records::v1::TimeAnswer answer;
  body.SerializeToString(answer.mutable_body());
  answer.set_key(key.public_key());
  answer.set_signature(
      key.Sign(crypto::SigningInput(kDomain, fleet_id, answer.body())));
  return answer;
}

void TimeAsker::Start(std::vector<Address> nodes, std::vector<std::string> keys,
                      absl::Duration timeout, Network::TimeCallback done) {
  std::shuffle(nodes.begin(), nodes.end(), std::random_device());
  if (nodes.size() > kMaxAsked) nodes.resize(kMaxAsked);
  const uint64_t id = next_id_++;
  Question& question = questions_[id];
  question.wanted = std::min(nodes.size(), keys.size());
  question.nodes = std::move(nodes);
  question.keys = std::move(keys);
  question.deadline = options_.monotonic() + timeout;
  question.done = std::move(done);
  if (question.wanted == 0) {
    Finish(id);
    return;
  }
  Ask(id);
}

void TimeAsker::Ask(uint64_t id) {
  const auto it = questions_.find(id);
  if (it == questions_.end()) return;
  const absl::Duration now = options_.monotonic();
  if (now >= it->second.deadline) {
    Finish(id);
    return;
  }
  // A nonce for each datagram, so that a round trip belongs to its own.
  for (const Address& node : it->second.nodes) {
    records::v1::Datagram datagram;
    std::string nonce = crypto::RandomBytes(kTimeNonceSize);
    datagram.mutable_time_request()->set_nonce(nonce);
    sent_[std::move(nonce)] = {id, now};
    options_.send(node, datagram);
  }
  options_.at(std::min(now + kAskAgain, it->second.deadline),
              [this, id] { Ask(id); });
}

void TimeAsker::OnAnswer(const records::v1::TimeAnswer& answer) {
  records::v1::TimeAnswerBody body;
  if (!body.ParseFromString(answer.body())) return;
  const auto sent = sent_.find(body.nonce());
  if (sent == sent_.end()) return;
  const auto [id, at] = sent->second;
  Question& question = questions_.at(id);
  const auto key =
      std::find(question.keys.begin(), question.keys.end(), answer.key());
  if (key == question.keys.end() ||
      !crypto::Ed25519Verify(
          answer.key(),
          crypto::SigningInput(kDomain, options_.fleet_id, answer.body()),
          answer.signature()))
    return;
  sent_.erase(sent);  // one answer for one nonce
  TimeSample sample;
  sample.key = *key;
  sample.taken = options_.monotonic();
  sample.round_trip = sample.taken - at;
  sample.time = absl::FromUnixMillis(body.time_ms()) + sample.round_trip / 2;
  question.samples.push_back(std::move(sample));
  question.keys.erase(key);
  if (question.samples.size() >= question.wanted) Finish(id);
}

void TimeAsker::Finish(uint64_t id) {
  const auto it = questions_.find(id);
  if (it == questions_.end()) return;
  Question question = std::move(it->second);
  questions_.erase(it);
  std::erase_if(sent_,
                [id](const auto& sent) { return sent.second.question == id; });
  if (question.done) question.done(std::move(question.samples));
}

void TimeAsker::CancelAll() {
  while (!questions_.empty()) Finish(questions_.begin()->first);
}

}  // namespace shoal::dht
