// The way of a draft from custodian to custodian.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/tool/change.h"
#include "signing/tool/checks.h"
#include "signing/tool/commands.h"
#include "signing/tool/difference.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::signing {
namespace {

// What a signature is over, and the signatures' bearer.
absl::StatusOr<SignedBytes> EnvelopeOf(const std::string& role,
                                       const std::string& bytes) {
  if (role == "root") {
    SHOAL_ASSIGN_OR_RETURN(ParsedRoot root, ParseRoot(bytes));
    return std::move(root.envelope);
  }
  SHOAL_ASSIGN_OR_RETURN(ParsedTargets targets, ParseTargets(bytes));
  return std::move(targets.envelope);
}

// Which of the four a file is.
absl::StatusOr<std::string> TypeOf(const std::string& bytes) {
  if (ParseRoot(bytes).ok()) return std::string("root");
  if (ParseSnapshot(bytes).ok()) return std::string("snapshot");
  if (ParseTimestamp(bytes).ok()) return std::string("timestamp");
  SHOAL_RETURN_IF_ERROR(ParseTargets(bytes));
  return std::string("targets");
}

absl::Status Confirm(const std::string& role) {
  FileDescriptor terminal(open("/dev/tty", O_RDWR | O_CLOEXEC));
  if (!terminal.valid())
    return FailedPrecondition(
        "not_confirmed", "no terminal to ask on; --yes signs without asking");
  const std::string question =
      fmt::format("Type {} to sign this, anything else not to: ", role);
  if (write(terminal.get(), question.data(), question.size()) < 0)
    return FailedPrecondition("not_confirmed", "the terminal does not answer");
  std::string answer;
  char c = 0;
  while (answer.size() < 200 && read(terminal.get(), &c, 1) == 1 && c != '\n')
    answer.push_back(c);
  if (answer == role) return absl::OkStatus();
  return FailedPrecondition("not_confirmed",
                            fmt::format("{} was not signed", role));
}

// The drafts of `roles`, or all.
absl::StatusOr<std::vector<std::string>> Chosen(
    const Tree& tree, std::vector<std::string> roles) {
  if (roles.empty())
    for (const auto& [role, file] : tree.drafts()) roles.push_back(role);
  if (roles.empty())
    return NotFound("no_such_draft", "nothing waits for signatures");
  for (const std::string& role : roles)
    if (!tree.drafts().contains(role))
      return NotFound(
          "no_such_draft",
          fmt::format("no version of {} waits for signatures", role));
  return roles;
}

// `ours` with the signatures of `theirs`. "other_content": two drafts of one
// version, which nobody can sign both.
absl::StatusOr<std::string> Combine(const std::string& role, uint64_t version,
                                    const std::string& ours,
                                    const std::string& theirs) {
  SHOAL_ASSIGN_OR_RETURN(const SignedBytes a, EnvelopeOf(role, ours));
  SHOAL_ASSIGN_OR_RETURN(const SignedBytes b, EnvelopeOf(role, theirs));
  if (a.canonical_signed != b.canonical_signed)
    return DataLoss(
        "other_content",
        fmt::format("version {} of {} has other content there; compare them "
                    "(shoal-sign diff), then drop one (shoal-sign drop {})",
                    version, role, role));
  return MergeSignatures(ours, theirs);
}

// Policy documents and images that the tree lacks.
absl::Status CopyTargets(const Tree& tree, const std::string& other,
                         const std::string& role, const std::string& bytes) {
  if (role == "root") return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const ParsedTargets parsed, ParseTargets(bytes));
  FileSystem& fs = RealFileSystem();
  for (const auto& [path, target] : parsed.value.targets) {
    SHOAL_ASSIGN_OR_RETURN(const std::string name, TargetFilePath(target));
    const std::string to = JoinPath(tree.repository(), name);
    const std::string from = JoinPath(other, name);
    if (fs.Exists(to) || !fs.Exists(from)) continue;
    if (role == "policy") {
      SHOAL_ASSIGN_OR_RETURN(const std::string text,
                             fs.Read(from, kMaxPolicyBytes));
      SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(to.substr(0, to.rfind('/'))));
      SHOAL_RETURN_IF_ERROR(fs.WriteAtomic(to, text));
    } else {
      fmt::print("note: copy {} yourself; it is an image\n", name);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunKeyCreate(const Options& options,
                          const std::vector<std::string>& names) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options, true));
  if (work->keys() == nullptr)
    return InvalidArgument("no_keys", "say where with --keys");
  for (const std::string& name : names) {
    SHOAL_ASSIGN_OR_RETURN(const crypto::SigningKey key,
                           work->keys()->Create(name));
    fmt::print("{} {}\n", JoinPath(options.keys, name + ".pub"),
               HexEncode(key.public_key()));
  }
  return absl::OkStatus();
}

