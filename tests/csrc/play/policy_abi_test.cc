// The C face of compiled policies: what a plugin sees, including everything that goes wrong.
#include <atomic>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "metabonk/policy.h"
#include "nn/policy.h"
#include "nn/programs.h"
#include "play/artifacts.h"

namespace metabonk::play {
namespace {

constexpr int64_t kRows = 4, kInputs = 5, kColumns = 3;
constexpr uint64_t kSeed = 7;

// A loaded pilot and the memory of its steps.
struct Plugin {
  explicit Plugin(const std::string& path) {
    CHECK_EQ(metabonk_policy_load(path.c_str(), &policy, error, sizeof error), METABONK_OK);
    CHECK_EQ(error[0], '\0');
  }
  ~Plugin() { metabonk_policy_free(policy); }
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;

  const std::vector<float>& Step(uint64_t n) {
    for (size_t i = 0; i < observation.size(); ++i) {
      observation[i] = UnitFloat(HashDraw(n, i)) - 0.5f;
    }
    const void* inputs[] = {observation.data(), nullptr, nullptr};
    CHECK_EQ(metabonk_policy_step(policy, inputs, 3, action.data()), METABONK_OK);
    return action;
  }

  metabonk_policy* policy = nullptr;
  char error[METABONK_ERROR_BYTES] = "before";
  std::vector<float> observation = std::vector<float>(kRows * kInputs);
  std::vector<float> action = std::vector<float>(kRows * kColumns);
};

bool Has(const char* text, const std::string& part) {
  return std::string(text).find(part) != std::string::npos;
}

// Loads what cannot be; the error must say each of `parts`.
void Refuses(const std::string& path, metabonk_status status, std::vector<std::string> parts) {
  char error[METABONK_ERROR_BYTES] = "";
  metabonk_policy* policy = reinterpret_cast<metabonk_policy*>(error);
  CHECK_EQ(metabonk_policy_load(path.c_str(), &policy, error, sizeof error), status);
  CHECK(policy == nullptr);
  for (const std::string& part : parts) {
    if (!Has(error, part)) check::Fail(__FILE__, __LINE__, part + " is not in: " + error);
  }
}

}  // namespace

TEST(policy_abi_describes_what_a_step_takes) {
  const TemporaryDirectory directory;
  WritePolicy(directory / "pilot", nn::Pilot(kRows), kSeed);
  const Plugin plugin(directory / "pilot");
  metabonk_policy_info info;
  CHECK_EQ(metabonk_policy_describe(plugin.policy, &info), METABONK_OK);
  CHECK_EQ(info.batch, kRows);
  CHECK_EQ(info.columns, kColumns);
  CHECK_EQ(info.inputs, 3);
  CHECK_EQ(info.carries, 1);
  metabonk_policy_array array;
  CHECK_EQ(metabonk_policy_input(plugin.policy, 0, &array), METABONK_OK);
  CHECK_EQ(std::string(array.name), "observation");
  CHECK(array.type == METABONK_F32 && array.rank == 2 && array.own == 0);
  CHECK(array.sizes[0] == kRows && array.sizes[1] == kInputs && array.sizes[2] == 0);
  CHECK_EQ(array.bytes, kRows * kInputs * 4);
  CHECK_EQ(metabonk_policy_input(plugin.policy, 1, &array), METABONK_OK);
  CHECK(std::string(array.name) == "is_first" && array.type == METABONK_U8 && array.own == 1);
  CHECK_EQ(metabonk_policy_input(plugin.policy, 2, &array), METABONK_OK);
  CHECK(std::string(array.name) == "uniform" && array.own == 1);
  CHECK_EQ(metabonk_policy_input(plugin.policy, 3, &array), METABONK_INVALID_ARGUMENT);
  CHECK_EQ(metabonk_policy_input(plugin.policy, -1, &array), METABONK_INVALID_ARGUMENT);
  CHECK_EQ(metabonk_policy_version(), METABONK_POLICY_VERSION);
}

TEST(policy_abi_steps_as_the_policy_does) {
  const TemporaryDirectory directory;
  const nn::Program program = nn::Pilot(kRows);
  WritePolicy(directory / "pilot", program, kSeed);
  Plugin plugin(directory / "pilot");
  nn::Policy policy(program, nn::WeightsOf(program), kSeed);
  std::vector<float> action(kRows * kColumns);
  void* outputs[] = {action.data()};
  const uint8_t mask[kRows] = {0, 1, 1, 0};
  for (uint64_t n = 0; n < 60; ++n) {
    if (n % 13 == 5) {
      policy.Reset(mask);
      CHECK_EQ(metabonk_policy_reset(plugin.policy, mask), METABONK_OK);
    } else if (n % 13 == 9) {
      policy.Seed(n, 3);
      CHECK_EQ(metabonk_policy_seed(plugin.policy, n, 3), METABONK_OK);
    }
    plugin.Step(n);
    const void* inputs[] = {plugin.observation.data(), nullptr, nullptr};
    CHECK(policy.Step(inputs, outputs).ok());
    CHECK(plugin.action == action);
    CHECK_EQ(metabonk_policy_counter(plugin.policy), policy.counter());
  }
}

TEST(policy_abi_loads_a_bare_file_with_seed_zero) {
  const TemporaryDirectory directory;
  WritePolicy(directory / "pilot", nn::Pilot(kRows), kSeed);
  Plugin whole(directory / "pilot"), bare(directory / "pilot/policy.safetensors");
  CHECK(whole.Step(1) != bare.Step(1));
  metabonk_policy_reset(bare.policy, nullptr);
  metabonk_policy_reset(whole.policy, nullptr);
  CHECK_EQ(metabonk_policy_seed(bare.policy, kSeed, 1), METABONK_OK);
  CHECK(whole.Step(2) == bare.Step(2));
}

TEST(policy_abi_answers_null_with_an_error) {
  const TemporaryDirectory directory;
  WritePolicy(directory / "pilot", nn::Pilot(kRows), kSeed);
  Plugin plugin(directory / "pilot");
  metabonk_policy* made = plugin.policy;
  metabonk_policy_info info;
  metabonk_policy_array array;
  char error[METABONK_ERROR_BYTES];
  const void* inputs[] = {plugin.observation.data(), nullptr, nullptr};
  const auto invalid = [](metabonk_status status) { CHECK_EQ(status, METABONK_INVALID_ARGUMENT); };
  invalid(metabonk_policy_load(nullptr, &made, error, sizeof error));
  CHECK(made == nullptr && Has(error, "path: NULL"));
  invalid(metabonk_policy_load("x", nullptr, error, sizeof error));
  CHECK(Has(error, "policy: NULL"));
  invalid(metabonk_policy_load(nullptr, nullptr, nullptr, 0));
  invalid(metabonk_policy_swap(nullptr, "x", error, sizeof error));
  CHECK(Has(error, "policy: NULL"));
  invalid(metabonk_policy_swap(plugin.policy, nullptr, error, sizeof error));
  CHECK(Has(error, "path: NULL"));
  invalid(metabonk_policy_describe(nullptr, &info));
  invalid(metabonk_policy_describe(plugin.policy, nullptr));
  invalid(metabonk_policy_input(nullptr, 0, &array));
  invalid(metabonk_policy_input(plugin.policy, 0, nullptr));
  invalid(metabonk_policy_reset(nullptr, nullptr));
  invalid(metabonk_policy_seed(nullptr, 1, 1));
  invalid(metabonk_policy_step(nullptr, inputs, 3, plugin.action.data()));
  CHECK_EQ(metabonk_policy_counter(nullptr), uint64_t{0});
  CHECK(metabonk_policy_error(nullptr)[0] != '\0');
  metabonk_policy_free(nullptr);
}

TEST(policy_abi_refuses_steps_and_leaves_the_action) {
  const TemporaryDirectory directory;
  WritePolicy(directory / "pilot", nn::Pilot(kRows), kSeed);
  Plugin plugin(directory / "pilot");
  CHECK_EQ(metabonk_policy_error(plugin.policy)[0], '\0');
  const std::vector<float> before = plugin.Step(1);
  const void* good[] = {plugin.observation.data(), nullptr, nullptr};
  const void* absent[] = {nullptr, nullptr, nullptr};
  const void* odd[] = {reinterpret_cast<const char*>(plugin.observation.data()) + 1, nullptr,
                       nullptr};
  struct {
    const void* const* inputs;
    int32_t count;
    float* action;
    const char* says;
  } const faults[] = {
      {nullptr, 3, plugin.action.data(), "inputs: NULL"},
      {good, 2, plugin.action.data(), "count"},
      {good, -1, plugin.action.data(), "count"},
      {good, 3, nullptr, "action: NULL"},
      {good, 3, reinterpret_cast<float*>(reinterpret_cast<uintptr_t>(plugin.action.data()) + 2),
       "action: misaligned"},
      {absent, 3, plugin.action.data(), "inputs[0], 'observation': NULL"},
      {odd, 3, plugin.action.data(), "inputs[0], 'observation': misaligned"},
  };
  for (const auto& fault : faults) {
    CHECK_EQ(metabonk_policy_step(plugin.policy, fault.inputs, fault.count, fault.action),
             METABONK_INVALID_ARGUMENT);
    CHECK(Has(metabonk_policy_error(plugin.policy), fault.says));
    CHECK(plugin.action == before);
  }
  CHECK_EQ(metabonk_policy_counter(plugin.policy), uint64_t{1});
  plugin.Step(2);
  CHECK_EQ(metabonk_policy_error(plugin.policy)[0], '\0');
}

TEST(policy_abi_reports_an_index_out_of_range) {
  const TemporaryDirectory directory;
  WritePolicy(directory / "all", nn::Everything(), kSeed);
  metabonk_policy* policy = nullptr;
  CHECK_EQ(metabonk_policy_load((directory / "all").c_str(), &policy, nullptr, 0), METABONK_OK);
  std::vector<float> x(24, 0.5f), action(32, -1.0f);
  std::vector<uint8_t> truth(24, 1);
  std::vector<int32_t> places(24, 6);
  const void* inputs[] = {x.data(), truth.data(), places.data(), nullptr};
  CHECK_EQ(metabonk_policy_step(policy, inputs, 4, action.data()), METABONK_OUT_OF_RANGE);
  CHECK(Has(metabonk_policy_error(policy), "index"));
  CHECK_EQ(action[0], -1.0f);
  places.assign(24, 5);
  CHECK_EQ(metabonk_policy_step(policy, inputs, 4, action.data()), METABONK_OK);
  metabonk_policy_free(policy);
}

TEST(policy_abi_names_the_file_and_the_remedy) {
  const TemporaryDirectory directory;
  const nn::Program program = nn::Pilot(kRows);
  const std::string tensors = PolicyBytes(program);
  const auto artifact = [&](const char* name, const std::string& bytes, const std::string& card) {
    std::filesystem::create_directory(directory / name);
    Write(directory / name + "/policy.safetensors", bytes);
    Write(directory / name + "/card.json", card);
    return directory / name;
  };
  const std::string card = CardOf(tensors, 1);
  CHECK(Plugin(artifact("good", tensors, card)).policy != nullptr);
  Refuses(directory / "none", METABONK_UNAVAILABLE, {directory / "none", "check the path"});
  std::filesystem::create_directory(directory / "empty");
  Refuses(directory / "empty", METABONK_UNAVAILABLE, {"empty/card.json", "check the path"});
  Refuses("/dev/null", METABONK_INVALID_ARGUMENT, {"no regular file"});
  std::string flipped = tensors;
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  Refuses(artifact("flipped", flipped, card), METABONK_CORRUPT, {"SHA-256", "restore"});
  Refuses(artifact("run", tensors, CardOf(tensors, 1, "checkpoint")), METABONK_INVALID_ARGUMENT,
          {"run/card.json", "'checkpoint'", "compile and save"});
  Refuses(artifact("later", tensors, CardOf(tensors, 1, "policy", 2)), METABONK_VERSION_MISMATCH,
          {"update metabonk"});
  Refuses(artifact("card", tensors, card.substr(0, 50)), METABONK_CORRUPT, {"damaged card"});
  Refuses(artifact("list", tensors, "[]"), METABONK_CORRUPT, {"no artifact's card"});
  Write(directory / "text", "this is no container");
  Refuses(directory / "text", METABONK_CORRUPT, {"no safetensors file"});
  Write(directory / "others", Container("{}", ""));
  Refuses(directory / "others", METABONK_CORRUPT, {"no tensor 'program'"});
}

TEST(policy_abi_refuses_programs_that_are_no_policies) {
  const TemporaryDirectory directory;
  const auto refuses = [&](const char* says, auto change) {
    nn::Program program = nn::Pilot(kRows);
    change(&program);
    Write(directory / "file", PolicyBytes(program));
    Refuses(directory / "file", METABONK_CORRUPT, {directory / "file", says});
  };
  using P = nn::Program*;
  refuses("instruction 0", [](P p) { p->instructions[0].integers[0] = 99; });
  refuses("no output 'action'", [](P p) { p->outputs[0].name = "other"; });
  refuses("program", [](P p) { p->outputs[0].view.base = 1; });
  refuses("float32", [](P p) { p->outputs[0].view = nn::DenseView(0, nn::Type::kI32, 0, {4, 3}); });
  refuses("float32", [](P p) { p->outputs[0].view = nn::DenseView(0, nn::Type::kF32, 0, {12}); });
  refuses("one row per game", [](P p) { p->inputs[2].sizes[0] = kRows + 1; });
  refuses("random numbers", [](P p) { p->inputs[2].sizes[1] = int64_t{1} << 30; });
  refuses("truth value per game", [](P p) { p->inputs[1].rank = 2, p->inputs[1].sizes[1] = 2; });
  // A tensor that the file lacks, or has otherwise than the words say.
  nn::Program program = nn::Pilot(kRows), other = program;
  std::string bytes = PolicyBytes(program);
  bytes.replace(bytes.find("head.bias"), 9, "head.bios");
  Write(directory / "file", bytes);
  Refuses(directory / "file", METABONK_CORRUPT, {"'head.bias'", "restore"});
}

TEST(policy_abi_cuts_errors_to_the_memory_given) {
  char small[8] = "xxxxxxx";
  metabonk_policy* policy;
  CHECK_EQ(metabonk_policy_load("/nowhere/at/all", &policy, small, 4), METABONK_UNAVAILABLE);
  CHECK_EQ(std::string(small), "/no");
  CHECK_EQ(small[4], 'x');
  CHECK_EQ(metabonk_policy_load("/nowhere", &policy, small, 0), METABONK_UNAVAILABLE);
  CHECK_EQ(std::string(small), "/no");
}

TEST(policy_abi_refuses_to_swap_what_is_another_program) {
  const TemporaryDirectory directory;
  WritePolicy(directory / "one", nn::Pilot(kRows), kSeed);
  WritePolicy(directory / "wide", nn::Pilot(kRows, kColumns + 1), kSeed);
  Plugin plugin(directory / "one"), control(directory / "one");
  char error[METABONK_ERROR_BYTES];
  const auto swap = [&](const char* name) {
    return metabonk_policy_swap(plugin.policy, (directory / name).c_str(), error, sizeof error);
  };
  CHECK_EQ(swap("wide"), METABONK_INVALID_ARGUMENT);
  CHECK(Has(error, "wide") && Has(error, "another program") && Has(error, "compile both"));
  CHECK_EQ(swap("none"), METABONK_UNAVAILABLE);
  CHECK(plugin.Step(1) == control.Step(1));
  CHECK_EQ(swap("one"), METABONK_OK);
  CHECK_EQ(error[0], '\0');
}

TEST(policy_abi_swaps_on_another_thread_while_it_steps) {
  const TemporaryDirectory directory;
  WritePolicy(directory / "one", nn::Pilot(kRows), kSeed, 1);
  WritePolicy(directory / "two", nn::Pilot(kRows), kSeed, 2);
  constexpr uint64_t kSteps = 200;
  std::vector<std::vector<float>> wanted[2];
  for (int k = 0; k < 2; ++k) {
    Plugin alone(directory / (k == 0 ? "one" : "two"));
    for (uint64_t n = 0; n < kSteps; ++n) {
      metabonk_policy_reset(alone.policy, nullptr);
      wanted[k].push_back(alone.Step(n));
    }
  }
  Plugin plugin(directory / "one");
  std::atomic<int> swaps{0};
  std::atomic<bool> done{false};
  std::thread swapper([&] {
    char error[METABONK_ERROR_BYTES];
    metabonk_policy_info info;
    while (!done.load()) {
      const std::string path = directory / (swaps.load() % 2 == 0 ? "two" : "one");
      CHECK_EQ(metabonk_policy_swap(plugin.policy, path.c_str(), error, sizeof error), METABONK_OK);
      CHECK_EQ(metabonk_policy_describe(plugin.policy, &info), METABONK_OK);
      ++swaps;
    }
  });
  int seen[2] = {0, 0};
  while (swaps.load() < 30 || seen[0] == 0 || seen[1] == 0) {
    metabonk_policy_seed(plugin.policy, kSeed, 0);
    for (uint64_t n = 0; n < kSteps; ++n) {
      metabonk_policy_reset(plugin.policy, nullptr);
      const std::vector<float>& action = plugin.Step(n);
      const bool one = action == wanted[0][n], two = action == wanted[1][n];
      CHECK(one != two);  // one set of weights or the other, never both at once
      seen[0] += one;
      seen[1] += two;
    }
  }
  done = true;
  swapper.join();
}

TEST(policy_abi_allocates_nothing_while_it_steps) {
  const TemporaryDirectory directory;
  WritePolicy(directory / "one", nn::Pilot(kRows), kSeed);
  Plugin plugin(directory / "one");
  const void* inputs[] = {plugin.observation.data(), nullptr, nullptr};
  const size_t before = check::Allocations();
  for (int i = 0; i < 10000; ++i) {
    if (metabonk_policy_step(plugin.policy, inputs, 3, plugin.action.data()) != METABONK_OK) break;
  }
  CHECK_EQ(check::Allocations() - before, size_t{0});
  CHECK_EQ(metabonk_policy_counter(plugin.policy), uint64_t{10000});
}

}  // namespace metabonk::play
