// Fuzzes the replay reader: whatever bytes arrive, Open answers, and what it accepts reads to its
// end. Inputs are tried as they are and with lengths and hashes made right, so that what lies
// behind those checks is reached too.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "arena_menus/run.h"
#include "games/arena/replay.h"
#include "support/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern size_t FuzzSeed(size_t index, std::vector<uint8_t>* out);

namespace metabonk::arena {
namespace {

constexpr uint32_t kReadAtMost = 20000;
constexpr uint64_t kPlayOneIn = 4;
constexpr uint32_t kPlayAtMost = 20;

std::vector<uint8_t> Seed(size_t index) {
  LevelSpec spec = DefaultSpec();
  ReplayWriter writer;
  if (index == 1) {
    spec.tier = 3;
    spec.offer_mix_tome[4] = 0.0f;
    spec.skip_max = 9;
  }
  const int decisions = index == 2 ? 4 : 60;
  for (int i = 0; i < decisions; ++i) {
    Action action = Idle();
    action.move[0] = i % 10 < 5 ? 1.0f : -0.5f;
    action.look[1] = index == 1 ? 0.01f * static_cast<float>(i) : 0.0f;
    action.jump = i % 7 == 0;
    action.choice = static_cast<float>(i % 4);
    if (i % 9 == 0) action.click[0] = action.click[1] = 0.25f;
    writer.Add(action);
  }
  return writer.Finish(spec, 7 + index, 1);
}

void Put(std::vector<uint8_t>* bytes, size_t at, const void* value, size_t size) {
  std::memcpy(bytes->data() + at, value, size);
}

// Header fields that only say what the body is; offsets from replay.h.
void MakeRight(std::vector<uint8_t>* bytes) {
  if (bytes->size() < kReplayHeader) return;
  const uint64_t content = ContentHash();
  Put(bytes, 8, &content, sizeof content);
  const std::span<const uint8_t> body = std::span(*bytes).subspan(kReplayHeader);
  uint32_t level_bytes;
  std::memcpy(&level_bytes, bytes->data() + 40, sizeof level_bytes);
  if (level_bytes <= body.size()) {
    const uint32_t action_bytes = static_cast<uint32_t>(body.size()) - level_bytes;
    Put(bytes, 44, &action_bytes, sizeof action_bytes);
  }
  const uint64_t hash = HashBody(body);
  Put(bytes, 48, &hash, sizeof hash);
}

void Try(const std::vector<uint8_t>& bytes) {
  ReplayReader reader;
  const Status status = reader.Open(bytes);
  if (!status.ok()) {
    if (status.where[0] == '\0' || status.what[0] == '\0') std::abort();
    return;
  }
  const uint32_t decisions = reader.header().decisions;
  Action action;
  uint32_t read = 0;
  while (read < kReadAtMost && reader.Next(&action)) {
    const Action canonical = Canonical(action);
    if (std::memcmp(&canonical.click, &action.click, sizeof action.click) != 0) std::abort();
    ++read;
  }
  if (read != std::min(decisions, kReadAtMost)) std::abort();
  uint64_t hash = 0;
  if (decisions <= kPlayAtMost && HashBody(bytes) % kPlayOneIn == 0) VerifyReplay(bytes, &hash);
}

}  // namespace
}  // namespace metabonk::arena

size_t FuzzSeed(size_t index, std::vector<uint8_t>* out) {
  *out = metabonk::arena::Seed(index);
  return 3;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  metabonk::arena::Try(bytes);
  metabonk::arena::MakeRight(&bytes);
  metabonk::arena::Try(bytes);
  return 0;
}
