// shoal log: the release log, checked and read without shoald.
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "absl/time/clock.h"
#include "common/bytes.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/fleet_view.h"
#include "server/cli/log_walk.h"
#include "server/cli/parse.h"
#include "server/cli/records_session.h"
#include "shoal/log/v1/log.pb.h"
#include "signing/log/files.h"
#include "signing/log/merkle.h"

namespace shoal::cli {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(10);
constexpr absl::Duration kLookUp = absl::Seconds(5);

struct LogOptions {
  std::string tree;
  std::string kind;
  uint64_t limit = 50;
  uint64_t index = 0;
};

// Where a log comes from: an exported tree, or the storage nodes.
struct LogSource {
  FetchLogBundle bundle;
  std::unique_ptr<RecordsSession> session;  // null: a tree
  std::unique_ptr<signing::Updater> trust;
};

absl::StatusOr<LogSource> OpenSource(Program& program,
                                     const LogOptions& options) {
  LogSource source;
  SHOAL_ASSIGN_OR_RETURN(const Context* context, program.CurrentContext());
  // What shoald has to say is verified like anybody's; it need not be there.
  if (options.tree.empty()) {
    const auto plane = program.Plane();
    const absl::Status refreshed =
        plane.ok() ? program.RefreshNetwork(*context, **plane) : plane.status();
    if (ReasonOf(refreshed) == "log_fork") return refreshed;
    if (!refreshed.ok())
      program.Remark("shoald is not asked (" +
                     std::string(refreshed.message()) +
                     "): the log is read from the storage nodes alone");
  }
  SHOAL_ASSIGN_OR_RETURN(const auto network, program.StoredNetwork());
  // First: it writes what it hears into the same store.
  if (options.tree.empty()) {
    SHOAL_ASSIGN_OR_RETURN(source.session,
                           RecordsSession::Open(program, kTimeout));
  }
  SHOAL_ASSIGN_OR_RETURN(
      source.trust,
      OpenTrust(*context, network, program.fs(), program.clock()));
  if (!options.tree.empty()) {
    signing::DirectoryFetcher tree(program.fs(), options.tree);
    SHOAL_RETURN_IF_ERROR(Annotate(source.trust->Refresh(tree), options.tree));
    const std::string directory = JoinPath(options.tree, "log");
    FileSystem& fs = program.fs();
    source.bundle = [&fs, directory](uint64_t n) {
      std::vector<std::string> found;
      auto bytes = fs.Read(JoinPath(directory, signing::LogEntriesName(n)),
                           signing::kMaxLogBundleBytes);
      if (bytes.ok()) found.push_back(*std::move(bytes));
      return found;
    };
    return source;
  }
  SHOAL_RETURN_IF_ERROR(source.trust->UseStored(/*allow_expired=*/true));
  source.bundle = [session = source.session.get()](uint64_t n) {
    std::vector<std::string> found;
    const auto records = session->network().GetBlocking(
        session->places().LogEntries(n), kLookUp);
    if (!records.ok()) return found;
    for (const auto& record : *records)
      if (record.body.kind() == records::v1::RECORD_KIND_LOG_ENTRIES)
        found.push_back(record.body.payload());
    return found;
  };
  return source;
}

// Timestamps that anybody in the network was given: the heads that are pushed
// and what devices and nodes say that they have seen.
std::set<std::string> OtherTimestamps(RecordsSession& session,
                                      const signing::Updater& trust) {
  std::set<std::string> timestamps;
  const auto look = [&](const std::string& place) {
    const auto records = session.network().GetBlocking(place, kLookUp);
    if (!records.ok()) return;
    for (const auto& record : *records) {
      records::v1::Head head;
      records::v1::LogWitness witness;
      if (record.body.kind() == records::v1::RECORD_KIND_HEAD &&
          head.ParseFromString(record.body.payload()))
        timestamps.insert(head.timestamp());
      if (record.body.kind() == records::v1::RECORD_KIND_LOG_WITNESS &&
          witness.ParseFromString(record.body.payload()))
        for (const std::string& one :
             {witness.timestamp(), witness.contradicts()})
          if (!one.empty()) timestamps.insert(one);
    }
  };
  for (uint32_t shard = 0; shard < dht::kLogWitnessShards; ++shard)
    look(session.places().LogWitness(shard));
  if (trust.targets().delegations)
    for (const auto& role : trust.targets().delegations->roles)
      if (role.name.starts_with("fw-"))
        look(session.places().Head(role.name.substr(3)));
  return timestamps;
}

// The bundle `n` with more than `more_than` entries, as soon as a node has it.
std::optional<std::string> WaitForBundle(RecordsSession& session, uint64_t n,
                                         size_t more_than,
                                         absl::Duration timeout) {
  struct Arrival {
    std::mutex mutex;
    std::condition_variable arrived;
    std::optional<std::string> bundle;
  };
  const auto arrival = std::make_shared<Arrival>();
  const dht::ListenToken token = session.network().Listen(
      session.places().LogEntries(n),
      [arrival, more_than](const dht::VerifiedRecord& record) {
        if (record.body.kind() != records::v1::RECORD_KIND_LOG_ENTRIES) return;
        const auto entries = signing::ParseLogEntries(record.body.payload());
        if (!entries.ok() || entries->size() <= more_than) return;
        std::lock_guard lock(arrival->mutex);
        arrival->bundle = record.body.payload();
        arrival->arrived.notify_all();
      });
  std::optional<std::string> bundle;
  {
    std::unique_lock lock(arrival->mutex);
    arrival->arrived.wait_for(lock, absl::ToChronoMilliseconds(timeout),
                              [&] { return arrival->bundle.has_value(); });
    bundle = arrival->bundle;
  }
  session.network().Cancel(token);
  return bundle;
}

// shoald answers with a head as soon as it is signed, a moment before the nodes
// hold its last entries: they get ten seconds. Fewer entries than that are
// CheckEntries' matter.
absl::StatusOr<LogEntries> EntriesUpTo(Program& program,
                                       const LogSource& source,
                                       const log::v1::LogPoint& head) {
  const absl::Time end = absl::Now() + kTimeout;
  std::map<uint64_t, std::string> pushed;
  const auto bundles = [&](uint64_t n) {
    std::vector<std::string> found = source.bundle(n);
    if (const auto it = pushed.find(n); it != pushed.end())
      found.push_back(it->second);
    return found;
  };
  for (bool said = false;; said = true) {
    SHOAL_ASSIGN_OR_RETURN(LogEntries entries, ReadLogEntries(bundles));
    const size_t size = entries.bytes.size();
    if (size >= head.size() || !source.session) return entries;
    if (!said) program.Remark("waiting for the newest entries");
    const uint64_t n = size / signing::kLogBundle;
    auto bundle =
        WaitForBundle(*source.session, n, size % signing::kLogBundle,
                      std::max(end - absl::Now(), absl::ZeroDuration()));
    if (!bundle) return entries;
    pushed[n] = *std::move(bundle);
  }
}

absl::Status CheckEntries(const LogEntries& entries, EntriesFetcher& proofs,
                          const log::v1::LogPoint& head) {
  if (entries.bytes.size() < head.size())
    return Unavailable(
        "log_incomplete",
        fmt::format("{} of the {} entries that are signed are to be had now",
                    entries.bytes.size(), head.size()));
  SHOAL_ASSIGN_OR_RETURN(
      const std::string root,
      signing::LogRoot(head.size(),
                       signing::NodesFromTiles([&](const std::string& name) {
                         return proofs.FetchLog(name, 0, 0);
                       })));
  if (root != head.root())
    return DataLoss(
        "log_entries_differ",
        fmt::format("the {} entries that are handed out give {}, "
                    "signed is {}",
                    head.size(), HexEncode(root), HexEncode(head.root())));
  return absl::OkStatus();
}

absl::Status Verify(Program& program, const LogOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(LogSource source, OpenSource(program, options));
  signing::Updater& trust = *source.trust;
  const log::v1::LogPoint head = trust.log().head();
  if (trust.log().has_fork())
    return FailedPrecondition("log_fork", trust.log().fork().explanation());
  if (head.size() == 0)
    return NotFound("no_log",
                    "the fleet's metadata names no release log yet; with "
                    "shoald of this version up: shoal context refresh");
  SHOAL_ASSIGN_OR_RETURN(const LogEntries entries,
                         EntriesUpTo(program, source, head));
  SHOAL_ASSIGN_OR_RETURN(EntriesFetcher proofs, EntriesFetcher::Make(entries));
  SHOAL_RETURN_IF_ERROR(CheckEntries(entries, proofs, head));
  const std::vector<std::string> missing = MissingFromLog(trust, entries);
  if (!missing.empty())
    return DataLoss("not_in_log", "in force, but not in the release log: " +
                                      JoinSorted(missing));
  size_t compared = 0, unsigned_ones = 0, unproven = 0;
  if (source.session) {
    for (const std::string& timestamp :
         OtherTimestamps(*source.session, trust)) {
      const auto verdict = trust.CompareLog(proofs, timestamp);
      if (ReasonOf(verdict.status()) == "log_unproven") {
        ++unproven;
      } else if (!verdict.ok()) {
        ++unsigned_ones;
      } else if (*verdict == signing::LogVerdict::kFork) {
        return FailedPrecondition("log_fork", trust.log().fork().explanation());
      } else {
        ++compared;
      }
    }
  }
  if (program.json()) {
    program.PrintText(JsonObject()
                          .Number("entries", head.size())
                          .Text("root", HexEncode(head.root()))
                          .Number("heads_compared", compared)
                          .Number("heads_unproven", unproven)
                          .ToString() +
                      "\n");
  } else {
    program.PrintText(fmt::format(
        "entries        {}\nroot           {}\nmetadata       all in the "
        "log\nother heads    {} agree, {} not connected yet, {} not of keys in "
        "force\n",
        head.size(), HexEncode(head.root()), compared, unproven,
        unsigned_ones));
  }
  return absl::OkStatus();
}

absl::StatusOr<LogEntries> SignedEntries(Program& program,
                                         const LogOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(LogSource source, OpenSource(program, options));
  const log::v1::LogPoint head = source.trust->log().head();
  SHOAL_ASSIGN_OR_RETURN(LogEntries entries,
                         EntriesUpTo(program, source, head));
  SHOAL_ASSIGN_OR_RETURN(EntriesFetcher proofs, EntriesFetcher::Make(entries));
  SHOAL_RETURN_IF_ERROR(CheckEntries(entries, proofs, head));
  entries.bytes.resize(head.size());
  entries.leaves.resize(head.size());
  return entries;
}

std::string EntryJson(uint64_t index, const signing::LogLeaf& leaf) {
  return JsonObject()
      .Number("index", index)
      .Text("kind", signing::LogLeafKindName(leaf.kind))
      .Text("name", leaf.name)
      .Number("number", leaf.number)
      .Text("sha256", HexEncode(leaf.sha256))
      .ToString();
}

absl::Status List(Program& program, const LogOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const LogEntries entries,
                         SignedEntries(program, options));
  Table table({"INDEX", "KIND", "NAME", "NUMBER", "SHA256"});
  std::vector<uint64_t> shown;
  for (uint64_t i = entries.leaves.size(); i-- > 0;) {
    if (shown.size() == options.limit) break;
    if (options.kind.empty() ||
        signing::LogLeafKindName(entries.leaves[i].kind) == options.kind)
      shown.push_back(i);
  }
  std::string lines;
  for (auto it = shown.rbegin(); it != shown.rend(); ++it) {
    const signing::LogLeaf& leaf = entries.leaves[*it];
    lines += EntryJson(*it, leaf) + "\n";
    table.AddRow({std::to_string(*it), signing::LogLeafKindName(leaf.kind),
                  leaf.name, std::to_string(leaf.number),
                  HexEncode(leaf.sha256).substr(0, 16)});
  }
  program.PrintText(program.json() ? lines : table.Render());
  return absl::OkStatus();
}

