#include "machine.h"

#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <list>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

Index3 threadIdx, blockIdx, blockDim, gridDim;

namespace metabonk::emulator {

Settings settings = {9, 0, 132, 227 * 1024, 0};

namespace {

constexpr size_t kStack = 128 * 1024, kGuard = 4096;
constexpr uint8_t kPoison = 0xFF, kBand = 0xA5;
constexpr int kLanes = 32;
constexpr uint32_t kTensorColumns = 512;

struct Meeting {  // of a known number of threads
  int wanted = 0, arrived = 0;
  unsigned generation = 0;
};

struct Warp {
  Meeting meeting;
  void* arguments[kLanes];
  void (*compute)(void* const*) = nullptr;
};

struct Block {
  unsigned index, rank;
  std::vector<uint8_t> memory;  // with guards
  std::vector<uint32_t> tensor_memory;
  size_t size;
  std::vector<Warp> warps;
  Meeting meeting;
  Meeting* cluster_meeting;
  std::vector<Block*>* cluster;
  uint8_t* Memory() {
    const uintptr_t first = reinterpret_cast<uintptr_t>(memory.data()) + kGuard;
    return reinterpret_cast<uint8_t*>((first + 127) / 128 * 128);
  }
};

struct Fiber {
  ucontext_t context;
  std::unique_ptr<uint8_t[]> stack;
  unsigned thread;
  Block* block;
  bool (*ready)(void*) = nullptr;
  void* what = nullptr;
  bool done = false;
  std::vector<std::function<void()>> pending;  // what Settle completes
};

struct Machine {
  ucontext_t scheduler;
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<std::unique_ptr<Block>> blocks;
  std::list<Meeting> cluster_meetings;
  std::list<std::vector<Block*>> clusters;
  std::vector<std::function<void()>> messages;
  std::unordered_map<const void*, Barrier> barriers;
  std::mt19937 random;
  std::function<void()> kernel;
  Fiber* current = nullptr;
  std::string failure;
};
Machine* machine = nullptr;
std::string last_failure;

void Leave() { swapcontext(&machine->current->context, &machine->scheduler); }

void Meet(Meeting* meeting) {
  if (++meeting->arrived == meeting->wanted) {
    meeting->arrived = 0;
    ++meeting->generation;
    return;
  }
  struct Ticket {
    Meeting* meeting;
    unsigned generation;
  } ticket{meeting, meeting->generation};
  WaitFor(
      [](void* t) {
        const Ticket* mine = static_cast<Ticket*>(t);
        return mine->meeting->generation != mine->generation;
      },
      &ticket);
}

void Begin() {
  machine->kernel();
  machine->current->done = true;
  Leave();
}

std::unique_ptr<Block> MakeBlock(const Shape& shape, int index) {
  auto block = std::make_unique<Block>();
  block->index = static_cast<unsigned>(index);
  block->rank = static_cast<unsigned>(index % shape.cluster);
  block->size = shape.shared;
  block->memory.assign(shape.shared + 2 * kGuard + 128, kBand);
  std::memset(block->Memory(), kPoison, shape.shared);
  block->meeting.wanted = shape.threads;
  block->warps.resize(static_cast<size_t>((shape.threads + kLanes - 1) / kLanes));
  for (Warp& warp : block->warps) warp.meeting.wanted = kLanes;
  return block;
}

std::unique_ptr<Fiber> MakeFiber(Block* block, unsigned thread) {
  auto fiber = std::make_unique<Fiber>();
  fiber->stack.reset(new uint8_t[kStack]);
  fiber->thread = thread;
  fiber->block = block;
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack.get();
  fiber->context.uc_stack.ss_size = kStack;
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, Begin, 0);
  return fiber;
}

void Enter(Fiber* fiber) {
  machine->current = fiber;
  threadIdx = {fiber->thread, 0, 0};
  blockIdx = {fiber->block->index, 0, 0};
  swapcontext(&machine->scheduler, &fiber->context);
}

void Deliver(bool all) {
  std::vector<std::function<void()>> kept;
  std::shuffle(machine->messages.begin(), machine->messages.end(), machine->random);
  for (auto& message : machine->messages) {
    if (all || machine->random() % 2 == 0) {
      message();
    } else {
      kept.push_back(message);
    }
  }
  machine->messages.swap(kept);
}

// Until all threads have ended: rounds in which everybody who can goes on, in a new order each.
void Schedule() {
  std::vector<Fiber*> living;
  for (auto& fiber : machine->fibers) living.push_back(fiber.get());
  while (!living.empty() && machine->failure.empty()) {
    std::shuffle(living.begin(), living.end(), machine->random);
    bool moved = false;
    for (Fiber* fiber : living) {
      if (fiber->ready != nullptr && !fiber->ready(fiber->what)) continue;
      fiber->ready = nullptr;
      moved = true;
      Enter(fiber);
      if (!machine->failure.empty()) return;
    }
    if (!moved && machine->messages.empty()) {
      machine->failure = std::to_string(living.size()) + " threads wait for ever";
      return;
    }
    Deliver(!moved);
    living.erase(std::remove_if(living.begin(), living.end(), [](Fiber* f) { return f->done; }),
                 living.end());
  }
}

void CheckGuards() {
  for (auto& block : machine->blocks) {
    const uint8_t* first = block->memory.data();
    const uint8_t* memory = block->Memory();
    const auto touched = [](uint8_t byte) { return byte != kBand; };
    if (std::any_of(first, memory, touched) ||
        std::any_of(memory + block->size, first + block->memory.size(), touched)) {
      machine->failure = "shared memory was written outside of its bounds";
    }
  }
}

void RunTogether(const Shape& shape, int first, int count) {
  machine->fibers.clear();
  machine->blocks.clear();
  machine->barriers.clear();
  for (int i = first; i < first + count; ++i) {
    if ((i - first) % shape.cluster == 0) {
      machine->clusters.emplace_back();
      machine->cluster_meetings.emplace_back();
      machine->cluster_meetings.back().wanted = shape.cluster * shape.threads;
    }
    machine->blocks.push_back(MakeBlock(shape, i));
    Block* block = machine->blocks.back().get();
    block->cluster = &machine->clusters.back();
    block->cluster->push_back(block);
    block->cluster_meeting = &machine->cluster_meetings.back();
    for (int thread = 0; thread < shape.threads; ++thread) {
      machine->fibers.push_back(MakeFiber(block, static_cast<unsigned>(thread)));
    }
  }
  Schedule();
  if (machine->failure.empty() && !machine->messages.empty()) {
    machine->failure = "a block ended while messages to it were on their way";
  }
  if (machine->failure.empty()) CheckGuards();
}

}  // namespace

