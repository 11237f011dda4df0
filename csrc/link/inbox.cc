#include "link/inbox.h"

#include <algorithm>
#include <utility>

namespace metabonk::link {

void Inbox::Begin() {
  first_ = true;
  begun_ = false;
  frame_ = {};
  frame_size_ = {};
  matcher_.Forget();
}

Status Inbox::TakeState(const Message& message, int64_t received_ns) {
  const int next = 1 - newest_;
  Tick& tick = ticks_[next];
  const Status status = DecodeState(message.payload, axes_, &tick.state, &tick.trailers);
  if (!status.ok()) return status;
  counters_->states.Add();
  counters_->rows_cut.Add(tick.trailers.cut.all());
  if (!tick.trailers.extra) {
    const double since = begun_ ? tick.state.time - decoded_time_ : 0.0;
    if (since < 0.0) matcher_.Forget();  // a new run
    matcher_.Match(static_cast<float>(std::max(since, 0.0)), &tick.state);
  }
  begun_ = true;
  decoded_time_ = tick.state.time;
  tick.sequence = message.sequence;
  tick.version = message.version;
  tick.capture_ns = message.time_ns;
  tick.received_ns = received_ns;
  tick.skipped = 0;
  tick.first = first_;
  if (fresh_) Merge(ticks_[newest_], &tick);
  newest_ = next;
  fresh_ = true;
  return status;
}

// Of a state that nobody will see, what must not be lost.
void Inbox::Merge(const Tick& older, Tick* newer) {
  counters_->states_skipped.Add();
  newer->skipped = older.skipped + 1;
  newer->first = newer->first || older.first;
  if (older.trailers.announcement && !newer->trailers.announcement) {
    newer->trailers.announcement = older.trailers.announcement;
  }
  if (!older.trailers.step) return;
  if (!newer->trailers.step) {  // in v1 only a connection's first state has it
    newer->trailers.step = older.trailers.step;
    return;
  }
  const StepResult& was = *older.trailers.step;
  StepResult& is = *newer->trailers.step;
  is.reward += was.reward;
  is.is_first |= was.is_first;
  is.terminated |= was.terminated;
  is.truncated |= was.truncated;
}

Status Inbox::TakeFrame(const Message& message) {
  FrameView view;
  const Status status = message.version == kVersion1 ? DecodeFrameV1(message.payload, &view)
                                                     : DecodeFrameV2(message.payload, &view);
  if (!status.ok()) {
    counters_->frames_refused.Add();
    return status;
  }
  if (!frame_.empty()) counters_->frames_skipped.Add();
  frame_ = view;
  frame_in_decoder_ = true;
  frame_sequence_ = message.sequence;
  frame_time_ = message.time_ns;
  frame_size_ = {static_cast<int32_t>(view.width), static_cast<int32_t>(view.height)};
  return status;
}

void Inbox::KeepFrame() {
  if (frame_.empty() || !frame_in_decoder_) return;
  frame_copy_.assign(frame_.pixels.begin(), frame_.pixels.end());
  frame_.pixels = frame_copy_;
  frame_in_decoder_ = false;
}

void Inbox::HandOut() {
  Tick& tick = ticks_[newest_];
  fresh_ = false;
  tick.frame = std::exchange(frame_, {});
  tick.frame_sequence = frame_sequence_;
  tick.frame_capture_ns = frame_time_;
  if (!tick.frame.empty()) counters_->frames.Add();
  const double since = tick.state.time - handed_time_;
  // The sender's dt counts from its state before; where that was overtaken it says too little.
  if (!tick.trailers.extra || (tick.skipped > 0 && !tick.first)) {
    tick.state.dt = tick.first || since < 0.0 ? 0.0f : static_cast<float>(since);
  }
  handed_time_ = tick.state.time;
  first_ = false;
  handed_ = true;
}

}  // namespace metabonk::link
