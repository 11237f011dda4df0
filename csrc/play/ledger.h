// The decision ledger's record: what one tick of one agent saw, decided and sent, in 192 bytes.
// Knows its layout (mirrored by metabonk/play/ledger.py, which a test compares); a Journal keeps
// it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "metabonk/records.h"
#include "play/digest.h"

namespace metabonk::play {

// What a record is.
enum class Entry : uint8_t { kNone = 0, kTick = 1, kDirective = 2 };

// What stood between the policy and the game in a tick.
enum Gate : uint16_t {
  kGateDecided = 1,       // the policy answered a new moment
  kGateBegins = 2,        // and had forgotten its past before: a run began
  kGateDirected = 4,      // the directive in force changed the action
  kGateExpired = 8,       // the directive had run out
  kGateUngrounded = 16,   // the directive fits nothing in this state
  kGateReleased = 32,     // a choice or click was left out: games take a press only after a release
  kGateHeld = 64,         // nothing new came: the last action was sent again
  kGateSafe = 128,        // nothing had come for too long: the safe action
  kGateFault = 256,       // the policy refused the moment
  kGateUnanswered = 512,  // the policy, on a thread of its own, had no answer yet
  kGateRefused = 1024,    // the game did not take the action
  kGateMissed = 2048,     // the action was handed over after the next tick's planned start
  kGateMuted = 4096,  // a choice or click of the policy was left out: somebody else has the menu
};

// A tick. Times behind `planned` are nanoseconds after it, at most 2.1 seconds. `acted`: the action
// was handed over. When a thread of the game's sent it is not known in its tick: TickTimes::sent.
struct LedgerTick {
  uint32_t crc;  // the journal's
  Entry entry;
  uint8_t agent;
  uint16_t gate;  // Gate bits
  uint64_t tick;
  uint64_t sequence;  // of the moment that was decided about, or the last one
  int64_t capture;    // of that moment, monotonic nanoseconds
  int64_t planned;
  int32_t woke, seen, decided, acted;
  uint64_t counter;      // of the policy's random numbers, before the decision
  Digest observation;    // of what the policy read
  uint64_t memory;       // of its recurrent state before it decided
  uint8_t artifact[32];  // SHA-256 of the policy in use
  Action action;         // as it was sent
  uint32_t directive;    // id of the one in force, 0 for none
  int32_t candidate;     // which of the candidates was chosen; 0 of a policy that has but one
  float score;           // of it, as the policy judges: else the critic's value, else NaN
  float dt;              // seconds, as the policy was told
  uint64_t frame;        // sequence of the moment that the frame shown with it was captured at
};
static_assert(sizeof(LedgerTick) == 192);
static_assert(offsetof(LedgerTick, counter) == 56);
static_assert(offsetof(LedgerTick, artifact) == 88);
static_assert(offsetof(LedgerTick, action) == 120);

// The beginning of what a recording keeps of a decided tick. Behind it: GameState up to its
// entities, its widgets, what the policy observed (Decider::CopySeen), zeros up to a multiple of 8.
struct SeenHeader {
  uint32_t crc;  // the journal's
  uint16_t agent, reserved;
  uint64_t tick;
};
static_assert(sizeof(SeenHeader) == 16);
inline constexpr size_t kSeenState = offsetof(GameState, entities);
inline constexpr size_t kSeenWidgets = sizeof(GameState::widgets);
constexpr size_t SeenRecordBytes(size_t observed) {
  return (sizeof(SeenHeader) + kSeenState + kSeenWidgets + observed + 7) / 8 * 8;
}

// A directive that came into force before the tick. id 0, kNone: a run began, and the one before it
// ended.
struct LedgerDirective {
  uint32_t crc;
  Entry entry;
  uint8_t agent;
  uint16_t unused;
  uint64_t tick;
  uint32_t id;
  uint8_t action;  // DirectiveAction
  uint8_t target;  // of a compass bin or widget; 255 where `number` says more
  uint8_t priority;
  uint8_t kind;  // TargetKind; 0 in older ledgers, where the action says which
  int64_t until;
  uint32_t number;  // the target, whatever its kind
  uint8_t rest[156];
};
static_assert(sizeof(LedgerDirective) == sizeof(LedgerTick));

}  // namespace metabonk::play
