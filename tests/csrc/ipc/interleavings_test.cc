#include "ipc/interleavings.h"

#include <algorithm>

#include "check.h"
#include "support/random.h"

namespace interleavings {

int Explorer::Grow(int thread, int parent, uint64_t value) {
  std::vector<uint64_t> past;
  if (parent >= 0) past.push_back(value);
  for (int i = parent; i >= 0 && nodes_[static_cast<size_t>(i)]->parent >= 0;
       i = nodes_[static_cast<size_t>(i)]->parent) {
    past.push_back(nodes_[static_cast<size_t>(i)]->value);
  }
  std::reverse(past.begin(), past.end());
  auto node = std::make_unique<Node>(Node{parent, thread, value});
  Thread body(&past);
  try {
    bodies_[static_cast<size_t>(thread)](body);
    node->done = true;
  } catch (const Pause& pause) {
    node->access = pause.access;
  } catch (const Violation& violation) {
    node->violation = violation.text;
  }
  nodes_.push_back(std::move(node));
  return static_cast<int>(nodes_.size()) - 1;
}

int Explorer::Child(int node, uint64_t value) {
  auto& children = nodes_[static_cast<size_t>(node)]->children;
  const auto found = children.find(value);
  if (found != children.end()) return found->second;
  const int child = Grow(nodes_[static_cast<size_t>(node)]->thread, node, value);
  nodes_[static_cast<size_t>(node)]->children[value] = child;
  return child;
}

bool Explorer::Finished(const State& state, size_t thread) const {
  return (state.dead >> thread & 1) || nodes_[static_cast<size_t>(state.nodes[thread])]->done;
}

bool Explorer::Enabled(const State& state, size_t thread) const {
  if (Finished(state, thread) || (state.asleep >> thread & 1)) return false;
  const Access& access = nodes_[static_cast<size_t>(state.nodes[thread])]->access;
  const bool buffered = access.op == Op::kStore && !access.straight;
  const bool reads = access.op == Op::kLoad || access.op == Op::kDead;
  if (access.op == Op::kJoin) return Finished(state, access.address);
  return buffered || reads || state.buffers[thread].empty();
}

Explorer::State Explorer::Step(const State& state, size_t thread) {
  State next = state;
  const int node = state.nodes[thread];
  const Access access = nodes_[static_cast<size_t>(node)]->access;
  uint64_t read = 0;
  uint64_t* word =
      access.op == Op::kJoin || access.op == Op::kDead ? nullptr : &next.memory[access.address];
  switch (access.op) {
    case Op::kLoad:
      read = *word;
      for (const Waiting& store : next.buffers[thread]) {
        if (store.address == access.address) read = store.value;
      }
      break;
    case Op::kStore:
      if (access.straight) {
        *word = access.value;
      } else {
        next.buffers[thread].push_back({access.address, access.release, access.value});
      }
      break;
    case Op::kCas:
      read = *word;
      if (read == access.expected) *word = access.value;
      break;
    case Op::kSwap:
      read = std::exchange(*word, access.value);
      break;
    case Op::kAdd:
      read = *word;
      *word += access.value;
      break;
    case Op::kWaitBell:
      if (*word == access.value) {
        next.asleep |= 1u << thread;
        return next;
      }
      break;
    case Op::kWake:
      for (size_t other = 0; other < next.nodes.size(); ++other) {
        if (next.asleep >> other & 1) next.nodes[other] = Child(next.nodes[other], 0);
      }
      next.asleep = 0;
      break;
    case Op::kJoin:
      break;
    case Op::kDead:
      read = state.dead >> access.address & 1;
      break;
  }
  next.nodes[thread] = Child(node, read);
  return next;
}

bool Explorer::Flushable(const std::vector<Waiting>& buffer, size_t i) {
  for (size_t j = 0; j < i; ++j) {
    if (buffer[i].release || buffer[j].address == buffer[i].address) return false;
  }
  return true;
}

Explorer::State Explorer::Flush(const State& state, size_t thread, size_t i) {
  State next = state;
  auto& buffer = next.buffers[thread];
  next.memory[buffer[i].address] = buffer[i].value;
  buffer.erase(buffer.begin() + static_cast<std::ptrdiff_t>(i));
  return next;
}

std::pair<uint64_t, uint64_t> Explorer::Fingerprint(const State& state) {
  uint64_t a = 1, b = 2;
  const auto add = [&](uint64_t value) {
    a = metabonk::Mix64(a ^ (value + 0x9E3779B97F4A7C15ull));
    b = metabonk::Mix64(b + value * 0xD6E8FEB86659FD93ull + 1);
  };
  for (const uint64_t word : state.memory) add(word);
  for (const auto& buffer : state.buffers) {
    add(buffer.size());
    for (const Waiting& store : buffer) {
      add(uint64_t{store.address} * 2 + store.release);
      add(store.value);
    }
  }
  for (const int node : state.nodes) add(static_cast<uint64_t>(node));
  add(uint64_t{state.asleep} << 32 | state.dead);
  return {a, b};
}

Outcome Explorer::Run(uint32_t killable, int kills, uint64_t limit) {
  struct Hash {
    size_t operator()(const std::pair<uint64_t, uint64_t>& p) const { return p.first; }
  };
  std::unordered_set<std::pair<uint64_t, uint64_t>, Hash> visited;
  Outcome outcome;
  State begin{std::vector<uint64_t>(words_), {}, roots_, 0, 0, kills};
  begin.buffers.resize(bodies_.size());
  std::vector<State> open{begin};
  visited.insert(Fingerprint(begin));
  while (!open.empty()) {
    if (++outcome.states > limit) {
      outcome.complete = false;
      return outcome;
    }
    const State state = std::move(open.back());
    open.pop_back();
    for (const int node : state.nodes) {
      outcome.violation = nodes_[static_cast<size_t>(node)]->violation;
      if (!outcome.violation.empty()) return outcome;
    }
    bool stuck = true;
    const auto visit = [&](State next, bool counts = true) {
      stuck = stuck && !counts;
      if (visited.insert(Fingerprint(next)).second) open.push_back(std::move(next));
    };
    bool all = true;
    for (size_t t = 0; t < bodies_.size(); ++t) {
      all = all && Finished(state, t);
      if (Enabled(state, t)) visit(Step(state, t));
      for (size_t i = 0; i < state.buffers[t].size(); ++i) {
        if (Flushable(state.buffers[t], i)) visit(Flush(state, t, i));
      }
      if (state.kills > 0 && (killable >> t & 1) && !Finished(state, t)) {
        State next = state;
        next.dead |= 1u << t;
        next.asleep &= ~(1u << t);
        --next.kills;
        visit(std::move(next), false);
      }
    }
    if (stuck && !all) {
      outcome.violation = "nobody can go on, and not all are done";
      return outcome;
    }
  }
  return outcome;
}

}  // namespace interleavings

