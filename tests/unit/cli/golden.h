// Texts of the tool against files: a change of a column or a word is a change
// that somebody looked at.
#ifndef SHOAL_TESTS_UNIT_CLI_GOLDEN_H_
#define SHOAL_TESTS_UNIT_CLI_GOLDEN_H_

#include <string>
#include <vector>

namespace shoal::cli {

// The file is tests/unit/cli/golden/NAME; with SHOAL_GOLDEN_UPDATE=1 in the
// environment it is written instead.
void ExpectGolden(const std::string& name, const std::string& text);

// What `shoal COMMAND --help` prints.
std::string HelpOf(const std::vector<std::string>& command);

}  // namespace shoal::cli

#endif  // SHOAL_TESTS_UNIT_CLI_GOLDEN_H_
