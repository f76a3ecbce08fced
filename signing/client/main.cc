// shoal-tuf: a TUF client for any repository, with the verifier that devices
// have. Its command line is the one that TUF's public conformance suite calls.
#include <stdio.h>

#include <CLI/CLI.hpp>
#include <functional>

#include "common/log.h"
#include "common/status.h"
#include "signing/client/commands.h"
#ifdef SHOAL_INTEROP_ALGORITHMS
#include "signing/client/interop_algorithms.h"
#endif

namespace shoal::signing {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  shoal-tuf --metadata-dir m init root.json\n"
    "  shoal-tuf --metadata-dir m --metadata-url https://host/metadata "
    "refresh\n"
    "  shoal-tuf --metadata-dir m --metadata-url https://host/metadata "
    "--target-name a/b --target-dir t --target-base-url https://host/targets "
    "download\n"
    "Exit status: 0, or 1 for any error.";

int Main(int argc, char** argv) {
  InitLog("shoal-tuf", "warn");
  ClientOptions options;
  options.policy.dialect = Dialect::kStock;
#ifdef SHOAL_INTEROP_ALGORITHMS
  options.policy.algorithms = &InteropAlgorithms();
#endif
  CLI::App app("A client of repositories of The Update Framework");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(kExamples);
  app.add_option("--metadata-dir", options.metadata_directory,
                 "Where trusted metadata is kept")
      ->required();
  CLI::Option* const url = app.add_option(
      "--metadata-url", options.metadata_url, "The repository's metadata");
  CLI::Option* const names =
      app.add_option("--target-name", options.target_names,
                     "Path of a target; may be given several times")
          ->allow_extra_args(false);
  CLI::Option* const directory = app.add_option(
      "--target-dir", options.target_directory, "Where targets are put");
  CLI::Option* const target_url = app.add_option(
      "--target-base-url", options.target_url, "The repository's targets");

  std::function<absl::Status()> run;
  std::string root_file;
  CLI::App* command = app.add_subcommand(
      "init", "Trusts a root from now on; asks the repository nothing");
  command->add_option("root", root_file, "A root.json got by a trusted way")
      ->required();
  command->callback([&] { run = [&] { return RunInit(options, root_file); }; });
  command = app.add_subcommand("refresh", "Brings the metadata up to date");
  command->needs(url);
  command->callback([&] { run = [&] { return RunRefresh(options); }; });
  command = app.add_subcommand("download", "Refreshes, then fetches targets");
  for (CLI::Option* needed : {url, names, directory, target_url})
    command->needs(needed);
  command->callback([&] { run = [&] { return RunDownload(options); }; });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  const absl::Status status = run();
  if (status.ok()) return 0;
  fprintf(stderr, "shoal-tuf: %s (%s)\n", std::string(status.message()).c_str(),
          ReasonOf(status).c_str());
  return 1;
}

}  // namespace
}  // namespace shoal::signing

int main(int argc, char** argv) { return shoal::signing::Main(argc, argv); }