int Run(const Shape& shape, const std::function<void()>& kernel) {
  last_failure.clear();
  if (shape.shared > static_cast<size_t>(settings.shared_bytes) || shape.blocks < 1 ||
      shape.blocks % shape.cluster != 0 || (shape.cluster > 1 && settings.major < 9)) {
    return 1;  // invalid value
  }
  Machine here;
  machine = &here;
  here.random.seed(settings.seed);
  here.kernel = kernel;
  blockDim = {static_cast<unsigned>(shape.threads), 1, 1};
  gridDim = {static_cast<unsigned>(shape.blocks), 1, 1};
  const int together = shape.cooperative ? shape.blocks : shape.cluster;
  for (int first = 0; first < shape.blocks && here.failure.empty(); first += together) {
    RunTogether(shape, first, together);
  }
  machine = nullptr;
  last_failure = here.failure;
  return last_failure.empty() ? 0 : 719;
}

const char* Failure() { return last_failure.c_str(); }

void Fail(const char* what) {
  machine->failure = what;
  for (;;) Leave();
}

void Expect(bool holds, const char* what) {
  if (!holds) Fail(what);
}

uint8_t* BlockMemory() { return machine->current->block->Memory(); }
uint32_t* TensorMemory(int lane, uint32_t column) {
  Expect(lane < 128 && column + 16 <= kTensorColumns, "outside of tensor memory");
  std::vector<uint32_t>& memory = machine->current->block->tensor_memory;
  if (memory.empty()) memory.assign(128 * kTensorColumns, 0xFFFFFFFFu);
  return memory.data() + lane * kTensorColumns + column;
}
int Lane() { return static_cast<int>(machine->current->thread % kLanes); }
unsigned RankInCluster() { return machine->current->block->rank; }

void WaitFor(bool (*ready)(void*), void* what) {
  Fiber* fiber = machine->current;
  fiber->ready = ready;
  fiber->what = what;
  Leave();
}

void Together(void* mine, void (*compute)(void* const*)) {
  Fiber* fiber = machine->current;
  Warp& warp = fiber->block->warps[fiber->thread / kLanes];
  Expect(warp.meeting.arrived == 0 || warp.compute == compute, "lanes of a warp differ");
  warp.compute = compute;
  warp.arguments[fiber->thread % kLanes] = mine;
  if (warp.meeting.arrived + 1 == kLanes) compute(warp.arguments);
  Meet(&warp.meeting);
}

void MeetCluster() { Meet(machine->current->block->cluster_meeting); }

uint8_t* Of(unsigned rank, const void* mine, size_t bytes) {
  Block* block = machine->current->block;
  const ptrdiff_t offset = static_cast<const uint8_t*>(mine) - block->Memory();
  Expect(offset >= 0 && static_cast<size_t>(offset) + bytes <= block->size,
         "an address outside of shared memory");
  Expect(rank < block->cluster->size(), "a rank outside of the cluster");
  return (*block->cluster)[rank]->Memory() + offset;
}

void Later(const std::function<void()>& act, bool settled) {
  if (machine->random() % 2 == 0) {
    act();
  } else if (settled) {
    machine->current->pending.push_back(act);
  } else {
    machine->messages.push_back(act);
  }
}

void Settle() {
  for (auto& act : machine->current->pending) act();
  machine->current->pending.clear();
}

void Barrier::Check() {
  if (!armed || bytes != 0) return;
  armed = false;
  ++phase;
}

void MakeBarrier(void* at) { machine->barriers[at] = Barrier{}; }

Barrier& BarrierAt(const void* at) {
  const auto found = machine->barriers.find(at);
  if (found == machine->barriers.end()) Fail("a barrier that was not made");
  return found->second;
}

}  // namespace metabonk::emulator

void __syncthreads() {
  metabonk::emulator::Meet(&metabonk::emulator::machine->current->block->meeting);
}

extern "C" {
void emulator_set(int major, int minor, int multiprocessors, int shared_bytes, unsigned seed) {
  metabonk::emulator::settings = {major, minor, multiprocessors, shared_bytes, seed};
}
const char* emulator_failure() { return metabonk::emulator::Failure(); }
}
