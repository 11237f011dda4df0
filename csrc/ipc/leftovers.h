// Leftovers: what is found of makers of shared files who were killed before theirs had its name.
// Knows names, locks and ages of files; nothing of what is in them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace metabonk::ipc {

// How unfinished files of one kind are told. lock: the byte that their maker locks while it lives.
// age: nanoseconds since the last write to one; of makers that show by no lock that they live, more
// than any of them takes.
struct Unfinished {
  std::string_view prefix, suffix;
  size_t random = 0;  // letters and digits after the suffix
  size_t lock = 0;
  int64_t age_ns = 0;
};

// Ours are locked from the beginning, others' (plugins/Core) are not.
inline constexpr int64_t kUnfinishedNs = 60'000'000'000;

// Removes such files of this user's in the folder whose maker is dead. How many those were.
int SweepUnfinished(const std::string& folder, const Unfinished& kind);

}  // namespace metabonk::ipc
