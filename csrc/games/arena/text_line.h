// A line of text put together on the stack.
#pragma once

#include <cstdint>

namespace metabonk::arena {

class TextLine {
 public:
  TextLine& Add(const char* text) {
    for (; *text != '\0'; ++text) Put(*text);
    return *this;
  }
  TextLine& Add(int64_t value, int least_digits = 1) {
    if (value < 0) Put('-');
    uint64_t left = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    char digits[24];
    int count = 0;
    for (; left > 0 || count < least_digits; left /= 10) {
      digits[count++] = static_cast<char>('0' + left % 10);
    }
    while (count > 0) Put(digits[--count]);
    return *this;
  }
  // Rounded to a tenth or a hundredth, without trailing zeros.
  TextLine& AddDecimal(float value, int places = 1) {
    const int64_t scale = places == 1 ? 10 : 100;
    const float shifted = value * static_cast<float>(scale);
    int64_t units = static_cast<int64_t>(shifted + (shifted < 0.0f ? -0.5f : 0.5f));
    if (units < 0) {
      Put('-');
      units = -units;
    }
    Add(units / scale);
    int64_t rest = units % scale;
    if (rest == 0) return *this;
    Put('.');
    if (scale == 100 && rest % 10 == 0) return Add(rest / 10);
    return Add(rest, scale == 100 ? 2 : 1);
  }
  TextLine& AddClock(double seconds) {
    const int64_t whole = static_cast<int64_t>(seconds);
    return Add(whole / 60).Add(":").Add(whole % 60, 2);
  }
  operator const char*() const { return text_; }

 private:
  void Put(char letter) {
    if (count_ + 1 < static_cast<int>(sizeof(text_))) text_[count_++] = letter;
  }
  char text_[64] = {};
  int count_ = 0;
};

}  // namespace metabonk::arena