absl::Status RunSign(const Options& options, std::vector<std::string> roles) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options));
  Tree& tree = work->tree();
  SHOAL_ASSIGN_OR_RETURN(roles, Chosen(tree, std::move(roles)));
  int added = 0;
  for (const std::string& role : roles) {
    RoleFile file = tree.drafts().at(role);
    SHOAL_RETURN_IF_ERROR(Review(tree, role, file));
    const std::string before = file.bytes;
    SHOAL_RETURN_IF_ERROR(
        SignDraft(*work, tree.With(tree.drafts()), role, file));
    if (file.bytes == before) {
      fmt::print("  no key at hand has anything to add\n");
      continue;
    }
    ++added;
    if (options.dry_run) continue;
    if (!options.yes) SHOAL_RETURN_IF_ERROR(Confirm(role));
    SHOAL_RETURN_IF_ERROR(tree.PutDraft(role, std::move(file)));
  }
  if (options.dry_run) {
    fmt::print("dry run: nothing was written\n");
    return absl::OkStatus();
  }
  SHOAL_RETURN_IF_ERROR(PromoteAndReport(tree));
  if (added > 0) return absl::OkStatus();
  return FailedPrecondition("not_enough_keys",
                            "none of these roles names a key in " +
                                (options.keys.empty() ? "--keys, which is not "
                                                        "given"
                                                      : options.keys) +
                                " that has not signed yet");
}

absl::Status RunMerge(const Options& options, const std::string& other) {
  if (!RealFileSystem().Exists(other))
    return NotFound("io_not_found", other + " does not exist");
  SHOAL_ASSIGN_OR_RETURN(Tree tree, Tree::Load(options.repository));
  SHOAL_ASSIGN_OR_RETURN(const Tree theirs, Tree::Load(other));
  // What came into force there is a draft here that has all it needs.
  RoleFiles incoming = theirs.drafts();
  for (const auto& [role, file] : theirs.in_force()) {
    const auto ours = tree.in_force().find(role);
    if (ours != tree.in_force().end() && ours->second.version == file.version &&
        ours->second.bytes != file.bytes) {
      // The same content with other signatures is no contradiction, but for
      // the first root, whose bytes are the fleet's id.
      SHOAL_RETURN_IF_ERROR(
          Combine(role, file.version, ours->second.bytes, file.bytes));
      if (role == "root" && file.version == 1)
        return DataLoss("wrong_fleet", other + " is another fleet's");
    }
    if (file.version >= tree.NextVersion(role)) incoming[role] = file;
  }
  for (auto& [role, file] : incoming) {
    if (file.version < tree.NextVersion(role)) continue;
    if (file.version > tree.NextVersion(role))
      return FailedPrecondition(
          "wrong_version",
          fmt::format("{} {} is there and {} is next here: copy the missing "
                      "versions to {}/metadata first",
                      role, file.version, tree.NextVersion(role),
                      tree.repository()));
    if (const auto ours = tree.drafts().find(role);
        ours != tree.drafts().end()) {
      SHOAL_ASSIGN_OR_RETURN(
          file.bytes,
          Combine(role, file.version, ours->second.bytes, file.bytes));
    }
    SHOAL_RETURN_IF_ERROR(CopyTargets(tree, other, role, file.bytes));
    SHOAL_RETURN_IF_ERROR(Review(tree, role, file));
    if (!options.dry_run)
      SHOAL_RETURN_IF_ERROR(tree.PutDraft(role, std::move(file)));
  }
  if (options.dry_run) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(theirs.CopyKeyNames(tree));
  return PromoteAndReport(tree);
}

