#include "games/arena/replay.h"

#include <algorithm>
#include <cstring>

#include "games/arena/content.h"
#include "games/arena/numbers.h"
#include "games/arena/rules.h"
#include "support/random.h"

namespace metabonk::arena {
namespace {

constexpr char kMagic[4] = {'M', 'B', 'A', 'R'};
constexpr float kStick = 127.0f;
// What is rounded lies at most .0056 outside the unit disc; only what lies further out is pulled
// in, so that a second pass changes nothing.
constexpr float kDisc = 1.0057f;
constexpr float kScreen = 4095.0f;
constexpr uint16_t kNoClick = 65535;

enum Changed : uint8_t {
  kMove = 1,
  kLook = 2,
  kButtonsBit = 4,
  kChoice = 8,
  kClick = 16,
  kRun = 32
};

constexpr Action kIdle = {{0, 0}, {0, 0}, 0, 0, 0, 0, 0, 0, {-1, -1}};

int Round(float value) { return static_cast<int>(value + (value < 0.0f ? -0.5f : 0.5f)); }

float Stick(float value) {
  const float bounded = value == value ? Clamp(value, -1.0f, 1.0f) : 0.0f;
  return static_cast<float>(Round(bounded * kStick)) / kStick;
}

float Button(float value) { return value >= 0.5f ? 1.0f : 0.0f; }

template <typename T>
void Put(std::vector<uint8_t>* out, T value) {
  const size_t end = out->size();
  out->resize(end + sizeof value);
  std::memcpy(out->data() + end, &value, sizeof value);
}

void PutVarint(std::vector<uint8_t>* out, uint32_t value) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<uint8_t>(value | 0x80));
  out->push_back(static_cast<uint8_t>(value));
}

// Reads from a span; a read past the end fails and leaves the value alone.
struct Cursor {
  std::span<const uint8_t> bytes;
  size_t at = 0;

  template <typename T>
  bool Take(T* value) {
    if (bytes.size() - at < sizeof *value) return false;
    std::memcpy(value, bytes.data() + at, sizeof *value);
    at += sizeof *value;
    return true;
  }

  bool TakeVarint(uint32_t* value) {
    uint64_t sum = 0;
    for (int shift = 0; shift < 35; shift += 7) {
      uint8_t byte;
      if (!Take(&byte)) return false;
      sum |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) {
        *value = static_cast<uint32_t>(sum);
        return sum <= 0xFFFFFFFFu;
      }
    }
    return false;
  }
};

std::vector<uint8_t> PackLevel(const LevelSpec& spec) {
  const LevelSpec base = DefaultSpec();
  uint8_t from[sizeof base];
  uint8_t to[sizeof spec];
  std::memcpy(from, &base, sizeof base);
  std::memcpy(to, &spec, sizeof spec);
  std::vector<uint8_t> out;
  for (size_t at = 0; at < sizeof spec;) {
    const size_t first = at;
    while (at < sizeof spec && from[at] == to[at]) ++at;
    const size_t changed = at;
    while (at < sizeof spec && from[at] != to[at]) ++at;
    PutVarint(&out, static_cast<uint32_t>(changed - first));
    PutVarint(&out, static_cast<uint32_t>(at - changed));
    out.insert(out.end(), to + changed, to + at);
  }
  return out;
}

bool Same(const float a[2], const float b[2]) { return a[0] == b[0] && a[1] == b[1]; }

uint8_t ButtonBits(const Action& action) {
  return static_cast<uint8_t>((action.jump >= 0.5f) | (action.slide >= 0.5f) << 1 |
                              (action.interact >= 0.5f) << 2 | (action.fire >= 0.5f) << 3 |
                              (action.ability >= 0.5f) << 4);
}

uint8_t Difference(const Action& a, const Action& b) {
  return static_cast<uint8_t>(
      (Same(a.move, b.move) ? 0 : kMove) | (Same(a.look, b.look) ? 0 : kLook) |
      (ButtonBits(a) == ButtonBits(b) ? 0 : kButtonsBit) | (a.choice == b.choice ? 0 : kChoice) |
      (Same(a.click, b.click) ? 0 : kClick));
}

void PutStick(std::vector<uint8_t>* out, const float stick[2]) {
  Put(out, static_cast<int8_t>(Round(stick[0] * kStick)));
  Put(out, static_cast<int8_t>(Round(stick[1] * kStick)));
}

void PutFields(std::vector<uint8_t>* out, uint8_t changed, const Action& action) {
  if (changed & kMove) PutStick(out, action.move);
  if (changed & kLook) PutStick(out, action.look);
  if (changed & kButtonsBit) out->push_back(ButtonBits(action));
  if (changed & kChoice) out->push_back(static_cast<uint8_t>(action.choice));
  if (!(changed & kClick)) return;
  if (action.click[0] < 0.0f) {
    Put(out, kNoClick);
    return;
  }
  Put(out, static_cast<uint16_t>(Round(action.click[0] * kScreen)));
  Put(out, static_cast<uint16_t>(Round(action.click[1] * kScreen)));
}

