#include "ipc/heartbeat.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "ipc/futex.h"

namespace metabonk::ipc {
namespace {

class Heart {
 public:
  void Start(Beating* beating) {
    std::unique_lock lock(mutex_);
    all_.push_back(beating);
    if (thread_.joinable()) return;
    stop_ = false;
    thread_ = std::thread(&Heart::Run, this);
  }

  void Stop(Beating* beating) {
    std::thread ended;
    {
      std::unique_lock lock(mutex_);
      const auto at = std::find(all_.begin(), all_.end(), beating);
      if (at == all_.end()) return;
      all_.erase(at);
      if (!all_.empty()) return;
      stop_ = true;
      ended.swap(thread_);
      changed_.notify_all();
    }
    if (ended.joinable()) ended.join();
  }

  std::mutex& mutex() { return mutex_; }

 private:
  void Run() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals are for the program's own threads
    std::unique_lock lock(mutex_);
    while (!stop_) {
      const int64_t now = MonotonicNs();
      for (Beating* beating : all_) beating->Beat(now);
      changed_.wait_for(lock, std::chrono::nanoseconds(kBeatPeriodNs));
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Beating*> all_;
  std::thread thread_;
  bool stop_ = false;
};

Heart* heart = nullptr;  // never destroyed: it may beat while the process exits

void NewHeart() { heart = new Heart; }

Heart& TheHeart() {
  static std::once_flag once;
  std::call_once(once, [] {
    NewHeart();
    pthread_atfork([] { heart->mutex().lock(); }, [] { heart->mutex().unlock(); }, NewHeart);
  });
  return *heart;
}

}  // namespace

void StartBeating(Beating* beating) { TheHeart().Start(beating); }
void StopBeating(Beating* beating) { TheHeart().Stop(beating); }

}  // namespace metabonk::ipc
