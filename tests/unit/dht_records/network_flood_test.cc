// One member floods a place that others listen at.
#include "tests/support/process_harness.h"
#include "tests/unit/dht_records/network_fixture.h"

namespace shoal::dht::testing {
namespace {

using ::shoal::testing::WaitFor;

class NetworkFlood : public NetworkTest {};

// A device that just started knows no operator yet. An enrolled device fills
// what a listener keeps for a second try with records of its own.
TEST_F(NetworkFlood, T28_T43_JunkBeforeTheTrustIsKnownHidesNoHalt) {
  auto nodes = StartNodes(fleet_, 1);
  const std::string place = fleet_.places.Halt("gateway");
  NetworkOptions options = fleet_.Options();
  options.resolver = [](const RecordBody&,
                        absl::Time) -> absl::StatusOr<Writer> {
    return PermissionDenied("unknown_writer", "nobody is known yet");
  };
  auto listener = Network::Open(std::move(options));
  ASSERT_OK(listener);
  Heard heard;
  (*listener)->Listen(place, heard.Callback());
  const auto refused = [&](uint64_t least) {
    return WaitFor("the records to be refused", [&, least] {
      return (*listener)->Stats().refused_records >= least;
    });
  };

  const Member flooder = fleet_.MakeMember(records::v1::WRITER_CLASS_DEVICE);
  auto writer = Client();
  constexpr uint64_t kJunk = 100;
  for (uint64_t i = 1; i <= kJunk; ++i)
    ASSERT_OK(writer->PutBlocking(
        fleet_.DeviceRecord(flooder, records::v1::RECORD_KIND_PROVIDER, place,
                            i, "junk " + std::to_string(i))));
  ASSERT_OK(refused(kJunk));
  ASSERT_OK(writer->PutBlocking(
      SignRecord(fleet_.Fields(records::v1::RECORD_KIND_HALT, place, 1, "stop"),
                 fleet_.operator_key, fleet_.fleet_id)));
  ASSERT_OK(refused(kJunk + 1));
  EXPECT_EQ(heard.count(), 0u);

  (*listener)->SetResolver(fleet_.Resolver());
  ASSERT_OK(WaitFor("the halt", [&] { return heard.Has("stop"); }));
}

}  // namespace
}  // namespace shoal::dht::testing
