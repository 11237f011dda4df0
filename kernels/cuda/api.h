// What the CUDA kernels offer: one function per op, over device pointers, sizes and a stream.
//
// Plain C types throughout; no Torch, no Python, no CUDA headers. All functions return CUDA's error
// code (0: success) or one of Refusal, start their work on `stream` and return before it is done.
// Pointers are to device memory, contiguous, aligned to 16 bytes where no other alignment stands,
// and must outlive the work. The formulas are those of metabonk/ops.
#pragma once

#include <cstdint>

extern "C" {

// Negative, so that they cannot be CUDA's.
enum MetabonkCudaRefusal : int {
  kMetabonkCudaBadSize = -1,    // a size below 1 or above what the kernel takes
  kMetabonkCudaNoRoom = -2,     // more shared memory than the device has
  kMetabonkCudaBadDevice = -3,  // the device lacks the instructions
};

// T steps of the closed-form continuous-time cell (metabonk/ops/cfc_scan.py). Products are of
// numbers rounded to bf16 with sums in float32, tanh and sigmoid are within 2^-10.9.
struct MetabonkCudaCfc {
  int steps, rows, inputs, hidden, backbone;
  int bf16_weights;      // 1: w_in and w_heads are bf16; 0: float32
  const float* x;        // [steps, rows, inputs]
  const float* h;        // [rows, hidden]
  const float* dt;       // [steps, rows], or null for 1
  const float* keep;     // [steps, rows], or null
  const void* w_in;      // [backbone, inputs + hidden]
  const float* b_in;     // [backbone]
  const void* w_heads;   // [4 hidden, backbone]
  const float* b_heads;  // [4 hidden]
  float* out;            // [steps, rows, hidden]; may be h where steps is 1
  float* z;              // [steps, rows, backbone], or null
  float* heads;          // [steps, rows, 4 hidden]: tanh f1, tanh f2, a, gate; or null
};
int metabonk_cuda_cfc(const MetabonkCudaCfc* cfc, void* stream);

// A linear layer over weights in few bits (metabonk/ops/qlinear.py), for few rows. The numbers are
// those of WeightFormat in csrc/nn/weights.h, whose arrays these are, unpacked: codes [outputs,
// ..], scales, tensor_scale [1] of nvfp4, null for others.
enum MetabonkCudaFormat : int {
  kMetabonkCudaInt8 = 0,
  kMetabonkCudaBf16 = 2,
  kMetabonkCudaFp8 = 3,
  kMetabonkCudaNvfp4 = 4,
  kMetabonkCudaMxfp8 = 5,
};
enum { kMetabonkCudaLinearRows = 64 };
struct MetabonkCudaLinear {
  int rows, inputs, outputs;  // rows: to kMetabonkCudaLinearRows
  int stride;  // inputs that a row of codes has room for, at least `inputs`; a multiple of 32 is
               // best
  int format;
  const float* x;  // [rows, inputs]
  const void* codes;
  const void* scales;  // null for bf16
  const float* tensor_scale;
  const float* bias;  // [outputs], or null
  float* y;           // [rows, outputs]
};
int metabonk_cuda_linear(const MetabonkCudaLinear* linear, void* stream);

// The same with x in nvfp4, too, each row quantised like a matrix of one row, for tensor cores that
// multiply e2m1 by e2m1: sm_100 and sm_120. scratch: metabonk_cuda_linear_fp4_scratch(inputs)
// bytes.
struct MetabonkCudaLinearFp4 {
  int rows, inputs, outputs;  // rows: to 16; inputs: a multiple of 64
  const float* x;             // [rows, inputs]
  const void* codes;          // e2m1 [outputs, inputs / 2]
  const void* scales;         // e4m3 [outputs, inputs / 16]
  const float* tensor_scale;
  const float* bias;  // [outputs], or null
  float* y;           // [rows, outputs]
  void* scratch;
};
int64_t metabonk_cuda_linear_fp4_scratch(int inputs);
int metabonk_cuda_linear_fp4(const MetabonkCudaLinearFp4* linear, void* stream);

// The prior of a recurrent state-space model over T steps of given actions
// (metabonk/ops/rssm_scan.py). Weights are bf16, activations are rounded to bf16, sums and the
// state float32.
struct MetabonkCudaRssm {
  int steps, rows, actions, embed, hidden, units, groups, classes;
  float mix;
  const float* action;        // [steps, rows, actions]
  const float* h;             // [rows, hidden]
  const int32_t* index;       // [rows, groups], each below `classes`
  const float* uniform;       // [steps, rows, groups], in [0, 1)
  const uint16_t* w_action;   // [embed, actions]
  const uint16_t* table;      // [groups, classes, embed]
  const float* b_embed;       // [embed]
  const uint16_t *w_x, *w_h;  // [3 hidden, embed], [3 hidden, hidden]
  const float *b_x, *b_h;     // [3 hidden]
  const uint16_t* w_prior;    // [units, hidden]
  const float* b_prior;       // [units]
  const uint16_t* w_logits;   // [groups classes, units]
  const float* b_logits;      // [groups classes]
  float* out_h;               // [steps, rows, hidden]
  float* out_log_probs;       // [steps, rows, groups, classes], or null
  int32_t* out_index;         // [steps, rows, groups]
  void* scratch;              // metabonk_cuda_rssm_scratch bytes, which its sizes decide
};
int64_t metabonk_cuda_rssm_scratch(const MetabonkCudaRssm* rssm);
int metabonk_cuda_rssm(const MetabonkCudaRssm* rssm, void* stream);

// The same with actions that an actor chooses from the states before them
// (metabonk/ops/imagine.py); `action` of the model is not read.
enum { kMetabonkCudaActorLayers = 4 };
struct MetabonkCudaImagine {
  MetabonkCudaRssm rssm;
  int layers, squashed;
  int units[kMetabonkCudaActorLayers];  // the last layer's: actions, or 2 actions where squashed
  float floor;                          // least deviation, where squashed
  const float* action_noise;            // [steps, rows, 1], or [steps, rows, actions]
  const uint16_t* table;                // [groups, classes, units[0]], the first layer's
  const uint16_t* weights[kMetabonkCudaActorLayers];  // [units[0], hidden], [units[i], units[i-1]]
  const float* biases[kMetabonkCudaActorLayers];      // [units[i]]
  float* out_action;                                  // [steps, rows, actions]
  float* out_log_prob;                                // [steps, rows]
  float* out_policy;                                  // [steps, rows, units of the last layer]
};
int64_t metabonk_cuda_imagine_scratch(const MetabonkCudaImagine* imagine);
int metabonk_cuda_imagine(const MetabonkCudaImagine* imagine, void* stream);

// Operations on frames of bytes (metabonk/ops/frames.py), [count, height, width, channels], at any
// address. The structures themselves are in main memory.
enum { kMetabonkCudaFrameChannels = 16 };
// ColourCoefficients of csrc/video/frames.h.
struct MetabonkCudaColours {
  int16_t luma[3], blue[3], red[3];
  int16_t y, red_v, green_u, green_v, blue_u;
};
struct MetabonkCudaAffine {
  float scale[kMetabonkCudaFrameChannels], shift[kMetabonkCudaFrameChannels];
};
// first, weights: two ResizeAxis of csrc/video/frames.h, on the device.
struct MetabonkCudaResize {
  int64_t count;
  int height, width, channels, to_height, to_width, row_taps, column_taps;
  const uint8_t* frames;
  const int32_t *row_first, *column_first;
  const int16_t *row_weights, *column_weights;
  uint8_t* out;
};
int metabonk_cuda_grey(const uint8_t* rgb, int64_t pixels, uint8_t* out, void* stream);
int metabonk_cuda_rgb_to_nv12(const uint8_t* rgb, int64_t count, int height, int width,
                              const MetabonkCudaColours* colours, uint8_t* nv12, void* stream);
int metabonk_cuda_nv12_to_rgb(const uint8_t* nv12, int64_t count, int height, int width,
                              const MetabonkCudaColours* colours, uint8_t* rgb, void* stream);
int metabonk_cuda_flip(const uint8_t* frames, int64_t count, int height, int width, int channels,
                       int horizontal, int vertical, uint8_t* out, void* stream);
int metabonk_cuda_normalise(const uint8_t* frames, int64_t count, int64_t pixels, int channels,
                            const MetabonkCudaAffine* affine, int planar, float* out, void* stream);
int metabonk_cuda_resize(const MetabonkCudaResize* resize, void* stream);

// For measuring: a kernel that does nothing; all multiprocessors meeting `rounds` times at a
// counter that stands at `first` (and at first + rounds * *blocks afterwards); a cluster of eight
// meeting.
int metabonk_cuda_nothing(void* stream);
int metabonk_cuda_meet(uint32_t* counter, uint32_t first, int rounds, int* blocks, void* stream);
int metabonk_cuda_meet_cluster(int rounds, void* stream);

}  // extern "C"
