// The loops of quantised linear layers for instruction sets without products of bytes or of bf16,
// compiled once each by qlinear_portable.cc, qlinear_avx2.cc and qlinear_avx512.cc, which define
// the vectors V (float32) and I (int32) of kLanes and the product MultiplyInto.
//
// int8: codes are widened to 16 bits and multiplied in pairs. Others: a tile's weights are turned
// into float32, scales included, some inputs at a time, and multiplied as such.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "nn/formats.h"
#include "nn/qlinear.h"

namespace metabonk::nn {
namespace {

constexpr float kSmallest = 0x1p-100f;

// Largest |x| as bits, which order like the numbers; NaN and infinity are the largest of all.
inline uint32_t LargestBits(const float* x, int inputs) {
  uint32_t largest = 0;
  for (int i = 0; i < inputs; ++i) {
    largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7FFFFFFFu);
  }
  return largest;
}

void TakeInt8(const float* x, int inputs, int padded, uint8_t* row, float* scale) {
  int16_t* to = reinterpret_cast<int16_t*>(row);
  const float largest = std::bit_cast<float>(LargestBits(x, inputs));
  std::memset(to, 0, static_cast<size_t>(padded) * 2);
  if (!(largest < HUGE_VALF)) {
    *scale = std::bit_cast<float>(0x7FC00000u);
    return;
  }
  if (largest < kSmallest) {
    *scale = 0.0f;
    return;
  }
  constexpr float kMagic = 12582912.0f;  // 1.5 2^23: adding it rounds to integers, ties to even
  const float inverse = 127.0f / largest;
  for (int i = 0; i < inputs; ++i) {
    to[i] = static_cast<int16_t>((x[i] * inverse + kMagic) - kMagic);
  }
  *scale = largest / 127.0f;
}

void TakeFloat(const float* x, int inputs, int padded, uint8_t* row, float*) {
  float* to = reinterpret_cast<float*>(row);
  for (int i = 0; i < inputs; ++i) to[i] = FloatFromBf16(Bf16FromFloat(x[i]));
  std::fill(to + inputs, to + padded, 0.0f);
}

// y = sum (x_scale scale) + bias for one panel and row, not fused: the same bits everywhere.
inline void FinishInt8(const QTile& t, int panel, int row, const int32_t* sums) {
  const int first = panel * kPanelOutputs;
  const int count = std::min(kPanelOutputs, t.outputs - first);
  const float* scale = reinterpret_cast<const float*>(t.tile) + first;
  float* y = t.y + row * t.y_stride + first;
  for (int n = 0; n < count; ++n) {
    const float product = static_cast<float>(sums[n]) * (t.x_scale[row] * scale[n]);
    y[n] = t.bias == nullptr ? product : product + t.bias[first + n];
  }
}

template <int kRows>
void Int8Panel(const QTile& t, int panel, int row) {
  constexpr int kOutputs =
      V::kLanes / 2;  // of one vector: inputs 0 1 and 2 3 in lanes of their own
  constexpr int kParts = kPanelOutputs / kOutputs;
  const PanelLayout& layout = *t.layout;
  const uint8_t* codes = t.tile + layout.header_bytes(t.panels) + panel * layout.unit_bytes;
  const int64_t step = int64_t{t.panels} * layout.unit_bytes;
  I sum[kRows][kParts];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kParts; ++j) sum[i][j] = I::Zero();
  }
  for (int u = 0; u < layout.units; ++u, codes += step) {
    I x[kRows];
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) x[i] = I::Broadcast4(t.x + (row + i) * t.x_stride + u * 8);
#pragma GCC unroll 4
    for (int j = 0; j < kParts; ++j) {
      const I weight = I::Widen(codes + j * kOutputs * 4);
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) sum[i][j] = I::AddPairs(sum[i][j], weight, x[i]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    int32_t halves[2 * kPanelOutputs], whole[kPanelOutputs];
    for (int j = 0; j < kParts; ++j) sum[i][j].Store(halves + j * V::kLanes);
    for (int n = 0; n < kPanelOutputs; ++n) whole[n] = halves[2 * n] + halves[2 * n + 1];
    FinishInt8(t, panel, row + i, whole);
  }
}

void MultiplyInt8(const QTile& t) {
  for (int panel = 0; panel < t.panels; ++panel) {
    int row = 0;
    for (; row + kInt8Rows <= t.rows; row += kInt8Rows) Int8Panel<kInt8Rows>(t, panel, row);
    for (; row < t.rows; ++row) Int8Panel<1>(t, panel, row);
  }
}

