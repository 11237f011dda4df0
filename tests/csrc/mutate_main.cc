// A mutation fuzzer for where libFuzzer is not at hand: takes the same entry point, makes inputs by
// mutating seeds that the target supplies, and stops after a count (first argument, default 20000)
// or at the first crash that a sanitizer reports. Deterministic given its seed (second argument).
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
// Well-formed inputs to start from; returns how many there are, fills the one at `index`.
extern size_t FuzzSeed(size_t index, std::vector<uint8_t>* out);

#ifndef METABONK_LIBFUZZER

namespace {

uint64_t state;

uint64_t Next() {  // splitmix64
  uint64_t z = (state += 0x9E3779B97F4A7C15ull);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

void Mutate(std::vector<uint8_t>* bytes) {
  static constexpr uint8_t kEdges[] = {0x00, 0x01, 0x7F, 0x80, 0xFF, 0xC0, 0x3F};
  const uint64_t edits = 1 + Next() % 8;
  for (uint64_t i = 0; i < edits; ++i) {
    const size_t size = bytes->size();
    switch (Next() % 6) {
      case 0:
        if (size) (*bytes)[Next() % size] ^= static_cast<uint8_t>(1u << (Next() % 8));
        break;
      case 1:
        if (size) (*bytes)[Next() % size] = kEdges[Next() % sizeof kEdges];
        break;
      case 2:
        if (size) bytes->resize(Next() % size);
        break;
      case 3:
        bytes->insert(bytes->begin() + static_cast<long>(size ? Next() % size : 0), 1 + Next() % 16,
                      static_cast<uint8_t>(Next()));
        break;
      case 4:  // four bytes at an aligned place: lengths, counts, floats
        if (size >= 4) {
          const size_t at = Next() % (size / 4) * 4;
          const uint8_t value = kEdges[Next() % sizeof kEdges];
          for (size_t k = 0; k < 4; ++k) (*bytes)[at + k] = k == 3 ? value : (*bytes)[at + k];
        }
        break;
      default:
        if (size) bytes->erase(bytes->begin() + static_cast<long>(Next() % size));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const long runs = argc > 1 ? std::atol(argv[1]) : 20000;
  state = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  std::vector<uint8_t> bytes;
  const size_t seeds = FuzzSeed(0, &bytes);
  for (size_t i = 0; i < seeds; ++i) {
    FuzzSeed(i, &bytes);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  for (long i = 0; i < runs; ++i) {
    FuzzSeed(Next() % seeds, &bytes);
    Mutate(&bytes);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%ld mutated inputs, no fault\n", runs);
  return 0;
}

#endif
