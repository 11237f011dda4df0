// The C face of compiled policies: checks what comes in, keeps exceptions in. What the calls do is
// said in metabonk/policy.h.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "metabonk/policy.h"
#include "nn/policy.h"
#include "play/observation.h"
#include "play/policy_file.h"
#include "play/processor.h"

namespace nn = metabonk::nn;
using metabonk::Code;
using metabonk::Status;
using metabonk::play::Failure;
using metabonk::play::PolicyFile;

struct metabonk_policy {
  metabonk_policy(const PolicyFile& file, std::unique_ptr<const nn::ProgramWeights> weights)
      : policy(file.program(), std::move(weights), file.seed()),
        words(file.words().begin(), file.words().end()),
        outputs(file.program().outputs.size()),
        tier(policy.runner().tier()),
        action(file.action()),
        batch(static_cast<int32_t>(file.batch())),
        columns(static_cast<int32_t>(file.columns())) {}

  nn::Policy policy;
  std::vector<int64_t> words;  // never change, so that any thread may read them
  std::vector<void*> outputs;  // null but for the action
  const char* tier;
  size_t action;
  int32_t batch, columns;
  std::unique_ptr<metabonk::play::Observation> observation;  // made by the first act
  char error[METABONK_ERROR_BYTES] = "";                     // of the thread that steps
};

namespace {

static_assert(METABONK_INVALID_ARGUMENT == static_cast<int>(Code::kInvalidArgument));
static_assert(METABONK_OUT_OF_RANGE == static_cast<int>(Code::kOutOfRange));
static_assert(METABONK_CORRUPT == static_cast<int>(Code::kCorrupt));
static_assert(METABONK_VERSION_MISMATCH == static_cast<int>(Code::kVersionMismatch));
static_assert(METABONK_UNAVAILABLE == static_cast<int>(Code::kUnavailable));
static_assert(METABONK_F32 == static_cast<int>(nn::Type::kF32));
static_assert(METABONK_I32 == static_cast<int>(nn::Type::kI32));
static_assert(METABONK_U8 == static_cast<int>(nn::Type::kU8));
static_assert(METABONK_RANK_MAX == nn::kRankMax);
static_assert(METABONK_STATE_BYTES == sizeof(metabonk::GameState));

void Say(const char* text, char* error, size_t bytes) {
  if (error != nullptr && bytes != 0) std::snprintf(error, bytes, "%s", text);
}

// Runs `work`, which returns a Failure; what it throws becomes one too.
template <typename Work>
metabonk_status Guarded(char* error, size_t bytes, const Work& work) noexcept {
  try {
    const Failure failure = work();
    Say(failure.text.c_str(), error, bytes);
    return static_cast<metabonk_status>(failure.code);
  } catch (const std::exception&) {  // memory is all that can run out
    Say("out of memory: free some, or use a smaller policy", error, bytes);
    return METABONK_OUT_OF_MEMORY;
  }
}

metabonk_status Refuse(metabonk_policy* policy, const char* text) {
  Say(text, policy->error, sizeof policy->error);
  return METABONK_INVALID_ARGUMENT;
}

Failure Pack(const PolicyFile& file, const char* path, const nn::CfcKernels& kernels,
             std::unique_ptr<const nn::ProgramWeights>* weights) {
  const Status status = nn::ProgramWeights::Make(file.program(), file.tensors(), kernels, weights);
  if (status.ok()) return {};
  return {status.code, std::string(path) + ": " + status.where + ": " + status.what};
}

Failure Load(const char* path, metabonk_policy** made) {
  if (Failure failure = metabonk::play::CapProcessorOnce(); !failure.ok()) return failure;
  PolicyFile file;
  if (Failure failure = file.Open(path); !failure.ok()) return failure;
  std::unique_ptr<const nn::ProgramWeights> weights;
  const Failure failure = Pack(file, path, nn::ActiveCfcKernels(), &weights);
  if (!failure.ok()) return failure;
  *made = new metabonk_policy(file, std::move(weights));
  return {};
}

Failure Swap(metabonk_policy* policy, const char* path) {
  PolicyFile file;
  if (Failure failure = file.Open(path); !failure.ok()) return failure;
  if (!std::equal(file.words().begin(), file.words().end(), policy->words.begin(),
                  policy->words.end())) {
    return {Code::kInvalidArgument,
            std::string(path) +
                ": another program than the one that runs: compile both from the "
                "same network in the same way, or load it as a policy of its own"};
  }
  std::unique_ptr<const nn::ProgramWeights> weights;
  nn::Runner& runner = policy->policy.runner();
  const Failure failure = Pack(file, path, runner.kernels(), &weights);
  if (!failure.ok()) return failure;
  runner.Swap(std::move(weights));
  return {};
}

bool IsOwn(const nn::Slot& slot) {
  const bool random = slot.name == "uniform" || slot.name == "normal";
  return (random && slot.type == nn::Type::kF32) || slot.name == "is_first";
}

// Whether every input can be read as it is; says what is wrong otherwise.
bool CheckInputs(metabonk_policy* policy, const void* const* inputs) {
  const std::vector<nn::Slot>& slots = policy->policy.program().inputs;
  for (size_t i = 0; i < slots.size(); ++i) {
    const auto address = reinterpret_cast<uintptr_t>(inputs[i]);
    const bool absent = inputs[i] == nullptr && !IsOwn(slots[i]);
    if (!absent && address % static_cast<uintptr_t>(SizeOf(slots[i].type)) == 0) continue;
    std::snprintf(policy->error, sizeof policy->error, "inputs[%zu], '%s': %s", i,
                  slots[i].name.c_str(),
                  absent ? "NULL, but the policy has none of its own: give the array"
                         : "misaligned: numbers of four bytes begin at multiples of four");
    return false;
  }
  return true;
}

}  // namespace