bool TakeStick(Cursor* from, float stick[2]) {
  int8_t x;
  int8_t y;
  if (!from->Take(&x) || !from->Take(&y)) return false;
  stick[0] = static_cast<float>(x) / kStick;
  stick[1] = static_cast<float>(y) / kStick;
  return true;
}

bool TakeButtons(Cursor* from, Action* action) {
  uint8_t bits;
  if (!from->Take(&bits)) return false;
  action->jump = static_cast<float>(bits & 1);
  action->slide = static_cast<float>(bits >> 1 & 1);
  action->interact = static_cast<float>(bits >> 2 & 1);
  action->fire = static_cast<float>(bits >> 3 & 1);
  action->ability = static_cast<float>(bits >> 4 & 1);
  return bits < 32;
}

bool TakeClick(Cursor* from, float click[2]) {
  uint16_t x;
  uint16_t y;
  if (!from->Take(&x)) return false;
  if (x == kNoClick) {
    click[0] = click[1] = -1.0f;
    return true;
  }
  if (!from->Take(&y)) return false;
  click[0] = static_cast<float>(x) / kScreen;
  click[1] = static_cast<float>(y) / kScreen;
  return x <= 4095 && y <= 4095;
}

bool TakeFields(Cursor* from, uint8_t changed, Action* action) {
  if ((changed & kMove) && !TakeStick(from, action->move)) return false;
  if ((changed & kLook) && !TakeStick(from, action->look)) return false;
  if ((changed & kButtonsBit) && !TakeButtons(from, action)) return false;
  if (changed & kChoice) {
    uint8_t choice;
    if (!from->Take(&choice) || choice > kMaxWidgets) return false;
    action->choice = choice;
  }
  return !(changed & kClick) || TakeClick(from, action->click);
}

}  // namespace

Action Canonical(const Action& action) {
  Action out = kIdle;
  for (int i = 0; i < 2; ++i) {
    out.move[i] = Stick(action.move[i]);
    out.look[i] = Stick(action.look[i]);
  }
  const float length = Length(action.move[0], action.move[1]);
  if (length > kDisc || Length(out.move[0], out.move[1]) > kDisc) {
    for (int i = 0; i < 2; ++i) out.move[i] = Stick(action.move[i] / length);
  }
  out.jump = Button(action.jump);
  out.slide = Button(action.slide);
  out.interact = Button(action.interact);
  out.fire = Button(action.fire);
  out.ability = Button(action.ability);
  const float most = static_cast<float>(kMaxWidgets);
  out.choice = static_cast<float>(Round(Clamp(action.choice, 0.0f, most)));
  if (action.click[0] >= 0.0f && action.click[1] >= 0.0f) {
    for (int i = 0; i < 2; ++i) {
      out.click[i] = static_cast<float>(Round(Min(action.click[i], 1.0f) * kScreen)) / kScreen;
    }
  }
  return out;
}

uint64_t HashBody(std::span<const uint8_t> bytes) {
  uint64_t hash = Mix64(bytes.size() + 1);
  for (size_t at = 0; at < bytes.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min<size_t>(8, bytes.size() - at));
    hash = Mix64(hash ^ word) + 0x9E3779B97F4A7C15ull;
  }
  return hash;
}

uint64_t ContentHash() {
  const auto* text = reinterpret_cast<const uint8_t*>(kContentText);
  return HashBody({text, sizeof kContentText - 1});
}

void ReplayWriter::CloseRun() {
  if (repeats_ == 0) return;
  actions_[record_] |= kRun;
  PutVarint(&actions_, repeats_);
  repeats_ = 0;
}

void ReplayWriter::Add(const Action& action) {
  const Action now = Canonical(action);
  const uint8_t changed = Difference(now, last_);
  if (changed == 0 && decisions_ > 0 && repeats_ < kMaxReplayRepeats) {
    ++repeats_;
  } else {
    CloseRun();
    record_ = actions_.size();
    actions_.push_back(changed);
    PutFields(&actions_, changed, now);
    last_ = now;
  }
  ++decisions_;
}

std::vector<uint8_t> ReplayWriter::Finish(const LevelSpec& spec, uint64_t run_seed,
                                          uint64_t final_hash) {
  CloseRun();
  std::vector<uint8_t> body = PackLevel(spec);
  const uint32_t level_bytes = static_cast<uint32_t>(body.size());
  body.insert(body.end(), actions_.begin(), actions_.end());
  std::vector<uint8_t> out(kMagic, kMagic + sizeof kMagic);
  Put(&out, kReplayFormat);
  Put(&out, static_cast<uint16_t>(kReplayHeader));
  Put(&out, ContentHash());
  Put(&out, run_seed);
  Put(&out, final_hash);
  Put(&out, decisions_);
  Put(&out, static_cast<uint32_t>(sizeof(LevelSpec)));
  Put(&out, level_bytes);
  Put(&out, static_cast<uint32_t>(actions_.size()));
  Put(&out, HashBody(body));
  out.insert(out.end(), body.begin(), body.end());
  return out;
}

