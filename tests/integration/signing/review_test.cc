// Nothing changes unseen: whatever is different in a draft, `sign` refuses it
// or shows it by its name. Every leaf, every member and every order of every
// offline role is tried.
#include <fmt/format.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "signing/metadata/metadata.h"
#include "tests/integration/signing/ceremony_fixture.h"

namespace shoal::signing {
namespace {

using ::nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

struct Mutant {
  std::string what;
  json document;
  std::vector<std::string> names;  // one of them is to be read
};

// What is said in a place: keys are called by themselves.
void Texts(const json& value, std::vector<std::string>& texts) {
  if (value.is_string()) texts.push_back(value);
  if (value.is_structured())
    for (const auto& [key, member] : value.items()) Texts(member, texts);
}

// What a custodian would call the places on the way to a change.
std::vector<std::string> NamesOn(const json& document,
                                 const json::json_pointer& at) {
  static const std::vector<std::string> kContainers = {
      "targets", "delegations", "roles", "keys", "shoal"};
  std::vector<std::string> names;
  json::json_pointer walk = at;
  while (!walk.empty()) {
    const std::string last = walk.back();
    const json& here = document.at(walk);
    walk.pop_back();
    if (document.at(walk).is_object() &&
        std::find(kContainers.begin(), kContainers.end(), last) ==
            kContainers.end())
      names.push_back(last);
    for (const char* name : {"name", "deviceId"})
      if (here.is_object() && here.contains(name) && here[name].is_string())
        names.push_back(here[name]);
  }
  return names;
}

json Changed(const json& leaf) {
  if (leaf.is_boolean()) return !leaf.get<bool>();
  if (leaf.is_number()) return leaf.get<uint64_t>() + 1;
  std::string text = leaf.get<std::string>();
  // Hex stays hex, a date a date.
  if (text.empty()) return "x";
  char& c = text[text.size() > 3 ? 3 : 0];
  c = c == '1' ? '2' : '1';
  return text;
}

void Mutate(const json& document, const json::json_pointer& at,
            std::vector<Mutant>& mutants) {
  const json& here = document.at(at);
  const auto add = [&](const std::string& what, const json::json_pointer& place,
                       const std::function<void(json&)>& change,
                       std::string also = "") {
    Mutant mutant{fmt::format("{} at {}", what, place.to_string()), document,
                  NamesOn(document, place)};
    if (!also.empty())
      mutant.names = {also};
    else
      Texts(document.at(place), mutant.names);
    // What is called by no name of its own is called by its container's.
    if (mutant.names.empty() && !place.empty())
      mutant.names.push_back(place.back());
    change(mutant.document.at(at));
    if (mutant.document != document) mutants.push_back(std::move(mutant));
  };
  if (here.is_object()) {
    for (const json& more : {json(1), json::object()})
      add(
          "a new member", at, [&](json& j) { j["evil"] = more; }, "evil");
    for (const auto& [key, value] : here.items()) {
      add("no such member", at / key, [&](json& j) { j.erase(key); });
      Mutate(document, at / key, mutants);
    }
  } else if (here.is_array()) {
    add(
        "a new element", at, [](json& j) { j.push_back("evil"); }, "evil");
    add("another order", at,
        [](json& j) { std::rotate(j.begin(), j.begin() + 1, j.end()); });
    if (!here.empty()) {
      add("an element twice", at, [](json& j) { j.push_back(j[0]); });
      add("no first element", at / 0, [](json& j) { j.erase(0); });
      add("none of it", at, [](json& j) { j.clear(); });
    }
    for (size_t i = 0; i < here.size(); ++i) Mutate(document, at / i, mutants);
  } else {
    add("another value", at, [](json& j) { j = Changed(j); });
    add("null", at, [](json& j) { j = nullptr; });
  }
}

class Review : public Ceremony {
 protected:
  void SetUp() override {
    Ceremony::SetUp();
    Found();
    Must({"device-type", "add", "camera", "--repo", Repo(), "--key", Pub("eli"),
          "--threshold", "1"});
    for (const char* who : {"ann", "eli"}) Sign(who);
    ASSERT_OK(fs_.WriteAtomic(dir_.File("sbom.json"), "{}"));
    Must({"image",           "add",
          "--repo",          Repo(),
          "--type",          "gateway",
          "--version",       "2.0",
          "--counter",       "2",
          "--hardware",      "rev-a",
          "--hardware",      "rev-b",
          "--requires",      "modem:3",
          "--requires",      "dsp:4",
          "--attach",        "sbom=" + dir_.File("sbom.json"),
          dir_.File("image")});
    for (const char* who : {"dora", "eli"}) Sign(who);
    for (const char* who : {"ben", "cleo"})
      Must({"manufacturer", "add", std::string("by-") + who, "--key", Pub(who),
            "--type", "gateway", "--type", "camera", "--repo", Repo()});
    Must({"rotate", "time", "--add", Pub("eli"), "--add", Pub("fay"), "--repo",
          Repo()});
    Sign("ann");
    PutPolicy(Policy());
    Sign("ann");
  }
  static json Policy() {
    return json::parse(R"({"version":"2","operators":[
      {"name":"alice","publicKey":")" +
                       std::string(64, 'a') + R"(",
       "tlsSpkiSha256":")" +
                       std::string(64, 'b') + R"(","roles":["a","b"]},
      {"name":"bob","publicKey":")" +
                       std::string(64, 'c') + R"("}],
     "rules":[{"name":"one","principals":["role:a","role:b"],
       "actions":["update.install","config.set"],
       "devices":{"deviceTypes":["gateway","camera"],"labels":{"site":"x"}},
       "conditions":{"consent":true,"approvals":2,
         "windows":[{"weekdays":[1,2],"fromMinute":60,"toMinute":120}]}},
      {"name":"two","principals":["director"],"actions":["update.install"],
       "devices":{"all":true}}],
     "deviceLabels":[
      {"deviceId":")" + std::string(32, '1') +
                       R"(","labels":{"site":"x"}},
      {"deviceId":")" + std::string(32, '2') +
                       R"(","labels":{"site":"y"}}],
     "revocations":{"operatorKeys":[")" +
                       std::string(64, 'd') + R"(",")" + std::string(64, 'e') +
                       R"("],"nodeKeys":[")" + std::string(64, 'f') +
                       R"("]}})");
  }
  void PutPolicy(const json& policy) {
    ASSERT_OK(fs_.WriteAtomic(dir_.File("access.json"), policy.dump()));
    Must({"policy", "set", dir_.File("access.json"), "--repo", Repo()});
  }
  std::pair<json, uint64_t> InForce(const std::string& role) {
    for (uint64_t version = 64; version > 0; --version) {
      const auto bytes =
          fs_.Read(fmt::format("{}/metadata/{}.{}.json", Repo(), version, role),
                   1 << 20);
      if (bytes.ok()) return {json::parse(*bytes)["signed"], version};
    }
    ADD_FAILURE() << role;
    return {};
  }
  std::string Draft(const std::string& role, uint64_t version) {
    return fmt::format("{}/drafts/{}.{}.json", Repo(), version, role);
  }
  // What a custodian is told about a draft with this content.
  CommandResult Look(const std::string& role, uint64_t version,
                     const json& content) {
    const json file = {{"signed", content}, {"signatures", json::array()}};
    EXPECT_OK(fs_.MakeDirectories(Repo() + "/drafts"));
    EXPECT_OK(fs_.WriteAtomic(Draft(role, version), file.dump()));
    return Run({"sign", role, "--repo", Repo(), "--dry-run"});
  }
  // Without the heading, which always names role and versions.
  static std::string Lines(const CommandResult& result) {
    std::string lines;
    size_t begin = 0;
    while (begin < result.output.size()) {
      const size_t end = result.output.find('\n', begin);
      const std::string line = result.output.substr(begin, end - begin);
      if (line.starts_with("  ") && !line.starts_with("  no key at hand"))
        lines += line + "\n";
      if (end == std::string::npos) break;
      begin = end + 1;
    }
    return lines;
  }
  static void ExpectNamed(const CommandResult& result, const Mutant& mutant) {
    if (!result.status.ok()) {
      EXPECT_THAT(result.output, HasSubstr("(")) << mutant.what;
      return;
    }
    const std::string lines = Lines(result);
    EXPECT_TRUE(std::any_of(mutant.names.begin(), mutant.names.end(),
                            [&](const std::string& name) {
                              return lines.find(name) != lines.npos;
                            }))
        << mutant.what << "\n"
        << result.output;
  }
  void Everything(const std::string& role) {
    auto [content, version] = InForce(role);
    content["version"] = ++version;
    const CommandResult same = Look(role, version, content);
    ASSERT_TRUE(same.status.ok()) << same.output;
    EXPECT_THAT(same.output, HasSubstr("the same content"));
    std::vector<Mutant> mutants;
    Mutate(content, json::json_pointer(), mutants);
    ASSERT_GT(mutants.size(), 15u);
    for (const Mutant& mutant : mutants)
      ExpectNamed(Look(role, version, mutant.document), mutant);
    ASSERT_OK(fs_.Remove(Draft(role, version)));
  }
  CommandResult LookAtTargets(const std::function<void(json&)>& change) {
    auto [content, version] = InForce("targets");
    content["version"] = ++version;
    change(content["delegations"]["roles"]);
    return Look("targets", version, content);
  }
};

