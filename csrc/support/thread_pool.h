// ThreadPool: runs the items 0..count-1 of a job on a fixed set of threads, the caller's among
// them. Items are dealt out in equal contiguous shares, so that an item meets the same thread (and
// its caches) every time; who finishes early steals single items from the others. Knows no tasks,
// no results and no order between items.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace metabonk {

class ThreadPool {
 public:
  using Body = void (*)(void* context, int item, int thread);

  // threads counts the caller's own; 1 runs everything inline and starts none. Throws
  // std::system_error where the system starts no more, and leaves none behind.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(shares_.size()); }
  // Returns once body ran for every item. One caller at a time; bodies must not throw.
  void Run(int count, Body body, void* context);

 private:
  struct alignas(64) Share {
    std::atomic<int> next{0};
    int end = 0;
  };

  void Stop();
  void Work(int thread);
  void Serve(int thread);

  std::vector<Share> shares_;
  std::vector<std::thread> workers_;
  Body body_ = nullptr;
  void* context_ = nullptr;
  // Even while no job is open; a worker waits for it to change.
  alignas(64) std::atomic<uint32_t> job_{0};
  alignas(64) std::atomic<int> inside_{0};  // workers that may touch the job's fields
  std::atomic<bool> stop_{false};
};

}  // namespace metabonk
