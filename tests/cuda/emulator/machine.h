// A GPU for tests: runs kernels that were compiled as C++, thread by thread, on the processor.
//
// Every thread is a fiber; they take turns in an order drawn anew from a seed, and change only
// where the kernel waits (barriers, warp-wide instructions, counters). Shared memory begins as NaN
// between guard bands; asynchronous copies and messages land at once or at the last moment, as the
// seed says. So a missing barrier, a wrong fragment, an overrun or a deadlock shows; rounding of
// approximate functions, weak memory ordering, banks and speed do not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

struct Index3 {
  unsigned x, y, z;
};
extern Index3 threadIdx, blockIdx, blockDim, gridDim;
void __syncthreads();

namespace metabonk::emulator {

struct Settings {
  int major, minor, multiprocessors, shared_bytes;
  unsigned seed;
};
extern Settings settings;

struct Shape {
  int blocks, threads;
  size_t shared;
  int cluster;
  bool cooperative;
};

// Runs one kernel to its end. 0, or 719 (a failed launch), and then Failure() says why.
int Run(const Shape& shape, const std::function<void()>& kernel);
const char* Failure();

// What stands in for instructions uses these, from inside a kernel.
[[noreturn]] void Fail(const char* what);
void Expect(bool holds, const char* what);
uint8_t* BlockMemory();
// Four bytes of the block's tensor memory, [128 lanes, 512 columns]; begins as NaN.
uint32_t* TensorMemory(int lane, uint32_t column);
int Lane();
unsigned RankInCluster();
// Waits until `ready(what)`.
void WaitFor(bool (*ready)(void*), void* what);
// All lanes of the warp bring their arguments; the last one computes for all.
void Together(void* mine, void (*compute)(void* const* all));
void MeetCluster();
// The same address in another block of the cluster.
uint8_t* Of(unsigned rank, const void* mine, size_t bytes);
// Has `act` happen now or later, but before `Settle`; or at any time, if `settled` is false.
void Later(const std::function<void()>& act, bool settled);
void Settle();

struct Barrier {
  bool armed = false;
  int64_t bytes = 0;
  unsigned phase = 0;
  void Check();
};
void MakeBarrier(void* at);
Barrier& BarrierAt(const void* at);

}  // namespace metabonk::emulator
