// Stands in for kernels/cuda/device/fp4.cuh. Tensor memory is 128 lanes of 512 columns; descriptors
// are read by the bits that the PTX ISA names.
#pragma once

#include <nn/formats.h>

#include <device/ptx.cuh>

#define METABONK_FP4_WARPS 1
#define METABONK_FP4_TENSOR_MEMORY 1

namespace metabonk::cuda {

inline uint8_t ToE4m3(float x) { return nn::E4m3FromFloat(x); }
inline float FromE4m3(uint8_t code) { return nn::FloatFromE4m3(code); }
inline uint8_t ToE2m1(float x) { return nn::E2m1FromFloat(x); }

inline float Fp4(uint32_t word, int i) {
  return nn::FloatFromE2m1(static_cast<uint8_t>(word >> 4 * i & 15));
}
inline float ScaleOf(uint32_t word, int i) {
  return nn::FloatFromE4m3(static_cast<uint8_t>(word >> 8 * i));
}

struct MmaFp4Lane {
  float* sum;
  const uint32_t *a, *b;
  uint32_t a_scales, b_scales;
};

inline void MmaFp4Of(void* const* all) {
  float a[16][64], b[64][8];
  uint32_t a_scales[16], b_scales[8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const MmaFp4Lane& mine = *static_cast<const MmaFp4Lane*>(all[lane]);
    const int r = lane / 4, q = lane % 4;
    for (int i = 0; i < 8; ++i) {
      for (int half = 0; half < 2; ++half) {
        const int k = half * 32 + q * 8 + i;
        a[r][k] = Fp4(mine.a[2 * half], i);
        a[r + 8][k] = Fp4(mine.a[2 * half + 1], i);
        b[k][r] = Fp4(mine.b[half], i);
      }
    }
    if (q == 0) a_scales[r] = mine.a_scales, b_scales[r] = mine.b_scales;
    if (q == 1) a_scales[r + 8] = mine.a_scales;
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    float* sum = static_cast<const MmaFp4Lane*>(all[lane])->sum;
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      for (int k = 0; k < 64; ++k) {
        sum[i] += a[row][k] * b[k][column] * ScaleOf(a_scales[row], k / 16) *
                  ScaleOf(b_scales[column], k / 16);
      }
    }
  }
}

inline void MmaFp4(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                   uint32_t a_scales, uint32_t b_scales) {
  MmaFp4Lane mine{sum, a, b, a_scales, b_scales};
  emulator::Together(&mine, MmaFp4Of);
}

// Matrices in shared memory: where row `row`, bytes 16 `piece`.. lie.
struct Matrix {
  const uint8_t* at;
  size_t along, across;
  const uint8_t* Row(int row, int piece) const {
    return at + piece * along + row / 8 * across + row % 8 * 16;
  }
};
inline uint64_t MatrixDescriptor(const void* at, uint32_t along, uint32_t across) {
  emulator::Expect(reinterpret_cast<uintptr_t>(at) % 16 == 0, "a matrix at an odd address");
  const uint64_t address =
      static_cast<uint64_t>(static_cast<const uint8_t*>(at) - emulator::BlockMemory());
  emulator::Expect(address < 1 << 18, "a matrix outside of shared memory");
  return address >> 4 | static_cast<uint64_t>(along >> 4) << 16 |
         static_cast<uint64_t>(across >> 4) << 32 | uint64_t{1} << 46;
}
inline Matrix MatrixOf(uint64_t descriptor) {
  emulator::Expect((descriptor >> 46 & 7) == 1 && descriptor >> 61 == 0, "a descriptor's version");
  const auto field = [&](int bit) { return (descriptor >> bit & 0x3FFF) << 4; };
  return {emulator::BlockMemory() + field(0), field(16), field(32)};
}

inline constexpr uint32_t Fp4Instruction(int columns) {
  return 1u << 7 | 1u << 10 | static_cast<uint32_t>(columns) >> 3 << 17 | 1u << 27;
}

inline void ReserveTensorMemory(uint32_t* to, int columns) {
  const bool power = columns >= 32 && columns <= 512 && (columns & (columns - 1)) == 0;
  emulator::Expect(power, "a number of columns that cannot be reserved");
  emulator::Together(to, [](void* const* all) { *static_cast<uint32_t*>(all[0]) = 0; });
}
inline void ReleaseTensorMemory(uint32_t, int) { SyncWarp(); }
inline void PublishToTensorCores() {}
inline void BeforeTensorBarrier() {}
inline void AfterTensorBarrier() {}

inline void CopyScales(uint32_t to, uint64_t from) {
  const Matrix rows = MatrixOf(from);
  for (int lane = 0; lane < 128; ++lane) {
    std::memcpy(emulator::TensorMemory(lane, to), rows.Row(lane % 32, 0), 16);
  }
}

inline void MmaTensorFp4(uint32_t sums, uint64_t a, uint64_t b, uint32_t instruction,
                         uint32_t a_scales, uint32_t b_scales, bool add) {
  const int columns = static_cast<int>(instruction >> 17 & 63) * 8;
  emulator::Expect((instruction >> 24 & 31) == 8 && (instruction >> 7 & 7) == 1 &&
                       (instruction >> 10 & 3) == 1 && columns % 16 == 0,
                   "an instruction of another kind");
  const Matrix tall = MatrixOf(a), flat = MatrixOf(b);
  const auto number = [](const Matrix& m, int row, int k) {
    const uint8_t byte = m.Row(row, k / 32)[k % 32 / 2];
    return nn::FloatFromE2m1(static_cast<uint8_t>(byte >> k % 2 * 4 & 15));
  };
  // Row i has its four scales in lane i % 32 of column i / 32.
  const auto scale = [](uint32_t at, int row, int k) {
    return ScaleOf(*emulator::TensorMemory(row % 32, at + static_cast<uint32_t>(row / 32)), k / 16);
  };
  for (int row = 0; row < 128; ++row) {
    for (int column = 0; column < columns; ++column) {
      uint32_t* at = emulator::TensorMemory(row, sums + static_cast<uint32_t>(column));
      float sum = add ? std::bit_cast<float>(*at) : 0.0f;
      for (int k = 0; k < 64; ++k) {
        sum += number(tall, row, k) * number(flat, column, k) * scale(a_scales, row, k) *
               scale(b_scales, column, k);
      }
      *at = std::bit_cast<uint32_t>(sum);
    }
  }
}

inline void CommitTensor(uint64_t* barrier) { ExpectBytes(barrier, 0); }

inline void LoadTensor(float (&to)[16], uint32_t at) {
  SyncWarp();
  const int lane = static_cast<int>(threadIdx.x % 128);
  std::memcpy(to, emulator::TensorMemory(lane, at), sizeof to);
}

}  // namespace metabonk::cuda
