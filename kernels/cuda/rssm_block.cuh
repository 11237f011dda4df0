// The block of threads that steps a recurrent state-space model's prior with others like it: what
// the rollout under given actions (rssm.cu) and the dream under an actor (imagine.cu) share.
//
// The blocks stand in groups; a group has all weights among its members and takes every so manieth
// sixteen rows. The four layers of a step depend on each other: after each, the group meets at a
// counter. A member owns the same units of every layer's output for the whole time.
#pragma once

#include <api.h>

#include <device/launch.cuh>
#include <device/product.cuh>
#include <device/ptx.cuh>
#include <rssm_layout.cuh>

namespace metabonk::cuda {
namespace {

__global__ void __launch_bounds__(kThreads) ClearKernel(uint32_t* words, int64_t count) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += step) {
    words[i] = 0;
  }
}

struct RssmBlock {
  const MetabonkCudaRssm& r;
  const RssmLayout layout;
  const RssmScratch scratch;
  uint8_t* const memory;
  const int group, groups, member;
  uint32_t meetings = 0;

  __device__ RssmBlock(const MetabonkCudaRssm& arguments, int group_count, int members)
      : r(arguments),
        layout(arguments, members),
        scratch(arguments.scratch, arguments),
        memory(SharedMemory()),
        group(static_cast<int>(blockIdx.x) / members),
        groups(group_count),
        member(static_cast<int>(blockIdx.x) % members) {}

  template <class T>
  __device__ T* At(int offset) const {
    return reinterpret_cast<T*>(memory + offset);
  }
  __device__ static int Thread() { return static_cast<int>(threadIdx.x); }
  __device__ int64_t Place(int step, int row) const {
    return static_cast<int64_t>(step) * r.rows + row;
  }

  // The unit that a column of the member's part is, or -1.
  __device__ int Unit(const Part& part, int column, int outputs) const {
    const int unit = member * part.Columns() + column;
    return unit < outputs ? unit : -1;
  }
  __device__ auto Rows(const Part& part, int outputs) const {
    return [this, &part, outputs](int i) {
      const int unit = Unit(part, i % part.Columns(), outputs);
      return unit < 0 ? -1 : i / part.Columns() * outputs + unit;
    };
  }
  // Of the logits: whole latents, each padded to eights.
  __device__ int Latent(int column) const {
    const int latent = member * layout.latents + column / layout.class_columns;
    return latent < r.groups && column % layout.class_columns < r.classes ? latent : -1;
  }

  __device__ void TakeWeights() {
    const auto take = [&](const uint16_t* from, int inputs, const Part& part, int copies,
                          const auto& row, int to) {
      metabonk::cuda::TakeWeights(from, inputs, inputs, row, copies * part.Columns(), part.depth,
                                  At<uint16_t>(to), part.depth + kPad);
    };
    take(r.w_action, r.actions, layout.embed, 1, Rows(layout.embed, r.embed), layout.w_embed);
    take(r.w_x, r.embed, layout.from_embed, kGates, Rows(layout.from_embed, r.hidden),
         layout.w_from_embed);
    take(r.w_h, r.hidden, layout.from_state, kGates, Rows(layout.from_state, r.hidden),
         layout.w_from_state);
    take(r.w_prior, r.hidden, layout.prior, 1, Rows(layout.prior, r.units), layout.w_prior);
    const auto logit = [this](int i) {
      const int latent = Latent(i);
      return latent < 0 ? -1 : latent * r.classes + i % layout.class_columns;
    };
    take(r.w_logits, r.units, layout.logits, 1, logit, layout.w_logits);
  }

  // All members of the group, and what they wrote before.
  __device__ void Meet() {
    __syncthreads();
    ++meetings;
    if (Thread() == 0) {
      ArriveAt(scratch.counters + group);
      WaitUntil(scratch.counters + group, meetings * static_cast<uint32_t>(layout.members));
    }
    __syncthreads();
  }

  // Sixteen rows of scratch into shared memory.
  __device__ void Stage(const uint16_t* from, int depth, int first_row, int to) const {
    const int pieces = depth / 8;
    for (int i = Thread(); i < kRows * pieces; i += kThreads) {
      const int row = i / pieces, piece = i % pieces;
      CopyAsync16(At<uint16_t>(to) + row * (depth + kPad) + piece * 8,
                  from + static_cast<int64_t>(first_row + row) * depth + piece * 8);
    }
  }

  __device__ void Multiply(const Part& part, int copies, int rows, int weights, int sums) const {
    MultiplyRows(At<uint16_t>(rows), part.depth + kPad, part.depth,
                 SharedWeights{At<uint16_t>(weights), part.depth + kPad}, copies * part.tiles,
                 part.splits, At<float>(sums));
  }

