#include "tests/fault/plane/published.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "common/status.h"
#include "rules/rollout.h"
#include "shoal/rollout/v1/document.pb.h"

namespace shoal::testing {
namespace {

using rollout::v1::RolloutDocument;
using ById = std::map<std::string, std::map<uint64_t, RolloutDocument>>;

bool Ended(const RolloutDocument& document) {
  return document.state() == rollout::v1::ROLLOUT_STATE_FINISHED ||
         document.state() == rollout::v1::ROLLOUT_STATE_ABORTED;
}

void CheckStep(const RolloutDocument& before, const RolloutDocument& after) {
  EXPECT_FALSE(Ended(before)) << "it went on after its end";
  EXPECT_TRUE(after.open_phase() == before.open_phase() ||
              after.open_phase() == before.open_phase() + 1);
  EXPECT_EQ(after.opened_at() == before.opened_at(),
            after.open_phase() == before.open_phase())
      << "a phase was opened twice";
  if (before.state() == rollout::v1::ROLLOUT_STATE_HALTED &&
      after.state() == rollout::v1::ROLLOUT_STATE_ACTIVE) {
    EXPECT_GT(after.lifted_halts_size(), before.lifted_halts_size())
        << "it went on after a halt";
  }
  if (after.open_phase() > before.open_phase()) {
    EXPECT_EQ(before.state(), rollout::v1::ROLLOUT_STATE_ACTIVE)
        << "a phase was opened of a rollout that stood";
  }
}

}  // namespace

absl::StatusOr<size_t> CheckPublished(const dht::PullTarget& node,
                                      const crypto::TlsKeyPair& caller) {
  SHOAL_ASSIGN_OR_RETURN(const auto client,
                         dht::PullClient::Open(node, caller));
  ById published;
  size_t documents = 0;
  const auto each = [&](std::string bytes, const records::v1::Credential*,
                        const dht::PullPosition&) {
    records::v1::Record record;
    records::v1::RecordBody body;
    RolloutDocument document;
    if (!record.ParseFromString(bytes) ||
        !body.ParseFromString(record.body()) ||
        !document.ParseFromString(body.payload()) ||
        !rules::ValidateRollout(document).ok())
      return true;
    const auto [known, first] =
        published[document.id()].emplace(document.version(), document);
    if (first) ++documents;
    EXPECT_EQ(known->second.SerializeAsString(), document.SerializeAsString())
        << document.id() << ": two documents with version "
        << document.version();
    return true;
  };
  SHOAL_RETURN_IF_ERROR(client
                            ->Pull({}, {records::v1::RECORD_KIND_DOCUMENT},
                                   /*follow=*/false, absl::Seconds(60), each)
                            .status());
  for (const auto& [id, versions] : published) {
    const RolloutDocument* before = nullptr;
    for (const auto& [version, document] : versions) {
      SCOPED_TRACE(id + " version " + std::to_string(version));
      if (before != nullptr && before->version() + 1 == version)
        CheckStep(*before, document);
      before = &document;
    }
  }
  return documents;
}

}  // namespace shoal::testing
