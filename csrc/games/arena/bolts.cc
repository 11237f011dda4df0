// The enemies' shots: how they start, fly, home in and hit the player. Knows no kinds beyond their
// numbers.
#include "games/arena/content.h"
#include "games/arena/enemies.h"
#include "games/arena/numbers.h"
#include "support/math.h"

namespace metabonk::arena {

namespace {

constexpr float kMiddle = 0.9f;  // height of the player's middle above his feet
constexpr float kTurn = 2.2f;    // metres a second a second and metre a second that homing turns

void CopyBolt(Bolts& bolts, int from, int to) {
  bolts.x[to] = bolts.x[from];
  bolts.y[to] = bolts.y[from];
  bolts.z[to] = bolts.z[from];
  bolts.vx[to] = bolts.vx[from];
  bolts.vy[to] = bolts.vy[from];
  bolts.vz[to] = bolts.vz[from];
  bolts.life[to] = bolts.life[from];
  bolts.radius[to] = bolts.radius[from];
  bolts.damage[to] = bolts.damage[from];
  bolts.id[to] = bolts.id[from];
  bolts.kind[to] = bolts.kind[from];
  bolts.homing[to] = bolts.homing[from];
}

void TurnToPlayer(const Player& player, Bolts& bolts, int i, float speed) {
  const float dx = player.x - bolts.x[i];
  const float dy = player.y - bolts.y[i];
  const float dz = player.z + kMiddle - bolts.z[i];
  const float inverse = speed / Max(Sqrt(dx * dx + dy * dy + dz * dz), 0.01f);
  const float part = kTurn * kTickSeconds;
  bolts.vx[i] += (dx * inverse - bolts.vx[i]) * part;
  bolts.vy[i] += (dy * inverse - bolts.vy[i]) * part;
  bolts.vz[i] += (dz * inverse - bolts.vz[i]) * part;
}

bool Hits(const Player& player, const Bolts& bolts, int i) {
  const float dx = bolts.x[i] - player.x;
  const float dy = bolts.y[i] - player.y;
  const float reach = bolts.radius[i] + kBody.radius;
  if (dx * dx + dy * dy > reach * reach) return false;
  const float dz = bolts.z[i] - player.z;
  return dz > -bolts.radius[i] && dz < kBody.height + bolts.radius[i];
}

}  // namespace

void AddBolt(World& world, const Level& level, int enemy, const BoltLaunch& launch) {
  Bolts& bolts = world.bolts;
  if (bolts.count >= kMaxBolts) return;
  const int kind = world.enemies.kind[enemy];
  const EnemyDef& def = kEnemyDefs[kind];
  const int i = bolts.count++;
  bolts.x[i] = launch.x;
  bolts.y[i] = launch.y;
  bolts.z[i] = launch.z;
  bolts.vx[i] = launch.vx;
  bolts.vy[i] = launch.vy;
  bolts.vz[i] = launch.vz;
  bolts.life[i] = def.bolt_life;
  // A golem's bolt radius is that of its slam; its rocks are as large as other bolts.
  bolts.radius[i] = Min(def.bolt_radius, 0.5f);
  bolts.damage[i] = DamageOf(world, level, enemy, def.power);
  bolts.id[i] = ++world.enemies.next_id;
  bolts.kind[i] = static_cast<uint8_t>(kind);
  bolts.homing[i] = launch.homing;
}

void ShootAtPlayer(World& world, const Level& level, int enemy, float angle, bool homing) {
  const Player& player = world.player;
  const Enemies& enemies = world.enemies;
  const EnemyDef& def = kEnemyDefs[enemies.kind[enemy]];
  const float z = enemies.z[enemy] + def.height * 0.6f;
  const float away = Length(player.x - enemies.x[enemy], player.y - enemies.y[enemy]);
  // Leads the target by most of the flight; homing bolts need not.
  const float flight = away / def.bolt_speed;
  const float lead = homing ? 0.0f : 0.8f * flight;
  const float dx = player.x + player.vx * lead - enemies.x[enemy];
  const float dy = player.y + player.vy * lead - enemies.y[enemy];
  const float inverse = def.bolt_speed / Max(Length(dx, dy), 0.1f);
  const float vx = dx * inverse;
  const float vy = dy * inverse;
  float sine;
  float cosine;
  SinCos(angle, &sine, &cosine);
  const float vz = (player.z + kMiddle - z) / Max(flight, 0.2f);
  AddBolt(world, level, enemy,
          {enemies.x[enemy], enemies.y[enemy], z, vx * cosine - vy * sine, vx * sine + vy * cosine,
           Clamp(vz, -def.bolt_speed, def.bolt_speed), homing});
}

void ShootRing(World& world, const Level& level, int enemy, int count, float angle) {
  const Enemies& enemies = world.enemies;
  const EnemyDef& def = kEnemyDefs[enemies.kind[enemy]];
  const float z = enemies.z[enemy] + Min(def.height * 0.5f, 1.0f);
  for (int i = 0; i < count; ++i) {
    float sine;
    float cosine;
    SinCos(angle + 2.0f * kPi * static_cast<float>(i) / static_cast<float>(count), &sine, &cosine);
    AddBolt(world, level, enemy,
            {enemies.x[enemy], enemies.y[enemy], z, cosine * def.bolt_speed, sine * def.bolt_speed,
             0.0f, false});
  }
}

void MoveBolts(World& world, const Level& level) {
  Bolts& bolts = world.bolts;
  const Terrain& terrain = *level.terrain;
  for (int i = 0; i < bolts.count;) {
    if (bolts.homing[i]) {
      TurnToPlayer(world.player, bolts, i, kEnemyDefs[bolts.kind[i]].bolt_speed);
    }
    bolts.x[i] += bolts.vx[i] * kTickSeconds;
    bolts.y[i] += bolts.vy[i] * kTickSeconds;
    bolts.z[i] += bolts.vz[i] * kTickSeconds;
    bolts.life[i] -= kTickSeconds;
    bool gone = bolts.life[i] <= 0.0f || bolts.z[i] < FloorHeight(terrain, bolts.x[i], bolts.y[i]);
    if (!gone && Hits(world.player, bolts, i)) {
      HurtPlayer(world, level, bolts.damage[i], bolts.x[i], bolts.y[i]);
      gone = true;
    }
    if (gone) {
      CopyBolt(bolts, bolts.count - 1, i);
      --bolts.count;
    } else {
      ++i;
    }
  }
}

}  // namespace metabonk::arena
