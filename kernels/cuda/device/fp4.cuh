// Products of e2m1 numbers whose blocks of sixteen have an e4m3 scale, as hardware does them: by
// warps on sm_120, by one thread over tensor memory on sm_100; and conversions to these formats.
// Layouts are those of the PTX ISA 9.0: "Matrix multiply-accumulate", m16n8k64, and "Tensorcore 5th
// generation": canonical K-major layouts without swizzling, scale factors with `scale_vec::4X`.
#pragma once

#include <cuda_fp4.h>
#include <cuda_fp8.h>

#include <device/ptx.cuh>

// Only code for one family of devices has these instructions; PTX for what comes after has neither.
#if !defined(__CUDA_ARCH__)
#define METABONK_FP4_WARPS 1
#define METABONK_FP4_TENSOR_MEMORY 1
#elif defined(__CUDA_ARCH_FAMILY_SPECIFIC__) && __CUDA_ARCH_FAMILY_SPECIFIC__ / 100 == 12
#define METABONK_FP4_WARPS 1
#elif defined(__CUDA_ARCH_FAMILY_SPECIFIC__) && __CUDA_ARCH_FAMILY_SPECIFIC__ / 100 == 10
#define METABONK_FP4_TENSOR_MEMORY 1
#endif

namespace metabonk::cuda {

// To nearest even; 448 and 6 where that is too large.
__device__ inline uint8_t ToE4m3(float x) {
  return __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
}
__device__ inline float FromE4m3(uint8_t code) {
  __nv_fp8_e4m3 number;
  number.__x = code;
  return static_cast<float>(number);
}
__device__ inline uint8_t ToE2m1(float x) {
  return __nv_cvt_float_to_fp4(x, __NV_E2M1, cudaRoundNearest);
}

#ifdef METABONK_FP4_WARPS
// sum += a b: like m16n8k16 with eight numbers in a register (8q.. and 8q+32..). a_scales of lanes
// with even q: the four of row r, with odd q: of row r + 8; b_scales: the four of column r.
__device__ inline void MmaFp4(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                              uint32_t a_scales, uint32_t b_scales) {
  asm volatile(
      "mma.sync.aligned.m16n8k64.row.col.kind::mxf4nvf4.block_scale.scale_vec::4X.f32.e2m1.e2m1.f32"
      ".ue4m3 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3}, {%10}, {%12,%12}, {%11}, "
      "{%12,%12};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(a_scales),
        "r"(b_scales), "h"(static_cast<uint16_t>(0)));
}
#endif

// Matrices in shared memory as rows of 16 bytes in groups of eight (128 bytes): `along` bytes from
// one group to the next 16 bytes of the same rows, `across` to the next eight rows.
__device__ inline uint64_t MatrixDescriptor(const void* at, uint32_t along, uint32_t across) {
  constexpr uint64_t kVersion = uint64_t{1} << 46;
  const uint64_t address = static_cast<uint32_t>(__cvta_generic_to_shared(at));
  return (address & 0x3FFFF) >> 4 | static_cast<uint64_t>(along >> 4) << 16 |
         static_cast<uint64_t>(across >> 4) << 32 | kVersion;
}

// e2m1 by e2m1 with e4m3 scales into float32, 128 by `columns`, 64 numbers of the sum at a time.
constexpr uint32_t Fp4Instruction(int columns) {
  return 1u << 7 | 1u << 10 | static_cast<uint32_t>(columns / 8) << 17 | 128u / 16u << 24;
}

#ifdef METABONK_FP4_TENSOR_MEMORY

// One warp reserves columns of tensor memory, a power of two from 32, and writes where they are.
__device__ inline void ReserveTensorMemory(uint32_t* to, int columns) {
  asm volatile(
      "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%0], %1;\n"
      "tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;" ::"r"(
          static_cast<uint32_t>(__cvta_generic_to_shared(to))),
      "r"(columns)
      : "memory");
}
__device__ inline void ReleaseTensorMemory(uint32_t at, int columns) {
  asm volatile("tcgen05.dealloc.cta_group::1.sync.aligned.b32 %0, %1;" ::"r"(at), "r"(columns));
}

// Ordinary writes to shared memory become visible to what tensor cores read.
__device__ inline void PublishToTensorCores() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// One thread: 32 rows of 16 bytes to four columns, in all four quarters of the lanes.
__device__ inline void CopyScales(uint32_t to, uint64_t from) {
  asm volatile("tcgen05.cp.cta_group::1.32x128b.warpx4 [%0], %1;" ::"r"(to), "l"(from) : "memory");
}

// One thread: sums (+)= a b.
__device__ inline void MmaTensorFp4(uint32_t sums, uint64_t a, uint64_t b, uint32_t instruction,
                                    uint32_t a_scales, uint32_t b_scales, bool add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.u32 add, %6, 0;\n"
      "tcgen05.mma.cta_group::1.kind::mxf4nvf4.block_scale.block16 [%0], %1, %2, %3, [%4], "
      "[%5], add;\n}" ::"r"(sums),
      "l"(a), "l"(b), "r"(instruction), "r"(a_scales), "r"(b_scales),
      "r"(static_cast<uint32_t>(add))
      : "memory");
}

// One thread: the barrier opens when all that this thread started is done.
__device__ inline void CommitTensor(uint64_t* barrier) {
  asm volatile("tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%0];" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(barrier)))
               : "memory");
}

// Around barriers that order one thread's tensor work after another's.
__device__ inline void BeforeTensorBarrier() {
  asm volatile("tcgen05.fence::before_thread_sync;" ::: "memory");
}
__device__ inline void AfterTensorBarrier() {
  asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory");
}

// All warps, each its quarter: the sixteen columns from `at` of the thread's own row.
__device__ inline void LoadTensor(float (&to)[16], uint32_t at) {
  uint32_t v[16];
  const uint32_t quarter = threadIdx.x / kLanes % 4 * kLanes;
  asm volatile(
      "tcgen05.ld.sync.aligned.32x32b.x16.b32 {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,"
      "%15}, [%16];\ntcgen05.wait::ld.sync.aligned;"
      : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]), "=r"(v[4]), "=r"(v[5]), "=r"(v[6]),
        "=r"(v[7]), "=r"(v[8]), "=r"(v[9]), "=r"(v[10]), "=r"(v[11]), "=r"(v[12]), "=r"(v[13]),
        "=r"(v[14]), "=r"(v[15])
      : "r"(at + (quarter << 16))
      : "memory");
#pragma unroll
  for (int i = 0; i < 16; ++i) to[i] = __uint_as_float(v[i]);
}
#endif

}  // namespace metabonk::cuda
