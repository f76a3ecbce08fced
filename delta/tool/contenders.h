// The delta programs that the bench knows, and how each is called.
#ifndef SHOAL_DELTA_TOOL_CONTENDERS_H_
#define SHOAL_DELTA_TOOL_CONTENDERS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace shoal::delta {

struct BenchFiles {
  std::string old_path, new_path, patch, out;
  std::string seed_store, new_store;  // folders of casync's chunks
};

// In its arguments a last word OLD, NEW, PATCH, OUT, SEED or STORE stands for a
// file or folder of BenchFiles.
struct Contender {
  std::string name;
  std::vector<std::string> make, apply;
  bool ours = false;
  // Runs before, is not measured: chunks of the old image that a device has.
  std::vector<std::string> prepare = {};
};

// Those that are installed, ours first. The peers at their strongest settings
// that are usual.
std::vector<Contender> InstalledContenders(bool peers);

std::vector<std::string> FillIn(const std::vector<std::string>& arguments,
                                const BenchFiles& files);

// Bytes that a device must get: the patch, or an index and the chunks that are
// not in the seed.
uint64_t TransferSize(const BenchFiles& files);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_TOOL_CONTENDERS_H_
