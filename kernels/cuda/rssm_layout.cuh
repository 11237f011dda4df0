// How blocks share a recurrent state-space model: which part of every layer a member of a group
// owns, where a block keeps what in its shared memory, and what blocks tell each other in scratch.
// What the block does with that is rssm_block.cuh's; the processor asks for the same before a
// launch.
#pragma once

#include <api.h>

#include <device/launch.cuh>
#include <device/product.cuh>

namespace metabonk::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kLanes;
constexpr int kMostGroups = 64;
constexpr int kGates = 3;

// A member's part of a layer's outputs: tiles of eight, the same number for all but the last.
struct Part {
  int tiles, depth, splits;

  Part() = default;
  __host__ __device__ Part(int outputs, int inputs, int members, int copies)
      : tiles(DivideUp(DivideUp(outputs, kTile), members)),
        depth(RoundUp(inputs, kDepth)),
        splits(SplitsFor(copies * tiles, depth, kWarps)) {}
  __host__ __device__ int Columns() const { return tiles * kTile; }
  __host__ __device__ int Weights(int copies) const {
    return copies * Columns() * (depth + kPad) * 2;
  }
  __host__ __device__ int Sums(int copies) const { return splits * kRows * copies * Columns() * 4; }
};

struct RssmLayout {
  int members, class_columns, latents;  // latents: of the index that a member owns
  Part embed, from_embed, from_state, prior, logits;
  int rows, other_rows, sums, other_sums;  // offsets in shared memory
  int w_embed, w_from_embed, w_from_state, w_prior, w_logits, bytes;

  __host__ __device__ RssmLayout(const MetabonkCudaRssm& r, int group_members)
      : members(group_members),
        class_columns(RoundUp(r.classes, kTile)),
        latents(DivideUp(r.groups, group_members)),
        embed(r.embed, r.actions, members, 1),
        from_embed(r.hidden, r.embed, members, kGates),
        from_state(r.hidden, r.hidden, members, kGates),
        prior(r.units, r.hidden, members, 1),
        logits(latents * class_columns, r.units, 1, 1) {
    const int depths[] = {embed.depth, from_embed.depth, from_state.depth, prior.depth,
                          logits.depth};
    int deepest = 0;
    for (const int depth : depths) deepest = depth > deepest ? depth : deepest;
    int most = embed.Sums(1);
    for (const int size : {from_embed.Sums(kGates), prior.Sums(1), logits.Sums(1)}) {
      most = size > most ? size : most;
    }
    int at = 0;
    rows = Take(&at, kRows * (deepest + kPad) * 2);
    other_rows = Take(&at, kRows * (from_state.depth + kPad) * 2);
    sums = Take(&at, most);
    other_sums = Take(&at, from_state.Sums(kGates));
    w_embed = Take(&at, embed.Weights(1));
    w_from_embed = Take(&at, from_embed.Weights(kGates));
    w_from_state = Take(&at, from_state.Weights(kGates));
    w_prior = Take(&at, prior.Weights(1));
    w_logits = Take(&at, logits.Weights(1));
    bytes = at;
  }

 private:
  __host__ __device__ static int Take(int* at, int size) {
    const int here = *at;
    *at = RoundUp(here + size, 128);
    return here;
  }
};

// What blocks tell each other, in the caller's scratch: counters, then rows of bf16, padded to
// whole tiles, whose pads stay zero.
struct RssmScratch {
  uint32_t* counters;
  uint16_t *embed, *even, *odd, *prior, *end;
  __host__ __device__ RssmScratch(void* scratch, const MetabonkCudaRssm& r) {
    const int64_t rows = RoundUp(r.rows, kRows);
    counters = static_cast<uint32_t*>(scratch);
    embed = reinterpret_cast<uint16_t*>(counters + kMostGroups);
    even = embed + rows * RoundUp(r.embed, kDepth);
    odd = even + rows * RoundUp(r.hidden, kDepth);
    prior = odd + rows * RoundUp(r.hidden, kDepth);
    end = prior + rows * RoundUp(r.units, kDepth);
  }
  // The state before a step; the one after it goes where others do not read.
  __device__ uint16_t* Before(int step) const { return step % 2 == 0 ? even : odd; }
};

// Whether the kernels take a model of these sizes.
inline bool Fits(const MetabonkCudaRssm& r) {
  constexpr int kMost = 1 << 13;
  for (const int size : {r.actions, r.embed, r.hidden, r.units, r.groups}) {
    if (size < 1 || size > kMost) return false;
  }
  return r.steps >= 1 && r.rows >= 1 && r.classes >= 2 && r.classes <= 256;
}

// As many groups as there are sixteens of rows, as long as a group's members can hold the weights.
// bytes(members): of shared memory that a member needs.
template <class Bytes>
inline int GroupsFor(int rows, const Limits& limits, const Bytes& bytes) {
  int groups = DivideUp(rows, kRows);
  if (groups > kMostGroups) groups = kMostGroups;
  if (groups > limits.multiprocessors) groups = limits.multiprocessors;
  while (groups > 1 && bytes(limits.multiprocessors / groups) > limits.shared_bytes) --groups;
  return groups;
}

}  // namespace
}  // namespace metabonk::cuda
