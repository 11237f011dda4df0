// Stands in for kernels/cuda/device/ptx.cuh, function by function, on the emulated machine. The
// fragments' layouts are written from the PTX ISA once more, not taken from there.
#pragma once

#include <machine.h>

#include <bit>
#include <cmath>
#include <cstring>

#define __device__
#define __host__
#define __global__
#define __grid_constant__
#define __launch_bounds__(...)

struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

namespace metabonk::cuda {

namespace emulator = metabonk::emulator;

constexpr int kLanes = 32;

inline uint8_t* SharedMemory() { return emulator::BlockMemory(); }

inline uint16_t ToBf16(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  if (x != x) return 0x7FFF;
  bits += 0x7FFF + (bits >> 16 & 1);
  return static_cast<uint16_t>(bits >> 16);
}
inline float FromBf16(uint32_t code) { return std::bit_cast<float>(code << 16); }

inline uint32_t PackBf16(float low, float high) {
  return ToBf16(low) | static_cast<uint32_t>(ToBf16(high)) << 16;
}
inline uint32_t MultiplyBf16(uint32_t a, uint32_t b) {
  return PackBf16(FromBf16(a & 0xFFFF) * FromBf16(b & 0xFFFF),
                  FromBf16(a >> 16) * FromBf16(b >> 16));
}
inline uint32_t PickBytes(uint32_t low, uint32_t high, uint32_t choice) {
  const uint64_t bytes = low | static_cast<uint64_t>(high) << 32;
  uint32_t picked = 0;
  for (int i = 0; i < 4; ++i) {
    picked |= static_cast<uint32_t>(bytes >> (choice >> 4 * i & 7) * 8 & 0xFF) << 8 * i;
  }
  return picked;
}
inline float FastTanh(float x) { return std::tanh(x); }
inline float FastSigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }
inline float FastExp(float x) { return std::exp(x); }
inline float FastLog(float x) { return std::log(x); }
inline int RoundToInt(float x) { return static_cast<int>(std::nearbyint(x)); }
inline float MultiplyRounded(float a, float b) {
  volatile float product = a * b;
  return product;
}
inline float AddRounded(float a, float b) { return a + b; }

// Warp-wide instructions: what every lane brings.
struct MmaLane {
  void* sum;
  const uint32_t *a, *b;
};

// sums[row][column] of the fragments in all lanes; element(register, byte or half) as Value.
template <class Value, int kPer, class Sum>
void MmaOf(void* const* all, Value (*element)(uint32_t, int)) {
  constexpr int kDepth = 8 * kPer;  // numbers along the sum
  Value a[16][kDepth], b[kDepth][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const MmaLane& mine = *static_cast<const MmaLane*>(all[lane]);
    const int r = lane / 4, q = lane % 4;
    for (int i = 0; i < kPer; ++i) {
      const int near = q * kPer + i, far = near + 4 * kPer;
      a[r][near] = element(mine.a[0], i);
      a[r + 8][near] = element(mine.a[1], i);
      a[r][far] = element(mine.a[2], i);
      a[r + 8][far] = element(mine.a[3], i);
      b[near][r] = element(mine.b[0], i);
      b[far][r] = element(mine.b[1], i);
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    Sum* sum = static_cast<Sum*>(static_cast<const MmaLane*>(all[lane])->sum);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      for (int k = 0; k < kDepth; ++k) sum[i] += static_cast<Sum>(a[row][k] * b[k][column]);
    }
  }
}

inline void MmaBf16(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  MmaLane mine{sum, a, b};
  emulator::Together(&mine, [](void* const* all) {
    MmaOf<float, 2, float>(all, [](uint32_t v, int i) { return FromBf16(v >> 16 * i & 0xFFFF); });
  });
}

