#include "dht/records/publisher.h"

#include <algorithm>
#include <utility>

#include "common/crypto/ed25519.h"
#include "common/crypto/hash.h"
#include "common/status.h"

namespace shoal::dht {
namespace {

constexpr std::string_view kReceiptDomain = "shoal.receipt.v1";
constexpr size_t kNonceSize = 8;
constexpr int kDefaultReceipts = 3;
// OpenDHT stores a value on the eight nodes closest to its key.
constexpr size_t kCopies = 8;
constexpr absl::Duration kFirstConfirm = absl::Milliseconds(20);
constexpr absl::Duration kMaxConfirmPause = absl::Seconds(2);
constexpr absl::Duration kFirstPutAgain = absl::Seconds(2);
constexpr absl::Duration kMaxPutPause = absl::Seconds(10);
// A node that says "missing" may just not have got it yet.
constexpr absl::Duration kPutAgainWhenMissing = absl::Milliseconds(300);
constexpr absl::Duration kConnectPoll = absl::Milliseconds(10);
constexpr char kSelf[] = "self";

std::string Distance(const std::string& a, const std::string& b) {
  std::string result(a.size(), '\0');
  for (size_t i = 0; i < a.size() && i < b.size(); ++i)
    result[i] = static_cast<char>(a[i] ^ b[i]);
  return result;
}

std::string NameOf(const StorageNode& node) {
  return node.id.empty() ? node.address.Key() : node.id;
}

}  // namespace

Publisher::Publisher(Options options) : options_(std::move(options)) {}

void Publisher::SetNodes(std::vector<StorageNode> nodes) {
  nodes_ = std::move(nodes);
}

std::vector<const StorageNode*> Publisher::Targets(
    const std::string& place) const {
  std::vector<const StorageNode*> targets;
  for (const StorageNode& node : nodes_) targets.push_back(&node);
  if (targets.size() <= kCopies) return targets;
  std::sort(targets.begin(), targets.end(),
            [&](const StorageNode* a, const StorageNode* b) {
              return Distance(a->dht_id, place) < Distance(b->dht_id, place);
            });
  targets.resize(kCopies);
  return targets;
}

int Publisher::Wanted(const Operation& operation) const {
  if (operation.wanted > 0) return operation.wanted;
  const size_t nodes = nodes_.size() + (operation.count_self ? 1 : 0);
  return static_cast<int>(std::min<size_t>(kDefaultReceipts, nodes));
}

void Publisher::Start(std::string record, std::string place, std::string digest,
                      const PutOptions& options, bool count_self,
                      Network::PutCallback done) {
  const absl::Duration now = options_.monotonic();
  const uint64_t id = next_id_++;
  Operation& operation = operations_[id];
  operation.record = std::move(record);
  operation.place = std::move(place);
  operation.digest = std::move(digest);
  operation.nonce = crypto::RandomBytes(kNonceSize);
  operation.wanted = options.wanted_receipts;
  operation.count_self = count_self && options_.confirm_self != nullptr;
  operation.deadline = now + options.deadline;
  operation.confirm_pause = kFirstConfirm;
  operation.next_confirm = now;
  operation.put_pause = kFirstPutAgain;
  operation.done = std::move(done);
  by_nonce_[operation.nonce] = id;
  operation.next_put = now;
  MaybePut(operation);
}

void Publisher::MaybePut(Operation& operation) {
  const absl::Duration now = options_.monotonic();
  if (now < operation.next_put) return;
  // A lone node is its own network.
  if (!options_.connected() && !(operation.count_self && nodes_.empty())) {
    operation.next_put = now + kConnectPoll;
    return;
  }
  Put(operation);
}

void Publisher::Put(Operation& operation) {
  if (operation.puts++ == 0) {  // no use in asking earlier
    operation.next_confirm = options_.monotonic() + kFirstConfirm;
  } else {
    // OpenDHT puts to nodes that it takes for alive, and it may have given up
    // one that lives: the answer to a ping tells it, for the put after this.
    for (const StorageNode* node : Targets(operation.place))
      if (!operation.receipts.contains(NameOf(*node)))
        options_.ping(node->address);
  }
  const absl::Duration now = options_.monotonic();
  operation.last_put = now;
  operation.next_put = now + operation.put_pause;
  operation.put_pause = std::min(operation.put_pause * 2, kMaxPutPause);
  options_.put(operation.place, operation.record);
}

void Publisher::AskForReceipts(uint64_t id, Operation& operation) {
  operation.next_confirm = options_.monotonic() + operation.confirm_pause;
  operation.confirm_pause =
      std::min(operation.confirm_pause * 2, kMaxConfirmPause);
  records::v1::Datagram datagram;
  auto* confirm = datagram.mutable_confirm();
  confirm->set_place(operation.place);
  confirm->set_digest(operation.digest);
  confirm->set_nonce(operation.nonce);
  for (const StorageNode* node : Targets(operation.place))
    if (!operation.receipts.contains(NameOf(*node)))
      options_.send(node->address, datagram);
  if (operation.count_self && !operation.receipts.contains(kSelf) &&
      !operation.self_asked) {
    operation.self_asked = true;
    options_.confirm_self(
        operation.place, operation.digest,
        [this, id, alive = std::weak_ptr<int>(alive_)](bool on_disk) {
          if (alive.expired()) return;
          const auto it = operations_.find(id);
          if (it == operations_.end()) return;
          it->second.self_asked = false;
          if (on_disk) Credit(id, kSelf);
        });
  }
}

void Publisher::OnReceipt(const Address& from,
                          const records::v1::Receipt& receipt) {
  records::v1::ReceiptBody body;
  if (!body.ParseFromString(receipt.body())) return;
  const auto found = by_nonce_.find(body.nonce());
  if (found == by_nonce_.end()) return;
  const uint64_t id = found->second;
  Operation& operation = operations_.at(id);
  if (body.place() != operation.place || body.digest() != operation.digest)
    return;
  for (const StorageNode* node : Targets(operation.place)) {
    if (node->id.empty() ? node->address != from : node->id != body.node_id())
      continue;
    if (!node->id.empty() &&
        !crypto::Ed25519Verify(
            node->public_key,
            crypto::SigningInput(kReceiptDomain, options_.fleet_id,
                                 receipt.body()),
            receipt.signature()))
      return;
    if (!body.missing()) {
      Credit(id, NameOf(*node));
    } else if (options_.monotonic() - operation.last_put >=
               kPutAgainWhenMissing) {
      Put(operation);
    }
    return;
  }
}

void Publisher::Credit(uint64_t id, const std::string& node) {
  const auto it = operations_.find(id);
  if (it == operations_.end()) return;
  it->second.receipts.insert(node);
  const int wanted = Wanted(it->second);
  const int receipts = static_cast<int>(it->second.receipts.size());
  if (receipts >= wanted) Finish(it, PutResult{receipts, wanted, false});
}

absl::Duration Publisher::Tick() {
  const absl::Duration now = options_.monotonic();
  std::vector<uint64_t> ids;
  for (const auto& [id, operation] : operations_) ids.push_back(id);
  for (const uint64_t id : ids) {
    const auto it = operations_.find(id);
    if (it == operations_.end()) continue;
    Operation& operation = it->second;
    if (now >= operation.deadline) {
      const int receipts = static_cast<int>(operation.receipts.size());
      const int wanted = Wanted(operation);
      if (receipts > 0) {
        Finish(it, PutResult{receipts, wanted, receipts < wanted});
      } else {
        Finish(it, Unavailable("no_receipt",
                               "no storage node confirmed the record in time"));
      }
      continue;
    }
    MaybePut(operation);
    if (operation.puts == 0 && !operation.count_self) {
      operation.next_confirm = operation.next_put;
    } else if (now >= operation.next_confirm) {
      AskForReceipts(id, operation);
    }
  }
  absl::Duration next = absl::InfiniteDuration();
  for (const auto& [id, operation] : operations_)
    next = std::min(
        {next, operation.next_confirm, operation.next_put, operation.deadline});
  return next;
}

void Publisher::Finish(Operations::iterator operation,
                       absl::StatusOr<PutResult> result) {
  by_nonce_.erase(operation->second.nonce);
  const Network::PutCallback done = std::move(operation->second.done);
  operations_.erase(operation);
  if (done) done(std::move(result));
}

void Publisher::CancelAll() {
  while (!operations_.empty())
    Finish(operations_.begin(),
           MakeError(absl::StatusCode::kCancelled, "network_closed",
                     "the network was closed"));
}

}  // namespace shoal::dht
