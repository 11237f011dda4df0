"""Arithmetic on views of float32 numbers, every result in memory of its own.

Knows the builder and its instructions; for rules that write a formula out in several of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from metabonk.play.compiler.program import Binary, Builder, Opcode, Reduction, Unary
from metabonk.play.compiler.views import Type, View


class Arithmetic:
    """Operands of one instruction have the same sizes, which are the result's."""

    def __init__(self, build: Builder) -> None:
        self.build = build

    def unary(self, which: Unary, x: View, p: float = 0.0, q: float = 0.0) -> View:
        """which(x); p and q are its two numbers, if it has any."""
        y = self.build.new(Type.F32, x.sizes)
        return self.build.emit(Opcode.UNARY, y, x, integers=(which,), numbers=(p, q))

    def binary(self, which: Binary, a: View, b: View) -> View:
        y = self.build.new(Type.F32, a.sizes)
        return self.build.emit(Opcode.BINARY, y, a, b, integers=(which,))

    def add(self, a: View, b: View) -> View:
        return self.binary(Binary.ADD, a, b)

    def subtract(self, a: View, b: View) -> View:
        return self.binary(Binary.SUBTRACT, a, b)

    def multiply(self, a: View, b: View) -> View:
        return self.binary(Binary.MULTIPLY, a, b)

    def affine(self, x: View, p: float, q: float = 0.0) -> View:
        """p x + q."""
        return self.unary(Unary.AFFINE, x, p, q)

    def elu(
        self, x: View, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
    ) -> View:
        """scale max(x, 0) + scale alpha (exp(input_scale min(x, 0)) - 1)."""
        below = self.unary(Unary.CLAMP, x, -float("inf"), 0.0)
        below = below if input_scale == 1.0 else self.affine(below, input_scale)
        fall = self.affine(self.unary(Unary.EXP, below), scale * alpha, -scale * alpha)
        above = self.unary(Unary.RELU, x)
        return self.add(above if scale == 1.0 else self.affine(above, scale), fall)

    def total(self, x: View) -> View:
        """The sum over the last axis, which is gone then."""
        y = self.build.new(Type.F32, x.sizes[:-1])
        return self.build.emit(Opcode.REDUCE, y, x, integers=(Reduction.SUM,))

    def joined(self, parts: Sequence[View]) -> View:
        """Parts [B, width] side by side."""
        if len(parts) == 1:
            return parts[0]
        y = self.build.new(Type.F32, (parts[0].sizes[0], sum(part.sizes[1] for part in parts)))
        start = 0
        for part in parts:
            self.build.copy(part, into=y.narrow(1, start, start + part.sizes[1]))
            start += part.sizes[1]
        return y