metabonk_status metabonk_policy_load(const char* path, metabonk_policy** policy, char* error,
                                     size_t error_bytes) {
  if (policy != nullptr) *policy = nullptr;
  return Guarded(error, error_bytes, [&]() -> Failure {
    if (path == nullptr) return {Code::kInvalidArgument, "path: NULL; wanted a policy's directory"};
    if (policy == nullptr) {
      return {Code::kInvalidArgument, "policy: NULL; wanted where to put the policy"};
    }
    return Load(path, policy);
  });
}

metabonk_status metabonk_policy_swap(metabonk_policy* policy, const char* path, char* error,
                                     size_t error_bytes) {
  return Guarded(error, error_bytes, [&]() -> Failure {
    if (policy == nullptr) return {Code::kInvalidArgument, "policy: NULL; load one first"};
    if (path == nullptr) return {Code::kInvalidArgument, "path: NULL; wanted a policy's directory"};
    return Swap(policy, path);
  });
}

metabonk_status metabonk_policy_describe(const metabonk_policy* policy,
                                         metabonk_policy_info* info) {
  if (policy == nullptr || info == nullptr) return METABONK_INVALID_ARGUMENT;
  const nn::Program& program = policy->policy.program();
  *info = {policy->batch, policy->columns, static_cast<int32_t>(program.inputs.size()),
           program.states.empty() ? 0 : 1};
  return METABONK_OK;
}

metabonk_status metabonk_policy_input(const metabonk_policy* policy, int32_t index,
                                      metabonk_policy_array* input) {
  if (policy == nullptr || input == nullptr) return METABONK_INVALID_ARGUMENT;
  const std::vector<nn::Slot>& slots = policy->policy.program().inputs;
  if (index < 0 || static_cast<size_t>(index) >= slots.size()) return METABONK_INVALID_ARGUMENT;
  const nn::Slot& slot = slots[static_cast<size_t>(index)];
  *input = {};
  input->name = slot.name.c_str();
  input->type = static_cast<metabonk_type>(slot.type);
  input->rank = slot.rank;
  std::copy_n(slot.sizes.begin(), slot.rank, input->sizes);
  input->bytes = slot.count() * SizeOf(slot.type);
  input->own = IsOwn(slot) ? 1 : 0;
  return METABONK_OK;
}

