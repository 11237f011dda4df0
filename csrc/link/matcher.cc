#include "link/matcher.h"

#include <algorithm>
#include <limits>

namespace metabonk::link {
namespace {

constexpr int kNobody = -1;
constexpr int kRounds = 4;  // an enemy that lost its nearest tries the next one

float SquaredDistance(const float (&a)[3], const float (&b)[3]) {
  const float x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
  return x * x + y * y + z * z;
}

}  // namespace

void Matcher::Match(float dt, GameState* state) {
  const int count = state->entity_count;
  const float reach = kSlack + kSpeedMax * std::clamp(dt, 0.0f, 1.0f);
  std::array<int, kMaxEntities> owner;  // of each known one: who took it in this state
  std::array<float, kMaxEntities> distance;
  std::array<bool, kMaxEntities> settled{};
  owner.fill(kNobody);
  for (int round = 0; round < kRounds; ++round) {
    std::array<int, kMaxEntities> claim;
    claim.fill(kNobody);
    for (int i = 0; i < count; ++i) {
      if (settled[i]) continue;
      int nearest = kNobody;
      float least = reach * reach;
      for (int k = 0; k < count_; ++k) {
        const float apart = SquaredDistance(state->entities[i].position, known_[k].position);
        if (owner[k] == kNobody && apart < least) {
          least = apart;
          nearest = k;
        }
      }
      if (nearest == kNobody) continue;
      if (claim[nearest] == kNobody || least < distance[nearest]) {
        claim[nearest] = i;
        distance[nearest] = least;
      }
    }
    bool any = false;
    for (int k = 0; k < count_; ++k) {
      if (claim[k] == kNobody) continue;
      owner[k] = claim[k];
      settled[claim[k]] = true;
      any = true;
    }
    if (!any) break;
  }
  for (int k = 0; k < count_; ++k) {
    if (owner[k] != kNobody) state->entities[owner[k]].id = known_[k].id;
  }
  for (int i = 0; i < count; ++i) {
    if (!settled[i]) state->entities[i].id = ++last_id_;
  }
  count_ = count;
  for (int i = 0; i < count; ++i) {
    std::copy_n(state->entities[i].position, 3, known_[i].position);
    known_[i].id = state->entities[i].id;
  }
}

}  // namespace metabonk::link
