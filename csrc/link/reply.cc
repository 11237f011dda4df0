#include "link/reply.h"

#include <cstring>

#include "link/decoder.h"
#include "link/sockets.h"

namespace metabonk::link {

uint32_t PutReply(const Action& action, const Tick& answered, uint16_t version, CaptureSize capture,
                  uint64_t sequence, Outbox* outbox) {
  size_t size = 0;
  uint32_t lost = 0;
  if (version == kVersion2) {
    uint8_t* room = outbox->Room(0, kHeaderBytes + kActionV2Bytes);
    WriteHeader(MessageType::kAction, kActionV2Bytes, sequence, MonotonicNs(), room);
    EncodeActionV2(action, answered.sequence, {room + kHeaderBytes, kActionV2Bytes}, &size);
    return lost;
  }
  constexpr size_t kLength = sizeof(int32_t);
  uint8_t* room = outbox->Room(0, kLength + kActionV1BytesMax);
  EncodeActionV1(action, &answered.state, capture, {room + kLength, kActionV1BytesMax}, &size,
                 &lost);
  const auto length = static_cast<int32_t>(size);
  std::memcpy(room, &length, kLength);
  outbox->Cut(0, kLength + size);
  return lost;
}

}  // namespace metabonk::link
