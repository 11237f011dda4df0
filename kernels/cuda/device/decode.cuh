// Codes of weights as the tensor cores take them: how sixteen bytes of one row become operands.
//
// A lane takes sixteen bytes that follow each other, whatever the instruction's own order along the
// sum: any order will do if the rows of x have the same (`Place`). Formats are those of
// csrc/nn/weights.h. Small numbers become bf16 by moving their bits and one product with a power of
// two, which is exact, subnormals included.
#pragma once

#include <device/ptx.cuh>

namespace metabonk::cuda {

// kCodes: per sixteen bytes. kBlock: inputs that share a scale, 0 where it waits for the end.
// Factor(scales, i): a pair of block i's, where there are blocks.
// Place(i): where among the kCodes the operand order has input i. kLeft: what the sums still have
// to be multiplied by. Operands(codes, part, factors, b): those of the mma number `part`, of four.
struct Bf16Codes {
  static constexpr int kCodes = 8, kBlock = 0;
  static constexpr float kLeft = 1.0f;
  __host__ __device__ static constexpr int Place(int i) { return i; }
  __device__ static void Operands(const uint32_t* codes, int part, const uint32_t*,
                                  uint32_t (&b)[2]) {
    b[0] = codes[2 * part];
    b[1] = codes[2 * part + 1];
  }
};

// For products of bytes: codes as they are.
struct Int8Codes : Bf16Codes {
  static constexpr int kCodes = 16;
};

// Two e4m3 codes, each in the upper byte of a half, as bf16.
__device__ inline uint32_t E4m3ToBf16(uint32_t upper) {
  constexpr uint32_t kShift = 0x7B807B80u;  // 2^120: the difference of the exponents' biases
  return MultiplyBf16((upper & 0x80008000u) | (upper & 0x7F007F00u) >> 4, kShift);
}

struct Fp8Codes {
  static constexpr int kCodes = 16, kBlock = 0;
  static constexpr float kLeft = 1.0f;
  __host__ __device__ static constexpr int Place(int i) { return i; }
  __device__ static void Operands(const uint32_t* codes, int part, const uint32_t*,
                                  uint32_t (&b)[2]) {
    b[0] = E4m3ToBf16(PickBytes(codes[part], 0, 0x1404));
    b[1] = E4m3ToBf16(PickBytes(codes[part], 0, 0x3424));
  }
};

struct Mxfp8Codes : Fp8Codes {
  static constexpr int kBlock = 32;
  // e8m0 as a pair of bf16: the exponent where it belongs. Products below 2^-126 lose bits.
  __device__ static uint32_t Factor(const uint8_t* scales, int64_t i) {
    const uint32_t code = scales[i];
    return (code == 0 ? 0x40u : code << 7) * 0x10001u;
  }
  __device__ static void Operands(const uint32_t* codes, int part, const uint32_t* factors,
                                  uint32_t (&b)[2]) {
    Fp8Codes::Operands(codes, part, factors, b);
    for (uint32_t& pair : b) pair = MultiplyBf16(pair, factors[0]);
  }
};

// e2m1 of a block times its e4m3 scale has six bits at most: exact in bf16.
struct Nvfp4Codes {
  static constexpr int kCodes = 32, kBlock = 16;
  static constexpr float kLeft = 256.0f;  // the scale and 2^126 together would be too large
  // A register's halves hold codes 0..3 and 4..7: the pairs are i and i + 4.
  __host__ __device__ static constexpr int Place(int i) {
    return i / 8 * 8 + i % 4 * 2 + i % 8 / 4;
  }
  __device__ static uint32_t Factor(const uint8_t* scales, int64_t i) {
    constexpr uint32_t kShift = 0x7A807A80u;  // 2^118
    return MultiplyBf16(E4m3ToBf16(static_cast<uint32_t>(scales[i]) * 0x01000100u), kShift);
  }
  __device__ static void Operands(const uint32_t* codes, int part, const uint32_t* factors,
                                  uint32_t (&b)[2]) {
    const uint32_t eight = codes[part / 2];
    for (int i = 0; i < 2; ++i) {
      const int nibble = part % 2 * 2 + i;
      const uint32_t moved = nibble < 2 ? eight << (6 - 4 * nibble) : eight >> (4 * nibble - 6);
      const uint32_t sign = eight << (12 - 4 * nibble) & 0x80008000u;
      b[i] = MultiplyBf16(sign | (moved & 0x01C001C0u), factors[part / 4]);
    }
  }
};

}  // namespace metabonk::cuda
