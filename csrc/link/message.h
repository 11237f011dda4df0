// Message: one whole message of BonkLink, v1 or v2, as it lies in a decoder's buffer; and the
// numbers of the framing around it (docs/bonklink.md). Knows no payload's layout.
//
// Sequences: states count from 1 in each connection, a tick's frame has its state's number, and an
// action names the state that it answers. In both versions a tick's frame is handed out before its
// state, so that a state completes its tick.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace metabonk::link {

// The first four bytes of messages, trailers and raw frames, as little-endian numbers.
constexpr uint32_t Tag(const char (&text)[5]) {
  uint32_t tag = 0;
  for (int i = 3; i >= 0; --i) tag = tag << 8 | static_cast<uint8_t>(text[i]);
  return tag;
}
inline constexpr uint32_t kMagic = Tag("BNK2");

inline constexpr uint16_t kVersion1 = 1;
inline constexpr uint16_t kVersion2 = 2;

// What one end speaks. kAuto: v1 until both ends have shown that they know v2.
enum class Protocol : uint8_t { kV1, kV2, kAuto };

// Values are v2's on the wire.
enum class MessageType : uint16_t {
  kNone = 0,  // more bytes are needed
  kHello = 1,
  kHelloAck = 2,
  kState = 3,
  kFrame = 4,
  kAction = 5,
  kReset = 6,
  kPing = 7,
  kPong = 8,
  kBye = 9,
  kCount = 10,
};

// v2: magic u32 | version u16 | type u16 | payload length u32 | sequence u64 | monotonic ns u64.
inline constexpr size_t kHeaderBytes = 28;

struct Message {
  MessageType type = MessageType::kNone;
  uint16_t version = 0;   // of the framing that it came in
  uint64_t sequence = 0;  // v1: counted by the decoder
  int64_t time_ns = 0;    // the sender's monotonic clock, at capture for states and frames; v1: 0
  std::span<const uint8_t> payload;
};

// The largest messages that an end accepts or makes. A peer that announces more is cut off before
// memory is spent on it.
struct Limits {
  uint32_t state_bytes = 262144;
  uint32_t frame_bytes = 4194304;  // 1080p raw needs 6,220,816
};
inline constexpr uint32_t kStateBytesCeiling = 16u << 20;
inline constexpr uint32_t kFrameBytesCeiling = 256u << 20;
inline constexpr uint32_t kActionBytesMax = 1023;    // v1's, both directions of the check
inline constexpr uint32_t kControlBytesMax = 16384;  // HELLO, HELLO_ACK, RESET, PING, PONG, BYE

}  // namespace metabonk::link
