// The instructions that CUDA C++ has no words for, one function each; no arithmetic of any op.
//
// Everything that a kernel does beyond plain C++ and __syncthreads goes through here, so that a
// second header of this name (tests/cuda/emulator) can stand in for the hardware. Layouts of
// fragments are those of the PTX ISA 9.0, "Matrix multiply-accumulate": with lane = 4 r + q,
//
//   m16n8k16  a[0] row r, k 2q..   a[1] row r+8   a[2] row r, k 2q+8..   a[3] row r+8, k 2q+8..
//             b[0] k 2q.., column r   b[1] k 2q+8..   sum[0..1] row r, columns 2q..   [2..3] row
//             r+8
//   m16n8k32  the same with four numbers in a register: 4q.. and 4q+16..
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace metabonk::cuda {

constexpr int kLanes = 32;

// The block's shared memory, which the launch sized; kernels part it themselves.
__device__ inline uint8_t* SharedMemory() {
  extern __shared__ __align__(128) uint8_t memory[];
  return memory;
}

// Two numbers rounded to bf16, to nearest even; `low` in the lower half.
__device__ inline uint32_t PackBf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

// Both halves times both halves, rounded to bf16; subnormals count.
__device__ inline uint32_t MultiplyBf16(uint32_t a, uint32_t b) {
  uint32_t product;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(product) : "r"(a), "r"(b), "r"(0x80008000u));
  return product;
}

// Bytes of `low` (0..3) and `high` (4..7) that the nibbles of `choice` name, the lowest first.
__device__ inline uint32_t PickBytes(uint32_t low, uint32_t high, uint32_t choice) {
  return __byte_perm(low, high, choice);
}

// Within 2^-10.98 of tanh.
__device__ inline float FastTanh(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ inline float FastSigmoid(float x) { return 0.5f + 0.5f * FastTanh(0.5f * x); }
__device__ inline float FastExp(float x) { return __expf(x); }
__device__ inline float FastLog(float x) { return __logf(x); }

__device__ inline int RoundToInt(float x) { return __float2int_rn(x); }
__device__ inline float MultiplyRounded(float a, float b) { return __fmul_rn(a, b); }
__device__ inline float AddRounded(float a, float b) { return __fadd_rn(a, b); }

// All lanes of a warp take part in what follows.
__device__ inline void MmaBf16(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ inline void MmaInt8(int (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Matrices of 8 x 8 two-byte numbers from shared memory: lane i names row i % 8 of matrix i / 8.
__device__ inline void LoadMatrices(uint32_t (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}

__device__ inline void LoadMatrices(uint32_t (&to)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(to[0]), "=r"(to[1])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}

template <class T>
__device__ inline T ShuffleXor(T value, int mask) {
  return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
}

__device__ inline void SyncWarp() { __syncwarp(); }

// Copies that go on beside the calculation; `WaitForCopies` waits for this thread's own.
__device__ inline void CopyAsync4(void* shared, const void* global) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
               "l"(global)
               : "memory");
}

__device__ inline void CopyAsync16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
               "l"(global)
               : "memory");
}

__device__ inline void WaitForCopies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// Read once: past the first cache.
__device__ inline uint4 LoadStreaming16(const void* at) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(at));
  return v;
}

// What other blocks have written is read from where all blocks see it, not from the first cache.
__device__ inline uint32_t LoadShared4(const uint32_t* at) {
  uint32_t v;
  asm volatile("ld.global.cg.u32 %0, [%1];" : "=r"(v) : "l"(at) : "memory");
  return v;
}

__device__ inline uint4 LoadShared16(const void* at) {
  uint4 v;
  asm volatile("ld.global.cg.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(at)
               : "memory");
  return v;
}

// A counter that blocks meet at. Arriving publishes what the block wrote before its own barrier.
__device__ inline void ArriveAt(uint32_t* counter) {
  asm volatile("fence.acq_rel.gpu;" ::: "memory");
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
}

__device__ inline void WaitUntil(const uint32_t* counter, uint32_t count) {
  uint32_t seen;
  do {
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
  } while (static_cast<int32_t>(seen - count) < 0);  // counters may wrap
}

// From here to the end: sm_90 and up. Nothing of it is compiled where it is not called.

__device__ inline unsigned ClusterRank() {
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

__device__ inline void SyncCluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::
                   : "memory");
}

// A barrier in shared memory that opens when one thread has said how many bytes are to come, and
// they have. Phases alternate: the first has parity 0.
__device__ inline void InitBarrier(uint64_t* barrier) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;\nfence.mbarrier_init.release.cluster;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(barrier)))
               : "memory");
}

__device__ inline void ExpectBytes(uint64_t* barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.relaxed.cta.shared::cta.b64 _, [%0], %1;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(barrier))),
               "r"(bytes)
               : "memory");
}

__device__ inline void WaitForBytes(uint64_t* barrier, uint32_t parity) {
  asm volatile(
      "{\n.reg .pred open;\nwaiting:\n"
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 open, [%0], %1;\n"
      "@!open bra waiting;\n}" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(barrier))),
      "r"(parity)
      : "memory");
}

// 16 bytes into the shared memory of another block of the cluster, counted by its barrier. Both
// addresses are those of one's own.
__device__ inline void Send16(void* to, uint64_t* barrier, unsigned rank, const uint4& value) {
  uint32_t there, counted;
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(there)
      : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(to))), "r"(rank));
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(counted)
      : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(barrier))), "r"(rank));
  asm volatile(
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1,%2,%3,%4}, [%5];" ::
          "r"(there),
      "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w), "r"(counted)
      : "memory");
}

}  // namespace metabonk::cuda
