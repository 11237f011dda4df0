// Named ranges round native work, for profilers that take NVTX. Knows where ranges go; not what is
// named, nor whether a profiler is attached: whoever knows calls EnableNvtx. Off, as they are until
// then, a range is a load and a branch that is not taken.
#pragma once

#include <atomic>

#include "metabonk/status.h"

namespace metabonk {

// C functions of NVTX: CUDA 13's library for languages that cannot include its header, and the one
// of NVTX 2 before it. metabonk/kernels/ranges.py has the same names.
inline constexpr const char* kNvtxLibraries[] = {"libnvtx3interop.so.1", "libnvToolsExt.so.1"};

// Where ranges go. `pop` ends the last one that this thread has pushed.
struct RangeSink {
  int (*push)(const char* name);
  int (*pop)();
};

// From now on ranges go there; null turns them off. What it points to outlives all ranges.
void SetRangeSink(const RangeSink* sink);
// As SetRangeSink with the first of kNvtxLibraries that can be opened, which stays open;
// kUnavailable where none can.
Status EnableNvtx();

namespace internal {
extern std::atomic<const RangeSink*> range_sink;
}

// What runs while this lives has the name in a profile. Ranges nest; the sink of its begin is that
// of its end.
class Range {
 public:
  explicit Range(const char* name) : sink_(internal::range_sink.load(std::memory_order_acquire)) {
    if (sink_ != nullptr) [[unlikely]]
      sink_->push(name);
  }
  ~Range() {
    if (sink_ != nullptr) [[unlikely]]
      sink_->pop();
  }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;

 private:
  const RangeSink* sink_;
};

}  // namespace metabonk
