#include "dht/node/pairing_guard.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace shoal::dht::node {
namespace {

using testing::FailsBecause;

class PairingGuardTest : public ::testing::Test {
 protected:
  static VerifiedRecord Of(records::v1::RecordKind kind,
                           const std::string& place) {
    VerifiedRecord record;
    record.body.set_kind(kind);
    record.body.set_place(place);
    return record;
  }
  testing::FakeClock clock_;
  PairingGuard guard_{{.answers_per_place = 4,
                       .requests_per_address_per_hour = 6,
                       .requests_per_hour = 10},
                      clock_};
  const VerifiedRecord answer_ =
      Of(records::v1::RECORD_KIND_PAIR_ANSWER, std::string(20, 'a'));
  const VerifiedRecord request_ =
      Of(records::v1::RECORD_KIND_PAIR_REQUEST, std::string(20, 'r'));
};

TEST_F(PairingGuardTest, T50_AnswersAtOnePlaceAreFew) {
  for (int i = 0; i < 4; ++i) EXPECT_OK(guard_.May(answer_, "10.0.0.1:1"));
  EXPECT_THAT(guard_.May(answer_, "10.0.0.2:1"), FailsBecause("pairing_rate"))
      << "whoever sends them";
  EXPECT_OK(
      guard_.May(Of(records::v1::RECORD_KIND_PAIR_ANSWER, std::string(20, 'b')),
                 "10.0.0.1:1"))
      << "another ticket's place";
  clock_.Advance(absl::Seconds(61));
  EXPECT_OK(guard_.May(answer_, "10.0.0.1:1"));
  EXPECT_THAT(guard_.May(answer_, "10.0.0.1:1"), FailsBecause("pairing_rate"));
}

TEST_F(PairingGuardTest, T50_OneAddressCannotUseUpTheDoor) {
  for (int i = 0; i < 6; ++i)
    EXPECT_OK(guard_.May(request_, "10.0.0.1:" + std::to_string(1000 + i)));
  for (int i = 0; i < 100; ++i)
    EXPECT_THAT(guard_.May(request_, "10.0.0.1:7"),
                FailsBecause("pairing_rate"));
  EXPECT_OK(guard_.May(request_, "10.0.0.2:7")) << "others still come in";
  // Ten an hour in all: seven are gone.
  for (int i = 0; i < 3; ++i)
    EXPECT_OK(guard_.May(request_, "10.0.1." + std::to_string(i) + ":7"));
  EXPECT_THAT(guard_.May(request_, "10.0.2.1:7"), FailsBecause("pairing_rate"));
  clock_.Advance(absl::Hours(1));
  EXPECT_OK(guard_.May(request_, "10.0.2.1:7"));
}

TEST_F(PairingGuardTest, T50_AnIpv6NetworkIsOneAddress) {
  for (int i = 0; i < 6; ++i)
    EXPECT_OK(
        guard_.May(request_, "[2001:db8::" + std::to_string(i + 1) + "]:4000"));
  EXPECT_THAT(guard_.May(request_, "[2001:db8::ffff]:1"),
              FailsBecause("pairing_rate"));
  EXPECT_OK(guard_.May(request_, "[2001:db8:0:1::1]:1"));
}

TEST_F(PairingGuardTest, OtherRecordsPass) {
  const auto report =
      Of(records::v1::RECORD_KIND_DEVICE_REPORT, std::string(20, 'd'));
  for (int i = 0; i < 1000; ++i) EXPECT_OK(guard_.May(report, "10.0.0.1:1"));
}

}  // namespace
}  // namespace shoal::dht::node
