// Team: policies that step side by side, a thread each. Knows policies and threads; not that they
// are parts of one batch.
#pragma once

#include <span>
#include <vector>

#include "nn/policy.h"
#include "support/thread_pool.h"

namespace metabonk::nn {

class Team {
 public:
  // Where the inputs and outputs of one member's step lie, as Policy::Step takes them.
  struct Turn {
    std::span<const void* const> inputs;
    std::span<void* const> outputs;
  };

  // The members must outlive the team, and step nowhere else meanwhile.
  explicit Team(std::vector<Policy*> members)
      : members_(std::move(members)),
        outcomes_(members_.size()),
        pool_(static_cast<int>(members_.size())) {}

  size_t size() const { return members_.size(); }
  // One turn each, in their order; the first failure of any, once all are done. No allocation.
  Status Step(std::span<const Turn> turns);

 private:
  std::vector<Policy*> members_;
  std::vector<Status> outcomes_;
  std::span<const Turn> turns_;
  ThreadPool pool_;
};

}  // namespace metabonk::nn
