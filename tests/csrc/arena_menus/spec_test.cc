#include "games/arena/spec.h"

#include <cmath>
#include <cstring>
#include <string>

#include "arena_menus/run.h"
#include "check.h"
#include "games/arena/environment.h"

namespace metabonk::arena {
namespace {

void SetElement(LevelSpec* spec, const SpecField& field, uint32_t index, double value) {
  auto* bytes = reinterpret_cast<unsigned char*>(spec) + field.offset;
  if (field.type == 'B') {
    bytes[index] = static_cast<uint8_t>(value);
  } else if (field.type == 'I') {
    const auto whole = static_cast<uint32_t>(value);
    std::memcpy(bytes + index * sizeof whole, &whole, sizeof whole);
  } else {
    const auto real = static_cast<float>(value);
    std::memcpy(bytes + index * sizeof real, &real, sizeof real);
  }
}

bool Representable(const SpecField& field, double value) {
  if (field.type == 'B') return value >= 0.0 && value <= 255.0;
  if (field.type == 'I') return value >= 0.0 && value <= 4294967295.0;
  return true;
}

TEST(arena_spec_default_is_valid) {
  const Status status = Validate(DefaultSpec());
  CHECK(status.ok());
}

TEST(arena_spec_fields_cover_the_struct) {
  uint32_t end = 0;
  for (const SpecField& field : SpecFields()) {
    CHECK_EQ(field.offset, end);
    end += field.count * (field.type == 'B' ? 1 : 4);
    CHECK(field.low <= field.high);
  }
  CHECK_EQ(end, static_cast<uint32_t>(sizeof(LevelSpec)));
}

TEST(arena_spec_refuses_each_field_outside_its_range_by_name) {
  int refused = 0;
  for (const SpecField& field : SpecFields()) {
    const double step = field.type == 'f' ? 0.01 * (field.high - field.low) : 1.0;
    for (const double value : {field.low - step, field.high + step}) {
      if (!Representable(field, value)) continue;
      for (const uint32_t index : {0u, field.count - 1}) {
        LevelSpec spec = DefaultSpec();
        SetElement(&spec, field, index, value);
        const Status status = Validate(spec);
        CHECK(!status.ok());
        CHECK_EQ(std::string(status.where), std::string(field.name));
        CHECK(status.what[0] != '\0');
        ++refused;
      }
    }
  }
  CHECK(refused > 100);
}

TEST(arena_spec_refuses_what_is_no_number) {
  for (const SpecField& field : SpecFields()) {
    if (field.type != 'f') continue;
    for (const double value : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
      LevelSpec spec = DefaultSpec();
      SetElement(&spec, field, field.count - 1, value);
      CHECK_EQ(std::string(Validate(spec).where), std::string(field.name));
    }
  }
}

TEST(arena_spec_accepts_the_bounds) {
  for (const SpecField& field : SpecFields()) {
    for (const double value : {field.low, field.high}) {
      LevelSpec spec = DefaultSpec();
      SetElement(&spec, field, 0, value);
      const Status status = Validate(spec);
      if (status.ok()) continue;
      // Only what binds fields to each other may still refuse.
      CHECK(status.code == Code::kInvalidArgument ||
            field.offset == offsetof(LevelSpec, start_weapon_level));
    }
  }
}

void CheckRefused(const LevelSpec& spec, Code code, const char* where) {
  const Status status = Validate(spec);
  CHECK(status.code == code);
  CHECK_EQ(std::string(status.where), std::string(where));
}

TEST(arena_spec_refuses_fields_that_contradict_each_other) {
  LevelSpec spec = DefaultSpec();
  spec.skip_min = 5;
  CheckRefused(spec, Code::kInvalidArgument, "skip_min");
  spec = DefaultSpec();
  spec.max_enemies = 10;
  spec.start_enemies = 11;
  CheckRefused(spec, Code::kInvalidArgument, "start_enemies");
  spec = DefaultSpec();
  spec.start_weapons[2] = spec.start_weapons[6] = 1;
  CheckRefused(spec, Code::kInvalidArgument, "start_weapons");
  spec = DefaultSpec();
  for (int i = 0; i < 5; ++i) spec.start_weapons[i] = static_cast<uint8_t>(i + 1);
  CheckRefused(spec, Code::kInvalidArgument, "start_weapons");
  spec = DefaultSpec();
  spec.start_weapon_level = 50;
  CheckRefused(spec, Code::kOutOfRange, "start_weapon_level");
  spec = DefaultSpec();
  ++spec.version;
  CheckRefused(spec, Code::kVersionMismatch, "version");
  spec = DefaultSpec();
  --spec.bytes;
  CheckRefused(spec, Code::kVersionMismatch, "bytes");
}

TEST(arena_spec_says_whether_the_end_of_time_truncates) {
  for (const uint8_t truncates : {uint8_t{0}, uint8_t{1}}) {
    LevelSpec spec = Quiet();
    spec.duration = 1.0f;
    spec.truncate_on_time = truncates;
    const auto environment = std::make_unique<Environment>();
    const auto scratch = std::make_unique<Scratch>();
    environment->Configure(spec, true, 0, 0);
    environment->Reset(3);
    for (int i = 0; i < 15; ++i) environment->Step(Idle(), *scratch);
    CHECK_EQ(environment->episode().terminated, !truncates);
    CHECK_EQ(environment->episode().truncated, truncates);
  }
}

}  // namespace
}  // namespace metabonk::arena