inline void MmaInt8(int (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  MmaLane mine{sum, a, b};
  emulator::Together(&mine, [](void* const* all) {
    MmaOf<int, 4, int>(
        all, [](uint32_t v, int i) { return static_cast<int>(static_cast<int8_t>(v >> 8 * i)); });
  });
}

struct LoadLane {
  uint32_t* to;
  const void* row;
};

template <int kCount>
void LoadMatricesOf(void* const* all) {
  for (int m = 0; m < kCount; ++m) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const LoadLane& from = *static_cast<const LoadLane*>(all[8 * m + lane / 4]);
      emulator::Expect(reinterpret_cast<uintptr_t>(from.row) % 16 == 0, "a row at an odd address");
      uint32_t* to = static_cast<const LoadLane*>(all[lane])->to;
      std::memcpy(to + m, static_cast<const uint8_t*>(from.row) + lane % 4 * 4, 4);
    }
  }
}

template <int kCount>
void LoadMatrices(uint32_t (&to)[kCount], const void* row) {
  LoadLane mine{to, row};
  emulator::Together(&mine, LoadMatricesOf<kCount>);
}

template <class T>
T ShuffleXor(T value, int mask) {
  struct Mine {
    T value, found;
    int mask;
  } mine{value, value, mask};
  emulator::Together(&mine, [](void* const* all) {
    for (int lane = 0; lane < kLanes; ++lane) {
      Mine* one = static_cast<Mine*>(all[lane]);
      one->found = static_cast<Mine*>(all[lane ^ one->mask])->value;
    }
  });
  return mine.found;
}

inline void SyncWarp() {
  emulator::Together(nullptr, [](void* const*) {});
}

inline void CopyLater(void* to, const void* from, size_t bytes) {
  emulator::Expect(reinterpret_cast<uintptr_t>(to) % bytes == 0 &&
                       reinterpret_cast<uintptr_t>(from) % bytes == 0,
                   "an asynchronous copy at an odd address");
  emulator::Later([=] { std::memcpy(to, from, bytes); }, true);
}
inline void CopyAsync4(void* shared, const void* global) { CopyLater(shared, global, 4); }
inline void CopyAsync16(void* shared, const void* global) { CopyLater(shared, global, 16); }
inline void WaitForCopies() { emulator::Settle(); }

inline uint4 LoadStreaming16(const void* at) {
  emulator::Expect(reinterpret_cast<uintptr_t>(at) % 16 == 0, "16 bytes at an odd address");
  return *static_cast<const uint4*>(at);
}
inline uint32_t LoadShared4(const uint32_t* at) { return *at; }
inline uint4 LoadShared16(const void* at) { return LoadStreaming16(at); }

inline void ArriveAt(uint32_t* counter) { ++*counter; }
inline void WaitUntil(const uint32_t* counter, uint32_t count) {
  struct Mine {
    const uint32_t* counter;
    uint32_t count;
  } mine{counter, count};
  emulator::WaitFor(
      [](void* m) {
        const Mine* one = static_cast<Mine*>(m);
        return static_cast<int32_t>(*one->counter - one->count) >= 0;
      },
      &mine);
}

inline unsigned ClusterRank() { return emulator::RankInCluster(); }
inline void SyncCluster() { emulator::MeetCluster(); }
inline void InitBarrier(uint64_t* barrier) { emulator::MakeBarrier(barrier); }
inline void ExpectBytes(uint64_t* barrier, uint32_t bytes) {
  emulator::Barrier& b = emulator::BarrierAt(barrier);
  emulator::Expect(!b.armed, "a barrier that was armed twice");
  b.armed = true;
  b.bytes += bytes;
  b.Check();
}
inline void WaitForBytes(uint64_t* barrier, uint32_t parity) {
  struct Mine {
    emulator::Barrier* barrier;
    uint32_t parity;
  } mine{&emulator::BarrierAt(barrier), parity};
  emulator::WaitFor(
      [](void* m) {
        const Mine* one = static_cast<Mine*>(m);
        return (one->barrier->phase & 1) != one->parity;
      },
      &mine);
}
inline void Send16(void* to, uint64_t* barrier, unsigned rank, const uint4& value) {
  uint8_t* there = emulator::Of(rank, to, 16);
  emulator::Barrier* counted = &emulator::BarrierAt(emulator::Of(rank, barrier, 8));
  emulator::Expect(reinterpret_cast<uintptr_t>(there) % 16 == 0, "a message to an odd address");
  emulator::Later(
      [=] {
        std::memcpy(there, &value, 16);
        counted->bytes -= 16;
        counted->Check();
      },
      false);
}

}  // namespace metabonk::cuda
