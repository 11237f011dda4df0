#include "link/mbx2.h"

#include <algorithm>
#include <cstring>

#include "link/text.h"

namespace metabonk::link {
namespace {

// Rows of these lie on the wire as in memory.
static_assert(sizeof(Pickup) == kMbx2PickupBytes && sizeof(Widget) == kMbx2WidgetBytes &&
              sizeof(Offer) == kMbx2OfferBytes && sizeof(Slot) == 2);

constexpr Status Malformed(const char* where, const char* what) {
  return {Code::kCorrupt, where, what};
}

void PutFixed(const GameState& state, ByteWriter* to) {
  to->Put(static_cast<uint32_t>(state.fields & kHasEverything));
  to->Put(static_cast<uint16_t>(kMbx2FixedBytes));
  to->Put(uint16_t{0});
  to->Put(state.run_seed);
  to->Put(state.time);
  to->Put(state.dt);
  to->Put(state.yaw);
  to->Put(state.shield);
  to->Put(state.xp);
  to->Put(state.xp_next);
  to->Put(state.gold);
  to->Put(state.score);
  to->Put(state.kills);
  to->Put(state.level);
  to->Put(static_cast<uint8_t>(state.grounded != 0));
  to->Put(state.tier);
  to->Put(state.character);
  to->Put({uint8_t{0}, uint8_t{0}, uint8_t{0}});
  to->Raw(state.weapons, sizeof state.weapons);
  to->Raw(state.tomes, sizeof state.tomes);
}

void GetFixed(ByteReader fixed, GameState* state) {
  state->fields = fixed.Get<uint32_t>() & kHasEverything;
  fixed.Take(4);
  state->run_seed = fixed.Get<uint64_t>();
  state->time = fixed.Get<double>();
  state->dt = fixed.Get<float>();
  state->yaw = fixed.Get<float>();
  state->shield = fixed.Get<float>();
  state->xp = fixed.Get<float>();
  state->xp_next = fixed.Get<float>();
  state->gold = fixed.Get<float>();
  state->score = fixed.Get<float>();
  state->kills = fixed.Get<uint32_t>();
  state->level = fixed.Get<uint16_t>();
  state->grounded = fixed.Get<uint8_t>() != 0;
  state->tier = fixed.Get<uint8_t>();
  state->character = fixed.Get<uint8_t>();
  fixed.Take(3);
  for (auto* slots : {&state->weapons, &state->tomes}) {
    std::memcpy(*slots, fixed.Take(sizeof *slots).data(), sizeof *slots);
  }
}

void PutListHeader(size_t count, size_t stride, ByteWriter* to) {
  to->Put(static_cast<uint16_t>(count));
  to->Put(static_cast<uint16_t>(stride));
}

// A list as it lies: row i begins at rows.data() + i * stride.
struct List {
  size_t count = 0;
  size_t stride = 0;
  std::span<const uint8_t> rows;
  const uint8_t* row(size_t i) const { return rows.data() + i * stride; }
};

Status GetList(ByteReader* from, size_t row_bytes, const char* name, List* list) {
  list->count = from->Get<uint16_t>();
  list->stride = from->Get<uint16_t>();
  if (!from->ok()) return Malformed(name, "the list's count and stride are missing");
  if (list->stride < row_bytes) return Malformed(name, "the stride is smaller than a row");
  list->rows = from->Take(list->count * list->stride);
  return from->ok() ? Status::Ok() : Malformed(name, "the list ends before its last row");
}

// How many of a list's rows have room here.
uint16_t Kept(const List& list, int most, uint32_t* cut) {
  const size_t kept = std::min<size_t>(list.count, most);
  *cut += static_cast<uint32_t>(list.count - kept);
  return static_cast<uint16_t>(kept);
}

// Those that have no room were counted with v1's part.
Status GetEnemies(ByteReader* from, GameState* state, CutRows*) {
  List list;
  const Status status = GetList(from, kMbx2EnemyBytes, "MBX2.enemy", &list);
  if (!status.ok()) return status;
  const size_t count = std::min<size_t>(list.count, kMaxEntities);
  if (count != state->entity_count) {
    return Malformed("MBX2.enemy", "must have as many rows as the state has enemies");
  }
  for (size_t i = 0; i < count; ++i) {
    ByteReader row({list.row(i), kMbx2EnemyBytes});
    Entity& entity = state->entities[i];
    entity.id = row.Get<uint32_t>();
    entity.kind = row.Get<uint8_t>();
    entity.flags = row.Get<uint8_t>();
    row.Take(2);
    row.Get(entity.velocity);
    entity.max_health = row.Get<float>();
  }
  return status;
}

Status GetPickups(ByteReader* from, GameState* state, CutRows* cut) {
  List list;
  const Status status = GetList(from, kMbx2PickupBytes, "MBX2.pickup", &list);
  if (!status.ok()) return status;
  state->pickup_count = Kept(list, kMaxPickups, &cut->others);
  for (size_t i = 0; i < state->pickup_count; ++i) {
    Pickup& pickup = state->pickups[i];
    std::memcpy(&pickup, list.row(i), sizeof pickup);
    std::memset(pickup.reserved, 0, sizeof pickup.reserved);
  }
  return status;
}

Status GetWidgets(ByteReader* from, GameState* state, CutRows* cut) {
  List list;
  const Status status = GetList(from, kMbx2WidgetBytes, "MBX2.widget", &list);
  if (!status.ok()) return status;
  state->widget_count = Kept(list, kMaxWidgets, &cut->others);
  for (size_t i = 0; i < state->widget_count; ++i) {
    Widget& widget = state->widgets[i];
    std::memcpy(&widget, list.row(i), sizeof widget);
    if (widget.offer > kMaxOffers) return Malformed("MBX2.widget.offer", "must be 0..8");
    widget.enabled = widget.enabled != 0;
    std::memset(widget.reserved, 0, sizeof widget.reserved);
    Text text;
    CopyText(ViewText(widget.text), text);
    std::memcpy(widget.text, text, sizeof text);
  }
  return status;
}

Status GetOffers(ByteReader* from, GameState* state, CutRows* cut) {
  List list;
  const Status status = GetList(from, kMbx2OfferBytes, "MBX2.offer", &list);
  if (!status.ok()) return status;
  std::memset(state->offers, 0, sizeof state->offers);  // v1's, which had texts only
  uint32_t offers = 0;
  state->offer_count = Kept(list, kMaxOffers, &offers);
  cut->offers = std::max(cut->offers, offers);
  for (size_t i = 0; i < state->offer_count; ++i) {
    Offer& offer = state->offers[i];
    std::memcpy(&offer, list.row(i), sizeof offer);
    if (offer.change_count > kMaxStatChanges) {
      return Malformed("MBX2.offer.changes", "must be 0..4");
    }
    std::memset(offer.reserved, 0, sizeof offer.reserved);
    for (int j = 0; j < kMaxStatChanges; ++j) {
      StatChange& change = offer.changes[j];
      if (j >= offer.change_count) change = {};
      change.multiply = change.multiply != 0;
      change.reserved = 0;
    }
    Text text;
    CopyText(ViewText(offer.text), text);
    std::memcpy(offer.text, text, sizeof text);
  }
  return status;
}

}  // namespace

void EncodeMbx2(const GameState& state, ByteWriter* to) {
  PutFixed(state, to);
  const size_t entities = std::min<size_t>(state.entity_count, kMaxEntities);
  PutListHeader(entities, kMbx2EnemyBytes, to);
  for (size_t i = 0; i < entities; ++i) {
    const Entity& entity = state.entities[i];
    to->Put(entity.id);
    to->Put(entity.kind);
    to->Put(entity.flags);
    to->Put(uint16_t{0});
    to->Put(entity.velocity);
    to->Put(entity.max_health);
  }
  const size_t pickups = std::min<size_t>(state.pickup_count, kMaxPickups);
  PutListHeader(pickups, kMbx2PickupBytes, to);
  to->Raw(state.pickups, pickups * sizeof(Pickup));
  const size_t widgets = std::min<size_t>(state.widget_count, kMaxWidgets);
  PutListHeader(widgets, kMbx2WidgetBytes, to);
  to->Raw(state.widgets, widgets * sizeof(Widget));
  const size_t offers = std::min<size_t>(state.offer_count, kMaxOffers);
  PutListHeader(offers, kMbx2OfferBytes, to);
  to->Raw(state.offers, offers * sizeof(Offer));
}

Status DecodeMbx2(std::span<const uint8_t> payload, GameState* state, CutRows* cut) {
  if (payload.size() < kMbx2FixedBytes) return Malformed("MBX2", "the fixed part is cut");
  uint16_t fixed_bytes;
  std::memcpy(&fixed_bytes, payload.data() + 4, sizeof fixed_bytes);
  if (fixed_bytes < kMbx2FixedBytes || fixed_bytes > payload.size()) {
    return Malformed("MBX2", "the size of the fixed part is outside 96..its length");
  }
  GetFixed(ByteReader(payload.first(kMbx2FixedBytes)), state);
  ByteReader lists(payload.subspan(fixed_bytes));
  for (const auto read : {&GetEnemies, &GetPickups, &GetWidgets, &GetOffers}) {
    const Status status = read(&lists, state, cut);
    if (!status.ok()) return status;
  }
  return Status::Ok();
}

}  // namespace metabonk::link
