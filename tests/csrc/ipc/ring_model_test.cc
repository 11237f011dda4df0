// The frame ring's protocol in every interleaving: csrc/ipc/ring_protocol.h itself, over words of a
// small memory that is weaker than any processor's, with threads that are killed at every point.
// What has to hold: the writer always finds a slot; a frame that was handed out is the one that was
// asked for and stays whole while it is held, or says that it did not where its holder was taken
// for dead; nobody sleeps through a frame; a reader that asks when the writer is done gets the last
// one. Then each access is weakened or left out, and one of these has to break.
#include "ipc/ring_model.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "check.h"

namespace {

using namespace ring_model;

// slots, readers, leases: as few slots as let the writer always find one.
const std::vector<Scenario> kScenarios = {
    {.name = "one reader", .counts = {3, 1, 1}, .frames = 4, .takes = 2},
    {.name = "either is killed", .counts = {3, 1, 1}, .killable = 3, .kills = 2},
    {.name = "a frame is abandoned", .counts = {3, 1, 1}, .frames = 4, .abandons = true},
    {.name = "two leases", .counts = {4, 1, 2}, .frames = 4, .takes = 2, .holds = true},
    {.name = "two readers", .counts = {4, 2, 1}, .frames = 2, .readers = 2, .pixels = 1},
    {.name = "two who sleep",
     .counts = {4, 2, 1},
     .frames = 1,
     .readers = 2,
     .waits = true,
     .killable = 4,
     .kills = 1,
     .pixels = 1},
    {.name = "one who sleeps twice", .counts = {3, 1, 1}, .frames = 2, .takes = 2, .waits = true},
    {.name = "a dead reader's entry",
     .counts = {3, 1, 1},
     .frames = 1,
     .readers = 2,
     .evicts = true,
     .killable = 2,
     .kills = 1,
     .pixels = 1,
     .asks = false},
    {.name = "a living reader is evicted",
     .counts = {3, 1, 1},
     .frames = 4,
     .evicts = true,
     .victim = 1,
     .pixels = 1,
     .asks = false},
    {.name = "and its entry taken",
     .counts = {3, 1, 1},
     .frames = 1,
     .readers = 2,
     .evicts = true,
     .victim = 1,
     .pixels = 1,
     .asks = false},
};

Outcome Explore(const Scenario& scenario, Weak weak = {}) {
  return Model(scenario, weak).Explore();
}

}  // namespace

TEST(ring_protocol_holds_in_every_interleaving) {
  uint64_t states = 0;
  for (const Scenario& scenario : kScenarios) {
    const Outcome outcome = Explore(scenario);
    CHECK(outcome.complete);
    if (!outcome.violation.empty()) {
      check::Fail(__FILE__, __LINE__, std::string(scenario.name) + ": " + outcome.violation);
    }
    if (std::getenv("RING_MODEL_VERBOSE")) {
      std::fprintf(stderr, "%-28s %9llu states\n", scenario.name,
                   static_cast<unsigned long long>(outcome.states));
    }
    states += outcome.states;
  }
  CHECK(states > 100'000);
}

TEST(ring_model_needs_every_access) {
  const struct {
    const char* name;
    Weak weak;
    const char* scenario;  // in which it breaks something
  } faults[] = {
      {"claim, buffered", {Site::kClaim, Fault::kWeaken}, "one reader"},
      {"claim, left out", {Site::kClaim, Fault::kSkip}, "one reader"},
      {"scan, left out", {Site::kScan, Fault::kSkip}, "one reader"},
      {"seal, left out", {Site::kSeal, Fault::kSkip}, "one reader"},
      // Either of the two hands the pixels over.
      {"seal and publish, relaxed", {Site::kSeal, Fault::kWeaken, Site::kPublish}, "one reader"},
      {"pin, not atomic", {Site::kPin, Fault::kWeaken}, "one reader"},
      {"pin, left out", {Site::kPin, Fault::kSkip}, "one reader"},
      {"confirm, left out", {Site::kConfirm, Fault::kSkip}, "one reader"},
      {"unpin, left out", {Site::kUnpin, Fault::kSkip}, "one reader"},
      {"doorbell, left out", {Site::kRing, Fault::kSkip}, "two who sleep"},
      {"doorbell, not atomic", {Site::kRing, Fault::kWeaken}, "two who sleep"},
      {"sleep, left out", {Site::kSleep, Fault::kSkip}, "two who sleep"},
      {"enter, not atomic", {Site::kEnter, Fault::kWeaken}, "two readers"},
      {"still, left out", {Site::kStill, Fault::kSkip}, "a living reader is evicted"},
      {"whole, left out", {Site::kWhole, Fault::kSkip}, "a living reader is evicted"},
      {"open lease, not atomic", {Site::kOpenLease, Fault::kWeaken}, "and its entry taken"},
      {"evict lease, left out", {Site::kEvictLease, Fault::kSkip}, "a dead reader's entry"},
  };
  for (const auto& fault : faults) {
    const auto scenario =
        std::find_if(kScenarios.begin(), kScenarios.end(),
                     [&](const Scenario& s) { return std::string(s.name) == fault.scenario; });
    const Outcome outcome = Explore(*scenario, fault.weak);
    if (std::getenv("RING_MODEL_VERBOSE")) {
      std::fprintf(stderr, "%-28s %s\n", fault.name, outcome.violation.c_str());
    }
    if (outcome.violation.empty()) {
      check::Fail(__FILE__, __LINE__, std::string(fault.name) + " broke nothing");
    }
  }
}

TEST(ring_model_needs_a_slot_more_than_leases) {
  Scenario scenario = kScenarios[0];
  scenario.counts.slots = 2;
  CHECK_EQ(Explore(scenario).violation, std::string("the writer found no slot"));
}
