// The player's body: speeds, jumps, slopes, walls, wounds.
#include "arena/scene.h"
#include "check.h"

namespace metabonk::arena {
namespace {

Action Walk(float right, float forward) {
  Action action = Idle();
  action.move[0] = right;
  action.move[1] = forward;
  return action;
}

// Replaces the ground by a ramp that rises to the north from y0 on.
void Ramp(Run& run, float slope) {
  Terrain& terrain = *run.terrain;
  const float y0 = run.world.player.y + 2.0f;
  for (int y = 0; y < kGridVertices; ++y) {
    for (int x = 0; x < kGridVertices; ++x) {
      terrain.height[y * kGridVertices + x] =
          std::clamp((static_cast<float>(y) - y0) * slope, 0.0f, 30.0f);
    }
  }
}

float PeakOf(Run& run, const Action& first, const Action& then, int ticks) {
  float peak = 0.0f;
  for (int i = 0; i < ticks; ++i) {
    run.Step(i == 0 ? first : then);
    peak = std::max(peak, run.world.player.z);
  }
  return peak;
}

TEST(arena_player_walks_at_its_speed_in_every_direction) {
  for (const float turn : {0.0f, 0.7f, 2.1f}) {
    Run run(Flat());
    run.world.player.yaw = turn;
    const float expected = kBody.speed * StatOf(run.world.player, Stat::kMoveSpeed);
    for (int i = 0; i < 30; ++i) run.Step(Walk(0.7f, 0.7f));
    CHECK_NEAR(std::hypot(run.world.player.vx, run.world.player.vy), expected * 0.98995, 0.02);
    run.Step(Walk(0.0f, 1.0f));
    for (int i = 0; i < 30; ++i) run.Step(Walk(0.0f, 1.0f));
    CHECK_NEAR(run.world.player.vx, expected * std::cos(turn), 0.02);
    CHECK_NEAR(run.world.player.vy, expected * std::sin(turn), 0.02);
  }
}

TEST(arena_player_right_is_right_of_forward) {
  Run run(Flat());
  run.world.player.yaw = 0.0f;  // looks east, so right is south
  for (int i = 0; i < 20; ++i) run.Step(Walk(1.0f, 0.0f));
  CHECK(run.world.player.vy < -4.0f);
  Action turn = Idle();
  turn.look[0] = 1.0f;  // to the right: clockwise
  run.Step(turn);
  CHECK_NEAR(run.world.player.yaw, -kBody.turn_rate * kTickSeconds, 1e-5);
}

TEST(arena_player_jump_reaches_the_height_of_its_speed) {
  for (const float factor : {1.0f, 2.0f}) {
    Run run(Flat());
    StatOf(run.world.player, Stat::kJumpHeight) = factor;
    Action jump = Idle();
    jump.jump = 1.0f;
    const float ideal = factor * kBody.jump_speed * kBody.jump_speed / (2.0f * kBody.gravity);
    // Steps of one tick fall short by less than a tick of the first speed.
    CHECK_NEAR(PeakOf(run, jump, Idle(), 90), ideal, kBody.jump_speed * factor / 60.0f);
    CHECK_EQ(run.world.player.z, 0.0f);
    CHECK_EQ(run.world.player.grounded, 1);
  }
}

TEST(arena_player_second_jump_needs_a_second_press) {
  Action jump = Idle();
  jump.jump = 1.0f;
  Run held(Flat());
  const float single = PeakOf(held, jump, jump, 30);
  Run twice(Flat());
  twice.Step(jump);
  for (int i = 0; i < 15; ++i) twice.Step(Idle());
  const float two = PeakOf(twice, jump, Idle(), 40);
  CHECK(two > single + 0.5f);
  CHECK_EQ(twice.world.player.air_jumps, 0);
}

TEST(arena_player_gentle_slopes_slow_and_steep_ones_stop) {
  float progress[3];
  const float slopes[3] = {0.0f, 0.5f, 1.6f};
  for (int k = 0; k < 3; ++k) {
    Run run(Flat());
    Ramp(run, slopes[k]);
    const float from = run.world.player.y;
    for (int i = 0; i < 90; ++i) run.Step(Walk(0.0f, 1.0f));
    progress[k] = run.world.player.y - from;
    const float ground = GroundHeight(*run.terrain, run.world.player.x, run.world.player.y);
    CHECK_NEAR(run.world.player.z, ground, 0.5);
  }
  CHECK(progress[0] > progress[1] + 0.5f);
  CHECK(progress[1] > 5.0f);
  CHECK(progress[2] < 3.2f);
}

TEST(arena_player_slips_off_what_is_too_steep) {
  Run run(Flat());
  Ramp(run, 1.6f);
  run.world.player.y += 6.0f;
  run.world.player.z = GroundHeight(*run.terrain, run.world.player.x, run.world.player.y);
  const float from = run.world.player.y;
  run.Wait(60);
  CHECK(run.world.player.y < from - 1.0f);
}

TEST(arena_player_slide_is_faster_than_walking_and_ends) {
  Run run(Flat());
  for (int i = 0; i < 20; ++i) run.Step(Walk(0.0f, 1.0f));
  Action slide = Walk(0.0f, 1.0f);
  slide.slide = 1.0f;
  run.Step(slide);
  CHECK(run.world.player.vy > kBody.slide_speed * 0.85f);
  const int ticks = static_cast<int>(kBody.slide_seconds * kTickHz) + 20;
  for (int i = 0; i < ticks; ++i) run.Step(slide);  // held: does not start again
  CHECK_NEAR(run.world.player.vy, kBody.speed * StatOf(run.world.player, Stat::kMoveSpeed), 0.1);
}

TEST(arena_player_slides_faster_downhill_than_uphill) {
  float speed[2];
  for (int k = 0; k < 2; ++k) {
    Run run(Flat());
    Ramp(run, 0.5f);
    run.world.player.y += 10.0f;
    run.world.player.z = GroundHeight(*run.terrain, run.world.player.x, run.world.player.y);
    Action slide = Walk(0.0f, k == 0 ? 1.0f : -1.0f);
    slide.slide = 1.0f;
    for (int i = 0; i < 25; ++i) run.Step(slide);
    speed[k] = std::fabs(run.world.player.vy);
  }
  CHECK(speed[1] > speed[0] + 3.0f);
}

TEST(arena_player_obstacles_stop_walking_and_low_ones_can_be_jumped_on) {
  Run run(Flat());
  Terrain& terrain = *run.terrain;
  const int x = static_cast<int>(run.world.player.x);
  const int row = static_cast<int>(run.world.player.y) + 3;
  for (int depth = 0; depth < 5; ++depth) {
    for (int i = x - 6; i <= x + 6; ++i) {
      terrain.obstacle[(row + depth) * kGridCells + i] = 4;  // one metre high
    }
  }
  for (int i = 0; i < 120; ++i) run.Step(Walk(0.0f, 1.0f));
  CHECK(run.world.player.y < static_cast<float>(row));
  CHECK_EQ(run.world.player.vy, 0.0f);
  Action jump = Walk(0.0f, 1.0f);
  jump.jump = 1.0f;
  float highest_rest = 0.0f;
  for (int i = 0; i < 120; ++i) {
    run.Step(i == 0 ? jump : Walk(0.0f, 1.0f));
    if (run.world.player.grounded) highest_rest = std::max(highest_rest, run.world.player.z);
  }
  CHECK_NEAR(highest_rest, 1.0, 1e-4);
  CHECK(run.world.player.y > static_cast<float>(row) + 1.0f);
}

TEST(arena_player_stays_inside_and_out_of_the_water) {
  LevelSpec spec = Quiet();
  spec.relief = 10.0f;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    Run run(spec, seed);
    for (int i = 0; i < 3000; ++i) {
      run.Step(Script(seed, i));
      const Player& player = run.world.player;
      CHECK(player.x > 1.0f && player.y > 1.0f && player.x < spec.size - 1.0f &&
            player.y < spec.size - 1.0f);
      CHECK(GroundAt(*run.terrain, player.x, player.y) != Ground::kWater);
      CHECK(player.z > GroundHeight(*run.terrain, player.x, player.y) - 0.01f);
    }
  }
}

TEST(arena_player_ground_kinds_feel_different) {
  float after[3];
  const Ground kinds[3] = {Ground::kGrass, Ground::kSand, Ground::kSnow};
  for (int k = 0; k < 3; ++k) {
    Run run(Flat());
    std::fill(std::begin(run.terrain->ground), std::end(run.terrain->ground),
              static_cast<uint8_t>(kinds[k]));
    for (int i = 0; i < 5; ++i) run.Step(Walk(0.0f, 1.0f));
    after[k] = run.world.player.vy;
  }
  CHECK(after[2] < after[0] * 0.6f);  // no grip
  CHECK(after[1] < after[0]);
}

TEST(arena_player_wounds_push_and_protect_for_a_moment) {
  Run run(Flat());
  Player& player = run.world.player;
  const float before = player.health;
  CHECK(HurtPlayer(run.world, run.level, 10.0f, player.x - 1.0f, player.y));
  const float lost = before - player.health;
  CHECK_NEAR(lost, 10.0f * (1.0f - StatOf(player, Stat::kArmor)), 1e-3);
  CHECK_NEAR(player.vx, kBody.knock, 1e-3);
  CHECK(!HurtPlayer(run.world, run.level, 10.0f, player.x, player.y));
  run.Wait(static_cast<int>(kBody.invulnerable * kTickHz) + 2);
  CHECK(HurtPlayer(run.world, run.level, 10.0f, player.x, player.y));
  CHECK_EQ(run.world.totals.hits_taken, 2u);
}

TEST(arena_player_shield_takes_wounds_first_and_refills) {
  Run run(Flat());
  Player& player = run.world.player;
  StatOf(player, Stat::kMaxShield) = 20.0f;
  StatOf(player, Stat::kArmor) = 0.0f;
  player.shield = 20.0f;
  const float health = player.health;
  HurtPlayer(run.world, run.level, 15.0f, player.x, player.y);
  CHECK_NEAR(player.shield, 5.0, 1e-4);
  CHECK_EQ(player.health, health);
  run.Wait(static_cast<int>((kBody.shield_delay - 1.0f) * kTickHz));
  CHECK_NEAR(player.shield, 5.0, 1e-4);
  run.Wait(6 * kTickHz);
  CHECK_NEAR(player.shield, 20.0, 1e-4);
}

TEST(arena_player_evasion_and_regeneration) {
  Run run(Flat());
  Player& player = run.world.player;
  StatOf(player, Stat::kEvasion) = 0.5f;
  int hits = 0;
  for (int i = 0; i < 400; ++i) {
    player.invulnerable = 0.0f;
    player.health = 50.0f;
    hits += HurtPlayer(run.world, run.level, 1.0f, player.x, player.y);
  }
  CHECK(hits > 150 && hits < 250);
  player.health = 50.0f;
  StatOf(player, Stat::kRegen) = 2.0f;
  run.Wait(5 * kTickHz);
  CHECK_NEAR(player.health, 60.0, 1.01);
}

}  // namespace
}  // namespace metabonk::arena
