#include "link/outbox.h"

#include <cstring>
#include <utility>

namespace metabonk::link {

bool Outbox::Append(std::span<const uint8_t> message) {
  if (control_.size() + message.size() > kControlMax) return false;
  control_.insert(control_.end(), message.begin(), message.end());
  return true;
}

uint8_t* Outbox::Room(size_t lane, size_t size) {
  waiting_[lane].size = size;
  return waiting_[lane].memory.Reserve(size);
}

// The next bytes to leave; false if there are none.
bool Outbox::Refill() {
  left_ = 0;
  leaving_[0].size = leaving_[1].size = 0;
  if (!control_.empty()) {
    std::memcpy(leaving_[0].memory.Reserve(control_.size()), control_.data(), control_.size());
    leaving_[0].size = control_.size();
    control_.clear();
    return true;
  }
  std::swap(leaving_, waiting_);  // not copied
  return leaving_[0].size + leaving_[1].size > 0;
}

Transfer Outbox::Flush(const Fd& fd, uint64_t* sent) {
  for (;;) {
    const size_t first = leaving_[0].size, all = first + leaving_[1].size;
    if (left_ == all) {
      if (!Refill()) return Transfer::kSome;
      continue;
    }
    std::array<iovec, 2> parts;
    size_t count = 0;
    if (left_ < first) parts[count++] = {leaving_[0].memory.data() + left_, first - left_};
    const size_t skipped = left_ > first ? left_ - first : 0;
    if (leaving_[1].size > skipped) {
      parts[count++] = {leaving_[1].memory.data() + skipped, leaving_[1].size - skipped};
    }
    size_t size = 0;
    const Transfer transfer = SendSome(fd, {parts.data(), count}, &size);
    if (transfer != Transfer::kSome) return transfer;
    left_ += size;
    *sent += size;
  }
}

bool Outbox::empty() const {
  return control_.empty() && waiting_[0].size + waiting_[1].size == 0 &&
         left_ == leaving_[0].size + leaving_[1].size;
}

void Outbox::DropWaiting() { waiting_[0].size = waiting_[1].size = 0; }

void Outbox::Clear() {
  control_.clear();
  DropWaiting();
  leaving_[0].size = leaving_[1].size = 0;
  left_ = 0;
}

}  // namespace metabonk::link
