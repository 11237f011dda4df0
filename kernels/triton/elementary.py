"""Functions of single numbers that kernels share, in float32 and without libdevice, which the
interpreter lacks. Knows Triton; no kernel."""

import triton
import triton.language as tl


@triton.jit
def tanh(x):
    """Within 2e-7 of the true value; 1 - 2 / (1 + e^2x) loses no more, and e^2x may be infinite."""
    return 1.0 - 2.0 / (1.0 + tl.exp(2.0 * x))


@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def silu(x):
    return x / (1.0 + tl.exp(-x))


@triton.jit
def elu(x):
    """x, or e^x - 1 below 0; within 1e-7 there."""
    return tl.where(x > 0.0, x, tl.exp(tl.minimum(x, 0.0)) - 1.0)


@triton.jit
def round_even(x):
    """To the nearest whole number, ties to even, for |x| below 2^22."""
    return (x + 12582912.0) - 12582912.0


@triton.jit
def exponent(x):
    """floor(log2 x) of positive normal numbers; 128 of infinity and NaN, -127 of subnormal ones."""
    return ((x.to(tl.int32, bitcast=True) >> 23) & 0xFF) - 127


@triton.jit
def power_of_two(n):
    """2^n for whole n from -126 to 127."""
    return ((n + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def to_e4m3(x):
    """The code, as int32, of the nearest e4m3 number; ties to even, beyond 448 saturated, NaN 0x7F.

    The same bits as the hardware's cvt.rn.satfinite, on every architecture and in the interpreter.
    """
    bits = x.to(tl.int32, bitcast=True)
    size = tl.minimum(tl.abs(x), 448.0)
    whole = size.to(tl.int32, bitcast=True)
    # Bits 20 and up of the rounded number, its exponent's bias moved from 127 to 7.
    normal = ((whole + 0x7FFFF + ((whole >> 20) & 1)) >> 20) - (120 << 3)
    # Below 2^-6 numbers are multiples of 2^-9, as are the float32 from 2^14 on.
    tiny = (size + 16384.0).to(tl.int32, bitcast=True) - 0x46800000
    code = tl.where(size < 0.015625, tiny, normal) | ((bits >> 24) & 0x80)
    return tl.where(x == x, code, 0x7F)


@triton.jit
def from_e4m3(code):
    """float32 of e4m3 codes in int32."""
    # Under an exponent of 15 - 7 less than float16's: exact there, subnormal numbers included.
    bits = ((code & 0x7F) << 7) | ((code & 0x80) << 8)
    value = bits.to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32) * 256.0
    return tl.where((code & 0x7F) == 0x7F, float("nan"), value)


@triton.jit
def to_e2m1(x):
    """The code, as int32, of the nearest e2m1 number; ties to even, beyond 6 saturated."""
    bits = x.to(tl.int32, bitcast=True)
    size = tl.where(x == x, tl.minimum(tl.abs(x), 6.0), 6.0)
    whole = size.to(tl.int32, bitcast=True)
    normal = ((whole + 0x1FFFFF + ((whole >> 22) & 1)) >> 22) - (126 << 1)
    # Below 1 numbers are multiples of 1/2, as are the float32 from 2^22 on.
    tiny = (size + 4194304.0).to(tl.int32, bitcast=True) - 0x4A800000
    sign = tl.where(x == x, (bits >> 28) & 8, 0)
    return tl.where(size < 1.0, tiny, normal) | sign


@triton.jit
def from_e2m1(code):
    """float32 of e2m1 codes in int32, 0..15."""
    bits = ((code & 7) << 9) | ((code & 8) << 12)
    return bits.to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32) * 16384.0


@triton.jit
def to_bf16(x):
    """x rounded to bf16, still float32: what `.to(bfloat16)` gives, NaN kept."""
    bits = x.to(tl.uint32, bitcast=True)
    near = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return tl.where(x == x, near.to(tl.float32, bitcast=True), x)
