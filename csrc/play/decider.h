// Decider: what turns a moment into an action. A compiled policy does so in the thread that ticks;
// one that cannot be compiled decides on a thread of its own (a Python one) and is reached through
// mailboxes, so that the tick never waits for it longer than it was told.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "metabonk/records.h"
#include "metabonk/status.h"
#include "nn/policy.h"
#include "play/clock.h"
#include "play/digest.h"
#include "play/mailbox.h"
#include "play/observation.h"
#include "play/source.h"

namespace metabonk::play {

using ArtifactHash = std::array<uint8_t, 32>;

struct Decision {
  Action action = {};
  uint64_t answers = 0;  // sequence of the moment that was decided about
  int64_t capture = 0;   // of that moment
  int64_t seen = 0;      // when the observation was complete
  uint64_t counter = 0;
  Digest observation;
  uint64_t memory = 0;
  ArtifactHash artifact = {};
  int32_t candidate = 0;  // as LedgerTick has it, and the score
  float score = 0.0f;
};

class Decider {
 public:
  virtual ~Decider() = default;
  // Decides about a moment by `until`. kUnavailable: there is no answer now, which is no fault.
  // Never allocates. Called by the thread that ticks.
  virtual Status Decide(const Moment& moment, int64_t until, Decision* decision) = 0;
  // What the last decision observed, as bytes for a recording; 0 where it is not at hand.
  virtual size_t seen_bytes() const { return 0; }
  virtual void CopySeen(uint8_t* to) const { (void)to; }
};

// A policy of batch 1 whose action has kActionColumns columns, or ResearchPlugin's six. Of its
// other outputs `candidate` and `score` (a motor's), or else `value`, are told. One thread decides;
// any other may swap its weights.
class CompiledDecider final : public Decider {
 public:
  // Takes a program that CheckProgram accepts.
  CompiledDecider(nn::Program program, std::unique_ptr<const nn::ProgramWeights> weights,
                  uint64_t seed, const ArtifactHash& artifact, Clock& clock);
  static Status CheckProgram(const nn::Program& program);

  Status Decide(const Moment& moment, int64_t until, Decision* decision) override;
  size_t seen_bytes() const override { return observation_.bytes(); }
  void CopySeen(uint8_t* to) const override { observation_.Copy(to); }

  // Weights for the same program, from the next decision on. One swap at a time: kUnavailable while
  // one that was handed over before has not been taken up by a decision.
  Status Swap(std::unique_ptr<const nn::ProgramWeights> weights, const ArtifactHash& artifact);
  int64_t swaps() { return policy_.runner().swaps(); }
  const nn::Program& program() const { return policy_.program(); }
  // What weights for Swap have to be made for.
  const nn::CfcKernels& kernels() { return policy_.runner().kernels(); }
  FrameSize frame() const { return observation_.frame(); }

 private:
  uint64_t MemoryDigest();

  nn::Policy policy_;
  Observation observation_;
  Clock& clock_;
  std::vector<void*> outputs_;
  const bool six_;                              // columns
  std::array<float, kActionColumns> row_ = {};  // as the policy gives it
  int32_t candidate_ = 0;
  float score_;
  ArtifactHash artifact_;
  int64_t taken_ = 0;  // swaps as of the last decision
  std::mutex one_swapper_;
  int64_t handed_over_ = 0;          // swaps so far, of the swappers
  ArtifactHash next_artifact_ = {};  // of the weights that wait to be taken up
  std::atomic<int64_t> read_{0};     // swaps whose hash the decider has read
};

// A decider on another thread, which takes what there is to decide about and gives answers.
class RemoteDecider final : public Decider {
 public:
  struct Question {
    GameState state;
    uint64_t sequence = 0;
    int64_t capture = 0;
    bool begins = false;
  };

  explicit RemoteDecider(Clock& clock) : clock_(clock) {}

  // Posts the moment and waits until `until` for its answer; takes an older moment's if that is all
  // there is. Frames do not cross.
  Status Decide(const Moment& moment, int64_t until, Decision* decision) override;

  // For the thread that answers. Ask: whether there is a new question, now in `asked`.
  bool Ask(Question* asked);
  void Answer(const Action& action, uint64_t sequence);
  uint64_t unseen() const { return questions_.replaced(); }

 private:
  struct Reply {
    Action action = {};
    uint64_t sequence = 0;
  };
  struct Posted {  // what is remembered of questions that may still be answered
    uint64_t sequence = 0;
    int64_t capture = 0;
    Digest observation;
  };

  bool TakeReply(Decision* decision);

  Clock& clock_;
  Mailbox<Question> questions_;
  Mailbox<Reply> replies_;
  std::array<Posted, 64> posted_ = {};
  bool begins_ = false;  // of a moment whose question may have been replaced unseen
};

}  // namespace metabonk::play
