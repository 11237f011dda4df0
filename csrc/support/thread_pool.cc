#include "support/thread_pool.h"

#include <string>
#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace metabonk {

namespace {

constexpr int kSpins = 4000;  // some tens of microseconds before a thread goes to sleep

void Relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) : shares_(static_cast<size_t>(threads > 1 ? threads : 1)) {
  workers_.reserve(shares_.size() - 1);
  try {
    for (int i = 1; i < this->threads(); ++i) workers_.emplace_back(&ThreadPool::Serve, this, i);
  } catch (const std::system_error& error) {
    // Threads that nobody joins would end the program.
    const std::string started = std::to_string(workers_.size() + 1);
    Stop();
    throw std::system_error(error.code(), "threads: " + started + " of " + std::to_string(threads) +
                                              " are all that the system starts, ask for fewer");
  }
}

ThreadPool::~ThreadPool() { Stop(); }

void ThreadPool::Stop() {
  stop_.store(true);
  job_.fetch_add(2);
  job_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(int count, Body body, void* context) {
  if (workers_.empty()) {
    for (int i = 0; i < count; ++i) body(context, i, 0);
    return;
  }
  const int64_t parts = threads();
  for (int64_t i = 0; i < parts; ++i) {
    Share& share = shares_[static_cast<size_t>(i)];
    share.next.store(static_cast<int>(count * i / parts), std::memory_order_relaxed);
    share.end = static_cast<int>(count * (i + 1) / parts);
  }
  body_ = body;
  context_ = context;
  job_.fetch_add(1);  // odd: open
  job_.notify_all();
  Work(0);
  job_.fetch_add(1);  // even: closed; whoever is inside still finishes an item
  for (int spin = 0; inside_.load() != 0;) {
    if (++spin < kSpins) {
      Relax();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::Work(int thread) {
  const int parts = threads();
  for (int k = 0; k < parts; ++k) {
    Share& share = shares_[static_cast<size_t>((thread + k) % parts)];
    while (true) {
      const int item = share.next.fetch_add(1, std::memory_order_relaxed);
      if (item >= share.end) break;
      body_(context_, item, thread);
    }
  }
}

void ThreadPool::Serve(int thread) {
  uint32_t seen = 0;
  while (true) {
    uint32_t job = job_.load();
    for (int spin = 0; job == seen && spin < kSpins; ++spin) {
      Relax();
      job = job_.load();
    }
    if (job == seen) {
      job_.wait(seen);
      continue;
    }
    seen = job;
    if (stop_.load()) return;
    if (job % 2 == 0) continue;
    // Entering first and looking again afterwards: either Run sees this worker inside and waits, or
    // this worker sees that the job was closed.
    inside_.fetch_add(1);
    if (job_.load() == job) Work(thread);
    inside_.fetch_sub(1);
  }
}

}  // namespace metabonk
