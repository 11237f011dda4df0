// The pool runs every item once, whatever the threads and however uneven the items.
#include "support/thread_pool.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "check.h"

namespace metabonk {
namespace {

TEST(thread_pool_runs_every_item_once) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK_EQ(pool.threads(), threads);
    for (const int count : {0, 1, 2, 7, 100}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(count) + 1);
      pool.Run(
          count,
          [](void* context, int item, int) {
            (*static_cast<std::vector<std::atomic<int>>*>(context))[static_cast<size_t>(item)]++;
          },
          &runs);
      for (int i = 0; i < count; ++i) CHECK_EQ(runs[static_cast<size_t>(i)].load(), 1);
      CHECK_EQ(runs[static_cast<size_t>(count)].load(), 0);
    }
  }
}

TEST(thread_pool_many_short_jobs_see_what_was_written_before_them) {
  ThreadPool pool(3);
  struct Job {
    int input[16];
    int output[16];
  } job;
  for (int round = 0; round < 5000; ++round) {
    for (int& value : job.input) value = round;
    pool.Run(
        16,
        [](void* context, int item, int) {
          Job& at = *static_cast<Job*>(context);
          at.output[item] = at.input[item] + item;
        },
        &job);
    for (int i = 0; i < 16; ++i) CHECK_EQ(job.output[i], round + i);
  }
}

TEST(thread_pool_others_take_over_from_a_slow_one) {
  ThreadPool pool(2);
  struct Job {
    std::atomic<int> by_thread[2] = {0, 0};
  } job;
  pool.Run(
      200,
      [](void* context, int item, int thread) {
        Job& at = *static_cast<Job*>(context);
        if (item < 100) {  // the caller's share takes long
          const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(300);
          while (std::chrono::steady_clock::now() < until) {
          }
        }
        at.by_thread[thread]++;
      },
      &job);
  CHECK_EQ(job.by_thread[0] + job.by_thread[1], 200);
  CHECK(job.by_thread[1] > 100);
}

// Sanitizers want more addresses than the limit leaves.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(thread_pool_without_enough_threads_is_an_error_and_leaves_none_behind) {
  const pid_t child = fork();
  if (child == 0) {
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    const rlim_t size = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
    const rlimit limit = {size + (rlim_t{100} << 20), RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &limit);
    int code = 1;
    try {
      const ThreadPool pool(1000);
    } catch (const std::system_error& error) {
      const std::string text = error.what();
      code = text.find("of 1000 are all that the system starts") == std::string::npos ? 2 : 0;
    }
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 0);
}
#endif

}  // namespace
}  // namespace metabonk
