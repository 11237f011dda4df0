// Vector quantisation: the nearest of K codes to each of many rows, and what codes learn from.
// Knows pointers, sizes and threads; no networks, no autograd, no Torch.
//
//   euclidean: index = argmin_k |x - c_k|^2 = argmax_k (x . c_k - |c_k|^2 / 2)
//   dot:       index = argmax_k  x . c_k
//
// Matrices are row-major and contiguous: x [rows, width], codes [K, width]. Scores are float32; a
// score is one chain of additions over the dimensions in ascending order, wherever its row and its
// code stand, so equal codes score equally and the lowest of them is taken. AVX2 and AVX-512 fuse
// and give the same bits; portable loops round twice where those round once.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "support/buffer.h"
#include "support/thread_pool.h"

namespace metabonk::nn {

enum class VqMetric : int { kEuclidean, kDot };

inline constexpr int kVqPanelCodes = 16;  // codes that lie side by side, dimension by dimension
inline constexpr int kVqTilePairs = 16;   // of dimensions, that tiles take together
inline constexpr int kVqGroupPanels = 4;  // the number of panels is a multiple of this

// Panels as the kernels read them.
struct VqPanels {
  const float* codes;   // [panels, width, 16], on a cache line
  const float* offset;  // [panels, 16]: what a score starts from; -inf for codes that pad
  int64_t panels;
  int width;
  int32_t first_code;  // number of the first code of the first panel
};

// The same codes in bf16 and how far off that makes a score.
struct VqCoarse {
  const uint16_t* codes;  // [panels, pairs, 16, 2]: dimensions 2 i and 2 i + 1 side by side
  int pairs;  // whole tiles of them where the processor has tiles: zeros behind the last
  // The largest over the codes: |c|, |c - its bf16|, |what a score starts from|.
  float norm, residual, offset;
};

// Memory for screening, of one thread.
struct VqScratch {
  Buffer<float> scores;    // of VqScreen::rows rows against all codes
  Buffer<uint32_t> pairs;  // as many rows in bf16
};

// What VqKernels::search finds, faster: all scores in bf16, then in float32 those of the codes that
// could still be the best by a bound that holds for any numbers. A row for which that leaves too
// many is searched.
struct VqScreen {
  const char* name;
  int rows;  // that are taken together
  void (*screen)(const VqPanels& panels, const VqCoarse& coarse, const float* x, int64_t rows,
                 VqScratch* scratch, float* score, int32_t* index);
};

extern const VqScreen kVqScreenBf16, kVqScreenAmx;

// The one of ActiveExtension(), or null.
const VqScreen* ActiveVqScreen();

// The kernels of one instruction set.
struct VqKernels {
  const char* name;
  int rows;  // that are taken together; a share of a thread is a multiple of it
  // score, index [rows]: the best so far, improved on where a code of these panels scores higher.
  void (*search)(const VqPanels& panels, const float* x, int64_t rows, float* score,
                 int32_t* index);
};

extern const VqKernels kVqPortable;
extern const VqKernels kVqAvx2;
extern const VqKernels kVqAvx512;

const VqKernels& ActiveVqKernels();

// A codebook in the order in which the kernels read it. Keeps no pointer to what it was packed
// from.
class VqCodebook {
 public:
  // Returns -1, or the first code whose squared norm is not finite in float32; the codebook that
  // was there before is then still there.
  int64_t Pack(const float* codes, int64_t count, int width, VqMetric metric);

  int64_t count() const { return count_; }
  int width() const { return width_; }
  // Panels [first, first + count), `count` cut to those that are there.
  VqPanels Slice(int64_t first, int64_t count) const;
  int64_t panels() const { return panels_; }
  // Codes are null unless the processor could screen when the codebook was packed.
  VqCoarse coarse() const;

 private:
  // Memory on a cache line that only grows.
  void PackCoarse();

  int64_t count_ = 0, panels_ = 0;
  int width_ = 0;
  std::vector<float> norms_;  // squared
  Buffer<float> exact_;       // the offsets, then the codes
  Buffer<uint16_t> rounded_;
  VqCoarse coarse_{};
};

// Looks rows up on its own threads; keeps scratch memory, which grows to the largest batch seen and
// is then reused. Calls from several threads wait for each other.
class VqEngine {
 public:
  explicit VqEngine(int threads) : pool_(threads), scratch_(static_cast<size_t>(pool_.threads())) {}

  // x [rows, width] -> index [rows] and, where `codes` and `quantized` are not null, the codes
  // themselves [rows, width]. Returns -1, or the first row without a finite score (it holds NaN,
  // infinity or numbers whose products overflow); nothing is written then.
  int64_t Lookup(const VqCodebook& codebook, const float* x, int64_t rows, int64_t* index,
                 const float* codes, float* quantized);

  // counts [K] and sums [K, width] of the rows that each code was taken for; rows of index -1 are
  // left out. Sums run in the order of the rows. Returns -1, or the first row whose index is no
  // code's; nothing is written then.
  int64_t Accumulate(const float* x, const int64_t* index, int64_t rows, int64_t count, int width,
                     float* counts, float* sums);

  // Allocates what a lookup of so many rows needs.
  void Reserve(const VqCodebook& codebook, int64_t rows);

 private:
  int Shares(int64_t work) const;

  std::mutex one_caller_;
  ThreadPool pool_;
  std::vector<VqScratch> scratch_;  // of each thread
  std::vector<float> score_;
  std::vector<int32_t> found_;
};

}  // namespace metabonk::nn
