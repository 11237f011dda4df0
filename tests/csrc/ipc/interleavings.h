// Interleavings: runs a few threads of ordinary code in every order that their memory accesses can
// have, and reports the first in which a check fails or nobody can go on. Knows words of memory;
// no ring.
//
// Memory is weaker than that of any processor we run on: every store that is not sequentially
// consistent waits in its thread's buffer and may reach memory after later stores to other words;
// a release store only after everything before it. Loads happen in program order. A thread may be
// killed between any two accesses; what is in its buffer still arrives.
//
// How: a thread is deterministic but for the values it reads, so where it stands is told by those
// values. It is run from the beginning with the values that it has read so far and stopped at the
// next access; positions are nodes of a tree, and a state is memory, buffers and a node per thread.
// All states are visited, depth first, each once. Defined in interleavings_test.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace interleavings {

enum class Op : uint8_t { kLoad, kStore, kCas, kSwap, kAdd, kWaitBell, kWake, kJoin, kDead };

struct Access {
  Op op;
  uint32_t address = 0;
  uint64_t value = 0, expected = 0;
  bool straight = false;  // of stores: not through the buffer, which has to be empty
  bool release = false;   // of stores: after all before it
};

struct Pause {
  Access access;
};
struct Violation {
  std::string text;
};

// What a thread's code does its accesses by.
class Thread {
 public:
  explicit Thread(const std::vector<uint64_t>* past) : past_(past) {}

  // Returns what was read: the old value of read-modify-writes.
  uint64_t Do(const Access& access) {
    if (at_ < past_->size()) return (*past_)[at_++];
    throw Pause{access};
  }
  void Check(bool condition, const char* text) {
    if (!condition) throw Violation{text};
  }

  uint64_t Load(uint32_t address) { return Do({.op = Op::kLoad, .address = address}); }
  void Store(uint32_t address, uint64_t value, bool straight = false, bool release = false) {
    Do({.op = Op::kStore,
        .address = address,
        .value = value,
        .expected = 0,
        .straight = straight,
        .release = release});
  }
  // Sleeps if the word still has that value; returns when it has not or when it was woken.
  void WaitBell(uint32_t address, uint64_t value) {
    Do({.op = Op::kWaitBell, .address = address, .value = value});
  }
  void Wake() { Do({.op = Op::kWake}); }
  // Until that thread is done or dead.
  void Join(uint32_t thread) { Do({.op = Op::kJoin, .address = thread}); }
  bool Dead(uint32_t thread) { return Do({.op = Op::kDead, .address = thread}) != 0; }

 private:
  const std::vector<uint64_t>* past_;
  size_t at_ = 0;
};

using Body = std::function<void(Thread&)>;

struct Outcome {
  uint64_t states = 0;
  std::string violation;  // empty if there is none in any order
  bool complete = true;   // false if the limit of states was reached
};

class Explorer {
 public:
  Explorer(std::vector<Body> bodies, size_t words) : bodies_(std::move(bodies)), words_(words) {
    for (size_t i = 0; i < bodies_.size(); ++i) roots_.push_back(Grow(static_cast<int>(i), -1, 0));
  }

  // killable: which threads may be killed (a bit each), at most `kills` of them in one run.
  Outcome Run(uint32_t killable, int kills, uint64_t limit);

 private:
  struct Node {
    int parent, thread;
    uint64_t value;  // that was read to come here
    bool done = false;
    std::string violation = {};
    Access access = {};
    std::map<uint64_t, int> children = {};
  };
  struct Waiting {
    uint32_t address;
    bool release;
    uint64_t value;
  };
  struct State {
    std::vector<uint64_t> memory;
    std::vector<std::vector<Waiting>> buffers;
    std::vector<int> nodes;
    uint32_t asleep = 0, dead = 0;
    int kills = 0;
  };

  int Grow(int thread, int parent, uint64_t value);
  int Child(int node, uint64_t value);
  bool Enabled(const State& state, size_t thread) const;
  State Step(const State& state, size_t thread);
  static bool Flushable(const std::vector<Waiting>& buffer, size_t i);
  static State Flush(const State& state, size_t thread, size_t i);
  static std::pair<uint64_t, uint64_t> Fingerprint(const State& state);
  bool Finished(const State& state, size_t thread) const;

  std::vector<Body> bodies_;
  size_t words_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<int> roots_;
};

}  // namespace interleavings
