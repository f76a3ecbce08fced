#include "signing/tool/change.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "signing/tool/checks.h"
#include "signing/tool/difference.h"
#include "signing/verify/updater.h"

namespace shoal::signing {
namespace {

// Public keys of `authority` that have a valid signature in `envelope`, and
// those that have none.
struct Signed {
  std::vector<std::string> by;
  std::vector<std::string> missing;
};

Signed SignaturesOf(const SignedBytes& envelope, const Authority& authority) {
  Signed result;
  for (const std::string& id : authority.role.key_ids) {
    const auto key = authority.keys.find(id);
    if (key == authority.keys.end()) continue;
    const RoleKeys alone{{id}, 1};
    const bool ok = VerifySignatures(envelope, authority.keys, alone, "").ok();
    (ok ? result.by : result.missing).push_back(key->second.public_key);
  }
  return result;
}

std::string Names(const Tree& tree, const std::vector<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys)
    text += (text.empty() ? "" : ", ") + tree.NameOf(key);
  return text.empty() ? "nobody" : text;
}

void ReportSignatures(const Tree& tree, const std::string& role,
                      uint64_t version, const char* as, const Signed& have,
                      size_t needed) {
  fmt::print("{} {}{}: {} of {} signatures, by {}\n", role, version, as,
             have.by.size(), needed, Names(tree, have.by));
  if (have.by.size() < needed)
    fmt::print("  {} more of: {}\n", needed - have.by.size(),
               Names(tree, have.missing));
}

absl::StatusOr<SignedBytes> EnvelopeOf(const std::string& role,
                                       const std::string& bytes) {
  if (role == "root") {
    SHOAL_ASSIGN_OR_RETURN(ParsedRoot root, ParseRoot(bytes));
    return std::move(root.envelope);
  }
  SHOAL_ASSIGN_OR_RETURN(ParsedTargets targets, ParseTargets(bytes));
  return std::move(targets.envelope);
}

}  // namespace

absl::Status Change::Propose(const Root& root) {
  Root next = root;
  next.version = work_.tree().NextVersion("root");
  next.expires = work_.Expires();
  SHOAL_ASSIGN_OR_RETURN(std::string bytes, SignRoot(next, {}));
  proposed_["root"] = {next.version, std::move(bytes)};
  return absl::OkStatus();
}

absl::Status Change::Propose(const std::string& role, const Targets& targets) {
  Targets next = targets;
  next.version = work_.tree().NextVersion(role);
  next.expires = work_.Expires();
  SHOAL_ASSIGN_OR_RETURN(std::string bytes, SignTargets(next, {}));
  proposed_[role] = {next.version, std::move(bytes)};
  return absl::OkStatus();
}

absl::Status Change::ProposeDependents() {
  // targets.json first: it may be asked for only because root changed.
  for (int round = 0; round < 2; ++round) {
    RoleFiles files = work_.tree().With(work_.tree().drafts());
    for (const auto& [role, file] : proposed_) files[role] = file;
    const auto& drafts = work_.tree().drafts();
    for (const auto& [role, why] : Failing(files, work_.tree().in_force())) {
      if (proposed_.contains(role) || drafts.contains(role) || role == "root")
        continue;
      if (ReasonOf(why) != "bad_signature") return Annotate(why, role);
      SHOAL_ASSIGN_OR_RETURN(const Targets same, work_.NewestTargets(role));
      SHOAL_RETURN_IF_ERROR(Propose(role, same));
    }
  }
  // A fleet without a plane signs for the director here, if it has the key.
  RoleFiles files = work_.tree().With(work_.tree().drafts());
  for (const auto& [role, file] : proposed_) files[role] = file;
  if (files.contains("director") && !proposed_.contains("director") &&
      !CheckRole(files, "director").ok()) {
    const auto authority = AuthorityOf(files, "director");
    if (authority.ok() && work_.RequireSigners("director", *authority).ok()) {
      SHOAL_ASSIGN_OR_RETURN(const Targets same,
                             work_.NewestTargets("director"));
      SHOAL_RETURN_IF_ERROR(Propose("director", same));
    }
  }
  return absl::OkStatus();
}