metabonk_status metabonk_policy_reset(metabonk_policy* policy, const uint8_t* mask) {
  if (policy == nullptr) return METABONK_INVALID_ARGUMENT;
  policy->policy.Reset(mask);
  policy->error[0] = '\0';
  return METABONK_OK;
}

metabonk_status metabonk_policy_step(metabonk_policy* policy, const void* const* inputs,
                                     int32_t count, float* action) {
  if (policy == nullptr) return METABONK_INVALID_ARGUMENT;
  const size_t wanted = policy->policy.program().inputs.size();
  if (inputs == nullptr) return Refuse(policy, "inputs: NULL; wanted an array of addresses");
  if (count < 0 || static_cast<size_t>(count) != wanted) {
    return Refuse(policy, "count: not how many inputs there are; see metabonk_policy_describe");
  }
  if (action == nullptr) return Refuse(policy, "action: NULL; wanted float [batch, columns]");
  if (reinterpret_cast<uintptr_t>(action) % alignof(float) != 0) {
    return Refuse(policy, "action: misaligned: floats begin at multiples of four");
  }
  if (!CheckInputs(policy, inputs)) return METABONK_INVALID_ARGUMENT;
  policy->outputs[policy->action] = action;
  const Status status = policy->policy.Step({inputs, wanted}, policy->outputs);
  if (status.ok()) {
    policy->error[0] = '\0';
  } else {
    std::snprintf(policy->error, sizeof policy->error, "%s: %s", status.where, status.what);
  }
  return static_cast<metabonk_status>(status.code);
}

metabonk_status metabonk_policy_act(metabonk_policy* policy, const void* state, size_t state_bytes,
                                    const uint8_t* pixels, int32_t width, int32_t height,
                                    float* action) {
  if (policy == nullptr) return METABONK_INVALID_ARGUMENT;
  const bool aligned = reinterpret_cast<uintptr_t>(state) % alignof(metabonk::GameState) == 0;
  if (state == nullptr || state_bytes != sizeof(metabonk::GameState) || !aligned) {
    return Refuse(policy,
                  "state: wanted METABONK_STATE_BYTES of a GameState at a multiple of eight");
  }
  return Guarded(policy->error, sizeof policy->error, [&]() -> Failure {
    if (policy->observation == nullptr) {
      const nn::Program& program = policy->policy.program();
      if (const Status status = metabonk::play::Observation::Check(program); !status.ok()) {
        return {status.code, std::string(status.where) + ": " + status.what};
      }
      policy->observation = std::make_unique<metabonk::play::Observation>(program);
    }
    metabonk::play::Moment moment;
    moment.state = static_cast<const metabonk::GameState*>(state);
    moment.frame = {.pixels = pixels, .height = height, .width = width, .channels = 3};
    if (const Status status = policy->observation->Fill(moment); !status.ok()) {
      return {status.code, std::string(status.where) + ": " + status.what};
    }
    const std::span<const void* const> inputs = policy->observation->inputs();
    const auto count = static_cast<int32_t>(inputs.size());
    const metabonk_status status = metabonk_policy_step(policy, inputs.data(), count, action);
    return {static_cast<Code>(status), std::string(policy->error)};
  });
}

metabonk_status metabonk_policy_seed(metabonk_policy* policy, uint64_t seed, uint64_t counter) {
  if (policy == nullptr) return METABONK_INVALID_ARGUMENT;
  policy->policy.Seed(seed, counter);
  policy->error[0] = '\0';
  return METABONK_OK;
}

uint64_t metabonk_policy_counter(const metabonk_policy* policy) {
  return policy == nullptr ? 0 : policy->policy.counter();
}

const char* metabonk_policy_tier(const metabonk_policy* policy) {
  return policy == nullptr ? "" : policy->tier;
}

const char* metabonk_policy_error(const metabonk_policy* policy) {
  return policy == nullptr ? "policy: NULL; load one first" : policy->error;
}

int32_t metabonk_policy_version(void) { return METABONK_POLICY_VERSION; }

void metabonk_policy_free(metabonk_policy* policy) { delete policy; }
