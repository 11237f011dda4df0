// What the bindings of the control loop share: one agent's side of a game as Python hands it from
// who made the game to the loop (the objects are the game's, which nanobind keeps alive), settings
// and histograms.
#pragma once

#include <nanobind/nanobind.h>

#include "play/directive.h"
#include "play/histogram.h"
#include "play/pacer.h"
#include "play/source.h"
#include "play/thread.h"

namespace metabonk::bindings {

struct Port {
  play::Source* source;
  play::Sink* sink;
};

// Raises ValueError that names hz or spin; spin is in seconds.
play::PacerSettings PacerOf(double hz, double spin);
// Values' lower bounds and counts of the buckets that are not empty, count, max and quantiles.
nanobind::dict Described(const play::Histogram& histogram);
// Processor and priority of a thread, and why what it asked for was refused, else "".
nanobind::dict Granted(const play::ThreadGranted& granted);
// Raises ValueError that names what is outside the vocabulary.
play::Directive DirectiveOf(uint32_t id, int action, int kind, uint32_t target, int priority,
                            int64_t until);
// Executor, added by BindPlay.
void BindDirectives(nanobind::module_& module);
// Watch, likewise; after Seat.
void BindWatch(nanobind::module_& module);
// Arena, Link and Port, likewise.
void BindLiveGames(nanobind::module_& module);

}  // namespace metabonk::bindings