absl::Status Change::Finish() {
  SHOAL_RETURN_IF_ERROR(ProposeDependents());
  Tree& tree = work_.tree();
  RoleFiles files = tree.With(tree.drafts());
  for (const auto& [role, file] : proposed_) files[role] = file;
  for (auto& [role, file] : proposed_) {
    SHOAL_RETURN_IF_ERROR(Review(tree, role, file));
    SHOAL_RETURN_IF_ERROR(SignDraft(work_, files, role, file));
  }
  if (work_.options().dry_run) {
    fmt::print("dry run: nothing was written\n");
    return absl::OkStatus();
  }
  for (const auto& [role, file] : proposed_)
    SHOAL_RETURN_IF_ERROR(tree.PutDraft(role, file));
  return PromoteAndReport(tree);
}

absl::Status SignDraft(Workspace& work, const RoleFiles& files,
                       const std::string& role, RoleFile& file) {
  RoleFiles with = files;
  with[role] = file;
  SHOAL_ASSIGN_OR_RETURN(const Authority own, AuthorityOf(with, role));
  SHOAL_ASSIGN_OR_RETURN(file.bytes, work.SignWithKeysAtHand(file.bytes, own));
  if (role != "root" || !work.tree().in_force().contains("root"))
    return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const Authority old,
                         AuthorityOf(work.tree().in_force(), "root"));
  SHOAL_ASSIGN_OR_RETURN(file.bytes, work.SignWithKeysAtHand(file.bytes, old));
  return absl::OkStatus();
}

absl::Status Review(const Tree& tree, const std::string& role,
                    const RoleFile& file) {
  const auto in_force = tree.in_force().find(role);
  const bool first = in_force == tree.in_force().end();
  std::vector<std::string> notes;
  if (const absl::Status sound =
          CheckContent(tree, role, file, SystemClock().WallNow(), &notes);
      !sound.ok())
    return Annotate(sound, fmt::format("{} {}", role, file.version));
  SHOAL_ASSIGN_OR_RETURN(
      const std::string text,
      Difference(tree, role, first ? "" : in_force->second.bytes, file.bytes));
  fmt::print("{} {}{}\n{}", role, file.version,
             first ? ", the first version:"
                   : fmt::format(" against {}:", in_force->second.version),
             text.empty() ? "  the same content\n" : text);
  for (const std::string& note : notes) fmt::print("  note: {}\n", note);
  return absl::OkStatus();
}

absl::Status ReportDrafts(const Tree& tree) {
  const RoleFiles files = tree.With(tree.drafts());
  for (const auto& [role, file] : tree.drafts()) {
    SHOAL_ASSIGN_OR_RETURN(const SignedBytes envelope,
                           EnvelopeOf(role, file.bytes));
    const auto own = AuthorityOf(files, role);
    if (!own.ok()) {
      fmt::print("{} {}: {}\n", role, file.version,
                 std::string(own.status().message()));
      continue;
    }
    // The first root is signed by all of its keys (tree.h).
    const size_t needed = role == "root" && file.version == 1
                              ? own->role.key_ids.size()
                              : own->role.threshold;
    ReportSignatures(
        tree, role, file.version,
        role == "root" && file.version > 1 ? " (its own keys)" : "",
        SignaturesOf(envelope, *own), needed);
    if (role == "root" && tree.in_force().contains("root")) {
      SHOAL_ASSIGN_OR_RETURN(const Authority old,
                             AuthorityOf(tree.in_force(), "root"));
      ReportSignatures(tree, role, file.version, " (the keys in force)",
                       SignaturesOf(envelope, old), old.role.threshold);
    }
  }
  // What keeps signed drafts waiting, where it is none of them.
  for (const auto& [role, why] : Failing(files, tree.in_force()))
    if (!tree.drafts().contains(role))
      fmt::print("{}: {}\n", role, std::string(why.message()));
  if (!tree.drafts().empty())
    fmt::print(
        "next: carry {} to the next custodian, who runs\n"
        "  shoal-sign sign --repo REPO --keys KEYS\n",
        tree.repository());
  return absl::OkStatus();
}

absl::Status PromoteAndReport(Tree& tree) {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> roles, tree.Promote());
  for (const std::string& role : roles) {
    const RoleFile& file = tree.in_force().at(role);
    fmt::print("{} {}: in force\n", role, file.version);
    if (role == "root" && file.version == 1)
      fmt::print("fleet id: {}\n", HexEncode(crypto::Sha256Digest(file.bytes)));
  }
  return ReportDrafts(tree);
}

}  // namespace shoal::signing
