// The container's rules, one after the other: a file that keeps them all, and one that breaks each.
#include "play/safetensors.h"

#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "play/artifacts.h"
#include "support/buffer.h"

namespace metabonk::play {
namespace {

constexpr const char* kTwo =
    "{\"__metadata__\":{\"made\":\"here\"},"
    "\"a\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,16]},"
    "\"b\":{\"dtype\":\"U8\",\"shape\":[3,1],\"data_offsets\":[16,19]}}";

// Reads from memory that ends where the file does, so that a sanitizer sees a byte too many.
Status ReadBytes(const std::string& bytes, Safetensors* found) {
  uint8_t* exact = new (std::align_val_t{8}) uint8_t[bytes.size() + 1];
  std::memcpy(exact, bytes.data(), bytes.size());
  const Status status = found->Read({exact, bytes.size()});
  for (const Tensor& tensor : found->tensors()) {
    const auto* begin = static_cast<const uint8_t*>(tensor.data);
    CHECK(begin >= exact && begin + tensor.bytes <= exact + bytes.size());
  }
  ::operator delete[](exact, std::align_val_t{8});
  return status;
}

Status ReadBytes(const std::string& bytes) {
  Safetensors found;
  return ReadBytes(bytes, &found);
}

// A file of one tensor of eight bytes, described by `entry`.
std::string One(const std::string& entry, size_t bytes = 8) {
  return Container("{\"a\":" + entry + "}", std::string(bytes, 'x'));
}

void Refuses(const char* name, const std::string& bytes) {
  const Status status = ReadBytes(bytes);
  if (status.ok()) check::Fail(__FILE__, __LINE__, std::string("accepted: ") + name);
  CHECK(status.ok() || (status.where[0] != '\0' && status.what[0] != '\0'));
}

}  // namespace

TEST(safetensors_finds_tensors) {
  const std::string bytes = Container(kTwo, std::string("\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0abc", 19));
  Buffer<uint64_t> memory;
  auto* at = reinterpret_cast<uint8_t*>(memory.Reserve(bytes.size() / 8 + 1));
  std::memcpy(at, bytes.data(), bytes.size());
  Safetensors found;
  CHECK(found.Read({at, bytes.size()}).ok());
  CHECK_EQ(found.tensors().size(), size_t{2});
  const Tensor* a = found.Find("a");
  CHECK(a != nullptr && a->dtype == "I64" && a->count() == 2 && a->bytes == 16);
  CHECK_EQ(static_cast<const int64_t*>(a->data)[1], 2);
  const Tensor* b = found.Find("b");
  CHECK(b != nullptr && b->sizes == (std::vector<int64_t>{3, 1}));
  CHECK(std::memcmp(b->data, "abc", 3) == 0);
  CHECK(found.Find("__metadata__") == nullptr);
  CHECK(found.Find("c") == nullptr);
}

TEST(safetensors_takes_scalars_and_empty_tensors) {
  const std::string header =
      "{\"empty\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[0,0]},"
      "\"scalar\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]},"
      "\"none\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[8,8]}}";
  Safetensors found;
  CHECK(ReadBytes(Container(header, std::string(8, 'x')), &found).ok());
  CHECK_EQ(found.tensors().size(), size_t{3});
  CHECK(ReadBytes(Container("{}", "")).ok());
}

TEST(safetensors_refuses_broken_lengths) {
  const std::string good = Container(kTwo, std::string(19, 'x'));
  CHECK(ReadBytes(good).ok());
  for (size_t length = 0; length < good.size(); ++length) {
    CHECK(!ReadBytes(good.substr(0, length)).ok());
  }
  Refuses("bytes behind the end", good + "x");
  for (const uint64_t length : {uint64_t{0}, uint64_t{7}, uint64_t{good.size()}, UINT64_MAX,
                                UINT64_MAX - 7, Safetensors::kHeaderMax + 8}) {
    std::string bytes = good;
    std::memcpy(bytes.data(), &length, sizeof length);
    Refuses("another length of the header", bytes);
  }
  std::string odd = kTwo;  // the header may not end between multiples of eight
  while (odd.size() % 8 != 1) odd += ' ';
  const uint64_t length = odd.size();
  Refuses("a header of odd length",
          std::string(reinterpret_cast<const char*>(&length), 8) + odd + std::string(19, 'x'));
}

TEST(safetensors_refuses_headers_that_are_no_objects_of_tensors) {
  const std::string data(8, 'x');
  CHECK(ReadBytes(One("{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}")).ok());
  Refuses("blanks first", Container(" {}", ""));
  Refuses("a list", Container("[]", ""));
  Refuses("no JSON", Container("{\"a\":", ""));
  Refuses("zeros behind it", Container(std::string("{}\0", 3), ""));
  Refuses("metadata that is no text", Container("{\"__metadata__\":{\"a\":1}}", ""));
  Refuses("metadata that is a text", Container("{\"__metadata__\":\"a\"}", ""));
  Refuses("a tensor that is a number", One("5"));
  Refuses("no dtype", One("{\"shape\":[2],\"data_offsets\":[0,8]}"));
  Refuses("something else",
          One("{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}"));
  Refuses("a dtype that is none", One("{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}"));
  Refuses("a dtype that is a number", One("{\"dtype\":4,\"shape\":[2],\"data_offsets\":[0,8]}"));
  Refuses("a name twice",
          Container("{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
                    "\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
                    data));
}

TEST(safetensors_refuses_shapes_and_offsets_that_lie) {
  const auto entry = [](const char* dtype, const char* shape, const char* offsets) {
    return One(std::string("{\"dtype\":\"") + dtype + "\",\"shape\":" + shape +
               ",\"data_offsets\":" + offsets + "}");
  };
  CHECK(ReadBytes(entry("F32", "[2]", "[0,8]")).ok());
  Refuses("a shape that is a number", entry("F32", "2", "[0,8]"));
  Refuses("a negative size", entry("F32", "[-2]", "[0,8]"));
  Refuses("half a size", entry("F32", "[2.0]", "[0,8]"));
  Refuses("another size", entry("F32", "[3]", "[0,8]"));
  Refuses("another dtype", entry("I64", "[2]", "[0,8]"));
  Refuses("sizes that overflow", entry("F32", "[4294967296,4294967296,2]", "[0,8]"));
  Refuses("more axes than any", entry("F32", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2]", "[0,8]"));
  Refuses("one offset", entry("F32", "[2]", "[8]"));
  Refuses("offsets beyond the file", entry("F32", "[2]", "[8,16]"));
  Refuses("offsets in disorder", entry("F32", "[2]", "[8,0]"));
  Refuses("offsets that wrap round", entry("F32", "[2]", "[18446744073709551608,0]"));
  Refuses("a gap at the end", entry("U8", "[4]", "[0,4]"));
  Refuses("a gap at the beginning", entry("U8", "[4]", "[4,8]"));
}

TEST(safetensors_refuses_overlaps_gaps_and_misalignment) {
  const auto two = [](const std::string& a, const std::string& b) {
    return Container("{\"a\":{" + a + "},\"b\":{" + b + "}}", std::string(8, 'x'));
  };
  const auto bytes = [](int begin, int end) {
    return "\"dtype\":\"U8\",\"shape\":[" + std::to_string(end - begin) + "],\"data_offsets\":[" +
           std::to_string(begin) + "," + std::to_string(end) + "]";
  };
  CHECK(ReadBytes(two(bytes(0, 4), bytes(4, 8))).ok());
  CHECK(ReadBytes(two(bytes(4, 8), bytes(0, 4))).ok());
  Refuses("an overlap", two(bytes(0, 5), bytes(4, 8)));
  Refuses("one within the other", two(bytes(0, 8), bytes(2, 6)));
  Refuses("the same twice", two(bytes(0, 8), bytes(0, 8)));
  Refuses("a gap", two(bytes(0, 3), bytes(4, 8)));
  Refuses("an empty one within another", two(bytes(0, 8), bytes(4, 4)));
  const std::string misaligned =
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
      "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}";
  Refuses("misalignment", Container(misaligned, std::string(6, 'x')));
}

}  // namespace metabonk::play
