#include "dht/swarm/control.h"

#include <fmt/format.h>

#include "common/bytes.h"
#include "tests/support/status_matchers.h"

namespace shoal::dht {
namespace {

using shoal::testing::FailsBecause;

Artifact SomeArtifact() {
  return {std::string(32, 'r'), 32768, 100000, std::string(32, 's')};
}

std::string Line(const absl::StatusOr<std::string>& formatted) {
  EXPECT_OK(formatted);
  EXPECT_TRUE(formatted->ends_with('\n'));
  return formatted->substr(0, formatted->size() - 1);
}

TEST(Control, CommandsComeBackAsTheyWent) {
  FetchCommand fetch;
  fetch.id = "j1";
  fetch.artifact = SomeArtifact();
  fetch.path = "/tmp/\"quoted\" ü";
  fetch.peers = {"127.0.0.1:1", "[::1]:2"};
  fetch.urls = {"http://h/x"};
  fetch.deadline_ms = 12345;
  fetch.first_byte_ms = 678;
  fetch.seed = true;
  ASSERT_OK_AND_ASSIGN(const Command back,
                       ParseCommand(Line(FormatCommand(fetch))));
  const auto& got = std::get<FetchCommand>(back);
  EXPECT_EQ(got.id, fetch.id);
  EXPECT_EQ(got.path, fetch.path);
  EXPECT_EQ(got.peers, fetch.peers);
  EXPECT_EQ(got.urls, fetch.urls);
  EXPECT_EQ(got.deadline_ms, fetch.deadline_ms);
  EXPECT_EQ(got.first_byte_ms, fetch.first_byte_ms);
  EXPECT_TRUE(got.seed);
  EXPECT_EQ(got.artifact.file_root, fetch.artifact.file_root);
  EXPECT_EQ(got.artifact.sha256, fetch.artifact.sha256);
  EXPECT_EQ(got.artifact.length, fetch.artifact.length);
  EXPECT_EQ(got.artifact.piece_length, fetch.artifact.piece_length);

  ConfigureCommand configure;
  configure.listen = "127.0.0.1:0";
  configure.state_dir = "/s";
  configure.user = 1000;
  configure.limits = {10, 20, false};
  ASSERT_OK_AND_ASSIGN(const Command again,
                       ParseCommand(Line(FormatCommand(configure))));
  const auto& c = std::get<ConfigureCommand>(again);
  EXPECT_EQ(c.user, 1000);
  EXPECT_EQ(c.group, std::nullopt);
  EXPECT_EQ(c.limits.upload, 10);
  EXPECT_EQ(c.limits.download, 20);
  EXPECT_FALSE(c.limits.allow_upload);

  for (const Command& command :
       {Command(LimitsCommand{}), Command(PeersCommand{"j", {"1.2.3.4:5"}}),
        Command(CancelCommand{"j"}), Command(SeedCommand{SomeArtifact(), "/f"}),
        Command(UnseedCommand{std::string(32, 'x')}),
        Command(DocumentCommand{"d1", {"http://h/"}, 10, "", 5})}) {
    ASSERT_OK_AND_ASSIGN(const Command parsed,
                         ParseCommand(Line(FormatCommand(command))));
    EXPECT_EQ(parsed.index(), command.index());
  }
}

TEST(Control, EventsComeBackAsTheyWent) {
  std::string data;
  for (int i = 0; i < 300; ++i) data += static_cast<char>(i);
  ASSERT_OK_AND_ASSIGN(const Event chunk,
                       ParseEvent(Line(FormatEvent(ChunkEvent{"d1", data}))));
  EXPECT_EQ(std::get<ChunkEvent>(chunk).data, data);

  const absl::Status status = DataLoss("hash_mismatch", "bad\nline \xff");
  ASSERT_OK_AND_ASSIGN(
      const Event failed,
      ParseEvent(Line(FormatEvent(FailedEvent{"j1", status, {1, 2, 3}}))));
  const auto& f = std::get<FailedEvent>(failed);
  EXPECT_THAT(f.status, shoal::testing::Fails(absl::StatusCode::kDataLoss,
                                              "hash_mismatch"));
  EXPECT_EQ(f.counters.discarded, 3u);
  for (const Event& event :
       {Event(ReadyEvent{"127.0.0.1:9"}), Event(ReadyEvent{""}),
        Event(ProgressEvent{"j", 5, {}}), Event(DoneEvent{"j", {}}),
        Event(SeedingEvent{std::string(32, 'x')}),
        Event(SeedFailedEvent{std::string(32, 'x'), status}),
        Event(StatsEvent{7})}) {
    ASSERT_OK_AND_ASSIGN(const Event parsed,
                         ParseEvent(Line(FormatEvent(event))));
    EXPECT_EQ(parsed.index(), event.index());
  }
}

TEST(Control, RefusesWhatIsNotExact) {
  for (const char* line : {
           "",
           "[]",
           "null",
           "{",
           R"({"op":"cancel"})",
           R"({"op":"cancel","id":"j1","more":1})",
           R"({"op":"cancel","id":"j1","id":"j2"})",
           R"({"op":"cancel","id":5})",
           R"({"op":"cancel","id":"../x"})",
           R"({"op":"unknown"})",
           R"({"op":"peers","id":"j","peers":["host:1"]})",
           R"({"op":"peers","id":"j","peers":[["1.2.3.4:5"]]})",
           R"({"op":"peers","id":"j","peers":{"a":1}})",
           R"({"op":"limits","upload":1.5,"download":0,"allow_upload":true})",
           R"({"op":"limits","upload":-1,"download":0,"allow_upload":true})",
           R"({"op":"limits","upload":1,"download":0,"allow_upload":1})",
           R"({"op":"unseed","sha256":"abcd"})",
           R"({"op":"cancel","id":"j1"} x)",
       }) {
    EXPECT_THAT(ParseCommand(line), FailsBecause("bad_control")) << line;
  }
  EXPECT_THAT(ParseCommand(std::string(50000, '[')),
              FailsBecause("bad_control"));
  EXPECT_THAT(ParseCommand(std::string(kMaxControlLine, ' ')),
              FailsBecause("bad_control"));
  EXPECT_THAT(ParseEvent(R"({"event":"ready","address":"example.org:1"})"),
              FailsBecause("bad_address"));
  EXPECT_THAT(ParseEvent(R"({"event":"failed","id":"j","peers":0,"origin":0,)"
                         R"("discarded":0,"code":0,"reason":"","message":""})"),
              FailsBecause("bad_control"));
  EXPECT_THAT(ParseEvent(R"({"event":"chunk","id":"j","data":"!!"})"),
              FailsBecause("bad_control"));
}

TEST(Control, TextsThatAreNoUtf8AreRefusedWhenWritten) {
  EXPECT_THAT(FormatCommand(SeedCommand{SomeArtifact(), "/\xff"}),
              FailsBecause("bad_control"));
}

TEST(LineBuffer, CutsLinesWhateverThePortions) {
  LineBuffer lines;
  const std::string text = "one\ntwo\n\nthree";
  for (const char c : text) ASSERT_OK(lines.Append(std::string(1, c)));
  EXPECT_EQ(lines.Next(), "one");
  EXPECT_EQ(lines.Next(), "two");
  EXPECT_EQ(lines.Next(), "");
  EXPECT_EQ(lines.Next(), std::nullopt);
  ASSERT_OK(lines.Append("\nfour\n"));
  EXPECT_EQ(lines.Next(), "three");
  EXPECT_EQ(lines.Next(), "four");
}

TEST(LineBuffer, T02_ALineWithoutAnEndIsRefused) {
  LineBuffer lines;
  const std::string part(kMaxControlLine / 4, 'x');
  absl::Status status;
  int parts = 0;
  while (status.ok() && parts < 100) {
    status = lines.Append(part);
    ++parts;
  }
  EXPECT_THAT(status, FailsBecause("bad_control"));
  EXPECT_EQ(parts, 4);
}

}  // namespace
}  // namespace shoal::dht
