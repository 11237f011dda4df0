#include "nn/runner.h"

#include <cstring>

#include "nn/loops.h"

namespace metabonk::nn {

Runner::Runner(Program program, std::unique_ptr<const ProgramWeights> weights)
    : program_(std::move(program)), tier_(ActiveLoops().name), weights_(std::move(weights)) {
  const auto bytes = static_cast<size_t>(program_.arena_bytes);
  std::memset(arena_.Reserve(bytes + 1), 0, bytes + 1);
  bases_.resize(1 + program_.inputs.size() + program_.tensors.size());
  bases_[0] = arena_.data();
  Rebase();
  for (size_t i = 0; i < program_.instructions.size(); ++i) bound_.push_back(Bind(program_, i));
}

Runner::~Runner() {
  delete pending_.load();
  delete retired_.load();
}

void Runner::Rebase() {
  const size_t first = 1 + program_.inputs.size();
  for (size_t i = 0; i < program_.tensors.size(); ++i) {
    bases_[first + i] = const_cast<void*>(weights_->tensor(i));  // no instruction writes there
  }
}

void Runner::TakeWeights() {
  const ProgramWeights* next = pending_.exchange(nullptr, std::memory_order_acquire);
  if (next == nullptr) return;
  // Swap has emptied `retired_` before it offered these.
  retired_.store(weights_.release(), std::memory_order_release);
  weights_.reset(next);
  Rebase();
  swaps_.fetch_add(1, std::memory_order_relaxed);
}

void Runner::Swap(std::unique_ptr<const ProgramWeights> weights) {
  const std::lock_guard<std::mutex> lock(one_swapper_);
  // Unread ones are taken back first: while none is offered, no step retires anything.
  delete pending_.exchange(nullptr, std::memory_order_acquire);
  delete retired_.exchange(nullptr, std::memory_order_acquire);
  pending_.store(weights.release(), std::memory_order_release);
}

Status Runner::Step(std::span<const void* const> inputs) {
  if (inputs.size() != program_.inputs.size()) {
    return {Code::kInvalidArgument, "inputs", "as many as the program has are wanted"};
  }
  if (pending_.load(std::memory_order_relaxed) != nullptr) TakeWeights();
  for (size_t i = 0; i < inputs.size(); ++i) {
    bases_[1 + i] = const_cast<void*>(inputs[i]);  // read only: results lie in the arena
  }
  Frame frame{bases_.data(), weights_.get(), 0};
  for (const auto& bound : bound_) {
    bound->Run(&frame);
    if (frame.fault != 0) {
      return {Code::kOutOfRange, "index", "an index that the observation leads to is out of range"};
    }
  }
  return Status::Ok();
}

void* Runner::At(const View& view) const { return arena_.data() + view.offset * SizeOf(view.type); }

}  // namespace metabonk::nn
