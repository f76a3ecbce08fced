#include "agent/link/trust.h"

#include <algorithm>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "signing/verify/writer.h"

namespace shoal::agent {
namespace {

using records::v1::RecordBody;

bool CheckedOtherwise(records::v1::RecordKind kind) {
  return kind == records::v1::RECORD_KIND_METADATA ||
         kind == records::v1::RECORD_KIND_HEAD ||
         kind == records::v1::RECORD_KIND_LOG_PROOF ||
         kind == records::v1::RECORD_KIND_DOCUMENT ||
         kind == records::v1::RECORD_KIND_PAIR_OFFER ||
         kind == records::v1::RECORD_KIND_PAIR_GRANT;
}

// Not yet known as one: what it wrote is checked otherwise.
dht::Writer SupposedDirector(const std::string& key) {
  return {records::v1::WRITER_CLASS_DIRECTOR,
          crypto::Sha256Digest(key).substr(0, 16), key};
}

// A new director key is known only once the metadata that names it has been
// fetched, and that metadata proves itself.
bool ProvesItself(records::v1::RecordKind kind) {
  return kind == records::v1::RECORD_KIND_METADATA ||
         kind == records::v1::RECORD_KIND_HEAD ||
         kind == records::v1::RECORD_KIND_LOG_PROOF;
}

}  // namespace

absl::StatusOr<TrustView> MakeTrustView(signing::FleetTrust trust,
                                        absl::Time time_floor) {
  TrustView view;
  view.time_floor = time_floor;
  if (!trust.policy_json.empty()) {
    SHOAL_ASSIGN_OR_RETURN(view.policy, signing::PolicyOf(trust));
    view.policy_sha256 = crypto::Sha256Digest(trust.policy_json);
  }
  view.trust = std::move(trust);
  return view;
}

dht::WriterResolver MakeResolver(std::shared_ptr<const TrustHolder> holder) {
  auto inner = [holder = std::move(holder)](
                   const RecordBody& body,
                   absl::Time now) -> absl::StatusOr<dht::Writer> {
    const std::shared_ptr<const TrustView> view = holder->Get();
    const std::string& key = body.writer_key();
    if (!view) {
      if (body.has_writer_key() && CheckedOtherwise(body.kind()))
        return SupposedDirector(key);
      return FailedPrecondition("no_trust", "no metadata was verified yet");
    }
    auto writer = signing::ResolveWriter(view->trust, view->policy, body,
                                         std::max(now, view->time_floor));
    if (ReasonOf(writer.status()) == "unknown_writer" &&
        body.has_writer_key() && ProvesItself(body.kind()))
      return SupposedDirector(key);
    SHOAL_RETURN_IF_ERROR(writer);
    return dht::Writer{writer->kind, writer->id, writer->public_key};
  };
  return dht::CachingResolver(std::move(inner), 1024);
}

}  // namespace shoal::agent