absl::Status RunDrop(const Options& options, const std::string& role) {
  SHOAL_ASSIGN_OR_RETURN(Tree tree, Tree::Load(options.repository));
  if (options.dry_run) {
    SHOAL_ASSIGN_OR_RETURN(const auto roles, Chosen(tree, {role}));
    fmt::print("dry run: the draft of {} would be dropped\n", roles.front());
    return absl::OkStatus();
  }
  SHOAL_RETURN_IF_ERROR(tree.DropDraft(role));
  fmt::print("the draft of {} is gone\n", role);
  return absl::OkStatus();
}

absl::Status RunStatus(const Options& options) {
  SHOAL_ASSIGN_OR_RETURN(const Tree tree, Tree::Load(options.repository));
  const absl::Time now = SystemClock().WallNow();
  absl::Status bad;
  for (const auto& [role, why] : Failing(tree.in_force(), tree.in_force())) {
    fmt::print("{}: NOT VERIFIED: {}\n", role, std::string(why.message()));
    bad = why;
  }
  for (const auto& [role, file] : tree.in_force()) {
    absl::Time expires;
    if (role == "root") {
      SHOAL_ASSIGN_OR_RETURN(const ParsedRoot root, ParseRoot(file.bytes));
      expires = root.value.expires;
    } else {
      SHOAL_ASSIGN_OR_RETURN(const ParsedTargets t, ParseTargets(file.bytes));
      expires = t.value.expires;
    }
    const auto authority = AuthorityOf(tree.in_force(), role);
    std::string keys = "nobody delegates to it any more";
    if (authority.ok()) {
      keys = fmt::format("{} of:", authority->role.threshold);
      for (const std::string& id : authority->role.key_ids)
        if (const auto key = authority->keys.find(id);
            key != authority->keys.end())
          keys += " " + tree.NameOf(key->second.public_key);
    }
    const int64_t days = absl::ToInt64Hours(expires - now) / 24;
    fmt::print("{} {}: {}, expires {} ({})\n", role, file.version, keys,
               FormatExpires(expires),
               expires <= now ? "EXPIRED" : fmt::format("{} days", days));
  }
  SHOAL_RETURN_IF_ERROR(ReportDrafts(tree));
  return bad;
}

absl::Status RunDifference(const Options& options,
                           const std::vector<std::string>& what) {
  SHOAL_ASSIGN_OR_RETURN(const Tree tree, Tree::Load(options.repository));
  std::string role;
  std::string before;
  std::string after;
  if (what.size() == 2) {
    SHOAL_ASSIGN_OR_RETURN(before,
                           RealFileSystem().Read(what[0], kMaxTargetsBytes));
    SHOAL_ASSIGN_OR_RETURN(after,
                           RealFileSystem().Read(what[1], kMaxTargetsBytes));
    SHOAL_ASSIGN_OR_RETURN(role, TypeOf(after));
    SHOAL_ASSIGN_OR_RETURN(const std::string other, TypeOf(before));
    if (other != role)
      return InvalidArgument(
          "bad_metadata",
          fmt::format("{} is {}, {} is {}", what[0], other, what[1], role));
  } else {
    role = what.front();
    SHOAL_RETURN_IF_ERROR(Chosen(tree, {role}).status());
    after = tree.drafts().at(role).bytes;
    if (const auto old = tree.in_force().find(role);
        old != tree.in_force().end())
      before = old->second.bytes;
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string text,
                         Difference(tree, role, before, after));
  fmt::print("{}", text.empty() ? "no difference\n" : text);
  return absl::OkStatus();
}

}  // namespace shoal::signing
