#include "play/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>

#include "play/json.h"

namespace metabonk::play {

namespace {

static_assert(std::endian::native == std::endian::little,
              "tensors are used as they lie in the file");

constexpr uint64_t kLength = 8;  // of the length itself, and what the data is aligned to
constexpr size_t kRankMax = 16;
constexpr uint64_t kCountMax = uint64_t{1} << 48;

struct Dtype {
  std::string_view name;
  uint64_t bytes;
};
constexpr Dtype kDtypes[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
                             {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
                             {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};

constexpr Status Wrong(const char* where, const char* what) {
  return {Code::kCorrupt, where, what};
}

Status ReadMetadata(const Json& metadata) {
  const bool texts = metadata.Is(Json::Kind::kObject) &&
                     std::all_of(metadata.items.begin(), metadata.items.end(),
                                 [](const Json& item) { return item.Is(Json::Kind::kString); });
  return texts ? Status::Ok() : Wrong("__metadata__", "it must hold texts by name");
}

// Fills all but `data`; begin: where that lies.
Status ReadTensor(const Json& json, uint64_t data_bytes, Tensor* tensor, uint64_t* begin) {
  const Json *dtype = json.Find("dtype"), *shape = json.Find("shape"),
             *offsets = json.Find("data_offsets");
  if (json.items.size() != 3 || !dtype || !shape || !offsets) {
    return Wrong("tensor", "it must have dtype, shape and data_offsets, and nothing else");
  }
  const auto* kind = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                  [&](const Dtype& d) { return d.name == dtype->text; });
  if (!dtype->Is(Json::Kind::kString) || kind == std::end(kDtypes)) {
    return Wrong("dtype", "there is no such dtype");
  }
  if (!shape->Is(Json::Kind::kArray) || shape->items.size() > kRankMax) {
    return Wrong("shape", "it must be a list of at most sixteen sizes");
  }
  uint64_t count = 1;
  for (const Json& item : shape->items) {
    uint64_t size;
    if (!item.Integer(kCountMax, &size)) return Wrong("shape", "a size is no whole number");
    if (size != 0 && count > kCountMax / size) return Wrong("shape", "more than any machine holds");
    count *= size;
    tensor->sizes.push_back(static_cast<int64_t>(size));
  }
  uint64_t end;
  if (!offsets->Is(Json::Kind::kArray) || offsets->items.size() != 2 ||
      !offsets->items[0].Integer(data_bytes, begin) ||
      !offsets->items[1].Integer(data_bytes, &end) || *begin > end) {
    return Wrong("data_offsets", "they must be two places within the file, in order");
  }
  if (end - *begin != count * kind->bytes) {
    return Wrong("data_offsets", "they are not as far apart as the shape and dtype say");
  }
  if (*begin % kind->bytes != 0) return Wrong("data_offsets", "the data is misaligned");
  tensor->dtype = dtype->text;
  tensor->bytes = end - *begin;
  return Status::Ok();
}

}  // namespace

int64_t Tensor::count() const {
  int64_t product = 1;
  for (const int64_t size : sizes) product *= size;
  return product;
}

const Tensor* Safetensors::Find(std::string_view name) const {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                  [&](const Tensor& tensor) { return tensor.name == name; });
  return found == tensors_.end() ? nullptr : &*found;
}

Status Safetensors::Read(std::span<const uint8_t> bytes) {
  tensors_.clear();
  uint64_t length = 0;
  if (bytes.size() < kLength) return Wrong("file", "it ends within its first eight bytes");
  std::memcpy(&length, bytes.data(), kLength);
  if (length > kHeaderMax) return Wrong("header", "it is longer than sixteen megabytes");
  if (length > bytes.size() - kLength) return Wrong("header", "the file ends within it");
  if (length % kLength != 0) return Wrong("header", "it does not end at a multiple of eight bytes");
  const auto* text = reinterpret_cast<const char*>(bytes.data() + kLength);
  if (length == 0 || text[0] != '{') return Wrong("header", "it does not begin with a brace");
  Json json;
  if (const Status status = ParseJson({text, length}, &json); !status.ok()) {
    return {status.code, "header", status.what};
  }
  const std::span<const uint8_t> data = bytes.subspan(kLength + length);
  std::vector<Tensor> found;
  for (size_t i = 0; i < json.items.size(); ++i) {
    uint64_t begin = 0;
    Tensor tensor{json.names[i], {}, {}, nullptr, 0};
    const bool metadata = json.names[i] == "__metadata__";
    const Status status = metadata ? ReadMetadata(json.items[i])
                                   : ReadTensor(json.items[i], data.size(), &tensor, &begin);
    if (!status.ok()) return status;
    tensor.data = data.data() + begin;
    if (!metadata) found.push_back(std::move(tensor));
  }
  std::sort(found.begin(), found.end(), [](const Tensor& a, const Tensor& b) {  // empty ones first
    return std::tie(a.data, a.bytes, a.name) < std::tie(b.data, b.bytes, b.name);
  });
  const void* at = data.data();
  for (const Tensor& tensor : found) {
    if (tensor.data < at) return Wrong("data_offsets", "two tensors overlap");
    if (tensor.data > at) return Wrong("data_offsets", "there are bytes that belong to no tensor");
    at = static_cast<const uint8_t*>(tensor.data) + tensor.bytes;
  }
  if (at != data.data() + data.size()) {
    return Wrong("file", "there are bytes behind its last tensor");
  }
  tensors_ = std::move(found);
  return Status::Ok();
}

}  // namespace metabonk::play
