// HELLO and HELLO_ACK: what two ends of v2 agree on. The agent says what it can take and asks for,
// the game answers with what it will send; a later HELLO replaces an earlier one. Knows the layout
// and how an answer follows from a question, no sockets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "link/message.h"
#include "metabonk/status.h"

namespace metabonk::link {

enum Capability : uint32_t {
  kTakesJpeg = 1u << 0,
  kTakesRgb = 1u << 1,
  kTakesRgba = 1u << 2,
  kTakesBottomUp = 1u << 3,  // raw rows from the bottom up
  kTakesExtra = 1u << 4,     // MBX2
  kTakesInput = 1u << 5,     // HINP
  kTakesStep = 1u << 6,      // STEP
  kTakesRing = 1u << 7,      // frames through a shared-memory ring
  kStepped = 1u << 8,        // the game waits for an action after each state (tick-locked)
  kResets = 1u << 9,         // RESET starts an episode
  kCapabilities = (1u << 10) - 1,
};

inline constexpr size_t kHelloTextMax = 255;  // bytes of token, ring and name each
inline constexpr size_t kHelloBytesMax = 40 + 3 * (2 + kHelloTextMax);

// Texts are views: of the caller's memory, or of the payload they were read from.
struct Hello {
  uint16_t lowest_version = kVersion2;
  uint16_t highest_version = kVersion2;
  uint32_t capabilities = 0;
  Limits limits = {};  // the largest that this end takes
  uint16_t width = 0;  // of frames: wished for by the agent, chosen by the game; 0: any
  uint16_t height = 0;
  uint16_t rate = 0;     // states per second; 0: any
  uint64_t machine = 0;  // equal on one machine, see machine.h; 0: unknown
  // The shared secret, agent to game only; the frame ring, game to agent only; program and version,
  // for logs.
  std::string_view token = {};  // NOLINT(readability-redundant-member-init)
  std::string_view ring = {};   // NOLINT(readability-redundant-member-init)
  std::string_view name = {};   // NOLINT(readability-redundant-member-init)
};

Status EncodeHello(const Hello& hello, std::span<uint8_t> room, size_t* size);
Status DecodeHello(std::span<const uint8_t> payload, Hello* hello);

// The answer of a game that could do `offered` to an agent that asks for `asked`: what both have,
// the smaller limits, the ring only if both take it and share a machine. kVersionMismatch if they
// have no version in common, kOutOfRange if the agent takes no whole states.
Status Negotiate(const Hello& offered, const Hello& asked, Hello* answer);

// Compares secrets in a time that depends on their lengths only.
bool SameToken(std::string_view a, std::string_view b);

}  // namespace metabonk::link
