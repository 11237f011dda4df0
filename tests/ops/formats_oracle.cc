// The CUDA headers' conversions, compiled for the host: an oracle that shares nothing with ours.
// Reads float32 from standard input; writes per number its codes (e4m3, e2m1, e8m0 rounded down,
// e8m0 rounded up, bf16 in two bytes), then as float32 the values of all 256 codes of e4m3, 16 of
// e2m1, 256 of e8m0 and 65536 of bf16.
#include <cuda_bf16.h>
#include <cuda_fp4.h>
#include <cuda_fp8.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

void Write(float x) { std::fwrite(&x, sizeof x, 1, stdout); }

float Bf16Value(uint16_t code) {
  __nv_bfloat16_raw raw;
  raw.x = code;
  return __bfloat162float(__nv_bfloat16(raw));
}

}  // namespace

int main() {
  float x;
  while (std::fread(&x, sizeof x, 1, stdin) == 1) {
    uint8_t codes[6] = {
        __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3),
        __nv_cvt_float_to_fp4(x, __NV_E2M1, cudaRoundNearest),
        __nv_cvt_float_to_e8m0(x, __NV_SATFINITE, cudaRoundZero),
        __nv_cvt_float_to_e8m0(x, __NV_SATFINITE, cudaRoundPosInf),
    };
    const __nv_bfloat16_raw bf16 = __float2bfloat16_rn(x);
    std::memcpy(codes + 4, &bf16.x, 2);
    std::fwrite(codes, sizeof codes, 1, stdout);
  }
  for (int i = 0; i < 256; ++i) {
    __nv_fp8_e4m3 number;
    number.__x = static_cast<__nv_fp8_storage_t>(i);
    Write(static_cast<float>(number));
  }
  for (int i = 0; i < 16; ++i) {
    __nv_fp4_e2m1 number;
    number.__x = static_cast<__nv_fp4_storage_t>(i);
    Write(static_cast<float>(number));
  }
  for (int i = 0; i < 256; ++i) {
    Write(Bf16Value(__nv_cvt_e8m0_to_bf16raw(static_cast<__nv_fp8_storage_t>(i)).x));
  }
  for (int i = 0; i < 65536; ++i) Write(Bf16Value(static_cast<uint16_t>(i)));
}
