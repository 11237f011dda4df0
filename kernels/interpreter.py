"""Repairs of Triton 3.6's interpreter, so that what it computes is what the hardware would.

Knows the interpreter's builder; no kernel. Left alone it is silently wrong where

    bf16            is kept as bits: arithmetic and products work on the bits, casts to it truncate
    e4m3            casts to it truncate, its largest numbers and NaN come out as others
    maximum         returns NaN where the hardware returns the other number; minimum likewise
    bounds          of loops cannot be read from kernels' numbers under NumPy 2.4
    scans           go number by number, thousands of times as slow as a step at a time

and lacks scaled products (`tl.dot_scaled`), which are added here for e2m1 along the inputs.

Products are summed in float64 and rounded once: the reference that tolerances are set against.
Nothing here makes races or reads out of bounds visible; tests put guard bands round what kernels
write. Interpreter and compiler cannot share a process.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[Any]

_TORCH = {"bf16": torch.bfloat16, "fp8e4nv": torch.float8_e4m3fn}
_LARGEST = {"fp8e4nv": 448.0}


def repair() -> None:
    """Patches the interpreter of this process; again does no harm."""
    from triton.runtime import interpreter

    builder: Any = interpreter.InterpreterBuilder
    if getattr(builder, "repaired", False):
        return
    builder.repaired = True
    handle: Any = interpreter.TensorHandle
    cast_before = builder.cast_impl

    def cast(self: Any, source: Any, to: Any) -> Any:
        given, wanted = source.dtype.scalar, to.scalar
        if given.name not in _TORCH and wanted.name not in _TORCH:
            return cast_before(self, source, to)
        numbers = decode(source.data, given.name)
        return handle(encode(numbers, wanted.name), wanted)

    def cast_rounding(self: Any, source: Any, to: Any, rounding: Any) -> Any:
        return cast(self, source, to)

    def dot(self: Any, a: Any, b: Any, d: Any, *_: Any) -> Any:
        left, right = (decode(t.data, t.dtype.scalar.name).astype(np.float64) for t in (a, b))
        total = np.matmul(left, right) + d.data.astype(np.float64)
        return handle(total.astype(d.data.dtype), d.dtype.scalar)

    def binary(operation: Any) -> Any:
        def run(self: Any, left: Any, right: Any) -> Any:
            name = left.dtype.scalar.name
            if name not in _TORCH:
                return self.binary_op(left, right, operation)
            numbers = operation(decode(left.data, name), decode(right.data, name))
            return handle(encode(numbers.astype(np.float32), name), left.dtype.scalar)

        return run

    for name in ("create_fp_ext", "create_fp_trunc", "create_si_to_fp", "create_fp_to_si"):
        setattr(builder, name, cast)
    builder.create_fp_to_fp = cast_rounding
    builder.create_dot = dot
    for name, operation in (("fadd", np.add), ("fsub", np.subtract), ("fmul", np.multiply)):
        setattr(builder, f"create_{name}", binary(operation))
    builder.create_maxnumf = lambda self, a, b: self.binary_op(a, b, np.fmax)
    builder.create_minnumf = lambda self, a, b: self.binary_op(a, b, np.fmin)
    _add_dot_scaled(builder)
    patch_before = interpreter._patch_lang_tensor

    def patch(tensor: Any, scope: Any) -> None:
        patch_before(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    interpreter._patch_lang_tensor = patch
    interpreter.ScanOps.generic_scan = _scan


def decode(data: Array, name: str) -> Array:
    """What an array of the interpreter's holds, by the name of its Triton type, as numbers."""
    if name not in _TORCH:
        return data
    bits = torch.from_numpy(np.ascontiguousarray(data).copy())
    return bits.view(_TORCH[name]).float().numpy().reshape(data.shape)


def encode(numbers: Array, name: str) -> Array:
    """The inverse of `decode`, rounding to nearest, ties to even; e4m3 saturates at 448."""
    if name not in _TORCH:
        from triton.language import dtype
        from triton.runtime.interpreter import _get_np_dtype

        return numbers.astype(_get_np_dtype(dtype(name)))
    given = torch.from_numpy(np.ascontiguousarray(numbers, np.float32).copy())
    if name in _LARGEST:
        given = given.clamp(-_LARGEST[name], _LARGEST[name])  # keeps NaN
    bits = torch.uint16 if name == "bf16" else torch.uint8
    return given.to(_TORCH[name]).view(bits).numpy().reshape(numbers.shape)


def _scan(self: Any, inputs: Any) -> list[Any]:
    """A step at a time along the axis, all else at once; `self` is the interpreter's ScanOps."""
    columns = [np.moveaxis(t.handle.data, self.axis, 0) for t in inputs]
    outputs = [np.empty_like(column) for column in columns]
    before: Any = ()
    for i in range(len(columns[0])):
        now = [self.to_tensor(c[i], t.dtype) for c, t in zip(columns, inputs, strict=True)]
        found = self.combine_fn.fn(*before, *now) if i else tuple(now)
        before = found if isinstance(found, tuple) else (found,)
        for output, number in zip(outputs, before, strict=True):
            output[i] = number.handle.data.reshape(output[i].shape)
    return [
        self.to_tensor(np.moveaxis(output, 0, self.axis), t.dtype)
        for output, t in zip(outputs, inputs, strict=True)
    ]


def _add_dot_scaled(builder: Any) -> None:
    import triton.language as tl
    from triton.language.semantic import TritonSemantic

    before = TritonSemantic.dot_scaled

    def dot_scaled(self: Any, *arguments: Any) -> Any:
        # The interpreter hands on plain strings where the language expects its constants.
        return before(self, *(tl.constexpr(a) if isinstance(a, str) else a for a in arguments))

    TritonSemantic.dot_scaled = dot_scaled
    builder.create_dot_scaled = _dot_scaled


def _dot_scaled(
    self: Any,
    left: Any,
    left_scale: Any,
    left_format: Any,
    right: Any,
    right_scale: Any,
    right_format: Any,
    fast_math: bool,
    left_packed: bool,
    right_packed: bool,
    total: Any,
) -> Any:
    """`tl.dot_scaled` of two e2m1 operands, two codes per byte along what is summed."""
    if not (left_packed and right_packed and left.data.dtype == right.data.dtype == np.uint8):
        raise NotImplementedError("dot_scaled: only e2m1 packed along what is summed")
    a = _scaled(left.data, left_scale)
    b = _scaled(np.ascontiguousarray(right.data.T), right_scale)
    found = a @ b.T + total.data.astype(np.float64)
    return type(total)(found.astype(total.data.dtype), total.dtype.scalar)


def _scaled(codes: Array, scale: Any) -> Array:
    """Rows of packed e2m1 codes times their blocks' scales, float64."""
    values = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
    numbers = values[np.stack([codes & 15, codes >> 4], -1).reshape(len(codes), -1)]
    name = scale.dtype.scalar.name
    factors = decode(scale.data, name) if name in _TORCH else 2.0 ** (scale.data - 127.0)
    return numbers * np.repeat(factors, numbers.shape[1] // factors.shape[1], 1)