  __device__ float Sum(const Part& part, int copies, int copy, int sums, int row,
                       int column) const {
    return SumOver(At<float>(sums), part.splits, copies * part.Columns(), row,
                   copy * part.Columns() + column);
  }

  __device__ static uint16_t Round(float x) { return static_cast<uint16_t>(PackBf16(x, 0.0f)); }
  __device__ static float Elu(float x) { return x > 0.0f ? x : FastExp(x) - 1.0f; }
  __device__ static float FromBf16(uint16_t code) {
    union {
      uint32_t bits;
      float number;
    } both = {static_cast<uint32_t>(code) << 16};
    return both.number;
  }
  // A number that this or another block has written in this launch.
  __device__ static float Fresh(const float* at) {
    union {
      uint32_t bits;
      float number;
    } both = {LoadShared4(reinterpret_cast<const uint32_t*>(at))};
    return both.number;
  }

  // Of a layer's sums, what the latents before a step add: rows of table [groups, classes,
  // outputs].
  __device__ float Gathered(const uint16_t* table, int outputs, int step, int64_t row,
                            int unit) const {
    const int32_t* latents = step == 0 ? r.index : r.out_index + Place(step - 1, 0) * r.groups;
    float sum = 0.0f;
    for (int g = 0; g < r.groups; ++g) {
      const uint32_t* from = reinterpret_cast<const uint32_t*>(latents + row * r.groups + g);
      const int64_t entry = g * r.classes + static_cast<int64_t>(LoadShared4(from));
      sum += FromBf16(table[entry * outputs + unit]);
    }
    return sum;
  }

  // finish(row, column, unit) for every existing number of the member's part of sixteen rows.
  template <class Finish>
  __device__ void ForEach(const Part& part, int outputs, int first_row,
                          const Finish& finish) const {
    for (int i = Thread(); i < kRows * part.Columns(); i += kThreads) {
      const int row = i / part.Columns(), column = i % part.Columns();
      const int unit = Unit(part, column, outputs);
      if (unit >= 0 && first_row + row < r.rows) finish(row, column, unit);
    }
  }

  // work(first row) for each of the group's sixteens.
  template <class Work>
  __device__ void ForRows(const Work& work) const {
    for (int first = group * kRows; first < r.rows; first += groups * kRows) work(first);
  }

  // Weights, and the state before the first step as others read it.
  __device__ void Begin() {
    TakeWeights();
    ForRows([this](int first) {
      ForEach(layout.from_state, r.hidden, first, [&](int row, int, int unit) {
        const int64_t at = first + row;
        scratch.even[at * layout.from_state.depth + unit] = Round(r.h[at * r.hidden + unit]);
      });
    });
    __syncthreads();
  }

  // What follows the embedding of a step.
  __device__ void Advance(int step) {
    Meet();
    ForRows([this, step](int first) { Recur(step, first); });
    Meet();
    ForRows([this, step](int first) { Prior(step, first); });
    Meet();
    ForRows([this, step](int first) { Sample(step, first); });
    Meet();
  }

  __device__ void Run() {
    Begin();
    for (int step = 0; step < r.steps; ++step) {
      ForRows([this, step](int first) { Embed(step, first); });
      Advance(step);
    }
  }

  // The embedding of given actions.
  __device__ void Embed(int step, int first) const {
    const int stride = layout.embed.depth + kPad;
    for (int i = Thread(); i < kRows * layout.embed.depth; i += kThreads) {
      const int row = i / layout.embed.depth, k = i % layout.embed.depth;
      const bool there = first + row < r.rows && k < r.actions;
      const float action = there ? r.action[Place(step, first + row) * r.actions + k] : 0.0f;
      At<uint16_t>(layout.rows)[row * stride + k] = Round(action);
    }
    EmbedStaged(step, first);
  }

  // The same of sixteen actions that lie in shared memory.
  __device__ void EmbedStaged(int step, int first) const {
    __syncthreads();
    Multiply(layout.embed, 1, layout.rows, layout.w_embed, layout.sums);
    __syncthreads();
    ForEach(layout.embed, r.embed, first, [&](int row, int column, int unit) {
      const int64_t at = first + row;
      const float sum = Sum(layout.embed, 1, 0, layout.sums, row, column) + r.b_embed[unit] +
                        Gathered(r.table, r.embed, step, at, unit);
      scratch.embed[at * layout.from_embed.depth + unit] = Round(Elu(sum));
    });
    __syncthreads();
  }

