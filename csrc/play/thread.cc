#include "play/thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

namespace metabonk::play {

namespace {

// Asked of the system, not taken for granted; -1 if the calling thread may use several.
int OnlyCpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (pthread_getaffinity_np(pthread_self(), sizeof set, &set) != 0 || CPU_COUNT(&set) != 1) {
    return -1;
  }
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<size_t>(cpu), &set)) return cpu;
  }
  return -1;
}

}  // namespace

ThreadGranted PrepareThread(const ThreadSettings& settings, const char* name) {
  ThreadGranted granted;
  pthread_setname_np(pthread_self(), name);
  prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);  // ordinary threads are else woken 50 us late
  if (settings.cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(settings.cpu), &set);
    granted.cpu_error = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
  }
  granted.cpu = OnlyCpu();
  if (settings.priority > 0) {
    sched_param param = {};
    param.sched_priority = settings.priority;
    granted.priority_error = pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
    if (granted.priority_error == 0) granted.priority = settings.priority;
  }
  return granted;
}

int LastCpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return -1;
  for (int cpu = CPU_SETSIZE - 1; cpu >= 0; --cpu) {
    if (CPU_ISSET(static_cast<size_t>(cpu), &set)) return cpu;
  }
  return -1;
}

Status CheckThread(const ThreadSettings& settings) {
  if (settings.cpu < -1 || settings.cpu >= CPU_SETSIZE) {
    return {Code::kOutOfRange, "cpu", "must be a processor's number, or -1 for any"};
  }
  if (settings.priority < 0 || settings.priority > 99) {
    return {Code::kOutOfRange, "priority", "must be 1 to 99 of real-time scheduling, or 0"};
  }
  return Status::Ok();
}

}  // namespace metabonk::play
