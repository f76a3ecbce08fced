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

// One line for each sub-command and option, behind the condition that the
// words before are those of `path`.
void AppendFish(const CLI::App& app, const std::string& path,
                std::string& out) {
  const auto quoted = [](std::string text) {
    std::string safe;
    for (const char c : text) {
      if (c == '\'' || c == '\\') safe += '\\';
      safe += c;
    }
    return safe;
  };
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    out += fmt::format(
        "complete -c shoal -f -n '__shoal_at \"{}\"' -a {} -d '{}'\n", path,
        command->get_name(), quoted(command->get_description()));
    AppendFish(
        *command,
        path.empty() ? command->get_name() : path + " " + command->get_name(),
        out);
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) {
      out += fmt::format(
          "complete -c shoal -n '__shoal_in \"{}\"' -l {} -d '{}'{}\n", path,
          name, quoted(option->get_description()),
          option->get_expected_max() > 0 ? " -r" : "");
    }
  }
}

absl::Status PrintZsh(Program& program, const ShellOptions& options) {
  // zsh runs bash's completions itself.
  program.PrintText(
      "#compdef shoal\nautoload -U +X bashcompinit && "
      "bashcompinit\n" +
      BashCompletion(*options.app));
  return absl::OkStatus();
}

absl::Status PrintFish(Program& program, const ShellOptions& options) {
  std::string lines;
  AppendFish(*options.app, "", lines);
  program.PrintText(
      R"(# fish completion for shoal:  shoal completion fish | source
function __shoal_words
  commandline -opc | string match -v -- '-*' | tail -n +2 | string join ' '
end
function __shoal_at
  test (__shoal_words) = "$argv"
end
function __shoal_in
  string match -q -- "$argv*" (__shoal_words)
end
)" + lines);
  return absl::OkStatus();
}

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
  OnRun(AddCommand(*group, "zsh", "A script for zsh",
                   "completion zsh > ~/.zfunc/_shoal"),
        program, options, PrintZsh);
  OnRun(AddCommand(*group, "fish", "A script for fish",
                   "completion fish > ~/.config/fish/completions/shoal.fish"),
        program, options, PrintFish);
}

}  // namespace shoal::cli
