// The rules of the arena, one noun per file; this header is what the files of the room call of each
// other. Everything works on a World and reads a Level (what does not change during a run).
#pragma once

#include <cstdint>

#include "games/arena/spec.h"
#include "games/arena/state.h"
#include "games/arena/terrain.h"
#include "metabonk/records.h"

namespace metabonk::arena {

struct Level {
  LevelSpec spec;
  const Terrain* terrain;  // owned by the environment
};

// What one tick needs between its stages and nobody needs afterwards: the spatial grid, forces.
struct Scratch;

// world.cc: a new run, and one tick of it (or of the menu that is open).
void StartRun(World& world, const Level& level, uint64_t run_seed);
void Tick(World& world, const Level& level, const Action& action, Scratch& scratch);
uint64_t HashWorld(const World& world);

// decision.cc: one decision of an agent: the action made canonical, held for a number of ticks that
// world.step_random draws from the level's range, choice and click in the first of them only; ends
// early when the episode does. Returns the ticks run. Batches, replays and windows all step by it.
// most: ticks after which it stops short, for pictures of what lies between two decisions.
int RunDecision(World& world, const Level& level, const Action& action, Scratch& scratch,
                uint32_t most = UINT32_MAX);

// player.cc
void MovePlayer(World& world, const Level& level, const Action& action);
// Returns false if it was evaded or the player cannot be hurt now.
bool HurtPlayer(World& world, const Level& level, float damage, float from_x, float from_y);
void HealPlayer(World& world, float amount);

// enemies.cc and director.cc
void MoveEnemies(World& world, const Level& level, Scratch& scratch);
void StartDirector(World& world, const Level& level);  // a run's first enemies
void DirectSpawns(World& world, const Level& level);
int SpawnEnemy(World& world, const Level& level, int kind, float x, float y);  // index or -1
void HurtEnemy(World& world, const Level& level, int index, float damage, float knock_x,
               float knock_y);
void RemoveDead(World& world, const Level& level);  // drops, score, compaction

// weapons.cc, shots.cc, bolts.cc; a weapon's numbers at a level are in arsenal.h, which the offers
// describe too
float RolledDamage(World& world, float damage);  // of one hit, with its critical chance
void FireWeapons(World& world, const Level& level, const Action& action, Scratch& scratch);
void MoveShots(World& world, const Level& level, Scratch& scratch);
void MoveBolts(World& world, const Level& level);

// pickups.cc, structures.cc
void DropPickup(World& world, PickupKind kind, float value, float x, float y, float z);
void CollectPickups(World& world, const Level& level);
void GainXp(World& world, const Level& level, float amount);
void UseStructures(World& world, const Level& level, const Action& action);
void PlaceStructures(World& world, const Level& level);  // a run's chests and shrines
void OpenPortal(World& world, const Level& level, float x, float y);
float XpNeeded(int level);  // from this level to the next

// loadout.cc: characters, tomes and items as numbers
void ApplyCharacter(World& world, int character);  // base stats and health; keeps what is carried
// A run's beginning: the character with the level's start weapons, or with its own if there are
// none; empty tomes and items; refreshes, skips and banishes of the offers. StartRun calls it, and
// so does the map menu once character and tier are chosen.
void StartLoadout(World& world, const Level& level, int character);
// Starts, runs and ends the character's ability; once a tick, before FireWeapons.
void TickAbility(World& world, const Level& level, const Action& action);
void RecomputeStats(World& world);  // player.stat from base, tomes, items and a running ability
void GrantWeapon(World& world, int kind);             // new at level 1, or one level more
void GrantTome(World& world, int kind, float scale);  // scale: the rarity's factor
void GrantItem(World& world, int kind);
void GainGold(World& world, float amount);  // before the stat kGoldGain; counted in the totals

// offers.cc
void RollOffers(World& world, const Level& level, bool chest);
void TakeOffer(World& world, const Level& level, int index);
void BanOffer(World& world, const Level& level,
              int index);  // never again in this run; rolls another
void DescribeOffer(const World& world, const Roll& roll, Offer* out);

// menus.cc: what is on the screen, and what choosing does
int ListWidgets(const World& world, const Level& level, Widget out[kMaxWidgets]);  // reading order
const char* MenuName(Screen screen);
void OpenMenu(World& world, const Level& level, Screen screen);
// Returns true if the game must not advance this tick. A press (choice or click) acts once: after
// it both must be released for one tick before the next press acts, whatever screen is then open.
// While a press is held every widget is disabled, so the action mask says so. A batch passes choice
// and click in the first tick of a decision only, so a policy that decides every two or more ticks
// can act on a new menu at each decision; one that decides every tick at every second.
bool TickMenus(World& world, const Level& level, const Action& action);

// replay.cc: the action as the rules read it, at the precision that a replay stores: move and look
// within the unit disc and square in steps of 1/127, buttons 0 or 1, choice whole, a click on a
// grid of 1/4095 or (-1, -1), NaN as nothing. Whoever drives Tick applies it once per decision, so
// that what was simulated is what is replayed. Idempotent.
Action Canonical(const Action& action);

// game_state.cc. Seconds of the run, menus not counted.
double GameTime(const World& world);
// `out` must be zero or filled before: only what changes is written. dt is left to the caller, who
// knows when he looked last.
void FillGameState(const World& world, const Level& level, GameState* out);

}  // namespace metabonk::arena
