// Who may write records, from the fleet's verified trust.
#ifndef SHOAL_DHT_NODE_WRITER_RESOLVER_H_
#define SHOAL_DHT_NODE_WRITER_RESOLVER_H_

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dht/records/record.h"
#include "shoal/policy/v1/policy.pb.h"
#include "shoal/records/v1/credential.pb.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::dht::node {

// An immutable view of one FleetTrust; share it as shared_ptr<const …>.
class TrustView {
 public:
  // kInvalidArgument "bad_policy" when the policy does not parse.
  static absl::StatusOr<std::shared_ptr<const TrustView>> Make(
      signing::FleetTrust trust);

  const signing::FleetTrust& fleet() const { return trust_; }
  // SHA-256 of the TLS keys (SubjectPublicKeyInfo) of operators that the policy
  // gives at least one role.
  bool OperatorTls(std::string_view spki_sha256) const;

  // signing::ResolveWriter by this trust, with its reasons.
  absl::StatusOr<Writer> Resolve(const RecordBody& body, absl::Time now) const;
  // signing::ResolveKeptWriter: of a record that a node's disk has had.
  absl::StatusOr<Writer> ResolveKept(const RecordBody& body,
                                     absl::Time now) const;
  // Of kind NODE, valid and not revoked.
  absl::Status VerifyNode(const records::v1::Credential& credential,
                          absl::Time now) const;

  // Whether records that one view refused may pass with the other.
  bool SameWriters(const TrustView& other) const;

 private:
  explicit TrustView(signing::FleetTrust trust) : trust_(std::move(trust)) {}
  signing::FleetTrust trust_;
  policy::v1::AccessPolicy policy_;
  std::set<std::string, std::less<>> operator_tls_;
};

// What a record is to this node.
enum class Arrival {
  kNew,   // somebody offers it now
  kKept,  // this node, or another that is believed, took it in its time
};

// `find_credential` answers a 16-byte credential digest with the credential
// that was seen in full before; it must not block and be thread-safe, as
// `view` must.
WriterResolver MakeResolver(
    std::function<std::shared_ptr<const TrustView>()> view,
    std::function<std::optional<records::v1::Credential>(std::string_view)>
        find_credential,
    Arrival arrival = Arrival::kNew);

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_WRITER_RESOLVER_H_
