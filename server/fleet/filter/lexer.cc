#include "server/fleet/filter/lexer.h"

namespace shoal::server {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

// What ends a value that is not quoted. Other control characters and bytes
// beyond ASCII are part of it: labels may hold them.
bool EndsValue(char c) {
  return IsBlank(c) || c == '(' || c == ')' || c == '"' || c == ',' ||
         c == '\'';
}

}  // namespace

size_t FilterLexer::Position() {
  while (at_ < text_.size() && IsBlank(text_[at_])) ++at_;
  return at_;
}

bool FilterLexer::TakeSymbol(std::string_view symbol) {
  if (text_.substr(Position(), symbol.size()) != symbol) return false;
  at_ += symbol.size();
  return true;
}

bool FilterLexer::TakeKeyword(std::string_view keyword) {
  const size_t start = Position();
  if (text_.substr(start, keyword.size()) != keyword) return false;
  const size_t end = start + keyword.size();
  if (end < text_.size() && IsWord(text_[end])) return false;
  at_ = end;
  return true;
}

absl::StatusOr<FilterLexer::Field> FilterLexer::TakeField() {
  const size_t start = Position();
  size_t end = start;
  while (end < text_.size() && IsWord(text_[end])) ++end;
  std::string_view word = text_.substr(start, end - start);
  if (word.empty()) return FilterError(start, "a field is missing");
  at_ = end;
  Field field;
  const size_t dot = word.find('.');
  field.name = std::string(word.substr(0, dot));
  if (dot == word.npos) return field;
  field.has_key = true;
  field.key = std::string(word.substr(dot + 1));
  // labels."a key": the quoted part is the whole key.
  if (field.key.empty() && end < text_.size() && text_[end] == '"') {
    auto quoted = TakeQuoted();
    if (!quoted.ok()) return quoted.status();
    field.key = quoted->text;
  }
  if (field.key.empty()) return FilterError(end, "a key is missing here");
  return field;
}

absl::StatusOr<FilterLexer::Value> FilterLexer::TakeQuoted() {
  const size_t start = at_++;
  Value value;
  value.pattern.pieces.emplace_back();
  while (at_ < text_.size()) {
    char c = text_[at_++];
    if (c == '"') return value;
    if (c == '*') {
      value.text += c;
      value.pattern.pieces.emplace_back();
      continue;
    }
    if (c == '\\') {
      if (at_ == text_.size()) break;
      c = text_[at_++];
      if (c != '"' && c != '\\' && c != '*') {
        return FilterError(at_ - 2,
                           "only \\\" \\\\ and \\* may follow a backslash");
      }
    }
    value.text += c;
    value.pattern.pieces.back() += c;
  }
  return FilterError(start, "this quote is not closed");
}

absl::StatusOr<FilterLexer::Value> FilterLexer::TakeValue() {
  const size_t start = Position();
  if (start < text_.size() && text_[start] == '"') return TakeQuoted();
  Value value;
  value.pattern.pieces.emplace_back();
  while (at_ < text_.size() && !EndsValue(text_[at_])) {
    const char c = text_[at_++];
    value.text += c;
    if (c == '*') {
      value.pattern.pieces.emplace_back();
    } else {
      value.pattern.pieces.back() += c;
    }
  }
  if (value.text.empty()) return FilterError(start, "a value is missing here");
  return value;
}

}  // namespace shoal::server