TEST_F(Review, T01_T08_NothingOfAnyRoleChangesUnseen) {
  for (const char* role :
       {"root", "targets", "policy", "fw-gateway", "director"}) {
    SCOPED_TRACE(role);
    Everything(role);
  }
}

TEST_F(Review, T53_NothingOfTheAccessPolicyChangesUnseen) {
  json policy = Policy();
  policy["version"] = "5";
  std::vector<Mutant> mutants;
  Mutate(policy, json::json_pointer(), mutants);
  auto [content, version] = InForce("policy");
  content["version"] = ++version;
  for (const Mutant& mutant : mutants) {
    const std::string text = mutant.document.dump();
    const std::string digest = HexEncode(crypto::Sha256Digest(text));
    ASSERT_OK(fs_.WriteAtomic(
        Repo() + "/targets/policy/" + digest + ".access.json", text));
    json& target = content["targets"]["policy/access.json"];
    target["length"] = text.size();
    target["hashes"]["sha256"] = digest;
    ExpectNamed(Look("policy", version, content), mutant);
  }
}

// The way by which a thief of the online key would get himself into the policy:
// a draft that lets the director answer first.
TEST_F(Review, T09_T53_TheDirectorIsNeverLetAtThePolicy) {
  const auto role = [](json& roles, const std::string& name) -> json& {
    return *std::find_if(roles.begin(), roles.end(),
                         [&](const json& r) { return r["name"] == name; });
  };
  const std::vector<std::pair<std::string, std::function<void(json&)>>> ways = {
      {"hash prefixes, first, terminating, and a field nobody knows",
       [&](json& roles) {
         json director = role(roles, "director");
         director.erase("paths");
         director["path_hash_prefixes"] = {""};
         director["terminating"] = true;
         director["note"] = "harmless";
         roles.erase(roles.end() - 1);
         roles.insert(roles.begin() + 2, director);
       }},
      {"before the policy",
       [&](json& roles) { std::swap(roles[2], roles[3]); }},
      {"terminating",
       [&](json& roles) { role(roles, "director")["terminating"] = true; }},
      {"more paths",
       [&](json& roles) {
         role(roles, "director")["paths"].push_back("policy/*");
       }},
      {"other paths",
       [&](json& roles) { role(roles, "director")["paths"] = {"*/*"}; }},
      {"the policy by a hash prefix",
       [&](json& roles) {
         json& policy = role(roles, "policy");
         policy.erase("paths");
         policy["path_hash_prefixes"] = {"0"};
       }},
      {"a role beside the three",
       [&](json& roles) {
         json other = role(roles, "director");
         other["name"] = "helper";
         other["paths"] = {"policy/*"};
         roles.insert(roles.begin() + 2, other);
       }},
  };
  for (const auto& [what, change] : ways) {
    const CommandResult result = LookAtTargets(change);
    EXPECT_FALSE(result.status.ok()) << what;
    EXPECT_THAT(result.output, HasSubstr("(bad_delegation)")) << what;
  }
  auto [content, version] = InForce("targets");
  content["version"] = ++version;
  json& delegations = content["delegations"];
  const json director = role(delegations["roles"], "director");
  delegations.erase("roles");
  delegations["succinct_roles"] = {{"keyids", director["keyids"]},
                                   {"threshold", 1},
                                   {"bit_length", 1},
                                   {"name_prefix", "bin"}};
  EXPECT_THAT(Look("targets", version, content).output,
              HasSubstr("(bad_delegation)"));
  // Nor do the roles below let anybody else in.
  for (const char* below : {"policy", "fw-gateway"}) {
    auto [signed_part, number] = InForce(below);
    signed_part["version"] = ++number;
    signed_part["delegations"] = InForce("targets").first["delegations"];
    EXPECT_THAT(Look(below, number, signed_part).output,
                HasSubstr("(bad_delegation)"));
    ASSERT_OK(fs_.Remove(Draft(below, number)));
  }
}

