// ByteReader and ByteWriter: little-endian fields in a caller's memory. Both stop at the end of it:
// a reader then yields zeros and is not ok(), a writer writes no more and is not ok(), so that a
// whole layout is read or written first and checked once. Knows no message.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace metabonk::link {

static_assert(std::endian::native == std::endian::little, "fields are copied as they lie");

// Bytes that the length of a .NET string may take: 7 bits each of an int32.
inline constexpr int kStringLengthBytes = 5;

class ByteReader {
 public:
  explicit ByteReader(std::span<const uint8_t> bytes) : at_(bytes.data()), left_(bytes.size()) {}

  bool ok() const { return ok_; }
  size_t left() const { return left_; }

  template <typename T>
  T Get() {
    static_assert(std::is_arithmetic_v<T>);
    T value{};
    if (const uint8_t* bytes = Take(sizeof(T)).data()) std::memcpy(&value, bytes, sizeof(T));
    return value;
  }

  template <typename T, size_t kCount>
  void Get(T (&values)[kCount]) {
    static_assert(std::is_arithmetic_v<T>);
    if (const uint8_t* bytes = Take(sizeof values).data()) {
      std::memcpy(values, bytes, sizeof values);
    }
  }

  // The next `size` bytes, empty (data() is null) if there are not so many.
  std::span<const uint8_t> Take(size_t size) {
    if (!ok_ || size > left_) {
      ok_ = false;
      return {};
    }
    const std::span<const uint8_t> taken(at_, size);
    at_ += size;
    left_ -= size;
    return taken;
  }

  // What BinaryWriter.Write(string) writes: the number of bytes in groups of 7 bits, low ones
  // first, then UTF-8, which is not checked here.
  std::string_view String() {
    uint64_t size = 0;
    for (int i = 0; i < kStringLengthBytes; ++i) {
      const auto group = Get<uint8_t>();
      size |= static_cast<uint64_t>(group & 0x7F) << (7 * i);
      if ((group & 0x80) == 0) {
        const std::span<const uint8_t> text = Take(static_cast<size_t>(size));
        return {reinterpret_cast<const char*>(text.data()), text.size()};
      }
    }
    ok_ = false;
    return {};
  }

 private:
  const uint8_t* at_;
  size_t left_;
  bool ok_ = true;
};

class ByteWriter {
 public:
  explicit ByteWriter(std::span<uint8_t> room) : begin_(room.data()), room_(room.size()) {}

  bool ok() const { return ok_; }
  size_t size() const { return size_; }

  template <typename T>
  void Put(T value) {
    static_assert(std::is_arithmetic_v<T>);
    Raw(&value, sizeof(T));
  }

  template <typename T, size_t kCount>
  void Put(const T (&values)[kCount]) {
    static_assert(std::is_arithmetic_v<T>);
    Raw(values, sizeof values);
  }

  void Raw(const void* bytes, size_t size) {
    if (uint8_t* to = Skip(size)) std::memcpy(to, bytes, size);
  }

  // Room for what is written later; null if there is none.
  uint8_t* Skip(size_t size) {
    if (!ok_ || size > room_ - size_) {
      ok_ = false;
      return nullptr;
    }
    uint8_t* at = begin_ + size_;
    size_ += size;
    return at;
  }

  void String(std::string_view text) {
    size_t left = text.size();
    while (left >= 0x80) {
      Put(static_cast<uint8_t>(left | 0x80));
      left >>= 7;
    }
    Put(static_cast<uint8_t>(left));
    if (!text.empty()) Raw(text.data(), text.size());
  }

 private:
  uint8_t* begin_;
  size_t room_;
  size_t size_ = 0;
  bool ok_ = true;
};

}  // namespace metabonk::link
