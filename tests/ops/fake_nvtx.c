/* A profiler that takes NVTX ranges: names that are pushed, and "pop" for every end, become lines of
 * the file that FAKE_NVTX names. It stands in for libnvtx3interop.so.1 itself, and the real one loads
 * it as its tool where NVTX_INJECTION64_PATH names it. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static int put(const char* line) {
  FILE* file = fopen(getenv("FAKE_NVTX"), "a");
  if (!file) abort();
  fprintf(file, "%s\n", line);
  return fclose(file);
}

static int push(const char* name) { return put(name); }
static int pop(void) { return put("pop"); }

int nvtxRangePushA(const char* name) { return push(name); }
int nvtxRangePop(void) { return pop(); }

/* What a tool needs of nvtxDetail/nvtxTypes.h: NVTX_ETID_CALLBACKS, NVTX_CB_MODULE_CORE,
 * NVTX_CBID_CORE_RangePushA, NVTX_CBID_CORE_RangePop. */
enum { kCallbacks = 1, kCore = 1, kRangePushA = 9, kRangePop = 11 };
typedef void (*Function)(void);
typedef struct {
  size_t bytes;
  int (*table)(int module, Function*** out, unsigned* size);
} Callbacks;

int InitializeInjectionNvtx2(const void* (*find)(unsigned table)) {
  const Callbacks* callbacks = find(kCallbacks);
  Function** table;
  unsigned size;
  if (!callbacks || !callbacks->table(kCore, &table, &size) || size <= kRangePop) return 0;
  *table[kRangePushA] = (Function)push;
  *table[kRangePop] = (Function)pop;
  return 1;
}
