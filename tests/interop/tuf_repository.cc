#include "tests/interop/tuf_repository.h"

#include "absl/time/clock.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "signing/sign/builder.h"
#include "signing/verify/fetcher.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

using signing::DelegatedRole;
using signing::Targets;

class Maker {
 public:
  explicit Maker(std::string directory) : directory_(std::move(directory)) {}

  TufRepository Make();

 private:
  const crypto::SigningKey& Secret(const std::string& name) {
    const auto it = secrets_.find(name);
    if (it != secrets_.end()) return it->second;
    return secrets_.emplace(name, crypto::SigningKey::Generate()).first->second;
  }
  signing::Key Public(const std::string& name) {
    return signing::MakeEd25519Key(Secret(name).public_key());
  }
  void Write(const std::string& name, const std::string& bytes) {
    const std::string path = JoinPath(directory_, name);
    ASSERT_OK(
        RealFileSystem().MakeDirectories(path.substr(0, path.rfind('/'))));
    ASSERT_OK(RealFileSystem().WriteAtomic(path, bytes));
  }
  void Root(uint64_t version, const std::vector<std::string>& keys,
            const std::vector<std::string>& signers);
  void Add(const std::string& role, const std::string& path,
           const std::string& bytes, const std::string& custom = "");
  DelegatedRole& Delegate(const std::string& parent, const std::string& role,
                          std::vector<std::string> patterns);
  void Publish();

  const std::string directory_;
  const absl::Time expires_ = absl::Now() + absl::Hours(24 * 30);
  std::map<std::string, crypto::SigningKey> secrets_;
  std::map<std::string, Targets> roles_;
  std::map<std::string, std::string> signer_;  // role → key, when not its own
  TufRepository result_;
};

void Maker::Root(uint64_t version, const std::vector<std::string>& keys,
                 const std::vector<std::string>& signers) {
  signing::Root root;
  root.version = version;
  root.expires = expires_;
  const auto give = [&](const std::string& role,
                        const std::vector<std::string>& names,
                        uint32_t threshold) {
    root.roles[role].threshold = threshold;
    for (const std::string& name : names) {
      const signing::Key key = Public(name);
      root.keys.emplace(key.id, key);
      root.roles[role].key_ids.push_back(key.id);
    }
  };
  give("root", keys, 2);
  for (const char* role : {"targets", "snapshot", "timestamp"})
    give(role, {role}, 1);
  signing::Signers secrets;
  for (const std::string& name : signers) secrets.push_back(&Secret(name));
  Write("metadata/" + signing::MetadataFileName("root", version),
        signing::SignRoot(root, secrets).value());
}

DelegatedRole& Maker::Delegate(const std::string& parent,
                               const std::string& role,
                               std::vector<std::string> patterns) {
  roles_[role];
  Targets& by = roles_[parent];
  if (!by.delegations) by.delegations.emplace();
  const signing::Key key = Public(role);
  by.delegations->keys.emplace(key.id, key);
  by.delegations->roles.push_back(
      {role, {{key.id}, 1}, false, std::move(patterns), {}});
  return by.delegations->roles.back();
}

void Maker::Add(const std::string& role, const std::string& path,
                const std::string& bytes, const std::string& custom) {
  signing::TargetFile target;
  target.path = path;
  target.length = bytes.size();
  target.sha256 = crypto::Sha256Digest(bytes);
  target.custom = custom;
  roles_[role].targets[path] = target;
  result_.targets[path] = bytes;
  if (!custom.empty()) result_.custom[path] = custom;
  Write(signing::TargetFilePath(target).value(), bytes);
}

void Maker::Publish() {
  std::map<std::string, signing::RoleFile> files;
  for (auto& [name, content] : roles_) {
    content.version = 3;
    content.expires = expires_;
    const std::string by = signer_.contains(name) ? signer_[name] : name;
    files[name] = {3, signing::SignTargets(content, {&Secret(by)}).value()};
    Write("metadata/" + signing::MetadataFileName(name, 3), files[name].bytes);
  }
  const std::string snapshot =
      signing::BuildSnapshot(7, expires_, files, {&Secret("snapshot")}).value();
  Write("metadata/7.snapshot.json", snapshot);
  Write(
      "metadata/timestamp.json",
      signing::BuildTimestamp(9, expires_, 7, snapshot, {&Secret("timestamp")},
                              signing::LogHead{7, std::string(32, 'r'), 6})
          .value());
}

TufRepository Maker::Make() {
  Root(1, {"root-a", "root-b", "root-c"}, {"root-a", "root-c"});
  Root(2, {"root-b", "root-c", "root-d"}, {"root-b", "root-c"});
  Delegate("targets", "fw-gateway", {"fw/gateway/*/*"}).terminating = true;
  Delegate("targets", "director", {"director/*/*/*"});
  Delegate("director", "director-gateway", {"director/gateway/deltas/*"});
  Delegate("targets", "awkward", {"awkward/*"});
  Delegate("targets", "binner", {"bins/*"});
  auto& bins = roles_["binner"].delegations.emplace();
  bins.keys.emplace(Public("bins").id, Public("bins"));
  bins.succinct = signing::SuccinctRoles{{{Public("bins").id}, 1}, 3, "bin"};
  for (uint32_t index = 0; index < 8; ++index) {
    const std::string bin = signing::SuccinctBin(*bins.succinct, index).name;
    roles_[bin];
    signer_[bin] = "bins";
  }
  for (const bool low : {true, false}) {
    DelegatedRole& half = Delegate("targets", low ? "low" : "high", {});
    for (const char digit : std::string(low ? "01234567" : "89abcdef"))
      half.path_hash_prefixes.emplace_back(1, digit);
  }

  Add("targets", "top", "of the top role");
  Add("fw-gateway", "fw/gateway/1.4.0/image", std::string(100'000, 'i'),
      R"({"shoal":{"counter":7,"device_type":"gateway"}})");
  Add("director-gateway", "director/gateway/deltas/1.3.0-1.4.0", "a delta",
      R"({"shoal":{"from":"aa","mode":"sdelta","memory":[1,2],"none":null,)"
      R"("text":"quote \" back\\slash, line\n, é 🐟"}})");
  // None begins with a dot: tuf-js, unlike others, has '*' not match that.
  for (const char* name :
       {"a b", "a+b", "a&b=c", "semi;colon", "at@", "(round)[square]{curly}",
        "it's", "\"quoted\"", "~tilde!", "comma,", "$dollar", "a:b"})
    Add("awkward", std::string("awkward/") + name, name);
  for (int i = 0; i < 16; ++i) {
    const std::string path = "bins/" + std::to_string(i);
    Add(signing::RolesFor(bins, path)[0].name, path, "binned " + path);
    const std::string other = "halves/" + std::to_string(i);
    const bool low =
        static_cast<unsigned char>(crypto::Sha256Digest(other)[0]) < 0x80;
    Add(low ? "low" : "high", other, "half " + other);
  }
  result_.absent = {"none", "fw/gateway/1.4.0/none", "fw/gateway/image",
                    "bins/none", "awkward/none"};
  Publish();
  return result_;
}

}  // namespace

TufRepository MakeTufRepository(const std::string& directory) {
  return Maker(directory).Make();
}

}  // namespace shoal::testing
