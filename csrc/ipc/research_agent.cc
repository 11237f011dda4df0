// The agent's end of ResearchPlugin's shared memory.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <utility>

#include "ipc/research_rows.h"
#include "ipc/research_shm.h"
#include "ipc/research_wait.h"

namespace metabonk::ipc {

namespace {

constexpr int64_t kLookNs = 50'000'000;     // between looks whether the game lives
constexpr int64_t kPausedNs = 100'000'000;  // after which a moment seen before counts as new: a
                                            // plugin in real time neither counts nor ages in menus

bool Sane(const ResearchHeader& header) {
  return header.width >= 1 && header.width <= kMaxResearchSide && header.height >= 1 &&
         header.height <= kMaxResearchSide;
}

// Word by word: a reward that is no number is the same as itself.
bool Same(const ResearchHeader& a, const ResearchHeader& b) {
  using Words = std::array<uint32_t, sizeof(ResearchHeader) / sizeof(uint32_t)>;
  return std::bit_cast<Words>(a) == std::bit_cast<Words>(b);
}

bool IsFlag(const ResearchHeader& header, ResearchFlag flag) {
  return header.flag == static_cast<int32_t>(flag);
}

// A number that a game can use: a stick that is told to go infinitely far goes as far as it can.
float Finite(float number) {
  return std::isnan(number) ? 0.0f : std::isinf(number) ? std::copysign(1.0f, number) : number;
}

}  // namespace

ResearchAgent::ResearchAgent(std::string path, ResearchFile file, bool bottom_up)
    : path_(std::move(path)), file_(std::move(file)), bottom_up_(bottom_up) {}

Status ResearchAgent::Open(const std::string& path, bool bottom_up,
                           std::unique_ptr<ResearchAgent>* out) {
  // Never waits for the other end of a pipe that lies there, nor follows a link.
  ResearchFile file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (!file.open()) {
    return {Code::kUnavailable, "path",
            errno == ENOENT ? "there is no such file: start the game first"
                            : "it cannot be opened: check its permissions"};
  }
  ResearchHeader header;
  if (!file.ReadHeader(&header)) {
    return {Code::kCorrupt, "path", "it is shorter than a header: start the game anew"};
  }
  std::unique_ptr<ResearchAgent> agent(new ResearchAgent(path, std::move(file), bottom_up));
  agent->Note(header);
  if (agent->Dead()) {
    return {Code::kUnavailable, "path", "the game behind it is dead: start it anew"};
  }
  if (!agent->file_.Lock(kResearchAgentByte)) {
    return {Code::kUnavailable, "path", "another agent plays this game: close it first"};
  }
  if (!Sane(header)) {
    return {Code::kCorrupt, "path", "its frames have no size: start the game anew"};
  }
  agent->width_ = header.width;
  agent->height_ = header.height;
  SweepResearch(path);
  *out = std::move(agent);
  return Status::Ok();
}

ResearchEvent ResearchAgent::Wait(int64_t timeout_ns, ResearchHeader* header,
                                  std::span<uint8_t> pixels) {
  ResearchWait wait(timeout_ns);
  wait.Every(kLookNs);
  bool repeated = false;
  do {
    if (acted_ && ResearchWait::Now() - acted_ns_ > kPausedNs) acted_ = seen_ = false;
    const ResearchEvent event = Look(header, pixels, &repeated);
    if (event != ResearchEvent::kTimeout) {
      counters_.repeated += repeated;
      return event;
    }
    if (wait.Every(kLookNs) && Dead()) return ResearchEvent::kGone;
  } while (wait.Next());
  counters_.repeated += repeated;
  return ResearchEvent::kTimeout;
}

ResearchEvent ResearchAgent::Look(ResearchHeader* header, std::span<uint8_t> pixels,
                                  bool* repeated) {
  if (!file_.ReadHeader(header)) return ResearchEvent::kDamaged;
  if (IsFlag(*header, ResearchFlag::kTerminated)) return ResearchEvent::kTerminated;
  if (!IsFlag(*header, ResearchFlag::kObservationReady)) return ResearchEvent::kTimeout;
  if (!Sane(*header)) return ResearchEvent::kDamaged;
  if (header->width != width_ || header->height != height_) {
    width_ = header->width;
    height_ = header->height;
    return ResearchEvent::kResized;
  }
  if (!IsNew(*header)) {
    *repeated = true;
    if (resetting_) {
      ++counters_.lost;
      file_.WriteFlag(ResearchFlag::kReset);
    }
    return ResearchEvent::kTimeout;
  }
  if (pixels.size() != ResearchPixelBytes(width_, height_)) return ResearchEvent::kResized;
  bool whole = false;
  if (!Copy(*header, pixels, &whole)) return ResearchEvent::kDamaged;
  if (!whole) {
    ++counters_.torn;
    return ResearchEvent::kTimeout;
  }
  Note(*header);
  seen_ = true;
  resetting_ = acted_ = false;
  step_ = header->step;
  time_ms_ = header->time_ms;
  ++counters_.observations;
  return ResearchEvent::kObservation;
}

void ResearchAgent::Note(const ResearchHeader& header) {
  locks_ = header.marker == kResearchLocks;
  fills_ = locks_ || header.marker == kResearchFills;
}

bool ResearchAgent::IsNew(const ResearchHeader& header) const {
  const bool fell = seen_ && (header.step < step_ || header.time_ms < time_ms_);
  if (resetting_) return header.step == 0 || fell;
  return !seen_ || header.step != step_ || header.time_ms != time_ms_;
}

bool ResearchAgent::Copy(const ResearchHeader& header, std::span<uint8_t> pixels, bool* whole) {
  // A header that says more than the file holds costs no memory.
  if (file_.Bytes() < sizeof(header) + pixels.size()) return false;
  raw_.resize(pixels.size());
  again_.resize(pixels.size());
  ResearchHeader after;
  if (!file_.Read(sizeof(header), raw_) || !file_.ReadHeader(&after)) return false;
  *whole = Same(after, header);
  if (!*whole) return true;
  if (!file_.Read(sizeof(header), again_) || !file_.ReadHeader(&after)) return false;
  *whole = Same(after, header) && raw_ == again_;
  if (*whole) CopyResearchRows(raw_, header.height, bottom_up_, pixels.data());
  return true;
}

bool ResearchAgent::Act(std::span<const float> action) {
  const size_t at = sizeof(ResearchHeader) + ResearchPixelBytes(width_, height_);
  std::array<float, kResearchActionColumns> told;
  std::transform(action.begin(), action.begin() + kResearchActionColumns, told.begin(), Finite);
  acted_ = true;
  acted_ns_ = ResearchWait::Now();
  ++counters_.actions;
  return file_.Write(at, {reinterpret_cast<const uint8_t*>(told.data()), sizeof told}) &&
         file_.WriteFlag(ResearchFlag::kActionReady);
}

bool ResearchAgent::Reset() {
  resetting_ = true;
  acted_ = false;
  ++counters_.resets;
  return file_.WriteFlag(ResearchFlag::kReset);
}

// Who finds a dead game's file removes it: while this holds the game's lock, no game can put
// another one in its place.
bool ResearchAgent::Dead() const {
  if (!file_.IsAt(path_)) return true;
  if (!locks_ || file_.IsLocked(kResearchGameByte)) return false;
  if (file_.Lock(kResearchGameByte) && file_.IsAt(path_)) ::unlink(path_.c_str());
  return true;
}

}  // namespace metabonk::ipc
