// The decoder: the same messages however the bytes are cut, bounded memory, errors that stay.
#include <algorithm>
#include <limits>
#include <string>

#include "check.h"
#include "link/states.h"

namespace metabonk::link {
namespace {

struct Seen {
  MessageType type;
  uint16_t version;
  uint64_t sequence;
  Bytes payload;
  bool operator==(const Seen&) const = default;
};

// Feeds in pieces of `piece` bytes and collects what comes out; stops at an error.
Status Read(Decoder* decoder, const Bytes& bytes, size_t piece, std::vector<Seen>* seen) {
  for (size_t at = 0; at < bytes.size();) {
    const size_t size = std::min(piece, bytes.size() - at);
    const size_t fed = decoder->Feed({bytes.data() + at, size});
    at += fed;
    CHECK(fed > 0);
    if (fed == 0) break;
    for (;;) {
      Message m;
      const Status status = decoder->Next(&m);
      if (!status.ok()) return status;
      if (m.type == MessageType::kNone) break;
      seen->push_back({m.type, m.version, m.sequence, {m.payload.begin(), m.payload.end()}});
    }
  }
  return Status::Ok();
}

Bytes Stream() {
  Bytes bytes;
  AppendTick({1, 2, 3}, {}, &bytes);
  AppendTick({4}, {9, 9, 9, 9, 9}, &bytes);
  AppendV2(MessageType::kHelloAck, 1, Bytes(40, 7), &bytes);
  AppendV2(MessageType::kFrame, 3, Bytes(200000, 8), &bytes);
  AppendV2(static_cast<MessageType>(77), 1, {1, 2}, &bytes);  // from the future
  AppendV2(MessageType::kState, 3, {5, 6}, &bytes);
  return bytes;
}

TEST(link_decoder_is_the_same_for_any_cut) {
  const Bytes bytes = Stream();
  std::vector<Seen> whole;
  Decoder first(Sender::kGame, Protocol::kAuto, {});
  CHECK(Read(&first, bytes, bytes.size(), &whole).ok());
  CHECK_EQ(whole.size(), size_t{6});
  CHECK_EQ(first.unknown(), uint64_t{1});
  const MessageType types[] = {MessageType::kState,    MessageType::kFrame, MessageType::kState,
                               MessageType::kHelloAck, MessageType::kFrame, MessageType::kState};
  for (size_t i = 0; i < whole.size(); ++i) CHECK_EQ(whole[i].type, types[i]);
  CHECK_EQ(whole[1].sequence, uint64_t{2});  // a frame has its tick's number
  CHECK_EQ(whole[2].sequence, uint64_t{2});
  CHECK(whole[2].payload == Bytes{4});
  CHECK_EQ(whole[4].payload.size(), size_t{200000});
  CHECK_EQ(whole[5].version, kVersion2);
  for (const size_t piece : {1, 2, 3, 5, 27, 28, 29, 4096, 65536, 65537}) {
    std::vector<Seen> seen;
    Decoder decoder(Sender::kGame, Protocol::kAuto, {});
    CHECK(Read(&decoder, bytes, piece, &seen).ok());
    CHECK(seen == whole);
  }
}

TEST(link_decoder_reads_actions) {
  Bytes bytes;
  Append(int32_t{20}, &bytes);
  AppendAll(FromHex("0000003f000080bf000000000000000001000000"), &bytes);
  AppendV2(MessageType::kHello, 0, Bytes(43, 0), &bytes);
  AppendV2(MessageType::kAction, 9, Bytes(kActionV2Bytes, 0), &bytes);
  std::vector<Seen> seen;
  Decoder decoder(Sender::kAgent, Protocol::kAuto, {});
  CHECK(Read(&decoder, bytes, 7, &seen).ok());
  CHECK_EQ(seen.size(), size_t{3});
  CHECK_EQ(seen[0].payload.size(), size_t{20});
  CHECK_EQ(seen[2].sequence, uint64_t{9});
}

TEST(link_a_promise_costs_no_memory) {
  Decoder decoder(Sender::kGame, Protocol::kV1, {.frame_bytes = 64 << 20});
  Bytes bytes;
  AppendTick({1}, {}, &bytes);
  const int32_t promised = 64 << 20;
  std::memcpy(bytes.data() + bytes.size() - 4, &promised, 4);
  std::vector<Seen> seen;
  CHECK(Read(&decoder, bytes, 1, &seen).ok());
  CHECK(decoder.capacity() <= 1 << 16);
  CHECK(Read(&decoder, Bytes(300000, 0), 4096, &seen).ok());
  CHECK(seen.empty());
  CHECK(decoder.capacity() <= 1 << 20);  // as bytes come
  CHECK(decoder.capacity() <= decoder.capacity_max());
}

TEST(link_decoder_allocates_no_more_once_warm) {
  Decoder decoder(Sender::kGame, Protocol::kV1, {});
  Bytes bytes;
  AppendTick(Bytes(500, 1), Bytes(100000, 2), &bytes);
  Message m;
  const auto once = [&] {
    int states = 0;
    for (size_t at = 0; at < bytes.size();) {
      at += decoder.Feed({bytes.data() + at, std::min<size_t>(5000, bytes.size() - at)});
      while (decoder.Next(&m).ok() && m.type != MessageType::kNone) {
        states += m.type == MessageType::kState;
      }
    }
    return states;
  };
  once();
  once();
  const size_t before = check::Allocations();
  int states = 0;
  for (int i = 0; i < 50; ++i) states += once();
  CHECK_EQ(check::Allocations() - before, size_t{0});
  CHECK_EQ(states, 50);
}

void Refused(Sender sender, Protocol protocol, const Bytes& bytes, Code code) {
  for (const size_t piece : {size_t{1}, bytes.size()}) {
    Decoder decoder(sender, protocol, {});
    std::vector<Seen> seen;
    const Status status = Read(&decoder, bytes, piece, &seen);
    CHECK(status.code == code);
    Message m;
    CHECK(decoder.Next(&m).code == code);  // for good
    decoder.Reset();
    CHECK(decoder.Next(&m).ok());
  }
}

TEST(link_decoder_refuses) {
  const auto length = [](int32_t n) {
    Bytes bytes;
    Append(n, &bytes);
    return bytes;
  };
  for (const int32_t n : {0, -1, 262145, std::numeric_limits<int32_t>::min()}) {
    Refused(Sender::kGame, Protocol::kV1, length(n), Code::kCorrupt);
  }
  for (const int32_t n : {0, -5, 1024}) {
    Refused(Sender::kAgent, Protocol::kAuto, length(n), Code::kCorrupt);
  }
  Bytes frame;
  AppendTick({1}, {}, &frame);
  for (const int32_t n : {-1, 4194305}) {
    std::memcpy(frame.data() + frame.size() - 4, &n, 4);
    Refused(Sender::kGame, Protocol::kAuto, frame, Code::kCorrupt);
  }
  Bytes hello, state;
  AppendV2(MessageType::kHello, 1, Bytes(43, 0), &hello);
  AppendV2(MessageType::kState, 1, {1}, &state);
  Refused(Sender::kAgent, Protocol::kV1, hello, Code::kVersionMismatch);
  Refused(Sender::kAgent, Protocol::kV2, length(20), Code::kVersionMismatch);
  Refused(Sender::kAgent, Protocol::kAuto, state, Code::kCorrupt);  // an agent sends no states
  Refused(Sender::kGame, Protocol::kAuto, hello, Code::kCorrupt);
  Bytes later = state;
  later[4] = 3;
  Refused(Sender::kGame, Protocol::kAuto, later, Code::kVersionMismatch);
  Bytes nothing = state;
  nothing[6] = 0;
  Refused(Sender::kGame, Protocol::kAuto, nothing, Code::kCorrupt);
  Bytes large = state;
  large[8] = large[9] = large[10] = 0xFF;
  Refused(Sender::kGame, Protocol::kAuto, large, Code::kCorrupt);
  Bytes back = state;  // v1 after v2
  AppendTick({1}, {}, &back);
  AppendAll(Bytes(28, 0), &back);
  Refused(Sender::kGame, Protocol::kAuto, back, Code::kCorrupt);
}

}  // namespace
}  // namespace metabonk::link
