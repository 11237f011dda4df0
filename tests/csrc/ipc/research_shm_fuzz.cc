// Fuzzes both ends of ResearchPlugin's shared memory against what another process may do to its
// file: header, frame and action are overwritten and the file is cut or grown, before the end comes
// and again while it is there. An agent hands out what lies in the file or nothing; neither end
// writes anything but its own part; nothing waits.
//
// An input is a list of edits: 2 bytes where, 1 byte how (1, 4 or 8 bytes, or the file's size) and
// when, 8 bytes what.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "ipc/research_shm.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern size_t FuzzSeed(size_t index, std::vector<uint8_t>* out);

namespace metabonk::ipc {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kEdit = 11;
constexpr int kWidth = 8, kHeight = 4;
constexpr size_t kPixels = ResearchPixelBytes(kWidth, kHeight);
constexpr size_t kActionAt = sizeof(ResearchHeader) + kPixels;
constexpr size_t kActionBytes = kResearchActionColumns * sizeof(float);
constexpr size_t kFile = kActionAt + kActionBytes;
constexpr size_t kGrown = kFile + 512;          // the most that an edit makes of it
constexpr size_t kFrameMost = size_t{1} << 16;  // larger ones get no memory here

void Must(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

// The file as somebody else has it open.
class Other {
 public:
  explicit Other(const std::string& path) : file_(::open(path.c_str(), O_RDWR | O_CREAT, 0600)) {
    Must(file_ >= 0, "no file");
  }
  ~Other() { ::close(file_); }

  void Put(const Bytes& bytes) const {
    Must(::ftruncate(file_, 0) == 0 && ::ftruncate(file_, static_cast<off_t>(bytes.size())) == 0,
         "no size");
    Must(::pwrite(file_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
         "no write");
  }

  Bytes Get() const {
    struct stat found{};
    Must(::fstat(file_, &found) == 0, "no file");
    Bytes bytes(static_cast<size_t>(found.st_size));
    Must(::pread(file_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
         "no read");
    return bytes;
  }

  void Edit(const uint8_t* data, size_t size, uint8_t when) const {
    for (size_t at = 0; at + kEdit <= size; at += kEdit) {
      uint16_t where;
      std::memcpy(&where, data + at, sizeof where);
      const uint8_t how = data[at + 2];
      if (how / 4 % 3 != when) continue;
      if (how % 4 == 3) {
        Must(::ftruncate(file_, static_cast<off_t>(where % kGrown)) == 0, "no size");
        continue;
      }
      constexpr size_t kBytes[] = {1, 4, 8};
      const size_t bytes = kBytes[how % 4];
      const size_t offset = where / bytes * bytes % (kFile - 8);
      Must(::pwrite(file_, data + at + 3, bytes, static_cast<off_t>(offset)) ==
               static_cast<ssize_t>(bytes),
           "no write");
    }
  }

 private:
  int file_;
};

// Whether two states of the file differ in bytes of [from, to) and of the flag alone.
bool OnlyIn(const Bytes& before, const Bytes& after, size_t from, size_t to) {
  for (size_t i = sizeof(int32_t); i < std::max(before.size(), after.size()); ++i) {
    if (i >= from && i < to) continue;
    const uint8_t was = i < before.size() ? before[i] : 0;  // a file that grows is 0 there
    const uint8_t is = i < after.size() ? after[i] : 0;
    if (was != is) return false;
  }
  return true;
}

class Target {
 public:
  Target() {
    char folder[] = "/dev/shm/metabonk-fuzz-XXXXXX";
    Must(::mkdtemp(folder) != nullptr, "no folder");
    folder_ = folder;
    const ResearchHeader header = {static_cast<int32_t>(ResearchFlag::kObservationReady),
                                   kResearchFills,
                                   0.5f,
                                   0,
                                   3,
                                   50,
                                   kWidth,
                                   kHeight};
    shown_.resize(kFile);
    std::memcpy(shown_.data(), &header, sizeof header);
    for (size_t i = sizeof header; i < kFile; ++i) shown_[i] = static_cast<uint8_t>(i * 7);
    Must(ResearchGame::Create(folder_ + "/game", kWidth, kHeight, true, &game_).ok(), "no game");
    played_ = std::make_unique<Other>(folder_ + "/game");
    begun_ = played_->Get();
  }
  ~Target() {
    game_.reset();
    ::unlink((folder_ + "/agent").c_str());
    ::rmdir(folder_.c_str());
  }

  void Try(const uint8_t* data, size_t size) {
    TryAgent(data, size);
    TryGame(data, size);
  }

 private:
  void TryAgent(const uint8_t* data, size_t size) {
    const std::string path = folder_ + "/agent";
    const Other other(path);  // made anew where the agent before took a dead game's file away
    other.Put(shown_);
    other.Edit(data, size, 0);
    std::unique_ptr<ResearchAgent> agent;
    const bool bottom_up = size % 2 == 0;
    if (!ResearchAgent::Open(path, bottom_up, &agent).ok()) return;
    Look(agent.get(), other, bottom_up);
    other.Edit(data, size, 1);
    Act(agent.get(), other, data, size);
    Look(agent.get(), other, bottom_up);
    agent->Reset();
    other.Edit(data, size, 2);
    Look(agent.get(), other, bottom_up);
  }

  void Look(ResearchAgent* agent, const Other& other, bool bottom_up) {
    const size_t bytes = ResearchPixelBytes(agent->width(), agent->height());
    frame_.assign(bytes <= kFrameMost ? bytes : 0, 0xEE);
    ResearchHeader header;
    const ResearchEvent event = agent->Wait(0, &header, frame_);
    Must(event != ResearchEvent::kAction && event != ResearchEvent::kReset, "a game's event");
    if (event != ResearchEvent::kObservation) return;
    const Bytes file = other.Get();
    Must(file.size() >= sizeof header + bytes, "a frame that the file does not hold");
    Must(std::memcmp(&header, file.data(), sizeof header) == 0, "another header than the file's");
    const size_t height = static_cast<size_t>(header.height), row = bytes / height;
    for (size_t y = 0; y < height; ++y) {
      const size_t lies = bottom_up ? height - 1 - y : y;
      const bool same =
          std::memcmp(frame_.data() + y * row, file.data() + sizeof header + lies * row, row) == 0;
      Must(same, "another frame than the file's");
    }
  }

  static void Act(ResearchAgent* agent, const Other& other, const uint8_t* data, size_t size) {
    std::array<float, kResearchActionColumns> action{};
    if (size > 0) std::memcpy(action.data(), data, std::min(size, sizeof action));
    const size_t at = sizeof(ResearchHeader) + ResearchPixelBytes(agent->width(), agent->height());
    if (at > kFrameMost) return;  // the file would grow beyond what is worth comparing
    const Bytes before = other.Get();
    if (!agent->Act(action)) return;
    const Bytes after = other.Get();
    Must(OnlyIn(before, after, at, at + kActionBytes), "an action beside its place");
    std::array<float, kResearchActionColumns> put;
    std::memcpy(put.data(), after.data() + at, sizeof put);
    for (size_t i = 0; i < put.size(); ++i) {
      Must(std::isfinite(put[i]), "a number that is none");
      Must(!std::isfinite(action[i]) || put[i] == action[i], "another number");
    }
  }

  void TryGame(const uint8_t* data, size_t size) {
    played_->Put(begun_);
    played_->Edit(data, size, 0);
    Publish(data, size);
    played_->Edit(data, size, 1);
    Take();
    Publish(data, size);
    played_->Edit(data, size, 2);
    Take();
  }

  void Publish(const uint8_t* data, size_t size) {
    frame_.assign(kPixels, 0);
    std::copy_n(data, std::min(size, kPixels), frame_.begin());
    const Bytes before = played_->Get();
    if (!game_->Publish({0, 0, 1.0f, 1, 9, 99, 0, 0}, frame_)) return;
    const Bytes after = played_->Get();
    Must(OnlyIn(before, after, offsetof(ResearchHeader, reward), kActionAt),
         "an observation beside its place");
    ResearchHeader header;
    std::memcpy(&header, after.data(), sizeof header);
    Must(header.width == kWidth && header.height == kHeight && header.step == 9,
         "another header than what was shown");
    Must(std::memcmp(after.data() + sizeof header + (kHeight - 1) * kWidth * 3, frame_.data(),
                     kWidth * 3) == 0,
         "another frame than what was shown");
  }

  void Take() {
    const Bytes before = played_->Get();
    std::array<float, kResearchActionColumns> action{};
    const ResearchEvent event = game_->Wait(0, action);
    Must(event == ResearchEvent::kTimeout || event == ResearchEvent::kDamaged ||
             event == ResearchEvent::kAction || event == ResearchEvent::kReset,
         "an agent's event");
    Must(OnlyIn(before, played_->Get(), 0, 0), "a game that listens and writes");
    if (event != ResearchEvent::kAction) return;
    Must(before.size() >= kFile, "an action that the file does not hold");
    Must(std::memcmp(action.data(), before.data() + kActionAt, kActionBytes) == 0,
         "another action than the file's");
  }

  std::string folder_;
  Bytes shown_, begun_, frame_;
  std::unique_ptr<ResearchGame> game_;
  std::unique_ptr<Other> played_;
};

}  // namespace
}  // namespace metabonk::ipc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static metabonk::ipc::Target target;
  target.Try(data, size);
  return 0;
}

// Edits of every word of the header and of the action, and of the size, at each of the three times.
size_t FuzzSeed(size_t index, std::vector<uint8_t>* out) {
  constexpr size_t kHeaderWords = sizeof(metabonk::ipc::ResearchHeader) / 4;
  constexpr size_t kWords = kHeaderWords + metabonk::ipc::kResearchActionColumns;
  constexpr size_t kPlaces = kWords + 2;
  out->clear();
  const size_t place = index % kPlaces;
  const size_t offset = place < kHeaderWords ? place * 4
                        : place < kWords     ? metabonk::ipc::kActionAt + (place - kHeaderWords) * 4
                                             : place * 8;
  for (size_t when = 0; when < 3; ++when) {
    const size_t how = place < kWords ? 1 : 3;
    out->push_back(static_cast<uint8_t>(offset));
    out->push_back(static_cast<uint8_t>(offset >> 8));
    out->push_back(static_cast<uint8_t>(how + 4 * ((when + index / kPlaces) % 3)));
    // Small numbers first, as flags, steps and sizes are.
    for (size_t i = 0; i < 8; ++i) {
      out->push_back(i % 4 == 0 ? static_cast<uint8_t>(index / kPlaces + when) : uint8_t{0});
    }
  }
  return kPlaces * 8;
}
