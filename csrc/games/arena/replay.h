// Replay: an episode as its level, its seed and its actions, a few kB, with the hash of the world
// it ends in. Knows bytes and canonical actions; running one again is VerifyReplay.
//
// Format 1, little-endian:
//   0  char[4]  "MBAR"
//   4  u16      format, 1
//   6  u16      bytes of this header, 56
//   8  u64      hash of content.toml as compiled in: other numbers would play another game
//  16  u64      seed of the run
//  24  u64      hash of the world after the last decision
//  32  u32      decisions
//  36  u32      sizeof(LevelSpec)
//  40  u32      bytes of the level, which follows the header
//  44  u32      bytes of the actions, which follow the level and end the file
//  48  u64      hash of level and actions
// Level: its bytes as differences from DefaultSpec(): (varint equal bytes to skip, varint different
// bytes, those bytes) until the struct is covered.
// Actions: records of a byte that says which fields differ from the decision before (1 move, 2
// look, 4 buttons, 8 choice, 16 click; before the first: nothing pressed), the fields in that
// order, and with 32 a varint of how many further decisions repeat this one, at most 4095: what a
// file claims stays in proportion to its bytes. Fields: move and look i8 x, y in 1/127; buttons u8,
// bit 0 jump, slide, interact, fire, ability; choice u8; click u16 x, y in 1/4095 of the screen, or
// u16 65535 alone for none. Varints are LEB128, at most five bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "games/arena/spec.h"
#include "metabonk/records.h"
#include "metabonk/status.h"

namespace metabonk::arena {

inline constexpr uint16_t kReplayFormat = 1;
inline constexpr size_t kReplayHeader = 56;
inline constexpr uint32_t kMaxReplayRepeats = 4095;  // of one record: minutes of doing the same
inline constexpr uint32_t kMaxReplayDecisions = 1u << 20;  // 19 hours at 15 decisions a second

struct ReplayHeader {
  LevelSpec spec;
  uint64_t run_seed;
  uint64_t final_hash;
  uint32_t decisions;
};

// Collects an episode's actions and packs it.
class ReplayWriter {
 public:
  void Add(const Action& action);
  uint32_t decisions() const { return decisions_; }
  std::vector<uint8_t> Finish(const LevelSpec& spec, uint64_t run_seed, uint64_t final_hash);

 private:
  void CloseRun();

  std::vector<uint8_t> actions_;
  Action last_ = {{0, 0}, {0, 0}, 0, 0, 0, 0, 0, 0, {-1, -1}};
  size_t record_ = 0;  // where the newest record begins
  uint32_t repeats_ = 0;
  uint32_t decisions_ = 0;
};

// Reads one. The bytes must outlive the reader. Every length is checked before it is used; whatever
// Open accepts, Next reads to its end.
class ReplayReader {
 public:
  Status Open(std::span<const uint8_t> bytes);
  const ReplayHeader& header() const { return header_; }
  bool Next(Action* out);  // false after the last decision

 private:
  Status ReadHeader();
  Status ReadLevel(std::span<const uint8_t> level);
  Status CheckActions();
  bool ReadRecord();

  std::span<const uint8_t> bytes_;
  std::span<const uint8_t> actions_;
  size_t at_ = 0;
  uint32_t repeats_ = 0;  // of the current action still to be given
  Action current_ = {};
  ReplayHeader header_ = {};
};

// Runs the episode and compares the hash; `hash` receives what was found. kCorrupt where it
// differs. Now and then asks `interrupted`, if given, and ends with kUnavailable once it is true.
Status VerifyReplay(std::span<const uint8_t> bytes, uint64_t* hash,
                    bool (*interrupted)() = nullptr);

uint64_t ContentHash();                                         // of the text of content.toml
uint64_t HashBody(std::span<const uint8_t> level_and_actions);  // the header's hash at byte 48

}  // namespace metabonk::arena
