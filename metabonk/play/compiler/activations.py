"""How activations that have parameters become instructions, whatever the parameters are."""

from __future__ import annotations

import torch
from torch.fx import Node

from metabonk.errors import CompileError
from metabonk.play.compiler.arithmetic import Arithmetic
from metabonk.play.compiler.elements import Args, Kwargs, affine, aten, function
from metabonk.play.compiler.lowering import Lowering, Value, rule
from metabonk.play.compiler.program import Binary, Opcode, Unary
from metabonk.play.compiler.views import Type

SOFT = 17.0  # above it softplus is its argument in float32, with a threshold or without


@rule(aten.softplus.default, reads="beta threshold")
def softplus(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    """log(1 + exp(beta x)) / beta, and x itself where beta x is above the threshold."""
    given = dict(zip(("beta", "threshold"), args[1:], strict=False)) | dict(kwargs)
    beta, threshold = float(given.get("beta", 1.0)), float(given.get("threshold", 20.0))
    if beta == 0:
        raise CompileError(f"{node.target} with beta 0 is nowhere a number")
    x = low.view(args[0])
    scaled = x if beta == 1 else affine(low, node, x, beta, 0.0)
    y = function(low, node, Unary.SOFTPLUS, scaled)
    y = y if beta == 1 else affine(low, node, y, 1.0 / beta, 0.0)
    if threshold >= SOFT:
        return y
    limit = torch.tensor(threshold)
    above = low.builder.new(Type.U8, y.sizes)
    limits = low.view(limit).expand(y.sizes)
    low.builder.emit(Opcode.BINARY, above, limits, scaled.expand(y.sizes), integers=(Binary.LESS,))
    return low.builder.emit(Opcode.WHERE, low.result(node), above, x.expand(y.sizes), y)


@rule(aten.elu.default, reads="alpha scale input_scale")
def elu(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    """scale max(x, 0) + scale alpha (exp(input_scale min(x, 0)) - 1): ELU, SELU and CELU."""
    names = ("alpha", "scale", "input_scale")
    given = dict(zip(names, args[1:], strict=False)) | dict(kwargs)
    alpha, scale, input_scale = (float(given.get(name, 1.0)) for name in names)
    return Arithmetic(low.builder).elu(low.view(args[0]), alpha, scale, input_scale)
