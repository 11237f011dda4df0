// The game's end of ResearchPlugin's shared memory.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "ipc/research_rows.h"
#include "ipc/research_shm.h"
#include "ipc/research_wait.h"

namespace metabonk::ipc {

namespace {

constexpr size_t kOutcomeAt = offsetof(ResearchHeader, reward);
constexpr int kTries = 8;

// A new file beside `path`, locked. Who sweeps may take one for a dead game's until it is: then
// another one is made.
ResearchFile MakeNew(const std::string& path, std::string* fresh) {
  for (int i = 0; i < kTries; ++i) {
    *fresh = path + ".new-XXXXXX";
    ResearchFile file(::mkostemp(fresh->data(), O_CLOEXEC));
    if (!file.open() || (file.Lock(kResearchGameByte) && file.IsAt(*fresh))) return file;
    ::unlink(fresh->c_str());
  }
  return ResearchFile();
}

}  // namespace

ResearchGame::ResearchGame(std::string path, ResearchFile file, int width, int height,
                           bool bottom_up)
    : path_(std::move(path)),
      file_(std::move(file)),
      width_(width),
      height_(height),
      bottom_up_(bottom_up),
      raw_(ResearchPixelBytes(width, height)) {}

Status ResearchGame::Create(const std::string& path, int width, int height, bool bottom_up,
                            std::unique_ptr<ResearchGame>* out) {
  if (width < 1 || height < 1 || width > kMaxResearchSide || height > kMaxResearchSide) {
    return {Code::kOutOfRange, "width, height", "must be from 1 to 4096"};
  }
  SweepResearch(path);
  // The old file's lock is held until it is replaced, so that nobody reclaims it meanwhile.
  const ResearchFile old(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (!old.open() && errno != ENOENT) {
    return {Code::kUnavailable, "path", "what lies there is not ours: remove it"};
  }
  if (old.open() && !old.Lock(kResearchGameByte)) {
    return {Code::kUnavailable, "path", "another game has it: close it or take another instance"};
  }
  std::string fresh;
  ResearchFile file = MakeNew(path, &fresh);
  if (!file.open()) {
    return {Code::kUnavailable, "path", "no file can be made there: check the folder"};
  }
  const size_t bytes = sizeof(ResearchHeader) + ResearchPixelBytes(width, height) +
                       kResearchActionColumns * sizeof(float);
  const ResearchHeader header = {0, kResearchLocks, 0.0f, 0, 0, 0, width, height};
  const bool made = file.Resize(bytes) &&
                    file.Write(0, {reinterpret_cast<const uint8_t*>(&header), sizeof(header)}) &&
                    ::rename(fresh.c_str(), path.c_str()) == 0;
  if (!made) {
    ::unlink(fresh.c_str());
    return {Code::kUnavailable, "path", "the file cannot be written: check the folder's space"};
  }
  out->reset(new ResearchGame(path, std::move(file), width, height, bottom_up));
  return Status::Ok();
}

ResearchGame::~ResearchGame() {
  file_.WriteFlag(ResearchFlag::kTerminated);
  if (file_.IsAt(path_)) ::unlink(path_.c_str());
}

bool ResearchGame::Poll() {
  ResearchHeader header;
  if (!file_.ReadHeader(&header)) return false;
  if (header.flag == static_cast<int32_t>(ResearchFlag::kReset)) {
    pending_ = ResearchEvent::kReset;
    ++counters_.resets;
  } else if (header.flag == static_cast<int32_t>(ResearchFlag::kActionReady)) {
    if (pending_ != ResearchEvent::kReset) pending_ = ResearchEvent::kAction;
    ++counters_.actions;
  } else {
    return true;
  }
  return file_.WriteFlag(ResearchFlag::kWait);
}

bool ResearchGame::Publish(const ResearchHeader& header, std::span<const uint8_t> pixels) {
  if (pixels.size() != raw_.size() || !Poll()) return false;
  const bool early = pending_ != ResearchEvent::kTimeout;
  CopyResearchRows(pixels, height_, bottom_up_, raw_.data());
  ResearchHeader outcome = header;
  outcome.width = width_;
  outcome.height = height_;
  const auto* bytes = reinterpret_cast<const uint8_t*>(&outcome);
  const bool written =
      file_.WriteFlag(ResearchFlag::kWait) &&
      file_.Write(kOutcomeAt, {bytes + kOutcomeAt, sizeof(outcome) - kOutcomeAt}) &&
      file_.Write(sizeof(outcome), raw_) && Poll();
  counters_.lost += !early && pending_ != ResearchEvent::kTimeout;
  ++counters_.observations;
  return written && file_.WriteFlag(ResearchFlag::kObservationReady);
}

ResearchEvent ResearchGame::Wait(int64_t timeout_ns, std::span<float> action) {
  ResearchWait wait(timeout_ns);
  do {
    if (!Poll()) return ResearchEvent::kDamaged;
    if (pending_ == ResearchEvent::kTimeout) continue;
    const size_t at = sizeof(ResearchHeader) + raw_.size();
    if (!file_.Read(at, {reinterpret_cast<uint8_t*>(action.data()),
                         kResearchActionColumns * sizeof(float)})) {
      return ResearchEvent::kDamaged;
    }
    return std::exchange(pending_, ResearchEvent::kTimeout);
  } while (wait.Next());
  return ResearchEvent::kTimeout;
}

bool ResearchGame::agent() const { return file_.IsLocked(kResearchAgentByte); }

}  // namespace metabonk::ipc
