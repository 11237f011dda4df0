#include "link/state.h"

#include <algorithm>
#include <cstring>

#include "link/bytes.h"
#include "link/mbx2.h"
#include "link/text.h"

namespace metabonk::link {
namespace {

constexpr size_t kEnemyBytes = 16;
constexpr size_t kTrailerHeaderBytes = 12;
constexpr size_t kInputBytes = 28;
constexpr size_t kAnnouncementBytes = 8;
constexpr size_t kStepBytes = 20;  // at least: then `returned`, which was added later
constexpr size_t kStepBytesWritten = kStepBytes + sizeof(double);
constexpr int32_t kTrailerVersion = 1;
constexpr uint32_t kMaskV1 = kHasPlayer | kHasEntities | kHasMenu | kHasOffers;

constexpr Status Malformed(const char* where, const char* what) {
  return {Code::kCorrupt, where, what};
}

// Unity's (x, y, z) is our (x, z, y), and the reverse.
void PutVector(const float (&v)[3], bool swap, ByteWriter* to) {
  to->Put({v[0], swap ? v[2] : v[1], swap ? v[1] : v[2]});
}

void PutV1(const GameState& state, bool swap, ByteWriter* to) {
  PutVector(state.position, swap, to);
  PutVector(state.velocity, swap, to);
  to->Put(state.health);
  to->Put(state.max_health);
  to->Put(static_cast<float>(state.time));
  to->Put(static_cast<uint8_t>(state.playing != 0));
  to->Put(static_cast<uint8_t>(state.paused != 0));
  const int32_t entities = std::min<int32_t>(state.entity_count, kMaxEntities);
  to->Put(entities);
  for (int32_t i = 0; i < entities; ++i) {
    PutVector(state.entities[i].position, swap, to);
    to->Put(state.entities[i].health);
  }
  to->String(ViewText(state.menu));
  const int32_t offers = std::min<int32_t>(state.offer_count, kMaxOffers);
  to->Put(offers);
  for (int32_t i = 0; i < offers; ++i) to->String(ViewText(state.offers[i].text));
}

void PutInput(const InputSnapshot& input, ByteWriter* to) {
  to->Put(kTagInput);
  to->Put(kTrailerVersion);
  to->Put(input.move);
  to->Put(input.look);
  to->Put({input.fire, input.ability, input.interact, input.ui_click});
  to->Put(input.click);
}

void PutTrailerHeader(uint32_t tag, int32_t version, size_t size, ByteWriter* to) {
  to->Put(tag);
  to->Put(version);
  to->Put(static_cast<int32_t>(size));
}

void PutAnnouncement(const Announcement& announcement, ByteWriter* to) {
  PutTrailerHeader(kTagAnnounce, kTrailerVersion, kAnnouncementBytes, to);
  to->Put(announcement.lowest_version);
  to->Put(announcement.highest_version);
  to->Put(announcement.capabilities);
}

void PutStep(const StepResult& step, ByteWriter* to) {
  PutTrailerHeader(kTagStep, kTrailerVersion, kStepBytesWritten, to);
  to->Put(step.reward);
  to->Put({step.is_first, step.terminated, step.truncated, uint8_t{0}});
  to->Put(step.action_sequence);
  to->Put(step.episode);
  to->Put(step.returned);
}

size_t Mbx2Bytes(const GameState& state) {
  constexpr size_t kLists = 4, kListHeaderBytes = 4;
  return kMbx2FixedBytes + kLists * kListHeaderBytes +
         kMbx2EnemyBytes * std::min<size_t>(state.entity_count, kMaxEntities) +
         kMbx2PickupBytes * std::min<size_t>(state.pickup_count, kMaxPickups) +
         kMbx2WidgetBytes * std::min<size_t>(state.widget_count, kMaxWidgets) +
         kMbx2OfferBytes * std::min<size_t>(state.offer_count, kMaxOffers);
}

void GetPlayer(ByteReader* from, GameState* state) {
  from->Get(state->position);
  from->Get(state->velocity);
  state->health = from->Get<float>();
  state->max_health = from->Get<float>();
  state->time = static_cast<double>(from->Get<float>());
  state->playing = from->Get<uint8_t>() != 0;
  state->paused = from->Get<uint8_t>() != 0;
}

Status GetEnemies(ByteReader* from, GameState* state, CutRows* cut) {
  const auto count = from->Get<int32_t>();
  if (!from->ok()) return Malformed("state", "ends before the number of enemies");
  if (count < 0 || static_cast<size_t>(count) > from->left() / kEnemyBytes) {
    return Malformed("enemy count", "is negative or more than the state has room for");
  }
  state->entity_count = static_cast<uint16_t>(std::min<int32_t>(count, kMaxEntities));
  for (int32_t i = 0; i < state->entity_count; ++i) {
    from->Get(state->entities[i].position);
    state->entities[i].health = from->Get<float>();
  }
  cut->others = static_cast<uint32_t>(count) - state->entity_count;
  from->Take(cut->others * kEnemyBytes);
  return Status::Ok();
}

Status GetTexts(ByteReader* from, GameState* state, CutRows* cut) {
  CopyText(from->String(), state->menu);
  if (!from->ok()) return Malformed("currentMenu", "is longer than the state");
  const auto count = from->Get<int32_t>();
  if (!from->ok()) return Malformed("state", "ends before the number of levelUpOptions");
  // Each is a byte at least, so that no count makes a reader run longer than its bytes.
  if (count < 0 || static_cast<size_t>(count) > from->left()) {
    return Malformed("levelUpOptions count", "is negative or more than the state has room for");
  }
  state->offer_count = static_cast<uint16_t>(std::min<int32_t>(count, kMaxOffers));
  cut->offers = static_cast<uint32_t>(count) - state->offer_count;
  for (int32_t i = 0; i < count; ++i) {
    const std::string_view text = from->String();
    if (!from->ok()) return Malformed("levelUpOptions", "are longer than the state");
    if (i < state->offer_count) CopyText(text, state->offers[i].text);
  }
  return Status::Ok();
}

// HINP has a version and no length: one that is not known ends what can be read.
bool GetInput(ByteReader* from, std::optional<InputSnapshot>* input) {
  if (from->Get<int32_t>() != kTrailerVersion || from->left() < kInputBytes) return false;
  InputSnapshot& got = input->emplace();
  from->Get(got.move);
  from->Get(got.look);
  got.fire = from->Get<uint8_t>() != 0;
  got.ability = from->Get<uint8_t>() != 0;
  got.interact = from->Get<uint8_t>() != 0;
  got.ui_click = from->Get<uint8_t>() != 0;
  from->Get(got.click);
  return true;
}

Status GetAnnouncement(std::span<const uint8_t> payload, StateTrailers* trailers) {
  if (payload.size() < kAnnouncementBytes) return Malformed("BNK2", "the trailer is cut");
  ByteReader from(payload);
  Announcement& got = trailers->announcement.emplace();
  got.lowest_version = from.Get<uint16_t>();
  got.highest_version = from.Get<uint16_t>();
  got.capabilities = from.Get<uint32_t>();
  return Status::Ok();
}

Status GetStep(std::span<const uint8_t> payload, StateTrailers* trailers) {
  if (payload.size() < kStepBytes) return Malformed("STEP", "the trailer is cut");
  ByteReader from(payload);
  StepResult& got = trailers->step.emplace();
  got.reward = from.Get<float>();
  got.is_first = from.Get<uint8_t>() != 0;
  got.terminated = from.Get<uint8_t>() != 0;
  got.truncated = from.Get<uint8_t>() != 0;
  from.Get<uint8_t>();
  got.action_sequence = from.Get<uint64_t>();
  got.episode = from.Get<uint32_t>();
  if (payload.size() >= kStepBytesWritten) got.returned = from.Get<double>();
  return Status::Ok();
}

Status GetTrailer(uint32_t tag, std::span<const uint8_t> payload, GameState* state,
                  StateTrailers* trailers) {
  switch (tag) {
    case kTagAnnounce:
      return GetAnnouncement(payload, trailers);
    case kTagStep:
      return GetStep(payload, trailers);
    case kTagExtra:
      trailers->extra = true;
      return DecodeMbx2(payload, state, &trailers->cut);
    default:
      return Status::Ok();
  }
}

bool IsOurs(uint32_t tag) { return tag == kTagAnnounce || tag == kTagStep || tag == kTagExtra; }

Status GetTrailers(ByteReader from, GameState* state, StateTrailers* trailers) {
  ByteReader ahead = from;
  if (ahead.Get<uint32_t>() == kTagInput) {
    if (!GetInput(&ahead, &trailers->input)) return Status::Ok();
    from = ahead;
  }
  while (from.left() >= kTrailerHeaderBytes) {
    const auto tag = from.Get<uint32_t>();
    const auto version = from.Get<int32_t>();
    const auto size = from.Get<int32_t>();
    const bool ours = IsOurs(tag) && version >= 1;
    if (size < 0 || static_cast<size_t>(size) > from.left()) {
      return ours ? Malformed("trailer", "its length exceeds the state's") : Status::Ok();
    }
    const std::span<const uint8_t> payload = from.Take(static_cast<size_t>(size));
    if (!ours) continue;
    const Status status = GetTrailer(tag, payload, state, trailers);
    if (!status.ok()) return status;
  }
  return Status::Ok();
}

void ToOurs(GameState* state) {
  const auto swap = [](float (&v)[3]) { std::swap(v[1], v[2]); };
  swap(state->position);
  swap(state->velocity);
  for (int i = 0; i < state->entity_count; ++i) swap(state->entities[i].position);
}

}  // namespace

Status EncodeState(const GameState& state, const StateTrailers& trailers, Axes axes,
                   std::span<uint8_t> room, size_t* size) {
  ByteWriter to(room);
  PutV1(state, axes == Axes::kUnity && !trailers.extra, &to);
  if (trailers.input) PutInput(*trailers.input, &to);
  if (trailers.announcement) PutAnnouncement(*trailers.announcement, &to);
  if (trailers.step) PutStep(*trailers.step, &to);
  if (trailers.extra) {
    PutTrailerHeader(kTagExtra, kMbx2Version, Mbx2Bytes(state), &to);
    EncodeMbx2(state, &to);
  }
  *size = to.size();
  if (to.ok()) return Status::Ok();
  return {Code::kInvalidArgument, "room", "too small for the state; kStateBytesMax holds any"};
}

Status DecodeState(std::span<const uint8_t> bytes, Axes axes, GameState* state,
                   StateTrailers* trailers) {
  std::memset(static_cast<void*>(state), 0, sizeof *state);
  *trailers = {};
  ByteReader from(bytes);
  GetPlayer(&from, state);
  Status status = GetEnemies(&from, state, &trailers->cut);
  if (status.ok()) status = GetTexts(&from, state, &trailers->cut);
  if (!status.ok()) return status;
  state->fields = kMaskV1;
  status = GetTrailers(from, state, trailers);
  if (!status.ok()) return status;
  if ((state->fields & kHasMenu) && state->menu[0] == '\0') CopyText("None", state->menu);
  if (axes == Axes::kUnity && !trailers->extra) ToOurs(state);
  return status;
}

}  // namespace metabonk::link
