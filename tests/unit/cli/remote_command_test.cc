#include "server/cli/remote_command.h"

#include <gtest/gtest.h>

#include "server/cli/exit_code.h"
#include "tests/support/status_matchers.h"

namespace shoal::cli {
namespace {

using testing::Fails;
using testing::FailsBecause;

class ResultTest : public ::testing::Test {
 protected:
  dht::VerifiedRecord Record(const records::v1::CommandResult& result) {
    dht::VerifiedRecord record;
    record.body.set_kind(records::v1::RECORD_KIND_COMMAND_RESULT);
    record.body.set_payload(
        *crypto::SealTo(reply_key_.public_key(), result.SerializeAsString()));
    record.writer = {records::v1::WRITER_CLASS_DEVICE, device_, "key"};
    return record;
  }
  records::v1::CommandResult Result() {
    records::v1::CommandResult result;
    result.set_command_id(command_.id());
    result.set_device_id(device_);
    result.set_reason("ok");
    return result;
  }
  const std::string device_ = std::string(16, 'd');
  const crypto::BoxKey reply_key_ = crypto::BoxKey::Generate();
  const records::v1::Command command_ = MakeCommand(
      {device_, "uptime", {"-p"}, absl::Minutes(1)}, std::string(32, 'o'),
      reply_key_.public_key(), absl::FromUnixSeconds(1767225600));
};

TEST_F(ResultTest, TheCommandNamesDeviceAndOperatorAndEnds) {
  EXPECT_EQ(command_.id().size(), 16u);
  EXPECT_EQ(command_.device_id(), device_);
  EXPECT_EQ(command_.operator_key(), std::string(32, 'o'));
  EXPECT_EQ(command_.expires() - command_.issued(), 60'000);
  const auto longest = MakeCommand({device_, "x", {}, absl::Hours(9)}, "", "",
                                   absl::FromUnixSeconds(1767225600));
  EXPECT_EQ(longest.expires() - longest.issued(), 900'000);
}

TEST_F(ResultTest, OpensTheAnswer) {
  auto result = Result();
  result.set_output("up");
  ASSERT_OK_AND_ASSIGN(const auto opened,
                       OpenResult(Record(result), command_, reply_key_));
  EXPECT_EQ(opened.output(), "up");
}

TEST_F(ResultTest, T54_AnAnswerOfAnotherOrToAnotherIsRefused) {
  auto record = Record(Result());
  record.writer.id = std::string(16, 'x');
  EXPECT_THAT(OpenResult(record, command_, reply_key_),
              FailsBecause("wrong_result"));
  record = Record(Result());
  record.writer.kind = records::v1::WRITER_CLASS_OPERATOR;
  EXPECT_THAT(OpenResult(record, command_, reply_key_),
              FailsBecause("wrong_result"));
  auto other = Result();
  other.set_command_id("another");
  EXPECT_THAT(OpenResult(Record(other), command_, reply_key_),
              FailsBecause("wrong_result"));
  const auto stranger = crypto::BoxKey::Generate();
  EXPECT_THAT(OpenResult(Record(Result()), command_, stranger),
              FailsBecause("not_decryptable"));
}

TEST_F(ResultTest, TheDevicesWordBecomesTheExitCode) {
  auto result = Result();
  EXPECT_EQ(ExitCodeOf(StatusOfResult(result)), kExitOk);
  result.set_exit_code(3);
  EXPECT_EQ(ExitCodeOf(StatusOfResult(result)), kExitFailed);
  result.set_reason("exit_nonzero");
  EXPECT_THAT(StatusOfResult(result),
              Fails(absl::StatusCode::kFailedPrecondition, "exit_nonzero"));
  result.set_reason("permission_denied");
  EXPECT_EQ(ExitCodeOf(StatusOfResult(result)), kExitDenied);
  result.set_reason("unknown_command");
  EXPECT_EQ(ExitCodeOf(StatusOfResult(result)), kExitNotFound);
  result.set_reason("timeout");
  EXPECT_THAT(StatusOfResult(result), FailsBecause("timeout"));
  result.set_reason("");
  EXPECT_EQ(ExitCodeOf(StatusOfResult(result)), kExitFailed);
}

TEST(BindAddress, StaysOnTheMachineWhenTheNodesDo) {
  records::v1::NodeDirectory directory;
  directory.add_nodes()->set_dht_address("127.0.0.1:4222");
  EXPECT_EQ(BindAddressFor(directory), "127.0.0.1:0");
  directory.add_nodes()->set_dht_address("10.0.0.1:4222");
  EXPECT_EQ(BindAddressFor(directory), "0.0.0.0:0");
  directory.add_nodes()->set_dht_address("[fd00::1]:4222");
  EXPECT_EQ(BindAddressFor(directory), "[::]:0");
}

}  // namespace
}  // namespace shoal::cli
