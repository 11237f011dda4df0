// Sleeping on a word of shared memory until another process changes it (futex(2)), and what is used
// where that cannot be. Knows one word and time; across PID namespaces and containers of one
// kernel it is the same word.
#pragma once

#include <cstdint>

namespace metabonk::ipc {

// Nanoseconds of this machine's monotonic clock.
int64_t MonotonicNs();

// Returns when `word` is changed and woken, is not `seen` to begin with, `timeout_ns` has passed,
// or for no reason.
void FutexWait(uint32_t* word, uint32_t seen, int64_t timeout_ns);
// Wakes all who sleep on it, in every process.
void FutexWake(uint32_t* word);

void SleepNs(int64_t ns);

// Which processor this thread runs on, low 16 bits.
uint16_t ProcessorNow();

// What a thread does between two looks at a word.
inline void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace metabonk::ipc
