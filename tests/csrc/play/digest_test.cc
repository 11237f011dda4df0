// Digests: the same arrays give the same bits on every machine, any change others.
#include "play/digest.h"

#include <set>
#include <vector>

#include "check.h"

namespace metabonk::play {

namespace {

Digest Of(const std::vector<uint8_t>& bytes) {
  Digester digester;
  digester.Add(bytes.data(), bytes.size());
  return digester.Get();
}

}  // namespace

TEST(digest_is_changed_by_every_bit) {
  std::vector<uint8_t> bytes(77);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 37);
  std::set<std::pair<uint64_t, uint64_t>> seen = {{Of(bytes).low, Of(bytes).high}};
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    seen.insert({Of(bytes).low, Of(bytes).high});
    bytes[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
  }
  CHECK_EQ(seen.size(), bytes.size() * 8 + 1);
}

TEST(digest_tells_zeros_apart_by_their_number_and_place) {
  std::set<std::pair<uint64_t, uint64_t>> seen;
  for (size_t size = 0; size < 200; ++size) {
    const Digest digest = Of(std::vector<uint8_t>(size));
    seen.insert({digest.low, digest.high});
  }
  CHECK_EQ(seen.size(), size_t{200});
  const std::vector<uint8_t> zeros(8);
  Digester two, one;
  two.Add(zeros.data(), 3);
  two.Add(zeros.data(), 5);
  one.Add(zeros.data(), 8);
  CHECK(!(two.Get() == one.Get()));
}

TEST(digest_is_the_same_everywhere) {
  const std::vector<uint8_t> bytes = {'m', 'e', 't', 'a', 'b', 'o', 'n', 'k'};
  CHECK_EQ(Of(bytes).low, uint64_t{13355707398936522258u});
  CHECK_EQ(Of(bytes).high, uint64_t{4528014254164082945u});
}

}  // namespace metabonk::play
