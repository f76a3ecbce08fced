#include "delta/make/plan.h"

#include <algorithm>
#include <map>
#include <utility>

namespace shoal::delta {
namespace {

constexpr uint64_t kCell = 64 << 10;  // the base is chosen in cells of this

// Bytes of hints from which on a cell is taken although the reach is used up.
// Fewer are common content, of which the base has many places; a wide reach
// finds more of them than it should, and costs time.
constexpr uint64_t kWorthMore = 1024;

// Scores cells of the base by what speaks for them, then takes the best.
class CellChooser {
 public:
  explicit CellChooser(uint64_t old_size)
      : cells_((old_size + kCell - 1) / kCell), old_size_(old_size) {}

  void Vote(int64_t begin, int64_t end, uint64_t weight) {
    begin = std::max<int64_t>(begin, 0);
    end = std::min<int64_t>(end, static_cast<int64_t>(old_size_));
    for (int64_t at =
             begin / static_cast<int64_t>(kCell) * static_cast<int64_t>(kCell);
         at < end; at += static_cast<int64_t>(kCell))
      scores_[static_cast<uint64_t>(at) / kCell] += weight;
  }

  // Up to `reach_bytes` of the best cells and their neighbourhood; beyond that,
  // up to `most_bytes`, only cells for which more speaks than a chance.
  std::vector<Range> Choose(uint64_t reach_bytes, uint64_t most_bytes) const {
    const uint64_t budget = std::max<uint64_t>(1, reach_bytes / kCell);
    const uint64_t most = std::max(budget, most_bytes / kCell);
    std::map<uint64_t, bool> chosen;
    if (cells_ <= budget) {
      for (uint64_t c = 0; c < cells_; ++c) chosen[c] = true;
      return Ranges(chosen);
    }
    std::vector<std::pair<uint64_t, uint64_t>> order;  // score, cell
    for (const auto& [cell, score] : scores_) order.emplace_back(score, cell);
    std::stable_sort(
        order.begin(), order.end(),
        [](const auto& a, const auto& b) { return a.first > b.first; });
    for (const auto& [score, cell] : order)
      if (chosen.size() < (score >= kWorthMore ? most : budget))
        chosen[cell] = true;
    // What is left of the budget goes to the neighbourhood: shifted content.
    while (chosen.size() < budget) {
      std::vector<uint64_t> grown;
      for (const auto& [cell, yes] : chosen) {
        if (cell > 0 && !chosen.contains(cell - 1)) grown.push_back(cell - 1);
        if (cell + 1 < cells_ && !chosen.contains(cell + 1))
          grown.push_back(cell + 1);
      }
      if (grown.empty()) break;
      for (const uint64_t cell : grown)
        if (chosen.size() < budget) chosen[cell] = true;
    }
    return Ranges(chosen);
  }

 private:
  std::vector<Range> Ranges(const std::map<uint64_t, bool>& chosen) const {
    std::vector<Range> ranges;
    for (const auto& [cell, yes] : chosen) {
      const uint64_t begin = cell * kCell;
      const uint64_t end = std::min(old_size_, begin + kCell);
      if (!ranges.empty() && ranges.back().end == begin)
        ranges.back().end = end;
      else
        ranges.push_back({begin, end});
    }
    return ranges;
  }

  uint64_t cells_;
  uint64_t old_size_;
  std::map<uint64_t, uint64_t> scores_;
};

// Hints are worth their bytes; these weigh about as much as one of them.
constexpr uint64_t kSeedWeight = 2048;
constexpr uint64_t kSamePlaceWeight = 256;

void VoteForGap(const Gap& gap, CellChooser& chooser) {
  const int64_t size = static_cast<int64_t>(gap.end - gap.begin);
  if (gap.old_before) {
    const int64_t at = static_cast<int64_t>(*gap.old_before);
    chooser.Vote(at, at + size + 1, kSeedWeight);
  }
  if (gap.old_after) {
    const int64_t at = static_cast<int64_t>(*gap.old_after);
    chooser.Vote(at - size - 1, at, kSeedWeight);
  }
  chooser.Vote(static_cast<int64_t>(gap.begin), static_cast<int64_t>(gap.end),
               kSamePlaceWeight);
}

std::vector<Piece> CutPieces(uint64_t new_size, const BlockMatches& matches,
                             uint64_t segment_size) {
  std::vector<Piece> pieces;
  std::optional<uint64_t> old_before;
  const auto add_gap = [&](uint64_t begin, uint64_t end,
                           std::optional<uint64_t> old_after) {
    for (uint64_t at = begin; at < end;) {
      Piece piece;
      piece.gap.begin = at;
      piece.gap.end = std::min(end, at + segment_size);
      if (at == begin) piece.gap.old_before = old_before;
      if (piece.gap.end == end) piece.gap.old_after = old_after;
      at = piece.gap.end;
      pieces.push_back(piece);
    }
  };
  uint64_t at = 0;
  for (const Match& anchor : matches.anchors) {
    add_gap(at, anchor.new_at, anchor.old_at);
    Piece piece;
    piece.copy = anchor;
    pieces.push_back(piece);
    at = anchor.new_at + anchor.size;
    old_before = anchor.old_at + anchor.size;
  }
  add_gap(at, new_size, std::nullopt);
  return pieces;
}

}  // namespace

std::vector<Unit> MakePlan(uint64_t old_size, uint64_t new_size,
                           const BlockMatches& matches, uint64_t segment_size) {
  std::vector<Unit> units;
  for (Piece& piece : CutPieces(new_size, matches, segment_size)) {
    const uint64_t gap = piece.copy ? 0 : piece.gap.end - piece.gap.begin;
    if (units.empty() || units.back().gap_bytes + gap > segment_size)
      units.emplace_back();
    Unit& unit = units.back();
    unit.gap_bytes += gap;
    unit.new_end =
        piece.copy ? piece.copy->new_at + piece.copy->size : piece.gap.end;
    unit.pieces.push_back(std::move(piece));
  }
  size_t hint = 0;
  for (Unit& unit : units) {
    CellChooser chooser(old_size);
    for (const Piece& piece : unit.pieces)
      if (!piece.copy) VoteForGap(piece.gap, chooser);
    for (; hint < matches.hints.size() &&
           matches.hints[hint].new_at < unit.new_end;
         ++hint) {
      const Match& m = matches.hints[hint];
      chooser.Vote(static_cast<int64_t>(m.old_at),
                   static_cast<int64_t>(m.old_at + m.size), m.size);
    }
    const auto bytes = [&](uint64_t most) {
      constexpr uint64_t kLeast = 512 << 10;
      return std::clamp(unit.gap_bytes * 4, kLeast, std::max(kLeast, most));
    };
    // Without a gap there is nothing to look for.
    if (unit.gap_bytes > 0 && old_size > 0)
      unit.old_ranges = chooser.Choose(bytes(segment_size + segment_size / 4),
                                       bytes(2 * segment_size));
  }
  return units;
}

}  // namespace shoal::delta
