"""How a step of a state space becomes instructions.

Knows the formula of metabonk.ops.selective_scan; there is no instruction of its own for it: what it
does to each number is a few elementary ones over views that repeat.
"""

from __future__ import annotations

import torch
from torch.fx import Node

import metabonk.ops.selective_scan  # noqa: F401 - this defines the operator below
from metabonk.errors import CompileError
from metabonk.play.compiler.arithmetic import Arithmetic
from metabonk.play.compiler.elements import Args, Kwargs
from metabonk.play.compiler.lowering import Lowering, Value, rule
from metabonk.play.compiler.program import Unary
from metabonk.play.compiler.views import View

ours = torch.ops.metabonk


@rule(ours.selective_scan.default)
def selective_scan(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    math = Arithmetic(low.builder)
    x, delta, a, b, c, h = (low.view(v) for v in args[:6])
    keep = None if args[6] is None else low.view(args[6])
    if x.sizes[0] != 1:
        raise CompileError(f"selective_scan over {x.sizes[0]} steps: a policy takes one at a time")
    sizes = h.sizes

    def per_channel(of: View) -> View:  # [B, D], repeated along the numbers of a channel
        return of.insert(2).expand(sizes)

    def per_number(of: View) -> View:  # [1, B, N], repeated along the channels
        return of.select(0, 0).insert(1).expand(sizes)

    before = h
    if keep is not None:
        before = math.multiply(h, keep.select(0, 0).insert(2).expand(sizes))
    move = delta.select(0, 0)
    decay = math.unary(Unary.EXP, math.multiply(per_channel(move), a.expand(sizes)))
    entering = math.multiply(move, x.select(0, 0))
    written = math.multiply(per_channel(entering), per_number(b))
    after = math.add(math.multiply(decay, before), written)
    y = math.total(math.multiply(after, per_number(c)))
    return [y.insert(0), after]