// Input j of a unit, one lane per output, from the 32 bits of each output.
template <WeightFormat kFormat>
inline V CodeOf(const uint8_t* unit, int j) {
  if constexpr (kFormat == WeightFormat::kBf16) {
    const I pair = I::Load(unit + j / 2 * 64);
    return (j % 2 == 0 ? pair.ShiftLeft(16) : pair & I::Broadcast(~0xFFFF)).AsFloat();
  } else if constexpr (kFormat == WeightFormat::kFp8 || kFormat == WeightFormat::kMxfp8) {
    constexpr int kByte[4] = {0, 16, 8, 24};
    const I code = I::Load(unit + j / 4 * 64).ShiftRight(kByte[j % 4]);
    const I magnitude = code & I::Broadcast(0x7F);
    const I sign = (code & I::Broadcast(0x80)).ShiftLeft(24);
    // As in formats.h: one exponent more for subnormals, whose leading bit is then taken away.
    const I less = I::Less(magnitude, I::Broadcast(8));
    const I bits =
        magnitude.ShiftLeft(20) + I::Broadcast(120 << 23) + (less & I::Broadcast(1 << 23));
    const V value = bits.AsFloat() - (less & I::Broadcast(0x3C800000)).AsFloat();
    return (value.AsInt() | sign).AsFloat();
  } else {
    const int shift = j / 2 * 4 + j % 2 * 16;
    if constexpr (kFormat == WeightFormat::kInt4) {
      return I::Load(unit).ShiftLeft(28 - shift).ShiftRightSigned(28).ToFloat();
    } else {
      const I code = I::Load(unit).ShiftRight(shift);
      const I sign = (code & I::Broadcast(8)).ShiftLeft(28);
      return (V::HalfSteps(code & I::Broadcast(7)).AsInt() | sign).AsFloat();
    }
  }
}

// The scales of a block and of the outputs, multiplied.
template <WeightFormat kFormat>
inline void ScalesOf(const QTile& t, const uint8_t* scales, float* to) {
  const float* outputs = reinterpret_cast<const float*>(t.tile);
  for (int n = 0; n < t.panels * kPanelOutputs; ++n) {
    if constexpr (kFormat == WeightFormat::kInt4) {
      uint16_t code;
      std::memcpy(&code, scales + n * 2, 2);
      to[n] = FloatFromBf16(code);
    } else if constexpr (kFormat == WeightFormat::kNvfp4) {
      to[n] = FloatFromE4m3(scales[n]) * outputs[n];
    } else if constexpr (kFormat == WeightFormat::kMxfp8) {
      to[n] = FloatFromE8m0(scales[n]);
    } else {
      to[n] = outputs[n];
    }
  }
}

constexpr int kUnitsAtOnce = 8;  // 64 inputs of 64 outputs: 16 kB

// Turns units begin.. of one block into float32 [inputs, 16 panels].
template <WeightFormat kFormat>
void Expand(const QTile& t, const uint8_t* codes, const float* scales, int units, float* to) {
  const int width = t.panels * kPanelOutputs;
  for (int u = 0; u < units; ++u) {
    for (int panel = 0; panel < t.panels; ++panel, codes += t.layout->unit_bytes) {
#pragma GCC unroll 4
      for (int part = 0; part < kPanelOutputs; part += V::kLanes) {
        const V scale = V::Load(scales + panel * kPanelOutputs + part);
        float* column = to + u * 8 * width + panel * kPanelOutputs + part;
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j) {
          const V code = CodeOf<kFormat>(codes + part * 4, j);
          (kFormat == WeightFormat::kBf16 ? code : code * scale).Store(column + j * width);
        }
      }
    }
  }
}

template <WeightFormat kFormat>
void MultiplyFloat(const QTile& t) {
  const PanelLayout& layout = *t.layout;
  const int width = t.panels * kPanelOutputs;
  float* weights = reinterpret_cast<float*>(t.scratch);
  for (int i = 0; i < t.rows; ++i) {
    float* y = t.y + i * t.y_stride;
    for (int n = 0; n < t.outputs; ++n) y[n] = t.bias == nullptr ? 0.0f : t.bias[n];
  }
  const uint8_t* at = t.tile + layout.header_bytes(t.panels);
  int input = 0;
  for (int b = 0; b < layout.blocks; ++b) {
    float scales[kTilePanels * kPanelOutputs];
    ScalesOf<kFormat>(t, at, scales);
    at += width * layout.scale_bytes;
    for (int u = 0; u < layout.units; u += kUnitsAtOnce) {
      const int units = std::min(kUnitsAtOnce, layout.units - u);
      Expand<kFormat>(t, at, scales, units, weights);
      at += int64_t{units} * t.panels * layout.unit_bytes;
      const float* x = reinterpret_cast<const float*>(t.x) + input;
      MultiplyInto(
          {t.rows, t.outputs, units * 8, x, t.x_stride / 4, 1, weights, width, t.y, t.y_stride});
      input += units * 8;
    }
  }
}

void MultiplyFloats(const QTile& t) {
  switch (t.layout->format) {
    case WeightFormat::kInt4:
      return MultiplyFloat<WeightFormat::kInt4>(t);
    case WeightFormat::kBf16:
      return MultiplyFloat<WeightFormat::kBf16>(t);
    case WeightFormat::kFp8:
      return MultiplyFloat<WeightFormat::kFp8>(t);
    case WeightFormat::kNvfp4:
      return MultiplyFloat<WeightFormat::kNvfp4>(t);
    case WeightFormat::kMxfp8:
      return MultiplyFloat<WeightFormat::kMxfp8>(t);
    default:
      return;  // int8 has kernels of its own
  }
}

int64_t NoScratch(const PanelLayout&) { return 0; }
int64_t FloatScratch(const PanelLayout&) {
  return int64_t{kUnitsAtOnce} * 8 * kTilePanels * kPanelOutputs * 4;
}

}  // namespace
}  // namespace metabonk::nn
