// Observe on whatever bytes arrive: stays inside its arrays, writes all of them, and every number
// is finite and within the range that the observation space promises. What the numbers mean is
// compared with a reference in tests/test_observations.py.
#include "metabonk/observe.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "check.h"
#include "support/math.h"
#include "support/random.h"

namespace metabonk {
namespace {

constexpr float kUnwritten = 1e30f;

struct Arrays {
  std::vector<float> state = std::vector<float>(kStateFeatures, kUnwritten);
  std::vector<float> entities = std::vector<float>(kNearestEntities * kEntityFeatures, kUnwritten);
  std::vector<float> pickups = std::vector<float>(kNearestPickups * kPickupFeatures, kUnwritten);
  std::vector<float> offers = std::vector<float>(kOfferRows * kOfferFeatures, kUnwritten);
  std::vector<float> dt = std::vector<float>(1, kUnwritten);
  std::vector<uint8_t> entities_mask = std::vector<uint8_t>(kNearestEntities, 77);
  std::vector<uint8_t> pickups_mask = std::vector<uint8_t>(kNearestPickups, 77);
  std::vector<uint8_t> offers_mask = std::vector<uint8_t>(kOfferRows, 77);
  std::vector<uint8_t> action_mask = std::vector<uint8_t>(kActionMask, 77);

  ObservationView View() {
    return {state.data(),       entities.data(),     entities_mask.data(),
            pickups.data(),     pickups_mask.data(), offers.data(),
            offers_mask.data(), action_mask.data(),  dt.data()};
  }
  void CheckRanges() const {
    for (const auto* values : {&state, &entities, &pickups, &offers}) {
      for (const float x : *values) CHECK(std::fabs(x) <= 4.0f);  // false for NaN
    }
    CHECK(dt[0] >= 0.0f && dt[0] <= 10.0f);
    for (const auto* masks : {&entities_mask, &pickups_mask, &offers_mask, &action_mask}) {
      for (const uint8_t bit : *masks) CHECK(bit <= 1);
    }
  }
};

// Random bytes, with the counts kept plausible every second time and texts left unterminated.
std::unique_ptr<GameState> RandomState(uint64_t key) {
  auto state = std::make_unique<GameState>();
  std::vector<uint8_t> bytes(sizeof(GameState));
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(HashDraw(key, i) >> 56);
  }
  std::memcpy(state.get(), bytes.data(), bytes.size());
  if (key % 2 == 0) {
    state->entity_count = static_cast<uint16_t>(HashDraw(key, 1u << 20) % (kMaxEntities + 1));
    state->pickup_count = static_cast<uint16_t>(HashDraw(key, 2u << 20) % (kMaxPickups + 1));
    state->widget_count = static_cast<uint16_t>(HashDraw(key, 3u << 20) % (kMaxWidgets + 1));
    state->offer_count = static_cast<uint16_t>(HashDraw(key, 4u << 20) % (kMaxOffers + 1));
  }
  return state;
}

TEST(observe_any_bytes) {
  for (uint64_t key = 0; key < 3000; ++key) {
    Arrays arrays;
    Observe(*RandomState(key), arrays.View());
    arrays.CheckRanges();
  }
}

TEST(observe_parts_equal_the_whole) {
  for (uint64_t key = 0; key < 50; ++key) {
    const auto state = RandomState(key);
    Arrays whole, parts;
    Observe(*state, whole.View());
    Observe(*state, {.state = parts.state.data()});
    Observe(*state, {.entities = parts.entities.data()});
    Observe(*state, {.entities_mask = parts.entities_mask.data()});
    Observe(*state, {.pickups = parts.pickups.data(), .pickups_mask = parts.pickups_mask.data()});
    Observe(*state, {.offers = parts.offers.data()});
    Observe(*state, {.offers_mask = parts.offers_mask.data()});
    Observe(*state, {.action_mask = parts.action_mask.data(), .dt = parts.dt.data()});
    CHECK(whole.state == parts.state);
    CHECK(whole.entities == parts.entities);
    CHECK(whole.entities_mask == parts.entities_mask);
    CHECK(whole.pickups == parts.pickups);
    CHECK(whole.pickups_mask == parts.pickups_mask);
    CHECK(whole.offers == parts.offers);
    CHECK(whole.offers_mask == parts.offers_mask);
    CHECK(whole.action_mask == parts.action_mask);
    CHECK(whole.dt == parts.dt);
  }
}

TEST(observe_choice_nothing_is_always_allowed) {
  for (uint64_t key = 0; key < 200; ++key) {
    Arrays arrays;
    Observe(*RandomState(key), arrays.View());
    for (int button = 0; button < kButtons; ++button) CHECK_EQ(arrays.action_mask[2 * button], 1);
    CHECK_EQ(arrays.action_mask[2 * kButtons], 1);
  }
}

TEST(observe_nearest_of_many_equal_distances) {
  // A ring of 256 at one distance: the 32 smallest ids, in their order, whatever the index.
  auto state = std::make_unique<GameState>();
  *state = GameState{};
  state->fields = kHasEverything;
  state->entity_count = kMaxEntities;
  for (uint32_t i = 0; i < kMaxEntities; ++i) {
    Entity& entity = state->entities[i];
    entity.id = 1 + (i * 37) % kMaxEntities;
    entity.kind = static_cast<uint8_t>(entity.id % 16);
    entity.position[i % 3] = (i / 3) % 2 ? 5.0f : -5.0f;
  }
  Arrays arrays;
  Observe(*state, arrays.View());
  for (int i = 0; i < kNearestEntities; ++i) {
    const float* row = arrays.entities.data() + i * kEntityFeatures;
    const int kind = static_cast<int>(row[8] + 2 * row[9] + 4 * row[10] + 8 * row[11]);
    CHECK_EQ(kind, (i + 1) % 16);
  }
}

TEST(math_sincos_near_libm) {
  for (int i = -20000; i <= 20000; ++i) {
    const float angle = static_cast<float>(i) * 0.0011f;
    float s, c;
    SinCos(angle, &s, &c);
    CHECK_NEAR(s, std::sin(static_cast<double>(angle)), 2e-7);
    CHECK_NEAR(c, std::cos(static_cast<double>(angle)), 2e-7);
  }
}

}  // namespace
}  // namespace metabonk
