#include "support/ranges.h"

#include <dlfcn.h>

namespace metabonk {

namespace internal {
std::atomic<const RangeSink*> range_sink{nullptr};
}

namespace {

// dlsym gives a pointer to an object; POSIX says that it is a function's all the same.
template <typename Function>
Function* Find(void* library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library, name));
}

const RangeSink* OpenNvtx() {
  for (const char* name : kNvtxLibraries) {
    void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    auto* push = Find<int(const char*)>(library, "nvtxRangePushA");
    auto* pop = Find<int()>(library, "nvtxRangePop");
    if (push != nullptr && pop != nullptr) {
      static const RangeSink sink{push, pop};
      return &sink;
    }
    dlclose(library);
  }
  return nullptr;
}

}  // namespace

void SetRangeSink(const RangeSink* sink) {
  internal::range_sink.store(sink, std::memory_order_release);
}

Status EnableNvtx() {
  static const RangeSink* const nvtx = OpenNvtx();
  if (nvtx == nullptr) {
    return {Code::kUnavailable, "ranges",
            "neither libnvtx3interop.so.1 nor libnvToolsExt.so.1 is found: put the CUDA toolkit's "
            "lib folder on LD_LIBRARY_PATH"};
  }
  SetRangeSink(nvtx);
  return Status::Ok();
}

}  // namespace metabonk
