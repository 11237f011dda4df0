#include "play/decider.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "play/research_action.h"

namespace metabonk::play {

namespace {

constexpr int64_t kLookAgain = 50 * kMicrosecond;

const nn::View* ViewOf(const nn::Program& program, std::string_view output) {
  const int64_t place = nn::FindOutput(program, output);
  return place < 0 ? nullptr : &program.outputs[static_cast<size_t>(place)].view;
}

const nn::View* ActionOf(const nn::Program& program) { return ViewOf(program, "action"); }

// Whether the output is one number of that type, or not there.
bool IsOne(const nn::Program& program, std::string_view output, nn::Type type) {
  const nn::View* view = ViewOf(program, output);
  return view == nullptr || (view->type == type && view->count() == 1);
}

}  // namespace

Status CompiledDecider::CheckProgram(const nn::Program& program) {
  if (const Status status = Observation::Check(program); !status.ok()) return status;
  const nn::View* action = ActionOf(program);
  if (action == nullptr) return {Code::kInvalidArgument, "policy", "has no output `action`"};
  const bool known =
      action->count() == kActionColumns || action->count() == ipc::kResearchActionColumns;
  if (action->type != nn::Type::kF32 || !known) {
    return {Code::kInvalidArgument, "policy",
            "does not give one row of 12 numbers, nor of ResearchPlugin's 6: compile one that was "
            "trained on the arena, bonklink or research_shm, with batch 1"};
  }
  if (!IsOne(program, "value", nn::Type::kF32)) {
    return {Code::kInvalidArgument, "policy", "its output `value` is not one number"};
  }
  if (!IsOne(program, "score", nn::Type::kF32)) {
    return {Code::kInvalidArgument, "policy", "its output `score` is not one number"};
  }
  if (!IsOne(program, "candidate", nn::Type::kI32)) {
    return {Code::kInvalidArgument, "policy", "its output `candidate` is not one whole number"};
  }
  return Status::Ok();
}

CompiledDecider::CompiledDecider(nn::Program program,
                                 std::unique_ptr<const nn::ProgramWeights> weights, uint64_t seed,
                                 const ArtifactHash& artifact, Clock& clock)
    : policy_(std::move(program), std::move(weights), seed),
      observation_(policy_.program()),
      clock_(clock),
      outputs_(policy_.program().outputs.size(), nullptr),
      six_(ActionOf(policy_.program())->count() == ipc::kResearchActionColumns),
      score_(std::numeric_limits<float>::quiet_NaN()),
      artifact_(artifact) {
  const auto bind = [&](std::string_view output, void* to) {
    const int64_t place = nn::FindOutput(policy_.program(), output);
    if (place >= 0) outputs_[static_cast<size_t>(place)] = to;
    return place >= 0;
  };
  bind("action", row_.data());
  bind("candidate", &candidate_);
  if (!bind("score", &score_)) bind("value", &score_);  // a critic judges what is not compared
}

uint64_t CompiledDecider::MemoryDigest() {
  Digester digester;
  for (const nn::Place& place : policy_.program().states) {
    digester.Add(policy_.runner().At(place.view),
                 static_cast<size_t>(place.view.count() * nn::SizeOf(place.view.type)));
  }
  return digester.Get().low;
}

Status CompiledDecider::Decide(const Moment& moment, int64_t, Decision* decision) {
  if (const Status status = observation_.Fill(moment); !status.ok()) return status;
  decision->observation = observation_.digest();
  decision->memory = MemoryDigest();
  decision->counter = policy_.counter();
  decision->seen = clock_.Now();
  if (moment.begins) policy_.Reset(nullptr);
  const Status status = policy_.Step(observation_.inputs(), outputs_);
  if (const int64_t swaps = policy_.runner().swaps(); swaps != taken_) {
    artifact_ = next_artifact_;  // no swapper touches it until `read_` says so
    taken_ = swaps;
    read_.store(swaps, std::memory_order_release);
  }
  decision->artifact = artifact_;
  if (!status.ok()) return status;
  if (six_) {
    decision->action = ActionOfResearch({row_[0], row_[1], row_[2], row_[3], row_[4], row_[5]});
  } else {
    decision->action = std::bit_cast<Action>(row_);
  }
  decision->answers = moment.sequence;
  decision->capture = moment.capture;
  decision->candidate = candidate_;
  decision->score = score_;
  return Status::Ok();
}

Status CompiledDecider::Swap(std::unique_ptr<const nn::ProgramWeights> weights,
                             const ArtifactHash& artifact) {
  const std::lock_guard<std::mutex> lock(one_swapper_);
  if (read_.load(std::memory_order_acquire) != handed_over_) {
    return {Code::kUnavailable, "swap", "the swap before has not been taken up by a tick yet"};
  }
  next_artifact_ = artifact;
  ++handed_over_;
  policy_.runner().Swap(std::move(weights));
  return Status::Ok();
}

bool RemoteDecider::TakeReply(Decision* decision) {
  if (!replies_.Take()) return false;
  const Reply& reply = replies_.Taken();
  const Posted& posted = posted_[reply.sequence % posted_.size()];
  if (posted.sequence != reply.sequence) return false;  // an answer to nothing that is remembered
  decision->action = reply.action;
  decision->answers = reply.sequence;
  decision->capture = posted.capture;
  decision->observation = posted.observation;
  decision->counter = 0;
  decision->memory = 0;
  decision->artifact = {};
  decision->candidate = 0;
  decision->score = std::numeric_limits<float>::quiet_NaN();
  return true;
}

Status RemoteDecider::Decide(const Moment& moment, int64_t until, Decision* decision) {
  Question& question = questions_.Draft();
  std::memcpy(static_cast<void*>(&question.state), moment.state, sizeof(GameState));
  question.sequence = moment.sequence;
  question.capture = moment.capture;
  begins_ = moment.begins || (begins_ && questions_.fresh());
  question.begins = begins_;
  Digester digester;
  digester.Add(moment.state, sizeof(GameState));
  posted_[moment.sequence % posted_.size()] = {moment.sequence, moment.capture, digester.Get()};
  questions_.Post();
  decision->seen = clock_.Now();
  bool answered = TakeReply(decision);
  while (!(answered && decision->answers == moment.sequence)) {
    const int64_t now = clock_.Now();
    if (now >= until) break;
    clock_.SleepUntil(std::min(now + kLookAgain, until));
    answered |= TakeReply(decision);
  }
  if (answered) return Status::Ok();
  return {Code::kUnavailable, "policy", "has no answer yet"};
}

bool RemoteDecider::Ask(Question* asked) {
  if (!questions_.Take()) return false;
  std::memcpy(static_cast<void*>(asked), &questions_.Taken(), sizeof(Question));
  return true;
}

void RemoteDecider::Answer(const Action& action, uint64_t sequence) {
  replies_.Post({action, sequence});
}

}  // namespace metabonk::play
