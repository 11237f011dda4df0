#include "link/control.h"

#include "link/bytes.h"

namespace metabonk::link {
namespace {

constexpr uint32_t kHasSeed = 1;

Status Written(const ByteWriter& to, size_t* size) {
  *size = to.size();
  if (to.ok()) return Status::Ok();
  return {Code::kInvalidArgument, "room", "too small for the message"};
}

Status Read(const ByteReader& from, const char* type) {
  return from.ok() ? Status::Ok() : Status{Code::kCorrupt, type, "is cut"};
}

}  // namespace

Status EncodeReset(const ResetMessage& reset, std::span<uint8_t> room, size_t* size) {
  ByteWriter to(room);
  to.Put(reset.has_seed ? reset.seed : uint64_t{0});
  to.Put(reset.has_seed ? kHasSeed : 0u);
  return Written(to, size);
}

Status DecodeReset(std::span<const uint8_t> payload, ResetMessage* reset) {
  ByteReader from(payload);
  reset->seed = from.Get<uint64_t>();
  reset->has_seed = (from.Get<uint32_t>() & kHasSeed) != 0;
  return Read(from, "RESET");
}

Status EncodePong(const Pong& pong, std::span<uint8_t> room, size_t* size) {
  ByteWriter to(room);
  to.Put(pong.ping_sequence);
  to.Put(pong.ping_ns);
  to.Put(pong.received_ns);
  return Written(to, size);
}

Status DecodePong(std::span<const uint8_t> payload, Pong* pong) {
  ByteReader from(payload);
  pong->ping_sequence = from.Get<uint64_t>();
  pong->ping_ns = from.Get<int64_t>();
  pong->received_ns = from.Get<int64_t>();
  return Read(from, "PONG");
}

const char* ByeText(ByeReason reason) {
  switch (reason) {
    case ByeReason::kLeaving:
      return "it is leaving";
    case ByeReason::kReplaced:
      return "a newer connection took its place";
    case ByeReason::kToken:
      return "the token is wrong or missing";
    case ByeReason::kProtocol:
      return "what it was sent is no BonkLink";
    case ByeReason::kVersion:
      return "the two ends have no version in common";
    case ByeReason::kIdle:
      return "it heard nothing for too long";
    default:
      return "for a reason that is not known here";
  }
}

Status ByeError(ByeReason reason) {
  switch (reason) {
    case ByeReason::kToken:
      return {Code::kUnavailable, "token", "the game refused it: it is wrong or missing"};
    case ByeReason::kVersion:
      return {Code::kVersionMismatch, "protocol",
              "the game and this end have no version in common"};
    case ByeReason::kReplaced:
      // To connect again would push out whoever came after us, who would do the same.
      return {Code::kUnavailable, "connection", "a newer agent took this one's place"};
    default:
      return Status::Ok();
  }
}

Status EncodeBye(const Bye& bye, std::span<uint8_t> room, size_t* size) {
  ByteWriter to(room);
  to.Put(static_cast<uint16_t>(bye.reason));
  to.String(bye.text.substr(0, kByeTextMax));
  return Written(to, size);
}

Status DecodeBye(std::span<const uint8_t> payload, Bye* bye) {
  ByteReader from(payload);
  bye->reason = static_cast<ByeReason>(from.Get<uint16_t>());
  bye->text = from.String();
  return Read(from, "BYE");
}

}  // namespace metabonk::link
