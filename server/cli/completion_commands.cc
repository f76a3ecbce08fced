// shoal completion: made from the commands themselves, so it is never stale.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>
#include <string>
#include <vector>

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

// What the scripts must know of the command line as a whole.
struct Grammar {
  std::vector<std::string> paths;    // "rollout", "rollout halt", …
  std::set<std::string> with_value;  // options whose next word is theirs
};

void Collect(const CLI::App& app, const std::string& path, Grammar& grammar) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_expected_max() == 0) continue;
    for (const auto& name : option->get_lnames())
      grammar.with_value.insert("--" + name);
    for (const auto& name : option->get_snames())
      grammar.with_value.insert("-" + name);
  }
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    const std::string deeper =
        path.empty() ? command->get_name() : path + " " + command->get_name();
    grammar.paths.push_back(deeper);
    Collect(*command, deeper, grammar);
  }
}

Grammar GrammarOf(const CLI::App& app) {
  Grammar grammar;
  Collect(app, "", grammar);
  return grammar;
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
  // zsh runs bash's completions itself. As a file of fpath this is the body of
  // _shoal, which runs for the first time when something is to be completed.
  program.PrintText(
      "#compdef shoal\nautoload -U +X bashcompinit && "
      "bashcompinit\n" +
      BashCompletion(*options.app) +
      "if [[ ${funcstack[1]-} == _shoal ]]; then\n"
      "  _bash_complete -o default -F _shoal\nfi\n");
  return absl::OkStatus();
}

absl::Status PrintFish(Program& program, const ShellOptions& options) {
  std::string lines;
  AppendFish(*options.app, "", lines);
  const Grammar grammar = GrammarOf(*options.app);
  program.PrintText(
      fmt::format(
          R"(# fish completion for shoal:  shoal completion fish | source
set -g __shoal_paths '{}'
set -g __shoal_with_value {}
# The command that the words before the cursor name.
function __shoal_path
  set -l path
  set -l skip 0
  for word in (commandline -opc)[2..-1]
    if test $skip = 1
      set skip 0
    else if string match -q -- '-*' $word
      contains -- $word $__shoal_with_value; and set skip 1
    else
      set -l next (string join -- ' ' $path $word)
      contains -- "$next" $__shoal_paths; or break
      set path $path $word
    end
  end
  echo "$path"
end
function __shoal_at
  set -l path (__shoal_path)
  test "$path" = "$argv[1]"
end
# The options of a command, and those that all have.
function __shoal_in
  set -l path (__shoal_path)
  test -z "$argv[1]"; or test "$path" = "$argv[1]"
end
)",
          fmt::join(grammar.paths, "' '"), fmt::join(grammar.with_value, " ")) +
      lines);
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
  const Grammar grammar = GrammarOf(app);
  // Bash takes "=" for a word of its own.
  return fmt::format(
      R"(# bash completion for shoal:  source <(shoal completion bash)
_shoal() {{
  local path='' word next words='' index skip=''
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=${{COMP_WORDS[index]}}
    if [[ -n $skip ]]; then
      [[ $word == '=' ]] || skip=''
    elif [[ $word == -* ]]; then
      [[ ' {} ' == *" $word "* ]] && skip=1
    else
      next="${{path:+$path }}$word"
      [[ '|{}|' == *"|$next|"* ]] || break
      path=$next
    fi
  done
  COMPREPLY=()
  [[ -n $skip ]] && return
  case "$path" in
{}    *) return ;;
  esac
  COMPREPLY=($(compgen -W "$words {}" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _shoal shoal
)",
      fmt::join(grammar.with_value, " "), fmt::join(grammar.paths, "|"), cases,
      OptionWords(app));
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
