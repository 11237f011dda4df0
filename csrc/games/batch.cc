#include "games/batch.h"

#include <cstring>

namespace metabonk {

void StepQueue::Ring::Push(int32_t item) {
  items[(head + size) % items.size()] = item;
  ++size;
}

int32_t StepQueue::Ring::Pop() {
  const int32_t item = items[head];
  head = (head + 1) % items.size();
  --size;
  return item;
}

StepQueue::StepQueue(Stepper& stepper, int num_envs, int columns, int threads)
    : stepper_(stepper),
      columns_(columns),
      actions_(static_cast<size_t>(num_envs) * static_cast<size_t>(columns)),
      flying_(static_cast<size_t>(num_envs), 0),
      waiting_(num_envs),
      ready_(num_envs) {
  threads_.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) threads_.emplace_back(&StepQueue::Serve, this, i);
}

StepQueue::~StepQueue() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  sent_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Status StepQueue::Send(const float* actions, const int32_t* env_ids, int count) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (int i = 0; i < count; ++i) {
    const auto env = static_cast<size_t>(env_ids[i]);
    const bool known = env_ids[i] >= 0 && env < flying_.size();
    if (known && !flying_[env]) {
      flying_[env] = 1;
      continue;
    }
    for (int k = 0; k < i; ++k) flying_[static_cast<size_t>(env_ids[k])] = 0;
    return {Code::kInvalidArgument, "env_ids",
            known ? "names an environment that is still in flight: recv it first"
                  : "must be from 0 to num_envs - 1"};
  }
  const auto columns = static_cast<size_t>(columns_);
  for (int i = 0; i < count; ++i) {
    std::memcpy(actions_.data() + static_cast<size_t>(env_ids[i]) * columns,
                actions + static_cast<size_t>(i) * columns, columns * sizeof(float));
    waiting_.Push(env_ids[i]);
  }
  in_flight_ += count;
  sent_.notify_all();
  return Status::Ok();
}

Status StepQueue::Recv(int32_t* env_ids, int count) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (count > in_flight_) {
    return {Code::kUnavailable, "batch_size", "exceeds what is in flight: send more actions first"};
  }
  stepped_.wait(lock, [&] { return ready_.size >= static_cast<size_t>(count); });
  for (int i = 0; i < count; ++i) {
    env_ids[i] = ready_.Pop();
    flying_[static_cast<size_t>(env_ids[i])] = 0;
  }
  in_flight_ -= count;
  return Status::Ok();
}

void StepQueue::Drain() {
  std::unique_lock<std::mutex> lock(mutex_);
  stepped_.wait(lock, [&] { return ready_.size >= static_cast<size_t>(in_flight_); });
  while (ready_.size > 0) flying_[static_cast<size_t>(ready_.Pop())] = 0;
  in_flight_ = 0;
}

int StepQueue::in_flight() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return in_flight_;
}

void StepQueue::Serve(int thread) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    sent_.wait(lock, [&] { return stop_ || waiting_.size > 0; });
    if (stop_) return;
    const int env = waiting_.Pop();
    lock.unlock();
    stepper_.StepOne(env, actions_.data() + static_cast<size_t>(env * columns_), thread);
    lock.lock();
    ready_.Push(env);
    stepped_.notify_one();
  }
}

}  // namespace metabonk