namespace {

using interleavings::Access;
using interleavings::Body;
using interleavings::Explorer;
using interleavings::Op;
using interleavings::Thread;

// Both announce, then look (Dekker): with stores that go straight to memory one of them sees the
// other; with buffered ones both may miss.
std::string BothMiss(bool straight) {
  const auto body = [straight](uint32_t mine, uint32_t theirs) {
    return [=](Thread& thread) {
      thread.Store(mine, 1, straight);
      thread.Store(mine + 2, 1 + thread.Load(theirs), true);
    };
  };
  const Body judge = [](Thread& thread) {
    thread.Join(0);
    thread.Join(1);
    thread.Check(thread.Load(2) == 2 || thread.Load(3) == 2, "both missed");
  };
  return Explorer({body(0, 1), body(1, 0), judge}, 4).Run(0, 0, 1'000'000).violation;
}

// A value, then a flag that says it is there.
std::string FlagBeforeValue(bool release) {
  const Body writes = [release](Thread& thread) {
    thread.Store(0, 7);
    thread.Store(1, 1, false, release);
  };
  const Body reads = [](Thread& thread) {
    if (thread.Load(1) == 1) thread.Check(thread.Load(0) == 7, "the flag came before the value");
  };
  return Explorer({writes, reads}, 2).Run(0, 0, 1'000'000).violation;
}

}  // namespace

TEST(interleavings_know_store_buffers) {
  CHECK_EQ(BothMiss(true), std::string());
  CHECK_EQ(BothMiss(false), std::string("both missed"));
  CHECK_EQ(FlagBeforeValue(true), std::string());
  CHECK_EQ(FlagBeforeValue(false), std::string("the flag came before the value"));
}

TEST(interleavings_find_lost_updates_and_lost_wakes) {
  const auto counts = [](bool atomic) {
    return [atomic](Thread& thread) {
      if (atomic) {
        thread.Do({.op = Op::kAdd, .address = 0, .value = 1});
      } else {
        thread.Store(0, thread.Load(0) + 1, true);
      }
    };
  };
  const Body judge = [](Thread& thread) {
    thread.Join(0);
    thread.Join(1);
    thread.Check(thread.Load(0) == 2, "an update was lost");
  };
  CHECK_EQ(Explorer({counts(true), counts(true), judge}, 1).Run(0, 0, 1'000'000).violation,
           std::string());
  CHECK_EQ(Explorer({counts(false), counts(false), judge}, 1).Run(0, 0, 1'000'000).violation,
           std::string("an update was lost"));
  const Body sleeps = [](Thread& thread) { thread.WaitBell(0, 0); };
  const Body rings = [](Thread& thread) {
    thread.Store(0, 1, true);
    thread.Wake();
  };
  const Body only_changes = [](Thread& thread) { thread.Store(0, 1, true); };
  CHECK_EQ(Explorer({sleeps, rings}, 1).Run(0, 0, 1'000'000).violation, std::string());
  CHECK_EQ(Explorer({sleeps, only_changes}, 1).Run(0, 0, 1'000'000).violation,
           std::string("nobody can go on, and not all are done"));
  // Every way to count: two threads of n accesses each meet in (n + 1)^2 pairs of positions.
  const Body four = [](Thread& thread) {
    for (int i = 0; i < 4; ++i) thread.Load(0);
  };
  CHECK_EQ(Explorer({four, four}, 1).Run(0, 0, 1'000'000).states, uint64_t{25});
}
