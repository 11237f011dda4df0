#include "nn/policy.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "support/math.h"
#include "support/random.h"

namespace metabonk::nn {

namespace {

enum class Stream : uint64_t { kUniform = 1, kNormal = 2 };

uint64_t KeyOf(uint64_t seed, Stream stream) {
  return HashDraw(seed, static_cast<uint64_t>(stream));
}

void DrawUniform(uint64_t key, uint64_t first, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) {
    to[i] = UnitFloat(HashDraw(key, first + static_cast<uint64_t>(i)));
  }
}

// Two at a time (Box, Muller 1958); one of the last two is left out where `count` is odd.
void DrawNormal(uint64_t key, uint64_t first, int64_t count, float* to) {
  for (int64_t i = 0; i < count; i += 2) {
    const uint64_t place = first + static_cast<uint64_t>(i);
    const float radius = std::sqrt(-2.0f * Log(1.0f - UnitFloat(HashDraw(key, place))));
    float sine, cosine;
    SinCos(6.283185307f * UnitFloat(HashDraw(key, place + 1)), &sine, &cosine);
    to[i] = radius * cosine;
    if (i + 1 < count) to[i + 1] = radius * sine;
  }
}

template <typename List>
int64_t Find(const List& list, std::string_view name) {
  const auto found =
      std::find_if(list.begin(), list.end(), [&](const auto& item) { return item.name == name; });
  return found == list.end() ? -1 : found - list.begin();
}

}  // namespace

int64_t FindInput(const Program& program, std::string_view name) {
  return Find(program.inputs, name);
}

int64_t FindOutput(const Program& program, std::string_view name) {
  return Find(program.outputs, name);
}

Policy::Policy(Program program, std::unique_ptr<const ProgramWeights> weights, uint64_t seed)
    : runner_(std::move(program), std::move(weights)), seed_(seed) {
  const Program& made = runner_.program();
  inputs_.resize(made.inputs.size());
  for (size_t i = 0; i < made.inputs.size(); ++i) {
    const Slot& slot = made.inputs[i];
    const bool normal = slot.name == "normal";
    if ((normal || slot.name == "uniform") && slot.type == Type::kF32) {
      random_.push_back({i, normal, slot.count(), {}});
      random_.back().numbers.Reserve(static_cast<size_t>(slot.count()) + 1);
    } else if (slot.name == "is_first" && slot.type == Type::kU8) {
      first_input_ = i;
      is_first_.assign(static_cast<size_t>(slot.count()), 1);
    }
  }
  for (const Place& place : made.outputs) {
    const auto bytes = static_cast<size_t>(place.view.count() * SizeOf(place.view.type));
    outputs_.push_back({runner_.At(place.view), bytes});
  }
}

void Policy::Reset(const uint8_t* mask) {
  for (size_t i = 0; i < is_first_.size(); ++i) {
    if (mask == nullptr || mask[i] != 0) is_first_[i] = 1;
  }
}

Status Policy::Step(std::span<const void* const> inputs, std::span<void* const> outputs) {
  if (inputs.size() != inputs_.size() || outputs.size() != outputs_.size()) {
    return {Code::kInvalidArgument, "inputs, outputs", "as many as the program has are wanted"};
  }
  std::copy(inputs.begin(), inputs.end(), inputs_.begin());
  for (Own& own : random_) {
    if (inputs_[own.input] != nullptr) continue;
    const uint64_t key = KeyOf(seed_, own.normal ? Stream::kNormal : Stream::kUniform);
    const uint64_t first = counter_ * static_cast<uint64_t>(own.count + own.count % 2);
    (own.normal ? DrawNormal : DrawUniform)(key, first, own.count, own.numbers.data());
    inputs_[own.input] = own.numbers.data();
  }
  const bool own_first = first_input_ != SIZE_MAX && inputs_[first_input_] == nullptr;
  if (own_first) inputs_[first_input_] = is_first_.data();
  if (std::find(inputs_.begin(), inputs_.end(), nullptr) != inputs_.end()) {
    return {Code::kInvalidArgument, "inputs", "every observation is wanted"};
  }
  if (const Status status = runner_.Step(inputs_); !status.ok()) return status;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] != nullptr) std::memcpy(outputs[i], outputs_[i].from, outputs_[i].bytes);
  }
  if (own_first) std::fill(is_first_.begin(), is_first_.end(), uint8_t{0});
  ++counter_;
  return Status::Ok();
}

}  // namespace metabonk::nn
