#include "play/observation.h"

#include <cstring>
#include <string_view>

namespace metabonk::play {

namespace {

struct Named {
  std::string_view name;
  nn::Type type;
  int64_t rows, columns;  // of one environment; columns 0: a vector
};

constexpr Named kNamed[] = {
    {"state", nn::Type::kF32, kStateFeatures, 0},
    {"entities", nn::Type::kF32, kNearestEntities, kEntityFeatures},
    {"entities_mask", nn::Type::kU8, kNearestEntities, 0},
    {"pickups", nn::Type::kF32, kNearestPickups, kPickupFeatures},
    {"pickups_mask", nn::Type::kU8, kNearestPickups, 0},
    {"offers", nn::Type::kF32, kOfferRows, kOfferFeatures},
    {"offers_mask", nn::Type::kU8, kOfferRows, 0},
    {"action_mask", nn::Type::kU8, kActionMask, 0},
    {"dt", nn::Type::kF32, 1, 0},
};
constexpr std::string_view kPixels = "pixels";

bool IsOwn(const nn::Slot& slot) {
  const bool random = slot.name == "uniform" || slot.name == "normal";
  return (random && slot.type == nn::Type::kF32) || slot.name == "is_first";
}

const Named* FindNamed(const nn::Slot& slot) {
  for (const Named& named : kNamed) {
    if (slot.name == named.name) return &named;
  }
  return nullptr;
}

bool Fits(const nn::Slot& slot, const Named& named) {
  if (slot.type != named.type || slot.rank != (named.columns == 0 ? 2 : 3)) return false;
  return slot.sizes[0] == 1 && slot.sizes[1] == named.rows &&
         (named.columns == 0 || slot.sizes[2] == named.columns);
}

void Point(std::string_view name, void* to, ObservationView* view) {
  auto* floats = static_cast<float*>(to);
  auto* bytes = static_cast<uint8_t*>(to);
  if (name == "state") view->state = floats;
  if (name == "entities") view->entities = floats;
  if (name == "entities_mask") view->entities_mask = bytes;
  if (name == "pickups") view->pickups = floats;
  if (name == "pickups_mask") view->pickups_mask = bytes;
  if (name == "offers") view->offers = floats;
  if (name == "offers_mask") view->offers_mask = bytes;
  if (name == "action_mask") view->action_mask = bytes;
  if (name == "dt") view->dt = floats;
}

}  // namespace

Status Observation::Check(const nn::Program& program) {
  for (const nn::Slot& slot : program.inputs) {
    if (IsOwn(slot)) continue;
    if (slot.name == kPixels) {
      const bool frame = slot.type == nn::Type::kU8 && slot.rank == 4 && slot.sizes[0] == 1 &&
                         slot.sizes[3] == 3 && slot.sizes[1] <= 4096 && slot.sizes[2] <= 4096;
      if (frame) continue;
      return {Code::kInvalidArgument, "policy",
              "its input `pixels` is not [1, height, width, 3]: compile it with batch 1"};
    }
    const Named* named = FindNamed(slot);
    if (named == nullptr) {
      return {Code::kInvalidArgument, "policy",
              "reads something that games over GameState do not give: train it on the arena"};
    }
    if (!Fits(slot, *named)) {
      return {Code::kInvalidArgument, "policy",
              "reads an observation of another shape: compile it with batch 1, or train it with "
              "this version"};
    }
  }
  return Status::Ok();
}

Observation::Observation(const nn::Program& program)
    : memory_(program.inputs.size()), inputs_(program.inputs.size(), nullptr) {
  for (size_t i = 0; i < program.inputs.size(); ++i) {
    const nn::Slot& slot = program.inputs[i];
    if (IsOwn(slot)) continue;
    const auto bytes = static_cast<size_t>(slot.count() * nn::SizeOf(slot.type));
    void* to = memory_[i].Reserve((bytes + 7) / 8);
    std::memset(to, 0, (bytes + 7) / 8 * 8);
    inputs_[i] = to;
    parts_.push_back({to, bytes});
    Point(slot.name, to, &view_);
    if (slot.name == kPixels) {
      pixels_ = static_cast<uint8_t*>(to);
      frame_ = {static_cast<int32_t>(slot.sizes[1]), static_cast<int32_t>(slot.sizes[2])};
    }
  }
}

Status Observation::Fill(const Moment& moment) {
  if (pixels_ != nullptr) {
    const FrameView& frame = moment.frame;
    if (frame.pixels == nullptr || frame.channels != 3 || frame.height != frame_.height ||
        frame.width != frame_.width) {
      return {Code::kInvalidArgument, "frame", "is not of the size that the policy was trained on"};
    }
    std::memcpy(pixels_, frame.pixels,
                static_cast<size_t>(frame_.height) * static_cast<size_t>(frame_.width) * 3);
  }
  Observe(*moment.state, view_);
  return Status::Ok();
}

Digest Observation::digest() const {
  Digester digester;
  for (const Part& part : parts_) digester.Add(part.at, part.bytes);
  return digester.Get();
}

size_t Observation::bytes() const {
  size_t sum = 0;
  for (const Part& part : parts_) sum += part.bytes;
  return sum;
}

void Observation::Copy(uint8_t* to) const {
  for (const Part& part : parts_) {
    std::memcpy(to, part.at, part.bytes);
    to += part.bytes;
  }
}

}  // namespace metabonk::play