  __device__ void Recur(int step, int first) const {
    Stage(scratch.embed, layout.from_embed.depth, first, layout.rows);
    Stage(scratch.Before(step), layout.from_state.depth, first, layout.other_rows);
    WaitForCopies();
    __syncthreads();
    Multiply(layout.from_embed, kGates, layout.rows, layout.w_from_embed, layout.sums);
    Multiply(layout.from_state, kGates, layout.other_rows, layout.w_from_state, layout.other_sums);
    __syncthreads();
    const float* before = step == 0 ? r.h : r.out_h + Place(step - 1, 0) * r.hidden;
    ForEach(layout.from_state, r.hidden, first, [&](int row, int column, int unit) {
      float x[kGates], h[kGates];
#pragma unroll
      for (int gate = 0; gate < kGates; ++gate) {
        x[gate] = Sum(layout.from_embed, kGates, gate, layout.sums, row, column) +
                  r.b_x[gate * r.hidden + unit];
        h[gate] = Sum(layout.from_state, kGates, gate, layout.other_sums, row, column) +
                  r.b_h[gate * r.hidden + unit];
      }
      const float reset = FastSigmoid(x[0] + h[0]), keep = FastSigmoid(x[1] + h[1]);
      const float next = FastTanh(x[2] + reset * h[2]);
      const int64_t at = first + row;
      const float state = next + keep * (Fresh(before + at * r.hidden + unit) - next);
      r.out_h[Place(step, first + row) * r.hidden + unit] = state;
      scratch.Before(step + 1)[at * layout.from_state.depth + unit] = Round(state);
    });
    __syncthreads();
  }

  __device__ void Prior(int step, int first) const {
    Stage(scratch.Before(step + 1), layout.prior.depth, first, layout.rows);
    WaitForCopies();
    __syncthreads();
    Multiply(layout.prior, 1, layout.rows, layout.w_prior, layout.sums);
    __syncthreads();
    ForEach(layout.prior, r.units, first, [&](int row, int column, int unit) {
      const float sum = Sum(layout.prior, 1, 0, layout.sums, row, column) + r.b_prior[unit];
      const int64_t at = first + row;
      scratch.prior[at * layout.logits.depth + unit] = Round(Elu(sum));
    });
    __syncthreads();
  }

  __device__ void Sample(int step, int first) const {
    Stage(scratch.prior, layout.logits.depth, first, layout.rows);
    WaitForCopies();
    __syncthreads();
    Multiply(layout.logits, 1, layout.rows, layout.w_logits, layout.sums);
    __syncthreads();
    // Logits where the first split's sums were, each by the thread that adds it up.
    float* logits = At<float>(layout.sums);
    const int columns = layout.logits.Columns();
    for (int i = Thread(); i < kRows * columns; i += kThreads) {
      const int latent = Latent(i % columns), row = i / columns;
      if (latent < 0) continue;
      const int64_t unit = latent * r.classes + i % columns % layout.class_columns;
      logits[i] = Sum(layout.logits, 1, 0, layout.sums, row, i % columns) + r.b_logits[unit];
    }
    __syncthreads();
    for (int i = Thread(); i < kRows * layout.latents; i += kThreads) {
      const int row = i / layout.latents, mine = i % layout.latents;
      const int latent = Latent(mine * layout.class_columns);
      if (latent < 0 || first + row >= r.rows) continue;
      const int64_t at = Place(step, first + row) * r.groups + latent;
      float* log_probs = r.out_log_probs == nullptr ? nullptr : r.out_log_probs + at * r.classes;
      r.out_index[at] =
          Choose(logits + row * columns + mine * layout.class_columns, r.uniform[at], log_probs);
    }
    __syncthreads();
  }

  // The class at which the running sum of the mixed probabilities passes u; their logarithms.
  __device__ int Choose(const float* logits, float u, float* log_probs) const {
    float largest = logits[0], total = 0.0f;
    for (int i = 1; i < r.classes; ++i) largest = logits[i] > largest ? logits[i] : largest;
    for (int i = 0; i < r.classes; ++i) total += FastExp(logits[i] - largest);
    const float share = (1.0f - r.mix) / total, rest = r.mix / static_cast<float>(r.classes);
    float running = 0.0f;
    int passed = 0;
    for (int i = 0; i < r.classes; ++i) {
      const float probability = share * FastExp(logits[i] - largest) + rest;
      running += probability;
      passed += running <= u ? 1 : 0;
      if (log_probs != nullptr) log_probs[i] = FastLog(probability);
    }
    return passed < r.classes ? passed : r.classes - 1;
  }
};

}  // namespace
}  // namespace metabonk::cuda
