#include "nn/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "nn/formats.h"

namespace metabonk::nn {

namespace {

constexpr float kBf16Max = FloatFromBf16(0x7F7F);
constexpr float kLeast = std::numeric_limits<float>::min();  // scales below would lose bits

bool TwoPerByte(WeightFormat format) {
  return format == WeightFormat::kInt4 || format == WeightFormat::kNvfp4;
}

float Largest(const float* values, int64_t count) {
  float largest = 0.0f;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(values[i]));
  return largest;
}

float ScaleFor(float largest, float code) {
  const float scale = largest / code;
  return scale < kLeast ? 0.0f : scale;
}

// nearbyint under the default rounding mode, without a call.
float RoundEven(float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 2^23
  return (x + kMagic) - kMagic;
}

int8_t IntegerCode(float weight, float scale, float limit) {
  if (scale == 0.0f) return 0;
  return static_cast<int8_t>(std::clamp(RoundEven(weight / scale), -limit, limit));
}

void PutNibble(uint8_t* codes, int i, unsigned code) {
  uint8_t& byte = codes[i / 2];
  const unsigned bits = code & 0xFu;
  byte = static_cast<uint8_t>(i % 2 == 0 ? bits : (byte | bits << 4));
}

unsigned GetNibble(const uint8_t* codes, int i) { return (codes[i / 2] >> (i % 2 * 4)) & 0xFu; }

template <typename T>
void Put(uint8_t* to, int64_t i, T value) {
  std::memcpy(to + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

template <typename T>
T Get(const uint8_t* from, int64_t i) {
  T value;
  std::memcpy(&value, from + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

// Block `b` of one row, its scale first. tensor: of nvfp4.
void QuantizeBlock(WeightFormat format, const float* weight, int b, int inputs, float tensor,
                   uint8_t* codes, uint8_t* scales) {
  const int begin = b * BlockInputs(format);
  const int end = std::min(inputs, begin + BlockInputs(format));
  const float largest = Largest(weight + begin, end - begin);
  float scale = 0.0f;
  if (format == WeightFormat::kInt4) {
    const uint16_t code = Bf16FromFloat(ScaleFor(largest, 7.0f));
    Put(scales, b, code);
    scale = FloatFromBf16(code);
  } else if (format == WeightFormat::kMxfp8) {
    const uint8_t code = E8m0FromFloat(largest / kE4m3Max, PowerRounding::kUp);
    Put(scales, b, code);
    scale = FloatFromE8m0(code);
  } else {
    const uint8_t code = tensor == 0.0f ? uint8_t{0} : E4m3FromFloat(largest / kE2m1Max / tensor);
    Put(scales, b, code);
    scale = FloatFromE4m3(code) * tensor;
  }
  for (int i = begin; i < end; ++i) {
    const float scaled = scale == 0.0f ? 0.0f : weight[i] / scale;
    if (format == WeightFormat::kInt4) {
      PutNibble(codes, i, static_cast<unsigned>(IntegerCode(weight[i], scale, 7.0f)));
    } else if (format == WeightFormat::kMxfp8) {
      codes[i] = E4m3FromFloat(scaled);
    } else {
      PutNibble(codes, i, E2m1FromFloat(scaled));
    }
  }
}

void QuantizeRow(WeightFormat format, const float* weight, int inputs, float tensor, uint8_t* codes,
                 uint8_t* scales) {
  switch (format) {
    case WeightFormat::kInt8: {
      const float scale = ScaleFor(Largest(weight, inputs), 127.0f);
      Put(scales, 0, scale);
      for (int i = 0; i < inputs; ++i) Put(codes, i, IntegerCode(weight[i], scale, 127.0f));
      return;
    }
    case WeightFormat::kBf16:
      for (int i = 0; i < inputs; ++i) {
        Put(codes, i, Bf16FromFloat(std::clamp(weight[i], -kBf16Max, kBf16Max)));
      }
      return;
    case WeightFormat::kFp8: {
      const float scale = ScaleFor(Largest(weight, inputs), kE4m3Max);
      Put(scales, 0, scale);
      for (int i = 0; i < inputs; ++i) {
        codes[i] = scale == 0.0f ? uint8_t{0} : E4m3FromFloat(weight[i] / scale);
      }
      return;
    }
    default:
      for (int b = 0; b * BlockInputs(format) < inputs; ++b) {
        QuantizeBlock(format, weight, b, inputs, tensor, codes, scales);
      }
  }
}

float ScaleOf(const WeightShape& shape, const uint8_t* scales, float tensor, int i) {
  switch (shape.format) {
    case WeightFormat::kInt8:
    case WeightFormat::kFp8:
      return Get<float>(scales, 0);
    case WeightFormat::kInt4:
      return FloatFromBf16(Get<uint16_t>(scales, i / 32));
    case WeightFormat::kNvfp4:
      return FloatFromE4m3(scales[i / 16]) * tensor;
    case WeightFormat::kMxfp8:
      return FloatFromE8m0(scales[i / 32]);
    default:
      return 1.0f;
  }
}

float CodeValue(WeightFormat format, const uint8_t* codes, int i) {
  switch (format) {
    case WeightFormat::kInt8:
      return static_cast<float>(static_cast<int8_t>(codes[i]));
    case WeightFormat::kInt4:
      return static_cast<float>(static_cast<int>(GetNibble(codes, i) ^ 8u) - 8);
    case WeightFormat::kBf16:
      return FloatFromBf16(Get<uint16_t>(codes, i));
    case WeightFormat::kNvfp4:
      return FloatFromE2m1(static_cast<uint8_t>(GetNibble(codes, i)));
    default:
      return FloatFromE4m3(codes[i]);
  }
}

}  // namespace

int64_t CodeBytes(WeightFormat format, int inputs) {
  if (TwoPerByte(format)) return (int64_t{inputs} + 1) / 2;
  return format == WeightFormat::kBf16 ? int64_t{inputs} * 2 : inputs;
}

int64_t ScaleBytes(WeightFormat format, int inputs) {
  const int block = BlockInputs(format);
  if (block == 0) return format == WeightFormat::kBf16 ? 0 : 4;
  const int64_t blocks = (inputs + block - 1) / block;
  return format == WeightFormat::kInt4 ? blocks * 2 : blocks;
}

Status CheckWeights(const WeightShape& shape) {
  if (shape.format < WeightFormat::kInt8 || shape.format >= WeightFormat::kCount) {
    return {Code::kInvalidArgument, "format", "one of int8, int4, bf16, fp8, nvfp4, mxfp8"};
  }
  if (shape.inputs < 1 || shape.inputs > kInputsMax) {
    return {Code::kOutOfRange, "inputs", "1 to 65536"};
  }
  if (shape.outputs < 1 || shape.outputs > kOutputsMax) {
    return {Code::kOutOfRange, "outputs", "1 to 16777216"};
  }
  return Status::Ok();
}

Status QuantizeWeights(const WeightShape& shape, const float* weight, const WeightArrays& to) {
  if (Status status = CheckWeights(shape); !status.ok()) return status;
  const int64_t count = int64_t{shape.outputs} * shape.inputs;
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(weight[i])) {
      return {Code::kInvalidArgument, "weight", "must be finite: no NaN, no infinity"};
    }
  }
  float tensor = 0.0f;
  if (shape.format == WeightFormat::kNvfp4) {
    tensor = ScaleFor(Largest(weight, count), kE2m1Max * kE4m3Max);
    *to.tensor_scale = tensor;
  }
  const int64_t code_bytes = CodeBytes(shape.format, shape.inputs);
  const int64_t scale_bytes = ScaleBytes(shape.format, shape.inputs);
  for (int64_t n = 0; n < shape.outputs; ++n) {
    QuantizeRow(shape.format, weight + n * shape.inputs, shape.inputs, tensor,
                to.codes + n * code_bytes, to.scales + n * scale_bytes);
  }
  return Status::Ok();
}

void DequantizeWeights(const WeightShape& shape, const WeightArrays& from, float* weight) {
  const int64_t code_bytes = CodeBytes(shape.format, shape.inputs);
  const int64_t scale_bytes = ScaleBytes(shape.format, shape.inputs);
  const float tensor = from.tensor_scale == nullptr ? 1.0f : *from.tensor_scale;
  for (int64_t n = 0; n < shape.outputs; ++n) {
    for (int i = 0; i < shape.inputs; ++i) {
      *weight++ = CodeValue(shape.format, from.codes + n * code_bytes, i) *
                  ScaleOf(shape, from.scales + n * scale_bytes, tensor, i);
    }
  }
}

Status CheckCodes(const WeightShape& shape, const WeightArrays& weights) {
  if (Status status = CheckWeights(shape); !status.ok()) return status;
  const int64_t code_bytes = CodeBytes(shape.format, shape.inputs);
  const int64_t scale_bytes = ScaleBytes(shape.format, shape.inputs);
  const float tensor = weights.tensor_scale == nullptr ? 1.0f : *weights.tensor_scale;
  const int step = std::max(1, BlockInputs(shape.format));
  for (int64_t n = 0; n < shape.outputs; ++n) {
    for (int i = 0; i < shape.inputs; ++i) {
      if (!std::isfinite(CodeValue(shape.format, weights.codes + n * code_bytes, i))) {
        return {Code::kInvalidArgument, "codes", "must be finite: no NaN, no infinity"};
      }
    }
    for (int i = 0; i < shape.inputs; i += step) {
      if (!std::isfinite(ScaleOf(shape, weights.scales + n * scale_bytes, tensor, i))) {
        return {Code::kInvalidArgument, "scales", "must be finite: no NaN, no infinity"};
      }
    }
  }
  return Status::Ok();
}

}  // namespace metabonk::nn
