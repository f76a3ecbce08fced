#include "delta/tool/contenders.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "common/subprocess.h"

namespace shoal::delta {
namespace {

namespace fs = std::filesystem;

std::vector<Contender> Ours() {
  const std::string self = ProgramDirectory() + "/shoal-delta";
  const std::vector<std::string> apply = {self,  "apply", "--max-memory", "64M",
                                          "OLD", "PATCH", "OUT"};
  const auto make = [&](std::vector<std::string> options) {
    std::vector<std::string> arguments = {self, "make"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.insert(arguments.end(), {"OLD", "NEW", "PATCH"});
    return arguments;
  };
  return {
      {"shoal", make({"--mode", "model"}), apply, true},
      {"shoal zstd", make({"--mode", "zstd"}), apply, true},
      {"shoal bsdiff", make({"--format", "bsdiff"}), apply, true},
  };
}

std::vector<Contender> Peers() {
  const auto hdiffz = [](const std::string& name, const std::string& codec) {
    return Contender{
        name,
        {"hdiffz", "-f", "-m-1", "-SD", codec, "OLD", "NEW", "PATCH"},
        {"hpatchz", "-f", "OLD", "PATCH", "OUT"}};
  };
  return {
      {"bsdiff",
       {"bsdiff", "OLD", "NEW", "PATCH"},
       {"bspatch", "OLD", "OUT", "PATCH"}},
      {"xdelta3 -9",
       {"xdelta3", "-e", "-9", "-f", "-B", "536870912", "-s", "OLD", "NEW",
        "PATCH"},
       {"xdelta3", "-d", "-f", "-B", "536870912", "-s", "OLD", "PATCH", "OUT"}},
      {"zstd -19",
       {"zstd", "-q", "-f", "-19", "--long=29", "--patch-from=OLD", "NEW", "-o",
        "PATCH"},
       {"zstd", "-q", "-f", "-d", "--long=29", "--patch-from=OLD", "PATCH",
        "-o", "OUT"}},
      {"casync",
       {"casync", "make", "--store=STORE", "PATCH", "NEW"},
       {"casync", "extract", "--store=STORE", "--seed=OLD", "PATCH", "OUT"},
       false,
       {"casync", "make", "--store=SEED", "PATCH", "OLD"}},
      hdiffz("hdiffz zstd", "-c-zstd-21-24"),
      hdiffz("hdiffz lzma2", "-c-lzma2-9-8m"),
  };
}

bool IsInstalled(const std::string& program) {
  if (program.find('/') != std::string::npos) return fs::exists(program);
  const char* path = getenv("PATH");
  for (std::string_view rest = path == nullptr ? "" : path; !rest.empty();) {
    const size_t end = std::min(rest.find(':'), rest.size());
    if (fs::exists(fs::path(rest.substr(0, end)) / program)) return true;
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
  return false;
}

}  // namespace

std::vector<Contender> InstalledContenders(bool peers) {
  std::vector<Contender> all = Ours();
  if (peers)
    for (Contender& peer : Peers())
      if (IsInstalled(peer.make[0]) && IsInstalled(peer.apply[0]))
        all.push_back(std::move(peer));
  return all;
}

std::vector<std::string> FillIn(const std::vector<std::string>& arguments,
                                const BenchFiles& files) {
  std::vector<std::string> filled;
  for (std::string argument : arguments) {
    const auto replace = [&](std::string_view word, const std::string& by) {
      if (!argument.ends_with(word)) return false;
      argument.replace(argument.size() - word.size(), word.size(), by);
      return true;
    };
    // One of them: what was filled in may end like a word.
    (void)(replace("OLD", files.old_path) || replace("NEW", files.new_path) ||
           replace("PATCH", files.patch) || replace("OUT", files.out) ||
           replace("SEED", files.seed_store) ||
           replace("STORE", files.new_store));
    filled.push_back(argument);
  }
  return filled;
}

uint64_t TransferSize(const BenchFiles& files) {
  std::error_code error;
  uint64_t size = fs::file_size(files.patch, error);
  if (error) return 0;
  for (const auto& entry :
       fs::recursive_directory_iterator(files.new_store, error)) {
    if (!entry.is_regular_file(error)) continue;
    const fs::path name = entry.path().lexically_relative(files.new_store);
    if (!fs::exists(fs::path(files.seed_store) / name))
      size += entry.file_size(error);
  }
  return size;
}

}  // namespace shoal::delta
