/* A game's plugin in C, for the tests: runs a policy over recorded observations.
 *
 *   policy_program POLICY RECORD ACTIONS OTHER AT
 *
 * RECORD holds, step after step, one byte per game that is not 0 where it begins anew, and every
 * input that is not the policy's own. ACTIONS is written: the action of every step. Before step AT
 * the weights of the policy OTHER are taken. At the end it says how many steps there were, and by
 * which loops. */
#include <metabonk/policy.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUTS_MAX 64

static void fail(const char* what, const char* why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void* allocate(size_t bytes) {
  void* memory = malloc(bytes);
  if (memory == NULL) fail("memory", "there is none");
  return memory;
}

/* Reads what one step needs; 0 at the end of the record. */
static int read_step(FILE* record, const metabonk_policy_array* arrays, int32_t count,
                     uint8_t* mask, size_t batch, void* const* inputs) {
  int32_t i;
  if (fread(mask, 1, batch, record) != batch) return 0;
  for (i = 0; i < count; ++i) {
    const size_t bytes = (size_t)arrays[i].bytes;
    if (!arrays[i].own && fread(inputs[i], 1, bytes, record) != bytes) return 0;
  }
  return 1;
}

int main(int argc, char** argv) {
  metabonk_policy* policy;
  metabonk_policy_info info;
  metabonk_policy_array arrays[INPUTS_MAX];
  void* inputs[INPUTS_MAX];
  char error[METABONK_ERROR_BYTES];
  FILE *record, *actions;
  float* action;
  uint8_t* mask;
  long step, at;
  size_t numbers;
  int32_t i;

  if (argc != 6) fail(argv[0], "POLICY RECORD ACTIONS OTHER AT");
  if (metabonk_policy_version() != METABONK_POLICY_VERSION) fail("library", "another version");
  if (metabonk_policy_load(argv[1], &policy, error, sizeof error)) fail("load", error);
  if (metabonk_policy_describe(policy, &info)) fail("describe", "refused");
  if (info.inputs > INPUTS_MAX) fail("describe", "too many inputs");
  for (i = 0; i < info.inputs; ++i) {
    if (metabonk_policy_input(policy, i, &arrays[i])) fail("input", "refused");
    inputs[i] = arrays[i].own ? NULL : allocate((size_t)arrays[i].bytes);
  }
  numbers = (size_t)info.batch * (size_t)info.columns;
  action = allocate(numbers * sizeof *action);
  mask = allocate((size_t)info.batch);
  record = fopen(argv[2], "rb");
  actions = fopen(argv[3], "wb");
  if (record == NULL || actions == NULL) fail("record or actions", "cannot be opened");
  at = strtol(argv[5], NULL, 10);

  for (step = 0; read_step(record, arrays, info.inputs, mask, (size_t)info.batch, inputs); ++step) {
    if (step == at && metabonk_policy_swap(policy, argv[4], error, sizeof error)) {
      fail("swap", error);
    }
    if (metabonk_policy_reset(policy, mask) ||
        metabonk_policy_step(policy, (const void* const*)inputs, info.inputs, action)) {
      fail("step", metabonk_policy_error(policy));
    }
    if (fwrite(action, sizeof *action, numbers, actions) != numbers) fail("actions", "disk full");
  }
  if (metabonk_policy_counter(policy) != (uint64_t)step) fail("counter", "not the steps taken");
  printf("%ld steps, %s\n", step, metabonk_policy_tier(policy));

  metabonk_policy_free(policy);
  for (i = 0; i < info.inputs; ++i) free(inputs[i]);
  free(action);
  free(mask);
  fclose(record);
  if (fclose(actions) != 0) fail("actions", "cannot be written");
  return 0;
}
