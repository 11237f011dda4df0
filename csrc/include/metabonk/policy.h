/* A compiled policy inside another program: plain C99, for plugins in C, C++, C# and whatever else
 * calls C. The library is libmetabonk_policy; it needs neither Python nor Torch.
 *
 * A policy decides for `batch` games at a time. A step reads one array per input, row after row,
 * and writes one row of `columns` numbers per game: the action, in the order of the game's action
 * layout. The recurrent state is the policy's own.
 *
 *   metabonk_policy* policy;
 *   char error[METABONK_ERROR_BYTES];
 *   if (metabonk_policy_load("runs/best/policy", &policy, error, sizeof error)) return puts(error);
 *   const void* inputs[] = {rows, NULL};          what metabonk_policy_input describes, in order
 *   metabonk_policy_step(policy, inputs, 2, action);
 *   metabonk_policy_free(policy);
 *
 * Memory: arrays are the caller's, are used during the call only and are never written to but for
 * `action`, `mask` and inputs lie without gaps, and numbers of four bytes begin at multiples of
 * four. Texts that are returned are the policy's and live as long as it.
 *
 * Threads: a policy belongs to one thread at a time, which steps, resets and seeds it. Meanwhile
 * any other thread may call metabonk_policy_swap, metabonk_policy_describe and
 * metabonk_policy_input. The thread that steps never waits and never allocates. Nobody may use a
 * policy while or after it is freed. Different policies know nothing of each other.
 *
 * Processor: METABONK_CPU in the program's environment caps the instructions that policies use, as
 * it does in Python: auto, baseline, avx2, avx512, vnni or bf16. The first load reads it; what it
 * becomes afterwards is not seen. With a name that is none every load is an error.
 *
 * Errors: every call but the last five returns a metabonk_status, METABONK_OK = 0 if it did what it
 * says; then `error` is empty. Otherwise nothing has changed, and a text says what was wrong and
 * what to do about it: that of metabonk_policy_load and metabonk_policy_swap in `error`, that of
 * step, act, reset and seed behind metabonk_policy_error; describe and input leave none. A null
 * pointer where none may be is such an error. */
#ifndef METABONK_POLICY_H_
#define METABONK_POLICY_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define METABONK_EXPORT __declspec(dllexport)
#else
#define METABONK_EXPORT __attribute__((visibility("default")))
#endif

/* Changes when a function here does: compare it with metabonk_policy_version(). */
#define METABONK_POLICY_VERSION 1

/* Enough for every text of an error, its zero byte and a path of usual length. */
#define METABONK_ERROR_BYTES 512

#define METABONK_RANK_MAX 6

/* A game's state as metabonk_policy_act takes it: GameState of metabonk/records.h. */
#define METABONK_STATE_BYTES 16376

typedef int32_t metabonk_status;
enum {
  METABONK_OK = 0,
  METABONK_INVALID_ARGUMENT = 1, /* something that this call can never accept */
  METABONK_OUT_OF_RANGE = 2,     /* an index in an observation that is none */
  METABONK_CORRUPT = 3,          /* a file that is not what it claims to be */
  METABONK_VERSION_MISMATCH = 4, /* a file in another version of its format */
  METABONK_UNAVAILABLE = 5,      /* a file that is not there or cannot be read */
  METABONK_OUT_OF_MEMORY = 6
};

typedef int32_t metabonk_type;
enum {
  METABONK_F32 = 0, /* float */
  METABONK_I32 = 1, /* int32_t */
  METABONK_U8 = 2   /* uint8_t; as a truth value 0 or 1 */
};

typedef struct metabonk_policy metabonk_policy;

typedef struct metabonk_policy_info {
  int32_t batch;   /* games per step */
  int32_t columns; /* numbers of a game's action */
  int32_t inputs;  /* arrays that a step takes */
  int32_t carries; /* 1 if it carries a state from step to step */
} metabonk_policy_info;

