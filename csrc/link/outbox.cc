#include "link/outbox.h"

#include <utility>

namespace metabonk::link {

bool Outbox::Append(std::span<const uint8_t> message) {
  if (control_.size() + message.size() > kControlMax) return false;
  control_.insert(control_.end(), message.begin(), message.end());
  return true;
}

uint8_t* Outbox::Room(size_t lane, size_t size) {
  waiting_[lane].resize(size);
  return waiting_[lane].data();
}

bool Outbox::Refill() {
  // Swapped, not copied: after a few messages nothing is allocated any more.
  for (auto& part : leaving_) part.clear();
  left_ = 0;
  if (!control_.empty()) {
    leaving_[0].swap(control_);
    return true;
  }
  leaving_.swap(waiting_);
  return !leaving_[0].empty() || !leaving_[1].empty();
}

Transfer Outbox::Flush(const Fd& fd, uint64_t* sent) {
  for (;;) {
    const size_t first = leaving_[0].size(), all = first + leaving_[1].size();
    if (left_ == all) {
      if (!Refill()) return Transfer::kSome;
      continue;
    }
    std::array<iovec, 2> parts;
    size_t count = 0;
    if (left_ < first) parts[count++] = {leaving_[0].data() + left_, first - left_};
    const size_t skipped = left_ > first ? left_ - first : 0;
    if (leaving_[1].size() > skipped) {
      parts[count++] = {leaving_[1].data() + skipped, leaving_[1].size() - skipped};
    }
    size_t size = 0;
    const Transfer transfer = SendSome(fd, {parts.data(), count}, &size);
    if (transfer != Transfer::kSome) return transfer;
    left_ += size;
    *sent += size;
  }
}

bool Outbox::empty() const {
  return control_.empty() && waiting_[0].empty() && waiting_[1].empty() &&
         left_ == leaving_[0].size() + leaving_[1].size();
}

void Outbox::Clear() {
  control_.clear();
  for (auto* lanes : {&waiting_, &leaving_}) {
    for (auto& lane : *lanes) lane.clear();
  }
  left_ = 0;
}

}  // namespace metabonk::link
