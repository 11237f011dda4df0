// What the bindings of the link share: bytes, trailers, states, actions and frames between Python
// and the codec.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <tuple>

#include "link/frame.h"
#include "link/message.h"
#include "link/state.h"
#include "metabonk/records.h"
#include "metabonk/status.h"

namespace metabonk::bindings {

// What it points to is Python's.
std::span<const uint8_t> BytesOf(const nanobind::bytes& bytes);
nanobind::bytes ToBytes(std::span<const uint8_t> bytes);

// move x y, look x y, fire, ability, interact, ui click, click x y
using InputTuple = std::tuple<float, float, float, float, bool, bool, bool, bool, float, float>;
// reward, is_first, terminated, truncated, action's sequence, episode, returned
using StepTuple = std::tuple<float, bool, bool, bool, uint64_t, uint32_t, double>;
using AnnouncementTuple = std::tuple<uint16_t, uint16_t, uint32_t>;

link::StateTrailers TrailersFrom(const std::optional<InputTuple>& input,
                                 const std::optional<AnnouncementTuple>& announcement,
                                 const std::optional<StepTuple>& step, bool extra);
// (input or None, announcement or None, step or None, extra)
nanobind::tuple TrailersTo(const link::StateTrailers& trailers);

using Packed =
    nanobind::ndarray<const uint8_t, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;
using Row =
    nanobind::ndarray<const float, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;
// A packed GameState; counts beyond their lists are refused. May lie anywhere.
void StateFrom(const Packed& packed, GameState* state);
Action ActionFrom(const Row& row);
// float32 [12] of its own.
nanobind::object RowOf(const Action& action);

// A picture of the caller's: uint8 [H, W, 3 or 4], C-contiguous, or the bytes of a JPEG; None for
// none. What it points to is the caller's.
link::FrameView FrameFrom(nanobind::handle frame, bool bottom_up);
// (format, width, height, bytes of the JPEG or uint8 [H, W, 3] from the top down)
nanobind::tuple FrameTo(const link::FrameView& frame);

link::Protocol ProtocolFrom(const std::string& name);
link::Axes AxesFrom(const std::string& name);

// As RaiseUnlessOk, with CorruptError's kind: ValueError for what was given, RuntimeError for what
// cannot be now.
void RaiseLink(const Status& status);

}  // namespace metabonk::bindings