TEST_F(Review, WhatAFileSaysThatNobodyKnowsIsShownByInspectAndDiff) {
  auto [content, version] = InForce("targets");
  content["delegations"]["roles"][0]["note"] = "\x1b[2Jx";
  content["delegations"]["roles"][3].erase("paths");
  content["delegations"]["roles"][3]["path_hash_prefixes"] = {"0a"};
  const json file = {{"signed", content}, {"signatures", json::array()}};
  ASSERT_OK(fs_.WriteAtomic(dir_.File("odd.json"), file.dump()));
  const std::string shown = Must({"inspect", dir_.File("odd.json")});
  EXPECT_THAT(shown, HasSubstr("path_hash_prefixes 0a"));
  EXPECT_THAT(shown, HasSubstr(R"(note: "\u001b[2Jx")"));
  EXPECT_THAT(shown, Not(HasSubstr("\x1b")));
  const std::string path =
      fmt::format("{}/metadata/{}.targets.json", Repo(), version);
  EXPECT_THAT(Must({"diff", path, dir_.File("odd.json"), "--repo", Repo()}),
              HasSubstr(R"(note: "\u001b[2Jx")"));
  EXPECT_THAT(Must({"diff", path, path, "--repo", Repo()}),
              HasSubstr("no difference"));
  // Files of the plane, too.
  Must({"publish", "--repo", Repo(), "--keys", Keys("office")});
  Must({"publish", "--repo", Repo(), "--keys", Keys("office")});
  EXPECT_THAT(Must({"diff", Repo() + "/metadata/1.snapshot.json",
                    Repo() + "/metadata/2.snapshot.json", "--repo", Repo()}),
              HasSubstr("version: 2, was 1"));
}

}  // namespace
}  // namespace shoal::signing
