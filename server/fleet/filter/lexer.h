// The words of a filter. What a word may hold depends on where it stands: a
// value takes ':' and '=' ("2026-01-01T00:00:00Z"), a field does not.
#ifndef SHOAL_SERVER_FLEET_FILTER_LEXER_H_
#define SHOAL_SERVER_FLEET_FILTER_LEXER_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/fleet/filter/filter.h"

namespace shoal::server {

class FilterLexer {
 public:
  // `text` outlives it.
  explicit FilterLexer(std::string_view text) : text_(text) {}

  // Byte of the next word, after blanks.
  size_t Position();
  bool AtEnd() { return Position() == text_.size(); }
  // Takes `symbol` if it is next.
  bool TakeSymbol(std::string_view symbol);
  // Takes a keyword (AND, OR, NOT) if it is the next word.
  bool TakeKeyword(std::string_view keyword);
  // A field with its dots, quoted parts resolved: {"labels", "site"}.
  struct Field {
    std::string name;
    std::string key;
    bool has_key = false;
  };
  absl::StatusOr<Field> TakeField();
  struct Value {
    TextPattern pattern;
    std::string text;  // as written, stars included
  };
  absl::StatusOr<Value> TakeValue();

 private:
  absl::StatusOr<Value> TakeQuoted();
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_FILTER_LEXER_H_
