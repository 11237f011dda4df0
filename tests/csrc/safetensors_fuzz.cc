// Fuzzes the reader of safetensors containers: whatever bytes arrive, Read answers, and the tensors
// that it finds lie within the file, apart from each other, as large as their shapes say. The
// length of the header is tried as it is and made right, so that what lies behind it is reached.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "play/artifacts.h"
#include "play/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern size_t FuzzSeed(size_t index, std::vector<uint8_t>* out);

namespace metabonk::play {
namespace {

constexpr const char* kHeaders[] = {
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
    "{\"__metadata__\":{\"x\":\"y\"},\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8"
    "]},\"b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[8,9]}}",
    "{\"\\u0061\\ud83d\\ude00\":{\"dtype\":\"I64\",\"shape\":[0,3],\"data_offsets\":[0,0]},\"b\":{"
    "\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[0,8]}}",
};
constexpr size_t kData[] = {8, 9, 8};

// Memory that begins at a multiple of eight and ends where the file does.
class Exact {
 public:
  Exact(const uint8_t* data, size_t size)
      : memory_(static_cast<uint8_t*>(::operator new(size, kLine))) {
    if (size != 0) std::memcpy(memory_, data, size);
  }
  ~Exact() { ::operator delete(memory_, kLine); }
  Exact(const Exact&) = delete;
  Exact& operator=(const Exact&) = delete;
  uint8_t* get() { return memory_; }

 private:
  static constexpr std::align_val_t kLine{8};
  uint8_t* memory_;
};

void Try(uint8_t* bytes, size_t size) {
  Safetensors found;
  const Status status = found.Read({bytes, size});
  if (!status.ok()) {
    if (status.where[0] == '\0' || status.what[0] == '\0' || !found.tensors().empty()) std::abort();
    return;
  }
  const uint8_t* end = nullptr;
  for (const Tensor& tensor : found.tensors()) {
    const auto* begin = static_cast<const uint8_t*>(tensor.data);
    if (begin < bytes || begin + tensor.bytes > bytes + size || begin < end) std::abort();
    end = begin + tensor.bytes;
    const int64_t count = tensor.count();
    if (count < 0 || (count == 0) != (tensor.bytes == 0)) std::abort();
    if (count != 0 && tensor.bytes % static_cast<size_t>(count) != 0) std::abort();
    for (size_t i = 0; i < tensor.bytes; ++i) bytes[begin - bytes + static_cast<long>(i)] ^= 1;
    if (found.Find(tensor.name) != &tensor) std::abort();
  }
}

}  // namespace
}  // namespace metabonk::play

size_t FuzzSeed(size_t index, std::vector<uint8_t>* out) {
  using namespace metabonk::play;  // NOLINT(google-build-using-namespace)
  const std::string bytes = Container(kHeaders[index], std::string(kData[index], 'x'));
  out->assign(bytes.begin(), bytes.end());
  return std::size(kHeaders);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  metabonk::play::Exact exact(data, size);
  metabonk::play::Try(exact.get(), size);
  if (size < sizeof(uint64_t)) return 0;
  // The header ends with its last brace and the blanks behind that.
  const uint8_t* brace = std::find(std::make_reverse_iterator(data + size),
                                   std::make_reverse_iterator(data + 8), uint8_t{'}'})
                             .base();
  const size_t length = std::min((static_cast<size_t>(brace - data) - 1) / 8 * 8, size - 8);
  metabonk::play::Exact right(data, size);
  const uint64_t word = length;
  std::memcpy(right.get(), &word, sizeof word);
  metabonk::play::Try(right.get(), size);
  return 0;
}
