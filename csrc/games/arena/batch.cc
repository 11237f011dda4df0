#include "games/arena/batch.h"

#include <cstring>

#include "games/arena/snapshot.h"

namespace metabonk::arena {

namespace {

Action ActionOf(const float* row) {
  Action action;
  std::memcpy(&action, row, sizeof(action));
  return action;
}

uint64_t HashLevels(std::span<const std::unique_ptr<Environment>> environments) {
  uint64_t hash = 0;
  for (const auto& environment : environments) hash = HashLevel(environment->level().spec, hash);
  return hash;
}

template <typename T>
T* Offset(T* first, size_t bytes) {
  return first == nullptr ? nullptr : first + bytes;
}

}  // namespace

OutputRow BatchBuffers::Row(int i, size_t pixel_bytes) const {
  const auto n = static_cast<size_t>(i);
  const ObservationView& base = first.observation;
  OutputRow row;
  row.observation.state = Offset(base.state, n * kStateFeatures);
  row.observation.entities = Offset(base.entities, n * kNearestEntities * kEntityFeatures);
  row.observation.entities_mask = Offset(base.entities_mask, n * kNearestEntities);
  row.observation.pickups = Offset(base.pickups, n * kNearestPickups * kPickupFeatures);
  row.observation.pickups_mask = Offset(base.pickups_mask, n * kNearestPickups);
  row.observation.offers = Offset(base.offers, n * kOfferRows * kOfferFeatures);
  row.observation.offers_mask = Offset(base.offers_mask, n * kOfferRows);
  row.observation.action_mask = Offset(base.action_mask, n * kActionMask);
  row.observation.dt = Offset(base.dt, n);
  row.pixels = Offset(first.pixels, n * pixel_bytes);
  row.reward = Offset(first.reward, n);
  row.terminated = Offset(first.terminated, n);
  row.truncated = Offset(first.truncated, n);
  row.is_reset = Offset(first.is_reset, n);
  return row;
}

Batch::Batch(std::span<const LevelSpec> specs, const BatchSettings& settings)
    : settings_(settings), pool_(settings.threads) {
  for (int i = 0; i < settings.num_envs; ++i) {
    const LevelSpec& spec = specs[specs.size() == 1 ? 0 : static_cast<size_t>(i)];
    environments_.push_back(std::make_unique<Environment>());
    environments_.back()->Configure(spec, settings.autoreset, settings.pixel_height,
                                    settings.pixel_width);
    environments_.back()->Reset(static_cast<uint64_t>(i));
  }
  for (int i = 0; i < pool_.threads(); ++i) scratches_.push_back(std::make_unique<Scratch>());
  if (settings_.batch_size == 0) settings_.batch_size = settings_.num_envs;
}

size_t Batch::pixel_bytes() const {
  return static_cast<size_t>(settings_.pixel_height) * static_cast<size_t>(settings_.pixel_width) *
         3;
}

void Batch::StepOne(int env, const float* action, int thread) {
  environment(env).Step(ActionOf(action), *scratches_[static_cast<size_t>(thread)]);
}

void Batch::Reset(const uint64_t* seeds, const BatchBuffers& buffers) {
  if (queue_ != nullptr) queue_->Drain();
  struct Job {
    Batch* batch;
    const uint64_t* seeds;
    const BatchBuffers* buffers;
  } job{this, seeds, &buffers};
  pool_.Run(
      settings_.num_envs,
      [](void* context, int i, int) {
        const Job& at = *static_cast<Job*>(context);
        at.batch->environment(i).Reset(at.seeds[i]);
        at.batch->environment(i).Write(at.buffers->Row(i, at.batch->pixel_bytes()));
      },
      &job);
}

void Batch::Step(const float* actions, const BatchBuffers& buffers) {
  struct Job {
    Batch* batch;
    const float* actions;
    const BatchBuffers* buffers;
  } job{this, actions, &buffers};
  pool_.Run(
      settings_.num_envs,
      [](void* context, int i, int thread) {
        const Job& at = *static_cast<Job*>(context);
        at.batch->StepOne(i, at.actions + static_cast<size_t>(i) * kActionColumns, thread);
        at.batch->environment(i).Write(at.buffers->Row(i, at.batch->pixel_bytes()));
      },
      &job);
}

void Batch::Write(const BatchBuffers& buffers) {
  BatchBuffers observations;
  observations.first.observation = buffers.first.observation;
  observations.first.pixels = buffers.first.pixels;
  struct Job {
    Batch* batch;
    const BatchBuffers* buffers;
  } job{this, &observations};
  pool_.Run(
      settings_.num_envs,
      [](void* context, int i, int) {
        const Job& at = *static_cast<Job*>(context);
        at.batch->environment(i).Write(at.buffers->Row(i, at.batch->pixel_bytes()));
      },
      &job);
}

Status Batch::Send(const float* actions, const int32_t* env_ids, int count) {
  if (queue_ == nullptr) {
    queue_ =
        std::make_unique<StepQueue>(*this, settings_.num_envs, kActionColumns, pool_.threads());
  }
  return queue_->Send(actions, env_ids, count);
}

Status Batch::Recv(int32_t* env_ids, const BatchBuffers& buffers) {
  if (queue_ == nullptr) {
    return {Code::kUnavailable, "recv", "has nothing to receive: send actions first"};
  }
  if (const Status status = queue_->Recv(env_ids, settings_.batch_size); !status.ok()) {
    return status;
  }
  struct Job {
    Batch* batch;
    const int32_t* env_ids;
    const BatchBuffers* buffers;
  } job{this, env_ids, &buffers};
  pool_.Run(
      settings_.batch_size,
      [](void* context, int i, int) {
        const Job& at = *static_cast<Job*>(context);
        at.batch->environment(at.env_ids[i]).Write(at.buffers->Row(i, at.batch->pixel_bytes()));
      },
      &job);
  return Status::Ok();
}

size_t Batch::SnapshotBytes() const {
  return kSnapshotHeader + environments_.size() * Environment::SnapshotBytes();
}

size_t Batch::SnapshotBytesOfOne() { return kSnapshotHeader + Environment::SnapshotBytes(); }

void Batch::Save(uint8_t* out) const { Pack(environments_, out); }

Status Batch::Load(std::span<const uint8_t> bytes) { return Unpack(bytes, environments_); }

void Batch::SaveOne(int env, uint8_t* out) const {
  Pack({&environments_[static_cast<size_t>(env)], 1}, out);
}

Status Batch::LoadOne(int env, std::span<const uint8_t> bytes) {
  return Unpack(bytes, {&environments_[static_cast<size_t>(env)], 1});
}

void Batch::Pack(Environments environments, uint8_t* out) {
  WriteSnapshotHeader(static_cast<uint32_t>(environments.size()), HashLevels(environments), out);
  out += kSnapshotHeader;
  for (const auto& environment : environments) {
    environment->Save(out);
    out += Environment::SnapshotBytes();
  }
}

Status Batch::Unpack(std::span<const uint8_t> bytes, Environments environments) {
  const auto count = static_cast<uint32_t>(environments.size());
  if (const Status status = CheckSnapshotHeader(bytes, count, HashLevels(environments));
      !status.ok()) {
    return status;
  }
  const auto at = [&](size_t i) {
    return bytes.data() + kSnapshotHeader + i * Environment::SnapshotBytes();
  };
  for (size_t i = 0; i < environments.size(); ++i) {  // all or nothing
    if (const Status status = Environment::Check(at(i)); !status.ok()) return status;
  }
  for (size_t i = 0; i < environments.size(); ++i) environments[i]->Load(at(i));
  return Status::Ok();
}

}  // namespace metabonk::arena
