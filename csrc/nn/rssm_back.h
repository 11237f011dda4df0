// The backward pass of a sequence, and where that of a dream, whose actions were chosen from the
// states before them, joins in. For rssm_scan_back.cc and rssm_imagine_back.cc alone.
#pragma once

#include "nn/rssm_job.h"
#include "nn/rssm_scan.h"

namespace metabonk::nn {

struct RssmEngine::Back : RssmEngine::Job {
  RssmGiven given;
  RssmGradients gradients;

  Back(const Job& job, const RssmGiven& of_results, const RssmGradients& to)
      : Job(job), given(of_results), gradients(to) {}
  virtual ~Back() = default;

  bool observes() const { return shape.observes(); }
  bool prior_outside() const { return observes() && given.prior != nullptr; }
  // Whether anybody wants the gradient of the stochastic state that step t begins with.
  bool wants_stoch(int t) const { return t > 0 || gradients.stoch != nullptr; }
  int64_t hidden_stride() const { return Padded(shape.hidden); }
  int64_t out_stride() const { return Padded(shape.parameters()); }
  int64_t gates_stride() const { return Padded(kGates * shape.deter); }

  // Between step t and the one before it: d_deter, d_stoch [rows, ..] of the states that step t
  // began with, to which more may be added.
  virtual void Between(int t, int64_t first, int count, int share, float* d_deter,
                       float* d_stoch) const;
  // Behind all steps, beside the other weights.
  virtual void MoreWeights(int share) const;

  void PriorShare(int share) const;
  void StepsBlock(int64_t first, int count, int share) const;
  void Step(int t, int64_t first, int count, Part& part) const;
  void Forget(float* values, int columns, const float* keep, int count) const;
  void InputShare(int share) const;
  void WeightShare(int share) const;
  // Rows `first`.. of c += a^T b over `depth` rows; c's rows are a's columns.
  void Sum(const float* a, int64_t lda, int first, int count, const float* b, int columns,
           int64_t ldb, float* c, int64_t ldc, int64_t depth) const;
  void Bias(const float* a, int64_t lda, int columns, float* c) const;
  void HeadWeights(int which, const float* hidden, int share, float* out, float* out_bias,
                   float* first, float* first_bias, int joined) const;
  // Of the columns of a layer's weights that read the stochastic state before each step: `to`
  // [units, stoch], rows ldc apart; one-hot states are sums of rows. d: what reaches the layer's
  // sums, rows `stride` apart. rows_of: scratch, [stoch, units]. Threads share the units.
  void StateWeights(const float* d, int64_t stride, int units, int share, float* rows_of, float* to,
                    int64_t ldc) const;
};

}  // namespace metabonk::nn
