// A storage node's record store on disk, and records of any writer.
#ifndef SHOAL_TESTS_UNIT_DHT_NODE_RECORD_STORE_FIXTURE_H_
#define SHOAL_TESTS_UNIT_DHT_NODE_RECORD_STORE_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/crypto/hash.h"
#include "dht/node/record_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::dht::node {

inline std::string Place(std::string_view name) {
  return crypto::Blake2b("", name, 20);
}

class RecordStoreTest : public ::testing::Test {
 protected:
  void Open(RecordStoreOptions options = {}) {
    store_.reset();
    auto store = RecordStore::Open(dir_.File("records"), options, clock_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }

  VerifiedRecord Make(records::v1::RecordKind kind, std::string_view place,
                      uint64_t version, std::string_view writer = "a",
                      absl::Duration lifetime = absl::Hours(1)) {
    VerifiedRecord record;
    record.body.set_kind(kind);
    record.body.set_place(Place(place));
    record.body.set_version(version);
    record.body.set_issued(absl::ToUnixMillis(clock_.WallNow()));
    record.body.set_expires(absl::ToUnixSeconds(clock_.WallNow() + lifetime));
    record.body.set_payload("payload");
    record.writer.kind = records::v1::WRITER_CLASS_DEVICE;
    record.writer.public_key = crypto::Sha256Digest(writer);
    record.writer.id = std::string(writer);
    record.body.set_writer_key(record.writer.public_key);
    records::v1::Record outer;
    outer.set_body(record.body.SerializeAsString());
    record.bytes = outer.SerializeAsString();
    record.digest = crypto::Sha256Digest(record.bytes);
    return record;
  }

  std::vector<std::string> ReadAll(uint64_t cursor,
                                   std::vector<records::v1::RecordKind> kinds) {
    std::vector<RecordStore::Entry> entries;
    EXPECT_OK(store_->Read(cursor, kinds, 1000, &entries));
    std::vector<std::string> out;
    for (auto& entry : entries) out.push_back(entry.bytes);
    return out;
  }

  testing::TempDir dir_;
  testing::FakeClock clock_;
  std::unique_ptr<RecordStore> store_;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_TESTS_UNIT_DHT_NODE_RECORD_STORE_FIXTURE_H_
