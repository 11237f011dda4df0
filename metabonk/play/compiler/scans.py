"""How a step of a state space becomes instructions.

Knows the formula of metabonk.ops.selective_scan; there is no instruction of its own for it: what it
does to each number is a few elementary ones over views that repeat.
"""

from __future__ import annotations

import torch
from torch.fx import Node

import metabonk.ops.selective_scan  # noqa: F401 - this defines the operator below
from metabonk.errors import CompileError
from metabonk.play.compiler.elements import Args, Kwargs
from metabonk.play.compiler.lowering import Lowering, Value, rule
from metabonk.play.compiler.program import Binary, Opcode, Reduction, Unary
from metabonk.play.compiler.views import Type, View

ours = torch.ops.metabonk


@rule(ours.selective_scan.default)
def selective_scan(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    build = low.builder
    x, delta, a, b, c, h = (low.view(v) for v in args[:6])
    keep = None if args[6] is None else low.view(args[6])
    if x.sizes[0] != 1:
        raise CompileError(f"selective_scan over {x.sizes[0]} steps: a policy takes one at a time")
    sizes = batch, channels, _ = h.sizes

    def new(which: Binary, one: View, other: View) -> View:
        y = build.new(Type.F32, one.sizes)
        return build.emit(Opcode.BINARY, y, one, other, integers=(which,))

    def per_channel(of: View) -> View:  # [B, D], repeated along the numbers of a channel
        return of.insert(2).expand(sizes)

    def per_number(of: View) -> View:  # [1, B, N], repeated along the channels
        return of.select(0, 0).insert(1).expand(sizes)

    before = h
    if keep is not None:
        before = new(Binary.MULTIPLY, h, keep.select(0, 0).insert(2).expand(sizes))
    move = delta.select(0, 0)
    exponent = new(Binary.MULTIPLY, per_channel(move), a.expand(sizes))
    decay = build.new(Type.F32, sizes)
    build.emit(Opcode.UNARY, decay, exponent, integers=(Unary.EXP,), numbers=(0, 0))
    entering = new(Binary.MULTIPLY, move, x.select(0, 0))
    written = new(Binary.MULTIPLY, per_channel(entering), per_number(b))
    after = new(Binary.ADD, new(Binary.MULTIPLY, decay, before), written)
    y = build.new(Type.F32, (batch, channels))
    seen = new(Binary.MULTIPLY, after, per_number(c))
    build.emit(Opcode.REDUCE, y, seen, integers=(Reduction.SUM,))
    return [y.insert(0), after]
