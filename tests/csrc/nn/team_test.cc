// A team: every member decides as it would alone, in turns of its own, and the first failure shows.
#include "nn/team.h"

#include <memory>
#include <vector>

#include "check.h"
#include "nn/programs.h"

namespace metabonk::nn {
namespace {

constexpr int64_t kRows = 4, kInputs = 5, kColumns = 3;
constexpr size_t kMembers = 3;

std::unique_ptr<Policy> Member(uint64_t seed) {
  return std::make_unique<Policy>(Pilot(kRows), WeightsOf(Pilot(kRows), 1), seed);
}

// What one member sees and does.
struct Part {
  std::vector<float> observation = std::vector<float>(kRows * kInputs);
  std::vector<float> action = std::vector<float>(kRows * kColumns);
  const void* inputs[3] = {observation.data(), nullptr, nullptr};
  void* outputs[1] = {action.data()};
};

}  // namespace

TEST(team_members_decide_as_they_would_alone) {
  std::vector<std::unique_ptr<Policy>> together, alone;
  std::vector<Policy*> members;
  std::vector<Part> parts(kMembers), others(kMembers);
  for (size_t i = 0; i < kMembers; ++i) {
    together.push_back(Member(i));
    alone.push_back(Member(i));
    members.push_back(together.back().get());
  }
  Team team(members);
  std::vector<Team::Turn> turns;
  for (const Part& part : parts) turns.push_back({part.inputs, part.outputs});
  for (uint64_t n = 0; n < 200; ++n) {
    for (size_t i = 0; i < kMembers; ++i) {
      for (size_t j = 0; j < parts[i].observation.size(); ++j) {
        parts[i].observation[j] = UnitFloat(HashDraw(n, 1000 * i + j)) - 0.5f;
      }
      others[i].observation = parts[i].observation;
      others[i].inputs[0] = others[i].observation.data();
      CHECK(alone[i]->Step(others[i].inputs, others[i].outputs).ok());
    }
    CHECK(team.Step(turns).ok());
    for (size_t i = 0; i < kMembers; ++i) CHECK(parts[i].action == others[i].action);
  }
  CHECK(parts[0].action != parts[1].action);
}

}  // namespace metabonk::nn
