/* libmetabonk_policy as a plugin loads it, which also notes when a policy is loaded and when one is
 * freed: a word for each in the file that POLICY_TALLY names. All other functions are the library's
 * own, which this one is linked to. */
#define _DEFAULT_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "metabonk/policy.h"

static void note(const char* word) {
  FILE* tally = fopen(getenv("POLICY_TALLY"), "a");
  if (tally == NULL) abort();
  fprintf(tally, "%s\n", word);
  fclose(tally);
}

/* The library's own function of that name, which is hidden behind ours. */
static void* real(const char* name) {
  void* found = dlsym(dlopen(POLICY_LIBRARY, RTLD_NOW), name);
  if (found == NULL) abort();
  return found;
}

metabonk_status metabonk_policy_load(const char* path, metabonk_policy** policy, char* error,
                                     size_t error_bytes) {
  metabonk_status (*load)(const char*, metabonk_policy**, char*, size_t);
  *(void**)&load = real("metabonk_policy_load");
  note("load");
  return load(path, policy, error, error_bytes);
}

void metabonk_policy_free(metabonk_policy* policy) {
  void (*release)(metabonk_policy*);
  *(void**)&release = real("metabonk_policy_free");
  note("free");
  release(policy);
}
