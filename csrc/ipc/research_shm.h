// ResearchPlugin's shared memory, version 1: one file that a game and an agent read and write in
// turn. Knows the file's layout, its one flag word and what can go wrong with it; knows neither
// games nor what an action means.
//
// The flag has no sequence number and both sides write it, so version 1 can tear and can lose a
// word. What is done about each hazard:
//   A frame that tears   The agent copies, compares the copy with the file and the header with
//                        itself, and begins again if anything differs. What stays open: a game
//                        that neither waits for actions nor marks the flag while it writes (plugins
//                        in real time), stopped by the system in the middle of a frame for as long
//                        as both readings last.
//   A frame seen twice   An observation is new if its step or its time differs from the last one.
//   A RESET that is lost The game overwrites the flag. The agent writes RESET again until an
//                        observation tells of step 0, or of a step below the one it left.
//   An action lost       The same. The agent acts again on the next observation; a game of ours
//                        reads the flag once more before it overwrites it.
//   A dead game          Its file stays. A game of ours holds a lock on one byte and says so in the
//                        unused word: such a file whose lock is free is dead, whatever it says.
//   A game that started  Another file under the path, which the agent notices; or, from a plugin
//   anew                 that opens the old one, a step that falls although nobody reset.
//   A file cut short     Is read and written by calls that report it. Mapped, it would be SIGBUS.
//   Two agents           An agent of ours locks a byte too: a second one is refused.
//   A forked child       It closes what it inherited: it can neither end its parent's game nor keep
//                        the locks by which that is seen to live, and every call of it fails.
// Locks are those of open files: they end with the process, however that ends, and are seen across
// containers that share the folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "metabonk/status.h"

namespace metabonk::ipc {

enum class ResearchFlag : int32_t {
  kWait,
  kActionReady,
  kObservationReady,
  kReset,
  kTerminated,
};

struct ResearchHeader {
  int32_t flag;     // ResearchFlag
  uint32_t marker;  // kResearchLocks or kResearchFills from games of ours, else 0
  float reward;     // of the step that led here
  int32_t done;
  int32_t step;     // decisions since the reset
  int32_t time_ms;  // of the game
  int32_t width;
  int32_t height;
};
static_assert(offsetof(ResearchHeader, reward) == 0x08);
static_assert(offsetof(ResearchHeader, width) == 0x18);
static_assert(sizeof(ResearchHeader) == 0x20);

// Words of games that fill reward and done: "MBR2" of one that also locks, "MBR3" of one that
// cannot.
inline constexpr uint32_t kResearchLocks = 0x3252424Du;
inline constexpr uint32_t kResearchFills = 0x3352424Du;
inline constexpr int kResearchActionColumns = 6;  // moveX, moveY, four buttons
inline constexpr int kMaxResearchSide = 4096;     // pixels
// What the names of such files begin with, one for each game.
inline constexpr const char* kResearchPrefix = "megabonk_env_";
// The bytes that the two ends lock: of the unused word, though locks change no byte.
inline constexpr size_t kResearchGameByte = 4;
inline constexpr size_t kResearchAgentByte = 5;

constexpr size_t ResearchPixelBytes(int width, int height) {
  return static_cast<size_t>(width) * static_cast<size_t>(height) * 3;
}

// Removes what games left in the folder of `path` that were killed while they made their files, how
// many those were. A game does so before it makes its own, an agent once it has opened one.
int SweepResearch(const std::string& path);

// What a wait ended with.
enum class ResearchEvent : int {
  kTimeout,
  kObservation,  // agent: a new one was copied
  kResized,      // agent: frames have another size now, nothing was copied
  kTerminated,   // agent: the game said that it ends
  kGone,         // agent: the game died, or the path has another file now
  kDamaged,      // the file is shorter than its header says, or says nonsense
  kAction,       // game
  kReset,        // game
};

struct ResearchCounters {
  uint64_t observations = 0;
  uint64_t actions = 0;
  uint64_t resets = 0;
  uint64_t torn = 0;      // copies that were begun again
  uint64_t repeated = 0;  // waits that found the last observation still, or again
  uint64_t lost = 0;      // RESETs that were written again; for a game, commands that were all but
                          // overwritten
};

// An open file, closed with this, and of this process alone: in a child after a fork it is not
// open.
class ResearchFile {
 public:
  ResearchFile() = default;
  explicit ResearchFile(int descriptor);
  ~ResearchFile();
  ResearchFile(ResearchFile&& other) noexcept;
  ResearchFile& operator=(ResearchFile&& other) noexcept;

