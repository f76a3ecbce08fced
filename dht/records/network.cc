#include "dht/records/network.h"

#include <future>
#include <utility>

#include "common/status.h"
#include "dht/records/core.h"

namespace shoal::dht {
namespace {

// Promises that a closing network may leave unkept.
template <typename T>
T Await(std::future<T> future, T closed) {
  try {
    return future.get();
  } catch (const std::future_error&) {
    return closed;
  }
}

absl::Status Closed() {
  return MakeError(absl::StatusCode::kCancelled, "network_closed",
                   "the network was closed");
}

}  // namespace

Network::Network(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Network::~Network() = default;

absl::StatusOr<std::unique_ptr<Network>> Network::Open(NetworkOptions options) {
  SHOAL_ASSIGN_OR_RETURN(auto core, Core::Create(std::move(options)));
  return std::unique_ptr<Network>(new Network(std::move(core)));
}

std::string Network::bound_address() const {
  return core_->bound().front().ToString();
}

void Network::Put(std::string record, PutOptions options, PutCallback done) {
  core_->mailbox().Post([core = core_.get(), record = std::move(record),
                         options, done = std::move(done)]() mutable {
    core->Put(std::move(record), options, false, std::move(done));
  });
}

void Network::Announce(std::string record, absl::Duration deadline,
                       PutCallback done) {
  PutOptions options;
  options.deadline = deadline;
  core_->mailbox().Post([core = core_.get(), record = std::move(record),
                         options, done = std::move(done)]() mutable {
    core->Put(std::move(record), options, true, std::move(done));
  });
}

void Network::Get(std::string place, absl::Duration timeout, GetCallback done) {
  core_->mailbox().Post([core = core_.get(), place = std::move(place), timeout,
                         done = std::move(done)]() mutable {
    core->Get(place, timeout, std::move(done));
  });
}

ListenToken Network::Listen(std::string place, ListenCallback callback) {
  const ListenToken token = core_->NewToken();
  core_->mailbox().Post([core = core_.get(), token, place = std::move(place),
                         callback = std::move(callback)]() mutable {
    core->Listen(token, place, std::move(callback));
  });
  return token;
}

void Network::Cancel(ListenToken token) {
  if (core_->OnOwnThread()) {
    core_->Cancel(token);
  } else {
    core_->mailbox().Post([core = core_.get(), token] { core->Cancel(token); });
  }
}

void Network::AskTime(std::vector<std::string> keys, absl::Duration timeout,
                      TimeCallback done) {
  core_->mailbox().Post([core = core_.get(), keys = std::move(keys), timeout,
                         done = std::move(done)]() mutable {
    core->AskTime(std::move(keys), timeout, std::move(done));
  });
}

void Network::SetDirectory(records::v1::NodeDirectory directory) {
  core_->mailbox().Post([core = core_.get(), directory = std::move(directory)] {
    core->SetDirectory(directory);
  });
}

void Network::SetNetworkKeys(std::vector<pairing::v1::NetworkKey> keys,
                             std::vector<pairing::v1::NetworkKey> retired) {
  core_->mailbox().Post([core = core_.get(), keys = std::move(keys),
                         retired = std::move(retired)]() mutable {
    core->SetNetworkKeys(keys, retired);
    for (auto* list : {&keys, &retired})
      for (auto& key : *list) crypto::Wipe(*key.mutable_key());
  });
}

void Network::SetClientCredential(const crypto::SigningKey* key,
                                  records::v1::Credential credential) {
  core_->mailbox().Post(
      [core = core_.get(), key, credential = std::move(credential)] {
        core->SetClientCredential(key, credential);
      });
}

std::map<std::string, uint32_t> Network::HeardEpochs() const {
  return core_->HeardEpochs();
}

void Network::SetPlaceKey(std::string place_key) {
  core_->mailbox().Post(
      [core = core_.get(), place_key = std::move(place_key)]() mutable {
        core->SetPlaceKey(place_key);
        crypto::Wipe(place_key);
      });
}

void Network::SetResolver(WriterResolver resolver) {
  core_->mailbox().Post(
      [core = core_.get(), resolver = std::move(resolver)]() mutable {
        core->SetResolver(std::move(resolver));
      });
}

NetworkStats Network::Stats() const { return core_->Stats(); }

absl::StatusOr<std::vector<VerifiedRecord>> Network::GetBlocking(
    std::string place, absl::Duration timeout) {
  auto promise = std::make_shared<
      std::promise<absl::StatusOr<std::vector<VerifiedRecord>>>>();
  auto future = promise->get_future();
  Get(std::move(place), timeout, [promise](std::vector<VerifiedRecord> found) {
    promise->set_value(std::move(found));
  });
  promise.reset();
  return Await(std::move(future),
               absl::StatusOr<std::vector<VerifiedRecord>>(Closed()));
}

absl::StatusOr<PutResult> Network::PutBlocking(std::string record,
                                               PutOptions options) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<PutResult>>>();
  auto future = promise->get_future();
  Put(std::move(record), options, [promise](absl::StatusOr<PutResult> result) {
    promise->set_value(std::move(result));
  });
  promise.reset();
  return Await(std::move(future), absl::StatusOr<PutResult>(Closed()));
}

absl::Status Network::WaitUntilConnected(absl::Duration timeout) {
  auto promise = std::make_shared<std::promise<absl::Status>>();
  auto future = promise->get_future();
  const absl::Duration deadline = SystemClock().MonotonicNow() + timeout;
  core_->mailbox().Post([core = core_.get(), deadline, promise] {
    core->WhenConnected(deadline, [promise](bool connected) {
      promise->set_value(connected
                             ? absl::OkStatus()
                             : MakeError(absl::StatusCode::kDeadlineExceeded,
                                         "not_connected",
                                         "no storage node answered in time"));
    });
  });
  promise.reset();
  return Await(std::move(future), Closed());
}

void Network::StoreLocal(std::string record,
                         std::function<void(absl::Status)> done) {
  core_->mailbox().Post(
      [core = core_.get(), record = std::move(record), done = std::move(done)] {
        const absl::Status status = core->StoreLocal(record);
        if (done) done(status);
      });
}

void Network::ForEachLocal(std::function<void(const std::string&)> each,
                           std::function<void()> done) {
  core_->mailbox().Post(
      [core = core_.get(), each = std::move(each), done = std::move(done)] {
        core->ForEachLocal(each);
        if (done) done();
      });
}

}  // namespace shoal::dht
