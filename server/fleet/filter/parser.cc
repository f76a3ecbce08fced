// AIP-160's grammar without sequences, functions and bare values:
//   expression = factor {"AND" factor}
//   factor     = term {"OR" term}          OR binds tighter than AND
//   term       = ["NOT" | "-"] (condition | "(" expression ")")
//   condition  = field operator value
#include <utility>

#include "absl/strings/cord.h"
#include "common/bytes.h"
#include "common/status.h"
#include "fmt/format.h"
#include "server/fleet/filter/lexer.h"
#include "server/fleet/filter/resolve.h"

namespace shoal::server {
namespace {

constexpr char kPositionPayload[] = "shoal/filter-position";

class Parser {
 public:
  Parser(std::string_view text, absl::Time now) : lexer_(text), now_(now) {}

  absl::StatusOr<FilterNode> Parse() {
    if (lexer_.AtEnd()) return FilterNode();
    SHOAL_ASSIGN_OR_RETURN(FilterNode node, Expression(1));
    if (!lexer_.AtEnd()) {
      return FilterError(lexer_.Position(),
                         "AND, OR or the end must follow a condition");
    }
    return node;
  }

 private:
  absl::StatusOr<FilterNode> Expression(int depth) {
    return Joined(FilterNode::Kind::kAnd, "AND", [&] { return Factor(depth); });
  }
  absl::StatusOr<FilterNode> Factor(int depth) {
    return Joined(FilterNode::Kind::kOr, "OR", [&] { return Term(depth); });
  }

  absl::StatusOr<FilterNode> Joined(
      FilterNode::Kind kind, std::string_view keyword,
      const std::function<absl::StatusOr<FilterNode>()>& part) {
    SHOAL_ASSIGN_OR_RETURN(FilterNode first, part());
    if (!lexer_.TakeKeyword(keyword)) return first;
    FilterNode node;
    node.kind = kind;
    node.children.push_back(std::move(first));
    do {
      SHOAL_ASSIGN_OR_RETURN(FilterNode next, part());
      node.children.push_back(std::move(next));
    } while (lexer_.TakeKeyword(keyword));
    return node;
  }

  absl::StatusOr<FilterNode> Term(int depth) {
    const size_t start = lexer_.Position();
    if (depth > kMaxFilterDepth) {
      return FilterError(
          start, fmt::format("nested more than {} deep", kMaxFilterDepth));
    }
    if (lexer_.TakeKeyword("NOT") || lexer_.TakeSymbol("-")) {
      SHOAL_ASSIGN_OR_RETURN(FilterNode inner, Term(depth + 1));
      FilterNode node;
      node.kind = FilterNode::Kind::kNot;
      node.children.push_back(std::move(inner));
      return node;
    }
    if (lexer_.TakeSymbol("(")) {
      SHOAL_ASSIGN_OR_RETURN(FilterNode inner, Expression(depth + 1));
      if (!lexer_.TakeSymbol(")")) {
        return FilterError(start, "this parenthesis is not closed");
      }
      return inner;
    }
    return Condition();
  }

  absl::StatusOr<FilterNode> Condition() {
    FilterWords words;
    words.position = lexer_.Position();
    if (++conditions_ > kMaxFilterConditions) {
      return FilterError(words.position, fmt::format("more than {} conditions",
                                                     kMaxFilterConditions));
    }
    SHOAL_ASSIGN_OR_RETURN(words.field, lexer_.TakeField());
    words.operator_position = lexer_.Position();
    for (const std::string_view symbol :
         {"!=", "<=", ">=", "=", "<", ">", ":"}) {
      if (!lexer_.TakeSymbol(symbol)) continue;
      words.op = symbol;
      break;
    }
    if (words.op.empty()) {
      return FilterError(words.operator_position,
                         "one of = != < <= > >= : must follow a field");
    }
    words.value_position = lexer_.Position();
    SHOAL_ASSIGN_OR_RETURN(words.value, lexer_.TakeValue());
    FilterNode node;
    node.kind = FilterNode::Kind::kCondition;
    SHOAL_ASSIGN_OR_RETURN(node.condition, ResolveCondition(words, now_));
    return node;
  }

  FilterLexer lexer_;
  const absl::Time now_;
  int conditions_ = 0;
};

}  // namespace

absl::Status FilterError(size_t position, std::string_view what) {
  absl::Status status = InvalidArgument(
      "bad_filter",
      fmt::format("filter, character {}: {}", position + 1, what));
  std::string payload;
  AppendBigEndian(payload, position, 8);
  status.SetPayload(kPositionPayload, absl::Cord(payload));
  return status;
}

std::optional<size_t> FilterErrorPosition(const absl::Status& status) {
  const auto payload = status.GetPayload(kPositionPayload);
  if (!payload || payload->size() != 8) return std::nullopt;
  return ReadBigEndian(std::string(*payload), 8);
}

absl::StatusOr<FilterNode> ParseFilter(std::string_view text, absl::Time now) {
  if (text.size() > kMaxFilterBytes) {
    return FilterError(kMaxFilterBytes,
                       fmt::format("longer than {} bytes", kMaxFilterBytes));
  }
  return Parser(text, now).Parse();
}

}  // namespace shoal::server
