// RESET, PING, PONG and BYE of v2. Knows their layouts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "metabonk/status.h"

namespace metabonk::link {

// Starts an episode. seed counts only if has_seed.
struct ResetMessage {
  uint64_t seed = 0;
  bool has_seed = false;
};
inline constexpr size_t kResetBytes = 12;  // u64 seed | u32 flags: 1 has_seed
Status EncodeReset(const ResetMessage& reset, std::span<uint8_t> room, size_t* size);
Status DecodeReset(std::span<const uint8_t> payload, ResetMessage* reset);

// PING has no payload; its header's time is when it left. PONG says what it answers, and its
// header's time is when it left: with the time of arrival these are the four of NTP.
struct Pong {
  uint64_t ping_sequence = 0;
  int64_t ping_ns = 0;      // the PING's header's time, on the asking end's clock
  int64_t received_ns = 0;  // when the PING arrived, on the answering end's clock
};
inline constexpr size_t kPongBytes = 24;
Status EncodePong(const Pong& pong, std::span<uint8_t> room, size_t* size);
Status DecodePong(std::span<const uint8_t> payload, Pong* pong);

enum class ByeReason : uint16_t {
  kLeaving = 0,
  kReplaced = 1,  // a newer connection took its place
  kToken = 2,     // wrong or missing token
  kProtocol = 3,  // what the other end sent was no BonkLink
  kVersion = 4,   // no version in common
  kIdle = 5,      // nothing was heard for too long
  kCount = 6,
};
const char* ByeText(ByeReason reason);
// Of a game's BYE: what no new attempt of its agent will mend, or OK.
Status ByeError(ByeReason reason);

struct Bye {
  ByeReason reason = ByeReason::kLeaving;
  std::string_view text;  // for people; a view of the payload
};
inline constexpr size_t kByeTextMax = 255;
inline constexpr size_t kByeBytesMax = 2 + 2 + kByeTextMax;
Status EncodeBye(const Bye& bye, std::span<uint8_t> room, size_t* size);
Status DecodeBye(std::span<const uint8_t> payload, Bye* bye);

}  // namespace metabonk::link
