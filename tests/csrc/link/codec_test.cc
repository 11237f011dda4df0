// The layouts of states, actions and control messages: golden vectors byte for byte, round trips,
// and what is refused.
#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "check.h"
#include "link/control.h"
#include "link/mbx2.h"
#include "link/states.h"

namespace metabonk::link {
namespace {

constexpr char kGoldenState[] =
    "0000803f0000004000004040000080400000a0400000c040000096420000c84200004841010000000000084761"
    "6d65706c617900000000";

// The bytes of two states, so that padding and what lies beyond the counts are compared too.
bool SameBytes(const GameState& a, const GameState& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

TEST(link_golden_state) {
  const Bytes golden = FromHex(kGoldenState);
  CHECK_EQ(golden.size(), size_t{55});
  GameState state;
  StateTrailers trailers;
  CHECK(DecodeState(golden, Axes::kOurs, &state, &trailers).ok());
  CHECK_EQ(state.position[0], 1.0f);
  CHECK_EQ(state.position[1], 2.0f);
  CHECK_EQ(state.position[2], 3.0f);
  CHECK_EQ(state.velocity[2], 6.0f);
  CHECK_EQ(state.health, 75.0f);
  CHECK_EQ(state.max_health, 100.0f);
  CHECK_EQ(state.time, 12.5);
  CHECK_EQ(state.playing, 1);
  CHECK_EQ(state.paused, 0);
  CHECK_EQ(state.entity_count, 0);
  CHECK_EQ(state.offer_count, 0);
  CHECK_EQ(std::string(state.menu), std::string("Gameplay"));
  CHECK_EQ(state.fields, uint32_t{kHasPlayer | kHasEntities | kHasMenu | kHasOffers});
  CHECK(!trailers.extra && !trailers.input && !trailers.announcement);
  CHECK(EncodedState(state, {}) == golden);
}

TEST(link_golden_actions) {
  Action action = NoAction();
  action.move[0] = 0.5f, action.move[1] = -1.0f, action.fire = 1.0f;
  Bytes room(kActionV1BytesMax);
  size_t size = 0;
  uint32_t lost = 0;
  CHECK(EncodeActionV1(action, nullptr, {320, 180}, room, &size, &lost).ok());
  CHECK(Bytes(room.begin(), room.begin() + static_cast<long>(size)) ==
        FromHex("0000003f000080bf000000000000000001000000"));
  action.fire = 0.0f, action.interact = 1.0f;
  action.click[0] = 160.5f / 320.0f, action.click[1] = 1.0f - 90.5f / 180.0f;
  CHECK(EncodeActionV1(action, nullptr, {320, 180}, room, &size, &lost).ok());
  const Bytes golden = FromHex("0000003f000080bf000000000000000000000101a00000005a000000");
  CHECK(Bytes(room.begin(), room.begin() + static_cast<long>(size)) == golden);
  CHECK_EQ(lost, 0u);
  Action back;
  CHECK(DecodeActionV1(golden, {320, 180}, &back).ok());
  CHECK_NEAR(back.click[0], action.click[0], 1e-6);
  CHECK_NEAR(back.click[1], action.click[1], 1e-6);
  CHECK(back.interact == 1.0f && back.fire == 0.0f && back.move[1] == -1.0f);
}

TEST(link_states_with_mbx2_are_equal_bit_for_bit) {
  const auto state = std::make_unique<GameState>(), back = std::make_unique<GameState>();
  for (const int things : {0, 1, 7, 40, 300}) {
    FillState(things, state.get());
    StateTrailers trailers{.extra = true}, got;
    trailers.input = {{0.5f, -1.0f}, {0.25f, 0.0f}, 1, 0, 1, 0, {0.125f, 0.75f}};
    trailers.announcement = {2, 2, kCapabilities};
    trailers.step = {1.5f, 1, 0, 1, 99, 3, 2.75};
    const Bytes bytes = EncodedState(*state, trailers);
    CHECK(bytes.size() > 0 && bytes.size() <= kStateBytesMax);
    CHECK(DecodeState(bytes, Axes::kUnity, back.get(), &got).ok());
    CHECK(SameBytes(*state, *back));
    CHECK(got.extra && got.input && got.announcement && got.step);
    CHECK_EQ(got.input->click[1], 0.75f);
    CHECK_EQ(got.announcement->capabilities, uint32_t{kCapabilities});
    CHECK_EQ(got.step->action_sequence, uint64_t{99});
    CHECK_EQ(got.step->truncated, 1);
    CHECK_EQ(got.step->returned, 2.75);
    // Without the trailer the difference is seen: the comparison is none that always holds.
    CHECK(DecodeState(EncodedState(*state, {}), Axes::kOurs, back.get(), &got).ok());
    CHECK(!SameBytes(*state, *back));
  }
}

TEST(link_every_field_of_mbx2_is_on_the_wire) {
  const auto state = std::make_unique<GameState>(), back = std::make_unique<GameState>();
  FillState(3, state.get());
  const Bytes before = EncodedState(*state, {.extra = true});
  for (size_t at = 0; at < sizeof(GameState); ++at) {
    FillState(3, state.get());
    auto* bytes = reinterpret_cast<uint8_t*>(state.get());
    bytes[at] ^= 2;  // stays a valid state wherever it is: counts of 3 become 1
    const Bytes after = EncodedState(*state, {.extra = true});
    StateTrailers trailers;
    if (!DecodeState(after, Axes::kOurs, back.get(), &trailers).ok()) continue;
    if (after != before) continue;
    // What changed nothing on the wire must be padding, a flag's second bit or beyond the counts.
    std::memcpy(static_cast<void*>(back.get()), state.get(), sizeof *back);
    FillState(3, state.get());
    const auto in = [at](size_t from, size_t size) { return at >= from && at < from + size; };
    const bool beyond = at >= offsetof(GameState, entities);
    const bool text = in(offsetof(GameState, menu), kTextBytes);
    const bool flag = in(offsetof(GameState, grounded), 3);
    const bool spare =
        in(offsetof(GameState, reserved), 1) || in(offsetof(GameState, fields) + 1, 3);
    CHECK(beyond || text || flag || spare);
  }
}

TEST(link_unity_axes_are_swapped_and_back) {
  const auto state = std::make_unique<GameState>(), back = std::make_unique<GameState>();
  FillState(2, state.get());
  StateTrailers trailers;
  const Bytes unity = EncodedState(*state, {}, Axes::kUnity);
  CHECK(DecodeState(unity, Axes::kOurs, back.get(), &trailers).ok());
  CHECK_EQ(back->position[1], state->position[2]);
  CHECK_EQ(back->entities[1].position[1], state->entities[1].position[2]);
  CHECK(DecodeState(unity, Axes::kUnity, back.get(), &trailers).ok());
  CHECK_EQ(back->position[1], state->position[1]);
  CHECK_EQ(back->velocity[2], state->velocity[2]);
  CHECK_EQ(back->entities[1].position[1], state->entities[1].position[1]);
}

TEST(link_long_lists_and_texts_are_cut) {
  GameState state{};
  StateTrailers trailers;
  Bytes bytes(38, 0);
  Append(int32_t{300}, &bytes);
  for (int i = 0; i < 300; ++i) {
    for (const float f : {1.0f, 2.0f, 3.0f, static_cast<float>(i)}) Append(f, &bytes);
  }
  const std::string menu(200, 'm');
  bytes.insert(bytes.end(), {200, 1});  // 7 bits each, low ones first
  for (const char c : menu) bytes.push_back(static_cast<uint8_t>(c));
  Append(int32_t{12}, &bytes);
  for (int i = 0; i < 12; ++i) bytes.insert(bytes.end(), {1, static_cast<uint8_t>('a' + i)});
  CHECK(DecodeState(bytes, Axes::kOurs, &state, &trailers).ok());
  CHECK_EQ(state.entity_count, kMaxEntities);
  CHECK_EQ(state.entities[255].health, 255.0f);
  CHECK_EQ(std::string(state.menu), std::string(kTextBytes - 1, 'm'));
  CHECK_EQ(state.offer_count, kMaxOffers);
  CHECK_EQ(std::string(state.offers[7].text), std::string("h"));
  CHECK_EQ(trailers.cut.others, 300u - kMaxEntities);
  CHECK_EQ(trailers.cut.offers, 12u - kMaxOffers);
  state.offer_count = 0;
  CHECK(DecodeState(EncodedState(state, {}), Axes::kOurs, &state, &trailers).ok());
  CHECK_EQ(trailers.cut.all(), 0u);  // of this state, not of the one before
}

// A state with three enemies, `offers` texts in v1's part, and MBX2's lists with so many rows.
Bytes StateOf(uint8_t offers, uint16_t pickups, uint16_t widgets, uint16_t told) {
  const auto state = std::make_unique<GameState>();
  FillState(3, state.get());
  state->pickup_count = state->widget_count = state->offer_count = 0;
  Bytes bytes = EncodedState(*state, {});
  bytes.resize(bytes.size() - sizeof(int32_t));
  Append(int32_t{offers}, &bytes);
  for (int i = 0; i < offers; ++i) AppendAll({1, 'a'}, &bytes);
  Bytes payload(kStateBytesMax);
  ByteWriter to(payload);
  EncodeMbx2(*state, &to);
  payload.resize(to.size() - 3 * 4);  // of three lists nothing but their heads is there
  const auto list = [&](uint16_t count, size_t stride) {
    Append(count, &payload);
    Append(static_cast<uint16_t>(stride), &payload);
    payload.resize(payload.size() + count * stride);
  };
  list(pickups, kMbx2PickupBytes);
  list(widgets, kMbx2WidgetBytes);
  list(told, kMbx2OfferBytes);
  Append(kTagExtra, &bytes);
  Append(kMbx2Version, &bytes);
  Append(static_cast<int32_t>(payload.size()), &bytes);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

TEST(link_rows_of_mbx2_that_have_no_room_are_counted_once) {
  const auto state = std::make_unique<GameState>();
  StateTrailers trailers;
  const auto cut = [&](const Bytes& bytes) {
    CHECK(DecodeState(bytes, Axes::kOurs, state.get(), &trailers).ok());
    CHECK(trailers.extra);
    return trailers.cut;
  };
  CHECK_EQ(cut(StateOf(8, 128, 32, 8)).all(), 0u);
  CHECK_EQ(cut(StateOf(0, 130, 32, 0)).others, 2u);
  CHECK_EQ(cut(StateOf(0, 0, 33, 0)).others, 1u);
  CHECK_EQ(cut(StateOf(12, 0, 0, 12)).all(), 4u);  // the same offers twice
  CHECK_EQ(cut(StateOf(12, 0, 0, 8)).offers, 4u);  // their details alone had been cut before
  CHECK_EQ(cut(StateOf(0, 0, 0, 9)).offers, 1u);
}

TEST(link_texts_end_between_characters) {
  Text text;
  CopyText(std::string(46, 'x') + "\xC3\xA4", text);  // the letter would end at byte 48
  CHECK_EQ(std::string(text), std::string(46, 'x'));
  CopyText(std::string_view("a\0b", 3), text);
  CHECK_EQ(std::string(text), std::string("a"));
  CopyText({}, text);
  CHECK_EQ(text[0], '\0');
}

TEST(link_an_empty_menu_is_none) {
  GameState state{};
  StateTrailers trailers;
  CHECK(DecodeState(EncodedState(state, {}), Axes::kOurs, &state, &trailers).ok());
  CHECK_EQ(std::string(state.menu), std::string("None"));
}

TEST(link_unknown_trailers_and_leftovers_are_passed_over) {
  const auto state = std::make_unique<GameState>(), back = std::make_unique<GameState>();
  FillState(2, state.get());
  const Bytes v1 = EncodedState(*state, {});
  const Bytes whole = EncodedState(*state, {.extra = true});
  Bytes bytes = v1;
  AppendAll({'X', 'Y', 'Z', '9', 7, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3}, &bytes);
  bytes.insert(bytes.end(), whole.begin() + static_cast<long>(v1.size()), whole.end());
  AppendAll({1, 2, 3, 4, 5}, &bytes);
  StateTrailers trailers;
  CHECK(DecodeState(bytes, Axes::kOurs, back.get(), &trailers).ok());
  CHECK(trailers.extra && SameBytes(*state, *back));
  Bytes noise = v1;
  AppendAll({'X', 'Y', 'Z', '9', 7, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF}, &noise);
  CHECK(DecodeState(noise, Axes::kOurs, back.get(), &trailers).ok());
}

TEST(link_mbx2_of_a_later_version_is_read) {
  // A fixed part and rows that are longer by what a later version appended.
  const auto state = std::make_unique<GameState>(), back = std::make_unique<GameState>();
  FillState(3, state.get());
  Bytes payload(kStateBytesMax);
  ByteWriter to(payload);
  EncodeMbx2(*state, &to);
  payload.resize(to.size());
  const auto insert = [&](size_t at, size_t count) {
    payload.insert(payload.begin() + static_cast<long>(at), count, uint8_t{0xEE});
  };
  const auto set = [&](size_t at, uint16_t value) { std::memcpy(&payload[at], &value, 2); };
  insert(kMbx2FixedBytes, 4);
  set(4, kMbx2FixedBytes + 4);
  const size_t enemies = kMbx2FixedBytes + 4;
  set(enemies + 2, kMbx2EnemyBytes + 2);
  for (size_t i = 3; i >= 1; --i) insert(enemies + 4 + i * kMbx2EnemyBytes, 2);
  *back = *state;
  CutRows cut;
  CHECK(DecodeMbx2(payload, back.get(), &cut).ok());
  CHECK_EQ(cut.all(), 0u);
  CHECK(SameBytes(*state, *back));
}

TEST(link_what_cannot_be_read_is_named) {
  const auto state = std::make_unique<GameState>();
  FillState(2, state.get());
  const Bytes whole = EncodedState(*state, {.extra = true});
  GameState back;
  StateTrailers trailers;
  const size_t v1 = EncodedState(*state, {}).size();
  size_t refused = 0;
  for (size_t size = 0; size < whole.size(); ++size) {  // cut anywhere
    const Status status = DecodeState({whole.data(), size}, Axes::kOurs, &back, &trailers);
    refused += !status.ok();
    if (size < v1) CHECK(!status.ok() && status.where[0] != '\0' && status.what[0] != '\0');
  }
  CHECK(refused > v1 && refused < whole.size());
  Bytes negative = whole;
  const int32_t count = -1;
  std::memcpy(&negative[38], &count, sizeof count);
  CHECK_EQ(std::string(DecodeState(negative, Axes::kOurs, &back, &trailers).where),
           std::string("enemy count"));
  const int32_t huge = std::numeric_limits<int32_t>::max();
  std::memcpy(&negative[38], &huge, sizeof huge);
  CHECK(!DecodeState(negative, Axes::kOurs, &back, &trailers).ok());
  Bytes fewer = whole;
  const uint16_t rows = 1;  // of enemies in MBX2, where the state has two
  std::memcpy(&fewer[v1 + 12 + kMbx2FixedBytes], &rows, sizeof rows);
  CHECK_EQ(std::string(DecodeState(fewer, Axes::kOurs, &back, &trailers).where),
           std::string("MBX2.enemy"));
}

TEST(link_choices_become_clicks_in_v1) {
  const auto state = std::make_unique<GameState>();
  FillState(4, state.get());
  Bytes room(kActionV1BytesMax);
  size_t size = 0;
  uint32_t lost = 0;
  Action action = NoAction(), back;
  action.choice = 3.0f;
  CHECK(EncodeActionV1(action, state.get(), {200, 80}, room, &size, &lost).ok());
  CHECK_EQ(size, kActionV1BytesMax);
  CHECK(DecodeActionV1({room.data(), size}, {200, 80}, &back).ok());
  CHECK_NEAR(back.click[0], 0.5f, 0.006f);
  CHECK_NEAR(back.click[1], 0.5625f, 0.014f);
  CHECK_EQ(lost, 0u);
  action.choice = 2.0f;  // a widget that is not enabled
  CHECK(EncodeActionV1(action, state.get(), {200, 80}, room, &size, &lost).ok());
  CHECK_EQ(lost, 1u);
  CHECK_EQ(size, size_t{20});
  action = NoAction();
  action.jump = action.slide = 1.0f, action.click[0] = action.click[1] = 0.5f;
  CHECK(EncodeActionV1(action, nullptr, {}, room, &size, &lost).ok());
  CHECK_EQ(lost, 4u);  // jump, slide, and a click into no picture
  action = NoAction();
  action.choice = std::nanf(""), action.click[0] = 2.0f, action.click[1] = 7.0f;
  CHECK(EncodeActionV1(action, state.get(), {200, 80}, room, &size, &lost).ok());
  CHECK(DecodeActionV1({room.data(), size}, {200, 80}, &back).ok());
  CHECK(back.click[0] < 1.0f && back.click[1] < 1.0f && back.click[1] > 0.9f);
}

TEST(link_actions_of_v2_are_rows) {
  Action action = NoAction(), back;
  action.move[1] = -1.0f, action.choice = 3.0f, action.click[0] = 0.25f;
  Bytes room(kActionV2Bytes);
  size_t size = 0;
  uint64_t answers = 0;
  CHECK(EncodeActionV2(action, 77, room, &size).ok());
  CHECK_EQ(size, size_t{56});
  CHECK(DecodeActionV2(room, &back, &answers).ok());
  CHECK_EQ(answers, uint64_t{77});
  CHECK(std::memcmp(&back, &action, sizeof back) == 0);
  CHECK(!DecodeActionV2({room.data(), size - 1}, &back, &answers).ok());
}

TEST(link_hello_round_trips_and_is_negotiated) {
  const Hello asked{.capabilities = kTakesRgb | kTakesRing | kTakesExtra,
                    .limits = {30000, 5000},
                    .width = 320,
                    .machine = 7,
                    .token = "secret",
                    .name = "agent"};
  Bytes room(kHelloBytesMax);
  size_t size = 0;
  CHECK(EncodeHello(asked, room, &size).ok());
  Hello back;
  CHECK(DecodeHello({room.data(), size}, &back).ok());
  CHECK_EQ(back.capabilities, asked.capabilities);
  CHECK_EQ(back.limits.frame_bytes, 5000u);
  CHECK(back.token == "secret" && back.name == "agent" && back.ring.empty());
  for (size_t cut = 0; cut < size; ++cut) CHECK(!DecodeHello({room.data(), cut}, &back).ok());
  Hello offered{
      .capabilities = kCapabilities, .width = 640, .machine = 7, .ring = "r1", .name = "game"};
  Hello answer;
  CHECK(Negotiate(offered, asked, &answer).ok());
  CHECK_EQ(answer.capabilities, asked.capabilities);
  CHECK_EQ(answer.limits.state_bytes, 30000u);
  CHECK_EQ(answer.width, 640);
  CHECK(answer.ring == "r1" && answer.token.empty());
  offered.machine = 8;  // another machine has no ring to offer
  CHECK(Negotiate(offered, asked, &answer).ok());
  CHECK(answer.ring.empty() && !(answer.capabilities & kTakesRing));
  Hello narrow = asked;
  narrow.limits.state_bytes = 24575;
  CHECK(Negotiate(offered, narrow, &answer).code == Code::kOutOfRange);
  offered.lowest_version = offered.highest_version = 3;
  CHECK(Negotiate(offered, asked, &answer).code == Code::kVersionMismatch);
  CHECK(SameToken("abc", "abc") && SameToken("", ""));
  CHECK(!SameToken("abc", "abd") && !SameToken("abc", "ab") && !SameToken("", "x"));
}

TEST(link_control_messages_round_trip) {
  Bytes room(kByeBytesMax);
  size_t size = 0;
  ResetMessage reset;
  CHECK(EncodeReset({.seed = 5, .has_seed = true}, room, &size).ok());
  CHECK_EQ(size, kResetBytes);
  CHECK(DecodeReset({room.data(), size}, &reset).ok() && reset.seed == 5 && reset.has_seed);
  CHECK(!DecodeReset({room.data(), size - 1}, &reset).ok());
  Pong pong;
  CHECK(EncodePong({1, 2, 3}, room, &size).ok());
  CHECK_EQ(size, kPongBytes);
  CHECK(DecodePong({room.data(), size}, &pong).ok() && pong.ping_ns == 2 && pong.received_ns == 3);
  Bye bye;
  const std::string text(400, 'x');
  CHECK(EncodeBye({ByeReason::kToken, text}, room, &size).ok());
  CHECK(DecodeBye({room.data(), size}, &bye).ok() && bye.reason == ByeReason::kToken);
  CHECK_EQ(bye.text.size(), kByeTextMax);
}

}  // namespace
}  // namespace metabonk::link
