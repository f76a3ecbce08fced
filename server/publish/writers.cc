#include "server/publish/writers.h"

#include <algorithm>

#include "common/bytes.h"
#include "rules/access.h"
#include "server/store/state.pb.h"
#include "signing/verify/credential.h"

namespace shoal::server {

absl::StatusOr<std::unique_ptr<Writers>> Writers::Open(
    const Store& store, const TrustRepository& trust) {
  std::unique_ptr<Writers> writers(new Writers(trust));
  SHOAL_RETURN_IF_ERROR(store.Scan<store::DeviceRow>(
      kDevices, "", "", [&](std::string_view, const store::DeviceRow& row) {
        writers->Add(row.credential());
        if (row.device().state() == fleet::v1::ENROLMENT_STATE_DECOMMISSIONED) {
          auto key = HexDecode(row.device().public_key());
          if (key.ok()) writers->Refuse(*key);
        }
        return true;
      }));
  SHOAL_RETURN_IF_ERROR(store.Scan<store::NodeRow>(
      kNodes, "", "", [&](std::string_view, const store::NodeRow& row) {
        writers->Add(row.credential());
        return true;
      }));
  return writers;
}

void Writers::Add(const records::v1::Credential& credential) {
  std::lock_guard lock(mutex_);
  by_digest_[dht::CredentialDigest(credential)] = credential;
}

void Writers::Refuse(const std::string& public_key) {
  std::lock_guard lock(mutex_);
  refused_.insert(public_key);
}

dht::WriterResolver Writers::Resolver() const {
  return [this](const dht::RecordBody& body, absl::Time now) {
    return Resolve(body, now);
  };
}

absl::StatusOr<dht::Writer> Writers::Resolve(const dht::RecordBody& body,
                                             absl::Time now) const {
  const auto view = trust_.View();
  if (!view) return Unavailable("no_trust", "no trust is loaded");
  dht::Writer writer;
  records::v1::Credential credential;
  switch (body.writer_case()) {
    case dht::RecordBody::kWriterKey: {
      const auto& directors = view->fleet.director_keys;
      writer.public_key = body.writer_key();
      writer.id = body.writer_key();
      if (std::find(directors.begin(), directors.end(), body.writer_key()) !=
          directors.end()) {
        writer.kind = records::v1::WRITER_CLASS_DIRECTOR;
        return writer;
      }
      if (rules::FindOperatorByKey(view->policy, body.writer_key()) ==
          nullptr) {
        return PermissionDenied("wrong_writer",
                                "no director and no operator of the policy");
      }
      writer.kind = records::v1::WRITER_CLASS_OPERATOR;
      return writer;
    }
    case dht::RecordBody::kCredential:
      credential = body.credential();
      break;
    case dht::RecordBody::kCredentialDigest: {
      std::lock_guard lock(mutex_);
      const auto it = by_digest_.find(body.credential_digest());
      if (it == by_digest_.end()) {
        return NotFound("unknown_credential",
                        "no credential with this digest is known");
      }
      credential = it->second;
      break;
    }
    default:
      return PermissionDenied("wrong_writer", "the record names no writer");
  }
  SHOAL_ASSIGN_OR_RETURN(
      auto subject, signing::VerifyCredential(credential, view->fleet, now));
  {
    std::lock_guard lock(mutex_);
    if (refused_.contains(subject.public_key())) {
      return PermissionDenied("revoked", "the device was decommissioned");
    }
  }
  writer.kind = subject.kind();
  writer.id = subject.subject_id();
  writer.public_key = subject.public_key();
  return writer;
}

}  // namespace shoal::server