absl::Status Show(Program& program, const LogOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const LogEntries entries,
                         SignedEntries(program, options));
  if (options.index >= entries.leaves.size())
    return NotFound("no_such_entry", fmt::format("the log has entries 0 to {}",
                                                 entries.leaves.size() - 1));
  const signing::LogLeaf& leaf = entries.leaves[options.index];
  if (program.json()) {
    program.PrintText(EntryJson(options.index, leaf) + "\n");
  } else {
    program.PrintText(fmt::format(
        "index          {}\nkind           {}\nname           {}\nnumber    "
        "     {}\nsha256         {}\nleaf hash      {}\n",
        options.index, signing::LogLeafKindName(leaf.kind), leaf.name,
        leaf.number, HexEncode(leaf.sha256),
        HexEncode(signing::LogLeafHash(entries.bytes[options.index]))));
  }
  return absl::OkStatus();
}

}  // namespace

void AddLogCommands(CLI::App& app, Program& program) {
  CLI::App* group = AddGroup(
      app, "log", "The release log: all that was published or signed online");
  const auto add = [&](const char* name, const char* description,
                       const char* examples, const auto& run) {
    auto options = std::make_shared<LogOptions>();
    CLI::App* command = AddCommand(*group, name, description, examples);
    command->add_option("--tree", options->tree,
                        "An exported tree instead of the storage nodes");
    OnRun(command, program, options, run);
    return std::pair(command, options);
  };
  add("verify",
      "Recompute the log, look for the metadata in force in it, and compare "
      "what devices have seen",
      "log verify\nlog verify --tree /srv/www/fleet", Verify);
  auto [list, list_options] = add("list", "Its newest entries",
                                  "log list\nlog list --kind credential", List);
  list->add_option("--kind", list_options->kind, "Only these")
      ->check(CLI::IsMember({"metadata", "target", "credential"}));
  list->add_option("--limit", list_options->limit, "How many at most");
  auto [show, show_options] = add("show", "One entry", "log show 42", Show);
  show->add_option("index", show_options->index, "Number of the entry")
      ->required();
}

}  // namespace shoal::cli
