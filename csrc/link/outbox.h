// Outbox: what waits to be sent over one connection, in bounded memory. Control messages go in
// order; of what can be replaced (a state, a frame, an action) the newest is kept. A message that
// is half sent is always finished. Knows bytes and no layout.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "link/sockets.h"
#include "support/buffer.h"

namespace metabonk::link {

class Outbox {
 public:
  static constexpr size_t kControlMax = 64 << 10;

  // False if a peer that reads nothing has let too many pile up; it should be dropped.
  bool Append(std::span<const uint8_t> message);

  // Two lanes that are sent together, lane 0 first. Room returns `size` bytes of a lane to be
  // written now, whatever was in it is overtaken; Cut gives back what was not needed.
  uint8_t* Room(size_t lane, size_t size);
  void Cut(size_t lane, size_t size) { waiting_[lane].size = size; }
  size_t waiting(size_t lane) const { return waiting_[lane].size; }

  // Sends what the connection takes now; *sent counts bytes. kSome: everything has left.
  Transfer Flush(const Fd& fd, uint64_t* sent);
  bool empty() const;
  // Drops what has not begun to leave and can be replaced.
  void DropWaiting();
  void Clear();

 private:
  // Memory that stays as large as it has ever been.
  struct Lane {
    Buffer<uint8_t> memory;
    size_t size = 0;
  };

  bool Refill();

  std::vector<uint8_t> control_;
  std::array<Lane, 2> waiting_, leaving_;
  size_t left_ = 0;  // bytes of leaving_ that have been sent
};

}  // namespace metabonk::link
