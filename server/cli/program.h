// What every command works with: the options that all share, the context, the
// ways to shoald, to storage nodes and into the network, and where it prints.
#ifndef SHOAL_SERVER_CLI_PROGRAM_H_
#define SHOAL_SERVER_CLI_PROGRAM_H_

#include <functional>
#include <istream>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/files.h"
#include "server/cli/context.h"
#include "server/cli/node_client.h"
#include "server/cli/output.h"
#include "server/cli/plane_client.h"

namespace shoal::cli {

struct GlobalOptions {
  std::string context_dir;  // empty: ContextStore::DefaultDirectory()
  std::string context;      // empty: the current one
  Format output = Format::kTable;
  std::string output_name = "table";
};

struct Streams {
  std::ostream& out;
  std::ostream& err;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  std::istream* in = nullptr;  // null: nobody is there to answer
};

// One command's run; one thread.
class Program {
 public:
  Program(FileSystem& fs, Clock& clock, Streams streams)
      : fs_(fs), clock_(clock), streams_(streams) {}

  FileSystem& fs() { return fs_; }
  Clock& clock() { return clock_; }
  Streams& streams() { return streams_; }
  GlobalOptions& options() { return options_; }
  bool json() const { return options_.output == Format::kJson; }

  // The command that the command line chose; set while it is parsed.
  void Choose(std::function<absl::Status()> action) {
    action_ = std::move(action);
  }
  // Runs it; afterwards, when shoald was reached, brings the context's network
  // part up to date (a failure of that is a warning).
  absl::Status Run();

  absl::StatusOr<ContextStore> Contexts();
  absl::StatusOr<const Context*> CurrentContext();
  // The operator's connection to shoald, opened once.
  absl::StatusOr<PlaneClient*> Plane();
  absl::StatusOr<std::unique_ptr<PlaneClient>> ConnectTo(
      const Context& context);
  absl::StatusOr<std::unique_ptr<NodeClient>> ConnectNode(
      const records::v1::NodeEntry& node, absl::Duration timeout);
  // What the context knows of the network.
  absl::StatusOr<fleet::v1::GetNetworkResponse> StoredNetwork();
  // Asks shoald, verifies, stores.
  absl::Status RefreshNetwork(const Context& context, PlaneClient& plane);

  // JSON: the message. Table: `table()`.
  void Print(const google::protobuf::Message& message,
             const std::function<std::string()>& table);
  // One message of a stream: JSON is one line.
  void PrintLine(const google::protobuf::Message& message,
                 const std::function<std::string()>& text);
  void PrintText(std::string_view text);
  // A remark for people, on standard error.
  void Remark(std::string_view text);

 private:
  FileSystem& fs_;
  Clock& clock_;
  Streams streams_;
  GlobalOptions options_;
  std::function<absl::Status()> action_;
  std::optional<Context> context_;
  std::unique_ptr<PlaneClient> plane_;
};

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_PROGRAM_H_
