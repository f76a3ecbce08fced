// shoal completion: made from the commands themselves, so it is never stale.
#include <fmt/format.h>

#include "common/status.h"
#include "server/cli/command_line.h"

namespace shoal::cli {
namespace {

std::string OptionWords(const CLI::App& app) {
  std::string words;
  for (const CLI::Option* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) {
      words += (words.empty() ? "--" : " --") + name;
    }
  }
  return words;
}

// One case line a command path: its sub-commands and options.
void AppendCases(const CLI::App& app, const std::string& path,
                 std::string& out) {
  std::string words;
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    words += (words.empty() ? "" : " ") + command->get_name();
  }
  const std::string options = OptionWords(app);
  if (!words.empty() && !options.empty()) words += " ";
  out += fmt::format("    '{}') words='{}' ;;\n", path, words + options);
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    AppendCases(
        *command,
        path.empty() ? command->get_name() : path + " " + command->get_name(),
        out);
  }
}

struct ShellOptions {
  const CLI::App* app = nullptr;
};

absl::Status Print(Program& program, const ShellOptions& options) {
  program.PrintText(BashCompletion(*options.app));
  return absl::OkStatus();
}

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  std::string cases;
  AppendCases(app, "", cases);
  return fmt::format(
      R"(# bash completion for shoal:  source <(shoal completion bash)
_shoal() {{
  local path='' word words='' index
  for ((index = 1; index < COMP_CWORD && index < 3; index++)); do
    word=${{COMP_WORDS[index]}}
    [[ $word == -* ]] && break
    path="${{path:+$path }}$word"
  done
  case "$path" in
{}    *) return ;;
  esac
  COMPREPLY=($(compgen -W "$words {}" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _shoal shoal
)",
      cases, OptionWords(app));
}

void AddCompletionCommands(CLI::App& app, Program& program) {
  CLI::App* group = AddGroup(app, "completion", "Completion for shells");
  auto options = std::make_shared<ShellOptions>();
  options->app = &app;
  OnRun(AddCommand(*group, "bash", "A script for bash",
                   "completion bash > /etc/bash_completion.d/shoal"),
        program, options, Print);
}

}  // namespace shoal::cli
