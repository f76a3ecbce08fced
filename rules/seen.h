// Which version of a rollout counts for one reader: versions only grow, and of
// two with one number the first is kept and the rollout is as good as halted
// until a higher one comes.
#ifndef SHOAL_RULES_SEEN_H_
#define SHOAL_RULES_SEEN_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace shoal::rules {

struct SeenVersion {
  uint64_t version = 0;   // highest verified; 0: none yet
  std::string digest;     // of that version's bytes
  bool conflict = false;  // equal version, other bytes
};

enum class SeenAnswer { kSame, kNewer, kOlder, kConflict };

// Takes in one verified document. kNewer and the first kConflict change `seen`.
SeenAnswer Note(SeenVersion& seen, uint64_t version, std::string_view digest);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_SEEN_H_
