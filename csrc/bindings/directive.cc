// metabonk._core.play: directives and what carries them out, outside of the control loop: for games
// that wait for their next action, and for sessions that are played again.
#include "play/directive.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstring>
#include <memory>

#include "bindings/arrays.h"
#include "bindings/play.h"
#include "games/arena/spec.h"
#include "games/arena/terrain.h"
#include "play/executor.h"
#include "play/ground.h"

namespace nb = nanobind;

namespace metabonk::bindings {

play::Directive DirectiveOf(uint32_t id, int action, int kind, uint32_t target, int priority,
                            int64_t until) {
  if (action < 0 || action >= static_cast<int>(play::DirectiveAction::kCount) || kind < 0 ||
      kind >= static_cast<int>(play::TargetKind::kCount) || priority < 0 || priority > 255) {
    throw nb::value_error("directive: action, kind or priority is out of range");
  }
  play::Directive directive;
  directive.id = id;
  directive.action = static_cast<play::DirectiveAction>(action);
  directive.kind = static_cast<play::TargetKind>(kind);
  directive.priority = static_cast<uint8_t>(priority);
  directive.target = target;
  directive.until = until;
  RaiseUnlessOk(play::CheckDirective(directive));
  return directive;
}

namespace {

using ActionRow =
    nb::ndarray<const float, nb::shape<kActionColumns>, nb::c_contig, nb::device::cpu>;

// An executor of one agent with the ground of its runs, made anew from the level where a run's seed
// changes; without a level no ground is known.
class Standing {
 public:
  explicit Standing(const nb::object& level) {
    if (level.is_none()) return;
    const nb::bytes bytes = nb::cast<nb::bytes>(level);
    if (bytes.size() != sizeof spec_) throw nb::value_error("level: must be one packed level");
    std::memcpy(&spec_, bytes.data(), sizeof spec_);
    RaiseUnlessOk(arena::Validate(spec_));
    terrain_ = std::make_unique<arena::Terrain>();
    grid_ = std::make_unique<play::WalkGrid>();
  }

  nb::object Apply(uint32_t id, int action, int kind, uint32_t target, int priority, int64_t until,
                   const nb::bytes& state, int64_t now, const ActionRow& row) {
    if (state.size() != sizeof state_) throw nb::value_error("state: must be a packed GameState");
    const play::Directive directive = DirectiveOf(id, action, kind, target, priority, until);
    std::memcpy(static_cast<void*>(&state_), state.data(), sizeof state_);
    Action changed;
    std::memcpy(&changed, row.data(), sizeof changed);
    const play::Applied applied =
        executor_.Apply(directive, state_, Ground(state_.run_seed), now, &changed);
    float* data;
    nb::object array = NewArray<float>({static_cast<size_t>(kActionColumns)}, &data);
    std::memcpy(data, &changed, sizeof changed);
    return nb::make_tuple(array, static_cast<int>(applied));
  }

 private:
  const play::WalkGrid* Ground(uint64_t run_seed) {
    if (!grid_) return nullptr;
    const uint64_t seed = arena::TerrainSeed(spec_, run_seed);
    if (grid_->number == 0 || terrain_->seed != seed) {
      arena::GenerateTerrain(spec_, run_seed, terrain_.get());
      play::MakeWalkGrid(*terrain_, grid_.get());
      ++grid_->number;
    }
    return grid_.get();
  }

  arena::LevelSpec spec_ = {};
  std::unique_ptr<arena::Terrain> terrain_;
  std::unique_ptr<play::WalkGrid> grid_;
  play::Executor executor_;
  GameState state_ = {};
};

}  // namespace

void BindDirectives(nb::module_& module) {
  nb::class_<Standing>(module, "Executor",
                       "Carries directives out in states that are given to it one after the other.")
      .def(nb::init<const nb::object&>(), nb::arg("level").none(),
           "level: of the arena, packed, from which the ground of every run follows; None: no "
           "ground is known.")
      .def("apply", &Standing::Apply, nb::arg("id"), nb::arg("action"), nb::arg("kind"),
           nb::arg("target"), nb::arg("priority"), nb::arg("until"), nb::arg("state"),
           nb::arg("now"), nb::arg("row").noconvert(),
           "(row, 0 nothing, 1 changed, 2 expired, 3 ungrounded): what the directive makes of what "
           "was decided in a state at `now`, nanoseconds. To be called for every decision, with "
           "action 0 where no directive is in force.");
}

}  // namespace metabonk::bindings
