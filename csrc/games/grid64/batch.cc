#include "games/grid64/batch.h"

#include <algorithm>
#include <cstring>

namespace metabonk::grid64 {
namespace {

constexpr int kBlock = 16;  // environments per item of the pool: a step is shorter than a hand-over

struct CloneHeader {
  char magic[8];
  uint32_t version;
  uint32_t count;
  char game[16];
  uint64_t split;
  uint64_t layouts;
  uint64_t checksum;  // of all that follows
};
static_assert(sizeof(CloneHeader) == 56);
constexpr char kCloneMagic[8] = {'M', 'B', 'G', '6', '4', 'E', 'N', 'V'};
constexpr uint32_t kCloneVersion = 2;

void WriteResult(const Buffers& out, size_t row, const StepResult& result) {
  if (out.reward) out.reward[row] = result.reward;
  if (out.terminated) out.terminated[row] = result.terminated;
  if (out.truncated) out.truncated[row] = result.truncated;
  if (out.is_reset) out.is_reset[row] = result.is_reset;
}

}  // namespace

Batch::Batch(int game, Split split, int num_envs, int threads, bool autoreset, uint64_t layouts)
    : game_(game),
      split_(split),
      threads_(std::max(1, threads)),
      autoreset_(autoreset),
      layouts_(layouts),
      episodes_(static_cast<size_t>(num_envs)),
      pool_(std::min(threads_, (num_envs + kBlock - 1) / kBlock)) {
  for (size_t i = 0; i < episodes_.size(); ++i) Start(episodes_[i], game, split, i, layouts);
}

StepResult Batch::Advance(Episode& episode, const float* action) const {
  if (episode.over && !autoreset_) return {};
  return Step(episode, ActionOf(action), layouts_);
}

template <class Body>
void Batch::ForEach(Body body) {
  struct Job {
    Body* body;
    int count;
  } job{&body, num_envs()};
  pool_.Run((num_envs() + kBlock - 1) / kBlock,
            [](void* context, int item, int) {
              const Job& work = *static_cast<Job*>(context);
              const int end = std::min(work.count, (item + 1) * kBlock);
              for (int env = item * kBlock; env < end; ++env)
                (*work.body)(static_cast<size_t>(env));
            },
            &job);
}

void Batch::WriteObservation(const Buffers& out, size_t row, const Episode& episode) const {
  Observe(episode, {out.cells ? out.cells + row * kCells : nullptr,
                    out.action_mask ? out.action_mask + row * kActionIds : nullptr,
                    out.levels_completed ? out.levels_completed + row : nullptr});
}

void Batch::WriteRow(const Buffers& out, size_t row, const Episode& episode,
                     const StepResult& result) const {
  WriteObservation(out, row, episode);
  WriteResult(out, row, result);
}

void Batch::Reset(const uint64_t* seeds, const Buffers& out) {
  if (queue_) queue_->Drain();
  ForEach([&](size_t env) {
    Start(episodes_[env], game_, split_, seeds[env], layouts_);
    StepResult first;
    first.is_reset = true;
    WriteRow(out, env, episodes_[env], first);
  });
}

Status Batch::StepAll(const float* actions, const Buffers& out) {
  if (const Status status = Grounded(); !status.ok()) return status;
  ForEach([&](size_t env) {
    const StepResult result = Advance(episodes_[env], actions + env * kActionColumns);
    WriteRow(out, env, episodes_[env], result);
  });
  return Status::Ok();
}

void Batch::ObserveAll(const Buffers& out) {
  ForEach([&](size_t env) { WriteObservation(out, env, episodes_[env]); });
}

void Batch::StepOne(int env, const float* action, int) {
  Episode& episode = episodes_[static_cast<size_t>(env)];
  Landing& landing = landings_[static_cast<size_t>(env)];
  landing.result = Advance(episode, action);
  Observe(episode, {landing.cells, landing.action_mask, &landing.levels_completed});
}

Status Batch::Send(const float* actions, const int32_t* env_ids, int count) {
  if (!queue_) {
    landings_.resize(episodes_.size());
    queue_ = std::make_unique<StepQueue>(*this, num_envs(), kActionColumns, threads_);
  }
  return queue_->Send(actions, env_ids, count);
}

Status Batch::Recv(const Buffers& out, int32_t* env_ids, int count) {
  if (!queue_) {
    return {Code::kUnavailable, "batch_size", "exceeds what is in flight: send more actions first"};
  }
  if (const Status status = queue_->Recv(env_ids, count); !status.ok()) return status;
  for (size_t row = 0; row < static_cast<size_t>(count); ++row) {
    const Landing& landing = landings_[static_cast<size_t>(env_ids[row])];
    if (out.cells) std::memcpy(out.cells + row * kCells, landing.cells, kCells);
    if (out.action_mask) {
      std::memcpy(out.action_mask + row * kActionIds, landing.action_mask, kActionIds);
    }
    if (out.levels_completed) out.levels_completed[row] = landing.levels_completed;
    WriteResult(out, row, landing.result);
  }
  return Status::Ok();
}

Status Batch::Grounded() const {
  if (!queue_ || queue_->in_flight() == 0) return Status::Ok();
  return {Code::kUnavailable, "batch", "environments are in flight: recv them first"};
}

Status Batch::Clone(std::vector<uint8_t>* out) const {
  if (const Status status = Grounded(); !status.ok()) return status;
  return Pack(episodes_, out);
}

Status Batch::CloneOne(int env, std::vector<uint8_t>* out) const {
  if (const Status status = Grounded(); !status.ok()) return status;
  return Pack({&episodes_[static_cast<size_t>(env)], 1}, out);
}

Status Batch::Restore(std::span<const uint8_t> bytes) {
  if (const Status status = Grounded(); !status.ok()) return status;
  return Unpack(bytes, episodes_);
}

Status Batch::RestoreOne(int env, std::span<const uint8_t> bytes) {
  if (const Status status = Grounded(); !status.ok()) return status;
  return Unpack(bytes, {&episodes_[static_cast<size_t>(env)], 1});
}

Status Batch::Pack(std::span<const Episode> episodes, std::vector<uint8_t>* out) const {
  CloneHeader header{};
  std::memcpy(header.magic, kCloneMagic, sizeof(kCloneMagic));
  header.version = kCloneVersion;
  header.count = static_cast<uint32_t>(episodes.size());
  std::strncpy(header.game, GameAt(game_).name, sizeof(header.game) - 1);
  header.split = static_cast<uint64_t>(split_);
  header.layouts = layouts_;
  header.checksum = HashBytes(0, episodes.data(), episodes.size_bytes());
  out->resize(sizeof(header) + episodes.size_bytes());
  std::memcpy(out->data(), &header, sizeof(header));
  std::memcpy(out->data() + sizeof(header), episodes.data(), episodes.size_bytes());
  return Status::Ok();
}

Status Batch::Unpack(std::span<const uint8_t> bytes, std::span<Episode> episodes) const {
  CloneHeader header;
  if (bytes.size() < sizeof(header)) return {Code::kCorrupt, "state", "shorter than its header"};
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kCloneMagic, sizeof(kCloneMagic)) != 0) {
    return {Code::kCorrupt, "state", "not a clone of grid64 environments"};
  }
  if (header.version != kCloneVersion) {
    return {Code::kVersionMismatch, "state", "cloned by another version: start the episodes anew"};
  }
  char name[sizeof(header.game)] = {};
  std::strncpy(name, GameAt(game_).name, sizeof(name) - 1);
  if (std::memcmp(header.game, name, sizeof(name)) != 0 ||
      header.split != static_cast<uint64_t>(split_) || header.layouts != layouts_) {
    return {Code::kInvalidArgument, "state",
            "of another game, split or number of layouts: make that batch first"};
  }
  if (header.count != episodes.size()) {
    return {Code::kInvalidArgument, "state", "of another number of environments"};
  }
  const std::span<const uint8_t> body = bytes.subspan(sizeof(header));
  if (body.size() != episodes.size_bytes() ||
      HashBytes(0, body.data(), body.size()) != header.checksum) {
    return {Code::kCorrupt, "state", "damaged: its checksum does not match"};
  }
  std::vector<Episode> loaded(episodes.size());
  std::memcpy(loaded.data(), body.data(), body.size());
  for (Episode& episode : loaded) {  // whoever writes a state can write its checksum
    if (!Sound(episode, game_, split_)) {
      return {Code::kCorrupt, "state", "holds no level of this game: clone again"};
    }
    // The index of a game is of this build, its name is what counts.
    episode.game = static_cast<uint32_t>(game_);
  }
  std::copy(loaded.begin(), loaded.end(), episodes.begin());
  return Status::Ok();
}

}  // namespace metabonk::grid64
