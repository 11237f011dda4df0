#include "nn/formats.h"

namespace metabonk::nn {

namespace {

template <typename Code, typename Convert>
void EncodeAll(const float* from, int64_t count, void* codes, const Convert& convert) {
  Code* to = static_cast<Code*>(codes);
  for (int64_t i = 0; i < count; ++i) to[i] = convert(from[i]);
}

template <typename Code, typename Convert>
void DecodeAll(const void* codes, int64_t count, float* to, const Convert& convert) {
  const Code* from = static_cast<const Code*>(codes);
  for (int64_t i = 0; i < count; ++i) to[i] = convert(from[i]);
}

}  // namespace

void EncodeNumbers(NumberFormat format, const float* from, int64_t count, void* codes) {
  switch (format) {
    case NumberFormat::kBf16:
      return EncodeAll<uint16_t>(from, count, codes, Bf16FromFloat);
    case NumberFormat::kE4m3:
      return EncodeAll<uint8_t>(from, count, codes, E4m3FromFloat);
    case NumberFormat::kE2m1:
      return EncodeAll<uint8_t>(from, count, codes, E2m1FromFloat);
    case NumberFormat::kE8m0Down:
      return EncodeAll<uint8_t>(from, count, codes,
                                [](float x) { return E8m0FromFloat(x, PowerRounding::kDown); });
    case NumberFormat::kE8m0Up:
      return EncodeAll<uint8_t>(from, count, codes,
                                [](float x) { return E8m0FromFloat(x, PowerRounding::kUp); });
    case NumberFormat::kCount:
      break;
  }
}

void DecodeNumbers(NumberFormat format, const void* codes, int64_t count, float* to) {
  switch (format) {
    case NumberFormat::kBf16:
      return DecodeAll<uint16_t>(codes, count, to, FloatFromBf16);
    case NumberFormat::kE4m3:
      return DecodeAll<uint8_t>(codes, count, to, FloatFromE4m3);
    case NumberFormat::kE2m1:
      return DecodeAll<uint8_t>(codes, count, to, FloatFromE2m1);
    case NumberFormat::kE8m0Down:
    case NumberFormat::kE8m0Up:
      return DecodeAll<uint8_t>(codes, count, to, FloatFromE8m0);
    case NumberFormat::kCount:
      break;
  }
}

}  // namespace metabonk::nn
