#include "link/hello.h"

#include <algorithm>

#include "link/bytes.h"
#include "link/state.h"

namespace metabonk::link {
namespace {

constexpr size_t kFixedBytes = 40;

}  // namespace

Status EncodeHello(const Hello& hello, std::span<uint8_t> room, size_t* size) {
  for (const std::string_view text : {hello.token, hello.ring, hello.name}) {
    if (text.size() > kHelloTextMax) {
      return {Code::kInvalidArgument, "token, ring, name", "at most 255 bytes each"};
    }
  }
  ByteWriter to(room);
  to.Put(hello.lowest_version);
  to.Put(hello.highest_version);
  to.Put(hello.capabilities);
  to.Put(hello.limits.state_bytes);
  to.Put(hello.limits.frame_bytes);
  to.Put(hello.width);
  to.Put(hello.height);
  to.Put(hello.rate);
  to.Put(uint16_t{0});
  to.Put(hello.machine);
  to.Put(uint64_t{0});
  for (const std::string_view text : {hello.token, hello.ring, hello.name}) to.String(text);
  *size = to.size();
  if (to.ok()) return Status::Ok();
  return {Code::kInvalidArgument, "room", "too small for HELLO; kHelloBytesMax holds any"};
}

Status DecodeHello(std::span<const uint8_t> payload, Hello* hello) {
  if (payload.size() < kFixedBytes) return {Code::kCorrupt, "HELLO", "is cut before its texts"};
  ByteReader from(payload);
  hello->lowest_version = from.Get<uint16_t>();
  hello->highest_version = from.Get<uint16_t>();
  hello->capabilities = from.Get<uint32_t>() & kCapabilities;
  hello->limits.state_bytes = from.Get<uint32_t>();
  hello->limits.frame_bytes = from.Get<uint32_t>();
  hello->width = from.Get<uint16_t>();
  hello->height = from.Get<uint16_t>();
  hello->rate = from.Get<uint16_t>();
  from.Get<uint16_t>();
  hello->machine = from.Get<uint64_t>();
  from.Get<uint64_t>();
  for (std::string_view* text : {&hello->token, &hello->ring, &hello->name}) {
    *text = from.String();
    if (!from.ok() || text->size() > kHelloTextMax) {
      return {Code::kCorrupt, "HELLO token, ring, name", "are cut or longer than 255 bytes"};
    }
  }
  return Status::Ok();
}

Status Negotiate(const Hello& offered, const Hello& asked, Hello* answer) {
  const uint16_t lowest = std::max(offered.lowest_version, asked.lowest_version);
  const uint16_t highest = std::min(offered.highest_version, asked.highest_version);
  if (lowest > highest) {
    return {Code::kVersionMismatch, "HELLO", "the two ends have no version in common"};
  }
  if (asked.limits.state_bytes < kStateBytesMax) {
    return {Code::kOutOfRange, "HELLO", "must take states of 24576 bytes, which any fits in"};
  }
  *answer = offered;
  answer->lowest_version = answer->highest_version = highest;
  answer->capabilities = offered.capabilities & asked.capabilities;
  answer->limits.state_bytes = std::min(offered.limits.state_bytes, asked.limits.state_bytes);
  answer->limits.frame_bytes = std::min(offered.limits.frame_bytes, asked.limits.frame_bytes);
  if (answer->width == 0) answer->width = asked.width;
  if (answer->height == 0) answer->height = asked.height;
  if (answer->rate == 0) answer->rate = asked.rate;
  answer->token = {};
  const bool together = offered.machine != 0 && offered.machine == asked.machine;
  if (!together || offered.ring.empty()) answer->capabilities &= ~uint32_t{kTakesRing};
  if (!(answer->capabilities & kTakesRing)) answer->ring = {};
  return Status::Ok();
}

bool SameToken(std::string_view a, std::string_view b) {
  unsigned different = a.size() != b.size();
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    different |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  }
  return different == 0;
}

}  // namespace metabonk::link
