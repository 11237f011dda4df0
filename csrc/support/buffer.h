// Buffer: memory for numbers that starts on a cache line and only ever grows. Knows no element
// order and no content: what Reserve returns is uninitialised.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>

namespace metabonk {

template <typename T>
class Buffer {
  static_assert(std::is_trivial_v<T>);

 public:
  // At least `count` elements; keeps neither the old ones nor pointers to them when it grows.
  T* Reserve(size_t count) {
    if (count > size_) {
      memory_.reset();
      memory_.reset(static_cast<T*>(::operator new(count * sizeof(T), kLine)));
      size_ = count;
    }
    return memory_.get();
  }

  T* data() const { return memory_.get(); }

 private:
  static constexpr std::align_val_t kLine{64};
  struct Free {
    void operator()(T* memory) const { ::operator delete(memory, kLine); }
  };

  std::unique_ptr<T, Free> memory_;
  size_t size_ = 0;
};

}  // namespace metabonk
