// `shoal completion` in the shells themselves: what a user gets for a TAB.
#include <fstream>
#include <sstream>

#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::testing {
namespace {

class CompletionTest : public ::testing::Test {
 protected:
  // What `script` of `shell` prints; $1 is the directory of the programs, $2
  // an empty one, the rest `arguments`.
  std::string Shell(std::vector<std::string> shell, const std::string& script,
                    std::vector<std::string> arguments) {
    const std::string path = dir_.File("script");
    std::ofstream(path) << script;
    shell.push_back(path);
    const std::string shoal = BinPath("shoal");
    shell.push_back(shoal.substr(0, shoal.rfind('/')));
    shell.push_back(dir_.path());
    shell.insert(shell.end(), arguments.begin(), arguments.end());
    const auto result = shoal::testing::Run(shell);
    EXPECT_OK(result);
    if (!result.ok()) return "";
    EXPECT_TRUE(result->status.ok()) << result->output;
    return result->output;
  }
  std::string Bash(const std::string& line) {
    return Shell({"/bin/bash", "--norc"}, R"(
PATH=$1:$PATH
source <(shoal completion bash)
read -r -a COMP_WORDS <<<"$3"
[[ $3 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_shoal
printf '%s\n' "${COMPREPLY[@]}"
)",
                 {line});
  }
  std::string Fish(const std::string& line) {
    // Descriptions come behind a tab.
    return Shell({"/usr/bin/fish", "--no-config"}, R"(
set -x PATH $argv[1] $PATH
shoal completion fish | source
complete -C $argv[3] | string replace -r '\t.*' ''
)",
                 {line});
  }
  // zsh completes in its line editor only: the line after a TAB, in a terminal.
  // As a file of fpath, and sourced.
  std::string Zsh(const std::string& line, bool sourced) {
    return Shell({"/usr/bin/zsh", "-f"}, R"(
zmodload zsh/zpty
zmodload zsh/datetime
export PATH=$1:$PATH HOME=$2
mkdir -p $2/zfunc
shoal completion zsh > $2/zfunc/_shoal
rm -f $2/line $2/up
cat > $2/rc <<RC
PS1=
fpath=($2/zfunc \$fpath)
[[ $4 == sourced ]] && fpath=(\${fpath:#$2/zfunc})
autoload -Uz compinit && compinit -u -d $2/dump-$4
[[ $4 == sourced ]] && source <(shoal completion zsh)
dump() { print -r -- "\$BUFFER" > $2/line.new; mv $2/line.new $2/line }
zle -N dump
bindkey '^I' expand-or-complete
bindkey '^X' dump
: > $2/up
RC
await() {
  local end=$((EPOCHREALTIME + 20)) some
  until [[ -e $1 ]]; do
    zpty -r -t shell some >/dev/null 2>&1 || sleep 0.05
    ((EPOCHREALTIME < end)) || { print "waited in vain for $1"; exit 1 }
  done
}
zpty -b shell zsh -f -i
zpty -w shell "source $2/rc"
await $2/up
zpty -w -n shell "$3"$'\t\x18'
await $2/line
cat $2/line
zpty -d shell
)",
                 {line, sourced ? "sourced" : "fpath"});
  }
  TempDir dir_;
};

// Whole words of an answer, one a line.
bool Offers(const std::string& answer, const std::string& word) {
  std::istringstream lines(answer);
  for (std::string line; std::getline(lines, line);)
    if (line == word) return true;
  return false;
}

struct Case {
  std::string line;
  std::vector<std::string> offered;
  std::vector<std::string> not_offered;
};

const std::vector<Case>& Cases() {
  static const std::vector<Case> kCases = {
      {"shoal ", {"rollout", "device", "completion"}, {"halt"}},
      {"shoal ro", {"rollout"}, {"release"}},
      {"shoal rollout ", {"create", "halt", "explain"}, {"rollout", "members"}},
      {"shoal rollout halt --", {"--reason", "--context"}, {"--file"}},
      // Behind an option and its value, and behind an argument.
      {"shoal --output json rollout ha", {"halt"}, {"rollout"}},
      {"shoal --output=json rollout ha", {"halt"}, {"rollout"}},
      {"shoal rollout halt r1 --rea", {"--reason"}, {"create"}},
  };
  return kCases;
}

TEST_F(CompletionTest, Bash) {
  for (const Case& c : Cases()) {
    const std::string answer = Bash(c.line);
    for (const std::string& word : c.offered)
      EXPECT_TRUE(Offers(answer, word)) << c.line << word << "\n" << answer;
    for (const std::string& word : c.not_offered)
      EXPECT_FALSE(Offers(answer, word)) << c.line << word << "\n" << answer;
  }
}

TEST_F(CompletionTest, Fish) {
  for (const Case& c : Cases()) {
    const std::string answer = Fish(c.line);
    for (const std::string& word : c.offered)
      EXPECT_TRUE(Offers(answer, word)) << c.line << word << "\n" << answer;
    for (const std::string& word : c.not_offered)
      EXPECT_FALSE(Offers(answer, word)) << c.line << word << "\n" << answer;
  }
}

TEST_F(CompletionTest, Zsh) {
  for (const bool sourced : {false, true}) {
    EXPECT_EQ(Zsh("shoal roll", sourced), "shoal rollout \n") << sourced;
    EXPECT_EQ(Zsh("shoal rollout ha", sourced), "shoal rollout halt \n");
    EXPECT_EQ(Zsh("shoal rollout halt r1 --rea", sourced),
              "shoal rollout halt r1 --reason \n");
    EXPECT_EQ(Zsh("shoal --output json rollout ha", sourced),
              "shoal --output json rollout halt \n");
  }
}

}  // namespace
}  // namespace shoal::testing