Status ReplayReader::Open(std::span<const uint8_t> bytes) {
  bytes_ = bytes;
  if (const Status status = ReadHeader(); !status.ok()) return status;
  if (const Status status = Validate(header_.spec); !status.ok()) return status;
  return CheckActions();
}

Status ReplayReader::ReadHeader() {
  Cursor from{bytes_};
  char magic[4];
  uint16_t format;
  uint16_t header_bytes;
  uint64_t content;
  uint32_t spec_bytes;
  uint32_t level_bytes;
  uint32_t action_bytes;
  uint64_t hash;
  if (!from.Take(&magic) || std::memcmp(magic, kMagic, sizeof magic) != 0) {
    return {Code::kCorrupt, "magic", "is not that of an arena replay"};
  }
  if (!from.Take(&format) || !from.Take(&header_bytes)) {
    return {Code::kCorrupt, "header", "ends too early"};
  }
  if (format != kReplayFormat || header_bytes != kReplayHeader) {
    return {Code::kVersionMismatch, "format", "must be 1: replay it with the build that wrote it"};
  }
  if (!from.Take(&content) || !from.Take(&header_.run_seed) || !from.Take(&header_.final_hash) ||
      !from.Take(&header_.decisions) || !from.Take(&spec_bytes) || !from.Take(&level_bytes) ||
      !from.Take(&action_bytes) || !from.Take(&hash)) {
    return {Code::kCorrupt, "header", "ends too early"};
  }
  if (content != ContentHash() || spec_bytes != sizeof(LevelSpec)) {
    return {Code::kVersionMismatch, "content",
            "differs from this build's: replay it with the build that wrote it"};
  }
  const uint64_t body_bytes = bytes_.size() - kReplayHeader;
  if (uint64_t{level_bytes} + action_bytes != body_bytes) {
    return {Code::kCorrupt, "length", "does not match the header"};
  }
  if (HashBody(bytes_.subspan(kReplayHeader)) != hash) {
    return {Code::kCorrupt, "hash", "does not match the level and the actions"};
  }
  actions_ = bytes_.subspan(kReplayHeader + level_bytes);
  return ReadLevel(bytes_.subspan(kReplayHeader, level_bytes));
}

Status ReplayReader::ReadLevel(std::span<const uint8_t> level) {
  constexpr Status kBad = {Code::kCorrupt, "level", "does not cover the specification"};
  const LevelSpec base = DefaultSpec();
  uint8_t bytes[sizeof base];
  std::memcpy(bytes, &base, sizeof base);
  Cursor from{level};
  size_t at = 0;
  while (at < sizeof bytes) {
    uint32_t skip;
    uint32_t changed;
    if (!from.TakeVarint(&skip) || !from.TakeVarint(&changed)) return kBad;
    if (skip + size_t{changed} == 0 || skip > sizeof bytes - at) return kBad;
    at += skip;
    if (changed > sizeof bytes - at || changed > level.size() - from.at) return kBad;
    std::copy_n(level.data() + from.at, changed, bytes + at);
    from.at += changed;
    at += changed;
  }
  if (from.at != level.size()) return kBad;
  std::memcpy(&header_.spec, bytes, sizeof bytes);
  return Status::Ok();
}

// One record at at_: false at the end and on anything malformed.
bool ReplayReader::ReadRecord() {
  Cursor from{actions_, at_};
  uint8_t changed;
  if (!from.Take(&changed) || changed >= 2 * kRun) return false;
  if (!TakeFields(&from, changed, &current_)) return false;
  repeats_ = 1;
  if (changed & kRun) {
    uint32_t more;
    if (!from.TakeVarint(&more) || more > kMaxReplayRepeats) return false;
    repeats_ += more;
  }
  at_ = from.at;
  return true;
}

Status ReplayReader::CheckActions() {
  if (header_.decisions > kMaxReplayDecisions) {
    return {Code::kOutOfRange, "decisions", "must be at most 1048576"};
  }
  at_ = 0;
  current_ = kIdle;
  uint64_t total = 0;
  while (at_ < actions_.size()) {
    if (!ReadRecord()) return {Code::kCorrupt, "actions", "hold a malformed record"};
    total += repeats_;
  }
  if (total != header_.decisions) {
    return {Code::kCorrupt, "actions", "are not as many as the header says"};
  }
  at_ = 0;
  repeats_ = 0;
  current_ = kIdle;
  return Status::Ok();
}

bool ReplayReader::Next(Action* out) {
  if (repeats_ == 0 && !ReadRecord()) return false;
  --repeats_;
  *out = current_;
  return true;
}

}  // namespace metabonk::arena