  bool open() const;
  // All of `bytes`, or false.
  bool Read(size_t at, std::span<uint8_t> bytes) const;
  bool Write(size_t at, std::span<const uint8_t> bytes) const;
  bool Resize(size_t bytes) const;
  size_t Bytes() const;  // 0 if it cannot be told
  bool ReadHeader(ResearchHeader* header) const;
  bool WriteFlag(ResearchFlag flag) const;
  // Takes byte `at` for this open file; false if another one has it.
  bool Lock(size_t at) const;
  bool IsLocked(size_t at) const;  // by another one
  // Whether `path` still leads to this file.
  bool IsAt(const std::string& path) const;

 private:
  int descriptor_ = -1;
  uint32_t generation_ = 0;  // of forks, when it was opened
};

// The agent's end.
class ResearchAgent {
 public:
  // Fails if there is no such file, it is no such file, or another agent has it. A dead game's file
  // is removed. `bottom_up`: rows are in the file as Unity reads them; they are handed out
  // top-down.
  static Status Open(const std::string& path, bool bottom_up, std::unique_ptr<ResearchAgent>* out);

  // Waits for a new observation of the agreed size, `pixels` [height, width, 3]; negative timeouts
  // count as 0.
  ResearchEvent Wait(int64_t timeout_ns, ResearchHeader* header, std::span<uint8_t> pixels);
  // False if the file cannot be written. What is no number presses nothing.
  bool Act(std::span<const float> action);  // kResearchActionColumns
  bool Reset();

  int width() const { return width_; }
  int height() const { return height_; }
  bool fills() const { return fills_; }  // the game: reward and done
  const ResearchCounters& counters() const { return counters_; }

 private:
  ResearchAgent(std::string path, ResearchFile file, bool bottom_up);
  ResearchEvent Look(ResearchHeader* header, std::span<uint8_t> pixels, bool* repeated);
  void Note(const ResearchHeader& header);  // who the game is
  bool IsNew(const ResearchHeader& header) const;
  // False if the file is cut short; `whole` false if the observation tore.
  bool Copy(const ResearchHeader& header, std::span<uint8_t> pixels, bool* whole);
  bool Dead() const;

  std::string path_;
  ResearchFile file_;
  bool bottom_up_;
  bool fills_ = false;
  bool locks_ = false;
  int width_ = 0;
  int height_ = 0;
  bool seen_ = false;  // an observation, whose step and time these are:
  int32_t step_ = 0;
  int32_t time_ms_ = 0;
  bool resetting_ = false;
  bool acted_ = false;  // on the last observation, at acted_ns_
  int64_t acted_ns_ = 0;
  std::vector<uint8_t> raw_;
  std::vector<uint8_t> again_;
  ResearchCounters counters_;
};

// The game's end.
class ResearchGame {
 public:
  // Puts a new file at `path`, readable by its owner alone, in place of a dead game's. Fails if a
  // living game has it, or the folder cannot be written.
  static Status Create(const std::string& path, int width, int height, bool bottom_up,
                       std::unique_ptr<ResearchGame>* out);
  // Says that it ends and removes the file.
  ~ResearchGame();

  // `pixels` [height, width, 3], top-down; `header`: reward, done, step and time_ms count. False if
  // the file cannot be written.
  bool Publish(const ResearchHeader& header, std::span<const uint8_t> pixels);
  // Waits for the agent's answer to what was published.
  ResearchEvent Wait(int64_t timeout_ns, std::span<float> action);
  bool agent() const;  // one of ours is there
  const ResearchCounters& counters() const { return counters_; }

 private:
  ResearchGame(std::string path, ResearchFile file, int width, int height, bool bottom_up);
  // Takes note of what the agent wrote since; false if the file cannot be read.
  bool Poll();

  std::string path_;
  ResearchFile file_;
  int width_;
  int height_;
  bool bottom_up_;
  ResearchEvent pending_ = ResearchEvent::kTimeout;
  std::vector<uint8_t> raw_;
  ResearchCounters counters_;
};

}  // namespace metabonk::ipc
