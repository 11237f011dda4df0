#include "ipc/futex.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>

namespace metabonk::ipc {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

timespec After(int64_t ns) { return {.tv_sec = ns / kSecond, .tv_nsec = ns % kSecond}; }

}  // namespace

int64_t MonotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

// Not the private kind: the word is shared by processes.
void FutexWait(uint32_t* word, uint32_t seen, int64_t timeout_ns) {
  if (timeout_ns <= 0) return;
  const timespec wait = After(timeout_ns);
  syscall(SYS_futex, word, FUTEX_WAIT, seen, &wait, nullptr, 0);
}

void FutexWake(uint32_t* word) {
  syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

uint16_t ProcessorNow() { return static_cast<uint16_t>(sched_getcpu()); }

void SleepNs(int64_t ns) {
  if (ns <= 0) return;
  const timespec wait = After(ns);
  nanosleep(&wait, nullptr);
}

}  // namespace metabonk::ipc
