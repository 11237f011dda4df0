// Fuzzes programs: changed words of programs that are valid are refused or make a policy that can
// step, on memory of exactly the sizes that the program says. Bytes of an input are edits of words,
// so that a change stays where it is made and most of the program stays valid; or the words
// themselves.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "nn/policy.h"
#include "nn/programs.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern size_t FuzzSeed(size_t index, std::vector<uint8_t>* out);

namespace metabonk::nn {
namespace {

// What a step may take here: a program may as well say a million rows, which takes a while.
constexpr int64_t kElementsMax = 1 << 12;
constexpr int64_t kWorkMax = 1 << 18;
constexpr size_t kSeeds = 4, kEditBytes = 4;

const std::vector<int64_t>& SeedWords(size_t index) {
  static const std::vector<int64_t> words[] = {WordsOf(Everything()), WordsOf(Pilot(2))};
  return words[index % 2];
}

// Applies edits of four bytes: where (two bytes), what, how much.
std::vector<int64_t> Edited(std::vector<int64_t> words, const uint8_t* data, size_t size) {
  for (size_t i = 0; i + kEditBytes <= size; i += kEditBytes) {
    const size_t at = static_cast<size_t>(data[i] | data[i + 1] << 8) % words.size();
    const int64_t amount = static_cast<int8_t>(data[i + 3]);
    switch (data[i + 2] % 6) {
      case 0:
        words[at] = amount;
        break;
      case 1:
        words[at] =
            static_cast<int64_t>(static_cast<uint64_t>(words[at]) + static_cast<uint64_t>(amount));
        break;
      case 2:
        words[at] = amount < 0 ? std::numeric_limits<int64_t>::min() : int64_t{1} << (amount % 63);
        break;
      case 3:
        words[at] = words[data[i + 3] * size_t{7} % words.size()];
        break;
      case 4:
        words[at] ^= int64_t{1} << (data[i + 3] % 63);
        break;
      default:
        words[at] *= words[at] < kElementsMax && words[at] > -kElementsMax ? amount : 1;
    }
  }
  return words;
}

// Elements of a view or a slot, kWorkMax where there are more.
template <typename Sized>
int64_t Bounded(const Sized& sized) {
  int64_t product = 1;
  for (int i = 0; i < sized.rank; ++i) {
    product = std::min(product * std::min(sized.sizes[static_cast<size_t>(i)], kWorkMax), kWorkMax);
  }
  return product;
}

bool Small(const Program& program) {
  if (program.arena_bytes > 8 * kElementsMax) return false;
  int64_t work = 0;
  for (const Slot& slot : program.inputs) work += Bounded(slot);
  for (const Slot& slot : program.tensors) work += Bounded(slot);
  if (work > kElementsMax) return false;
  for (const Instruction& it : program.instructions) {
    for (const View& view : it.views) work += Bounded(view);
  }
  return work < kWorkMax;
}

// Memory of every slot, exactly as large as it says, of some numbers that are not in order.
std::vector<std::unique_ptr<char[]>> Fill(const std::vector<Slot>& slots, uint64_t key) {
  std::vector<std::unique_ptr<char[]>> made;
  for (const Slot& slot : slots) {
    const auto count = static_cast<size_t>(slot.count());
    const auto unit = static_cast<size_t>(SizeOf(slot.type));
    made.emplace_back(new char[count * unit]);
    for (size_t i = 0; i < count; ++i) {
      const uint64_t draw = HashDraw(key, i);
      const float odd[] = {UnitFloat(draw) - 0.5f,
                           1e30f,
                           -1e30f,
                           0.0f,
                           std::numeric_limits<float>::quiet_NaN(),
                           std::numeric_limits<float>::infinity()};
      const float number = odd[draw % 64 < 6 ? draw % 64 : 0];
      const auto place = static_cast<int32_t>(draw % 8) - 1;
      const auto byte = static_cast<char>(draw & 0x33);
      const void* from = slot.type == Type::kF32   ? static_cast<const void*>(&number)
                         : slot.type == Type::kI32 ? static_cast<const void*>(&place)
                                                   : &byte;
      std::memcpy(made.back().get() + i * unit, from, unit);
    }
  }
  return made;
}

std::vector<const void*> Addresses(const std::vector<std::unique_ptr<char[]>>& memory) {
  std::vector<const void*> at;
  for (const auto& part : memory) at.push_back(part.get());
  return at;
}

void Try(const std::vector<int64_t>& words) {
  Program program;
  int64_t instruction;
  const Status status = ReadProgram(words, &program, &instruction);
  if (!status.ok()) {
    if (status.where[0] == '\0' || status.what[0] == '\0') std::abort();
    return;
  }
  if (!Small(program)) return;
  const auto tensors = Fill(program.tensors, words.size());
  std::unique_ptr<const ProgramWeights> weights;
  if (!ProgramWeights::Make(program, Addresses(tensors), ActiveCfcKernels(), &weights).ok()) return;
  const auto inputs = Fill(program.inputs, words.size() + 1);
  std::vector<std::unique_ptr<char[]>> outputs;
  std::vector<void*> into;
  for (const Place& place : program.outputs) {
    const View& view = place.view;
    outputs.emplace_back(new char[static_cast<size_t>(view.count() * SizeOf(view.type))]);
    into.push_back(outputs.back().get());
  }
  Policy policy(program, std::move(weights), 1);
  std::vector<const void*> at = Addresses(inputs);
  for (int step = 0; step < 2; ++step) {
    const Status stepped = policy.Step(at, into);
    if (!stepped.ok() && stepped.where[0] == '\0') std::abort();
    for (const void*& input : at) input = step == 0 ? nullptr : input;  // its own, or refused
    policy.Reset(nullptr);
  }
}

}  // namespace
}  // namespace metabonk::nn

size_t FuzzSeed(size_t index, std::vector<uint8_t>* out) {
  using namespace metabonk::nn;  // NOLINT(google-build-using-namespace)
  out->assign(1, static_cast<uint8_t>(index));
  if (index < 2) {  // room for edits, which do nothing yet
    for (size_t i = 0; i < 3 + 5 * index; ++i) {
      const uint64_t where = metabonk::HashDraw(index, i);
      out->insert(out->end(),
                  {static_cast<uint8_t>(where), static_cast<uint8_t>(where >> 8), 1, 0});
    }
  } else {
    const std::vector<int64_t>& words = SeedWords(index);
    const auto* bytes = reinterpret_cast<const uint8_t*>(words.data());
    out->insert(out->end(), bytes, bytes + words.size() * sizeof(int64_t));
  }
  return kSeeds;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace metabonk::nn;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  if (data[0] % kSeeds < 2) {
    Try(Edited(SeedWords(data[0] % kSeeds), data + 1, size - 1));
  } else {
    std::vector<int64_t> words((size - 1) / sizeof(int64_t));
    if (!words.empty()) std::memcpy(words.data(), data + 1, words.size() * sizeof(int64_t));
    Try(words);
  }
  return 0;
}
