#include "server/cli/records_session.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/status.h"
#include "dht/records/found_records.h"
#include "server/cli/fleet_view.h"

namespace shoal::cli {
namespace {

// Highest version first; of equal ones the first found stays.
std::optional<dht::VerifiedRecord> Pick(
    const std::vector<dht::VerifiedRecord>& records,
    records::v1::RecordKind kind, const std::string& writer_id) {
  std::optional<dht::VerifiedRecord> best;
  for (const auto& record : records) {
    if (record.body.kind() != kind || record.writer.id != writer_id) continue;
    if (!best || record.body.version() > best->body.version()) best = record;
  }
  return best;
}

}  // namespace

std::string BindAddressFor(const records::v1::NodeDirectory& directory) {
  bool loopback = true, v6 = false;
  for (const auto& node : directory.nodes()) {
    loopback &= node.dht_address().starts_with("127.");
    v6 |= node.dht_address().starts_with("[");
  }
  if (loopback) return "127.0.0.1:0";
  return v6 ? "[::]:0" : "0.0.0.0:0";
}

RecordsSession::RecordsSession(Program& program, std::string fleet_id,
                               std::string_view place_key,
                               crypto::SigningKey operator_key,
                               records::v1::NodeDirectory directory,
                               dht::WriterResolver resolver)
    : program_(program),
      fleet_id_(std::move(fleet_id)),
      places_(place_key),
      operator_key_(std::move(operator_key)),
      directory_(std::move(directory)),
      resolver_(std::move(resolver)) {}

absl::StatusOr<std::unique_ptr<RecordsSession>> RecordsSession::Open(
    Program& program, absl::Duration timeout) {
  SHOAL_ASSIGN_OR_RETURN(const Context* context, program.CurrentContext());
  SHOAL_ASSIGN_OR_RETURN(const auto network, program.StoredNetwork());
  if (network.directory().nodes().empty()) {
    return FailedPrecondition("no_nodes", "the context knows no storage nodes");
  }
  if (network.network().place_key().size() != dht::kPlaceKeySize) {
    return InvalidArgument("bad_context",
                           "the context holds no usable network access; with "
                           "shoald up: shoal context refresh");
  }
  SHOAL_ASSIGN_OR_RETURN(
      StoredTrust stored,
      LoadTrust(*context, network, program.fs(), program.clock()));
  SHOAL_ASSIGN_OR_RETURN(auto resolver, MakeResolver(std::move(stored.trust)));
  SHOAL_ASSIGN_OR_RETURN(auto key,
                         LoadOperatorKey(program.fs(), context->operator_dir));
  std::unique_ptr<RecordsSession> session(new RecordsSession(
      program, context->fleet_id, network.network().place_key(), std::move(key),
      network.directory(), std::move(resolver)));

  dht::NetworkOptions options;
  options.bind_address = BindAddressFor(network.directory());
  options.fleet_id = context->fleet_id;
  options.keys.assign(network.network().keys().begin(),
                      network.network().keys().end());
  options.place_key = network.network().place_key();
  options.directory = network.directory();
  options.resolver = session->resolver_;
  options.clock = &program.clock();
  SHOAL_ASSIGN_OR_RETURN(session->network_,
                         dht::Network::Open(std::move(options)));
  const absl::Status connected = session->network_->WaitUntilConnected(timeout);
  if (!connected.ok()) {
    return Unavailable(
        "network_unreachable",
        "no storage node answered: " + std::string(connected.message()));
  }
  SHOAL_RETURN_IF_ERROR(session->LearnNewest(*context, network));
  return session;
}

// What the context knows may be old: devices may have left since.
absl::Status RecordsSession::LearnNewest(
    const Context& context, const fleet::v1::GetNetworkResponse& network) {
  SHOAL_ASSIGN_OR_RETURN(StoredTrust newest,
                         LoadNewestTrust(context, network, *network_, places_,
                                         program_.fs(), program_.clock()));
  if (newest.expired) {
    program_.Remark(
        "the fleet's metadata has expired: shoald was not up for "
        "long; revocations since then are not known here");
  }
  if (!newest.unread.empty()) {
    program_.Remark(
        "which devices left, and which keys were replaced, can not be had as "
        "the newest metadata says it; what was known before counts, of: " +
        JoinSorted(newest.unread));
  }
  SHOAL_ASSIGN_OR_RETURN(resolver_, MakeResolver(std::move(newest.trust)));
  network_->SetResolver(resolver_);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<dht::VerifiedRecord>> RecordsSession::PullAll(
    records::v1::RecordKind kind, const std::string& place,
    absl::Duration timeout) {
  dht::FoundRecords found;
  absl::Status last = NotFound("no_record", "no storage node was asked");
  bool asked = false;
  for (const auto& node : directory_.nodes()) {
    const auto client = program_.ConnectNode(node, timeout);
    if (!client.ok()) {
      last = client.status();
      continue;
    }
    const dht::VerifyContext verify{fleet_id_, &places_, resolver_,
                                    program_.clock().WallNow()};
    const absl::Status pulled =
        (*client)->Pull(kind, [&](const std::string& bytes,
                                  const records::v1::Credential* credential) {
          if (credential != nullptr) {
            // The resolver remembers it when it is good; the record behind it
            // says whether it was.
            dht::RecordBody introduction;
            *introduction.mutable_credential() = *credential;
            (void)resolver_(introduction, verify.now);
          }
          const auto record = dht::VerifyRecord(bytes, verify);
          if (record.ok() && record->body.place() == place) {
            found.Add(*record);
          }
        });
    asked |= pulled.ok();
    if (!pulled.ok()) last = pulled;
  }
  if (!asked) return last;
  return found.Take();
}

absl::StatusOr<dht::VerifiedRecord> RecordsSession::Newest(
    records::v1::RecordKind kind, const std::string& place,
    const std::string& writer_id, absl::Duration timeout) {
  SHOAL_ASSIGN_OR_RETURN(const auto got, network_->GetBlocking(place, timeout));
  if (auto record = Pick(got, kind, writer_id)) return *record;
  // A look-up in the DHT may miss what nodes have on disk.
  SHOAL_ASSIGN_OR_RETURN(const auto pulled, PullAll(kind, place, timeout));
  if (auto record = Pick(pulled, kind, writer_id)) return *record;
  return NotFound("no_record", "no such record in the network");
}

absl::StatusOr<dht::PutResult> RecordsSession::PutSigned(
    const dht::RecordFields& fields, absl::Duration deadline,
    std::string* record) {
  const std::string bytes = dht::SignRecord(fields, operator_key_, fleet_id_);
  if (record != nullptr) *record = bytes;
  dht::PutOptions options;
  options.deadline = deadline;
  return network_->PutBlocking(bytes, options);
}

}  // namespace shoal::cli