typedef struct metabonk_policy_array {
  const char* name; /* as in the observations that it was trained on */
  metabonk_type type;
  int32_t rank;
  int64_t sizes[METABONK_RANK_MAX]; /* the first is `batch`; those behind `rank` are 0 */
  int64_t bytes;                    /* of the whole array */
  int32_t own;                      /* 1: the policy fills it where the step is given NULL for it */
  int32_t unused;                   /* 0 */
} metabonk_policy_array;

/* Reads a policy from the directory that its Python side's save() wrote, or from the
 * policy.safetensors in it: then without its card, hence with seed 0 and no check of its hash.
 * error: of error_bytes bytes, or NULL; what does not fit is cut off. *policy is NULL after an
 * error. */
METABONK_EXPORT metabonk_status metabonk_policy_load(const char* path, metabonk_policy** policy,
                                                     char* error, size_t error_bytes);

METABONK_EXPORT metabonk_status metabonk_policy_describe(const metabonk_policy* policy,
                                                         metabonk_policy_info* info);

/* index: 0 .. info.inputs - 1. */
METABONK_EXPORT metabonk_status metabonk_policy_input(const metabonk_policy* policy, int32_t index,
                                                      metabonk_policy_array* input);

/* Games whose byte in mask [batch] is not 0 forget their past before they next decide; all of them
 * if it is NULL. A policy that was just loaded has no past. */
METABONK_EXPORT metabonk_status metabonk_policy_reset(metabonk_policy* policy, const uint8_t* mask);

/* Decides. inputs: where each array lies, `count` = info.inputs of them, NULL for what is the
 * policy's own. action: float [batch, columns], written. METABONK_OUT_OF_RANGE leaves the action
 * and the recurrent state as they were. */
METABONK_EXPORT metabonk_status metabonk_policy_step(metabonk_policy* policy,
                                                     const void* const* inputs, int32_t count,
                                                     float* action);

/* Decides from what a game says, as metabonk_policy_step does from arrays: the observation is made
 * of `state` by the function that training uses. state: METABONK_STATE_BYTES, at a multiple of
 * eight. pixels: RGB, top row first, of width x height pixels, for a policy that reads frames of
 * that size; NULL for any other. For policies of batch 1, whose inputs a state (and a frame) can
 * fill: METABONK_INVALID_ARGUMENT for others. */
METABONK_EXPORT metabonk_status metabonk_policy_act(metabonk_policy* policy, const void* state,
                                                    size_t state_bytes, const uint8_t* pixels,
                                                    int32_t width, int32_t height, float* action);

/* Takes the weights of another file of the same network, compiled in the same way: the next step
 * uses them, the recurrent state and the counter stay. Everything that takes time happens here, on
 * the caller's thread. */
METABONK_EXPORT metabonk_status metabonk_policy_swap(metabonk_policy* policy, const char* path,
                                                     char* error, size_t error_bytes);

/* Random numbers go on as those of `seed` after `counter` steps: the same seed, counter, state and
 * inputs give the same action, bit for bit. A policy begins with its card's seed and counter 0. */
METABONK_EXPORT metabonk_status metabonk_policy_seed(metabonk_policy* policy, uint64_t seed,
                                                     uint64_t counter);

/* Steps taken since it was loaded or seeded; 0 for NULL. */
METABONK_EXPORT uint64_t metabonk_policy_counter(const metabonk_policy* policy);

/* Name of the loops that it runs: portable, avx2 or avx512, whatever the processor and METABONK_CPU
 * allow; empty for NULL. */
METABONK_EXPORT const char* metabonk_policy_tier(const metabonk_policy* policy);

/* The text of the last error of the thread that steps, empty before the first; of NULL a text that
 * says so. */
METABONK_EXPORT const char* metabonk_policy_error(const metabonk_policy* policy);

/* METABONK_POLICY_VERSION of the library. */
METABONK_EXPORT int32_t metabonk_policy_version(void);

/* Frees a policy; NULL is none. */
METABONK_EXPORT void metabonk_policy_free(metabonk_policy* policy);

#ifdef __cplusplus
}
#endif

#endif /* METABONK_POLICY_H_ */
