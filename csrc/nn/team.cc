#include "nn/team.h"

namespace metabonk::nn {

Status Team::Step(std::span<const Turn> turns) {
  turns_ = turns;
  pool_.Run(
      static_cast<int>(turns.size()),
      [](void* context, int item, int) {
        auto* team = static_cast<Team*>(context);
        const auto i = static_cast<size_t>(item);
        team->outcomes_[i] =
            team->members_[i]->Step(team->turns_[i].inputs, team->turns_[i].outputs);
      },
      this);
  for (size_t i = 0; i < turns.size(); ++i) {
    if (!outcomes_[i].ok()) return outcomes_[i];
  }
  return {};
}

}  // namespace metabonk::nn
