#include "nn/runner.h"

#include <cstring>
#include <utility>

#include "nn/loops.h"

namespace metabonk::nn {

Runner::Runner(Program program, std::unique_ptr<const ProgramWeights> weights)
    : program_(std::move(program)),
      tier_(ActiveLoops().name),
      kernels_(weights->kernels()),
      weights_(std::move(weights)) {
  const auto bytes = static_cast<size_t>(program_.arena_bytes);
  std::memset(arena_.Reserve(bytes + 1), 0, bytes + 1);
  bases_.resize(1 + program_.inputs.size() + program_.tensors.size());
  bases_[0] = arena_.data();
  Rebase();
  for (size_t i = 0; i < program_.instructions.size(); ++i) bound_.push_back(Bind(program_, i));
}

Runner::~Runner() {
  delete pending_.load();
  FreeRetired();
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
  // More than one may be retired before a swap comes to free them: it may look between the two
  // lines above and below.
  const ProgramWeights* old = weights_.release();
  old->behind = retired_.load(std::memory_order_relaxed);
  while (!retired_.compare_exchange_weak(old->behind, old, std::memory_order_release,
                                         std::memory_order_relaxed)) {
  }
  weights_.reset(next);
  Rebase();
  swaps_.fetch_add(1, std::memory_order_relaxed);
}

void Runner::Swap(std::unique_ptr<const ProgramWeights> weights) {
  const std::lock_guard<std::mutex> lock(one_swapper_);
  delete pending_.exchange(weights.release(), std::memory_order_acq_rel);
  FreeRetired();
}

void Runner::FreeRetired() {
  const ProgramWeights* first = retired_.exchange(nullptr, std::memory_order_acquire);
  while (first != nullptr) delete std::exchange(first, first->behind);
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
