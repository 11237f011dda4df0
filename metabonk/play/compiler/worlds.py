"""How a step of a recurrent state-space model becomes instructions.

Knows the formula of metabonk.ops.rssm_scan; there is no instruction of its own for it: layers, in
the precision that was asked for, and elementary arithmetic between them. Nobody reads the prior of
a step that sees an observation, so what only it needs is dropped with the rest that nobody reads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.fx import Node

import metabonk.ops.rssm_scan
import metabonk.ops.rssm_step  # noqa: F401 - these define the operators below
from metabonk.errors import CompileError
from metabonk.ops.rssm_weights import RssmWeights
from metabonk.play.compiler.arithmetic import Arithmetic
from metabonk.play.compiler.elements import Args, Kwargs
from metabonk.play.compiler.layers import constant
from metabonk.play.compiler.lowering import Lowering, Value, parameter_name, rule
from metabonk.play.compiler.program import Binary, Opcode, Reduction, Unary
from metabonk.play.compiler.views import Type, View

ours = torch.ops.metabonk
BELOW_ALL = 1.0 - 2.0**-20  # of the total, so that rounding cannot pass the last class


class Stepped(NamedTuple):
    """After one step, [B, ...] each; posterior and picked classes where there are any."""

    deter: View
    stoch: View
    prior: View
    posterior: View | None
    picked: View | None


@rule(ours.rssm_scan.default)
def rssm_scan(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    deter, stoch, *given = args[:6]
    steps = low.view(given[0]).sizes[0]
    if steps != 1:
        raise CompileError(f"rssm_scan over {steps} steps: a policy takes one at a time")
    rows: list[Value] = [None if v is None else low.view(v).select(0, 0) for v in given]
    done = _Step(low, node, args).run(low.view(deter), low.view(stoch), *rows)
    return [*(None if v is None else v.insert(0) for v in done), None, None, None, None]


@rule(ours.rssm_step.default)
def rssm_step(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    rows: list[Value] = [None if v is None else low.view(v) for v in args[:6]]
    done = _Step(low, node, args).run(*rows)
    return [*done, None, None, None, None]


class _Step:
    """One step's layers and distributions."""

    def __init__(self, low: Lowering, node: Node, args: Args) -> None:
        self.low, self.build, self.math = low, low.builder, Arithmetic(low.builder)
        self.weights = RssmWeights(*(constant(node, w) for w in args[6]))
        self.classes, self.unimix, self.min_std = args[7:10]
        self.name = parameter_name(node)

    def run(
        self,
        deter: View,
        stoch: View,
        action: View,
        embed: View | None,
        keep: View | None,
        noise: View,
    ) -> Stepped:
        if stoch.type != Type.F32:
            raise CompileError("rssm: a state of classes; compile one of numbers, [B, S]")
        math, w = self.math, self.weights
        if keep is not None:
            parts = (deter, stoch, action)
            deter, stoch, action = (math.multiply(v, keep.expand(v.sizes)) for v in parts)
        x = math.elu(self.layer([stoch, action], w.w_in, w.b_in, "input"))
        after = self.gated(x, deter)
        hidden = math.elu(self.layer([after], w.w_prior, w.b_prior, "prior"))
        prior = self.distribution(self.layer([hidden], w.w_prior_out, w.b_prior_out, "prior_out"))
        posterior = None
        if embed is not None:
            assert w.w_post is not None
            assert w.w_post_out is not None
            hidden = math.elu(self.layer([after, embed], w.w_post, w.b_post, "post"))
            posterior = self.distribution(
                self.layer([hidden], w.w_post_out, w.b_post_out, "post_out")
            )
        drawn, index = self.sample(prior if posterior is None else posterior, noise)
        return Stepped(after, drawn, prior, posterior, index)

    def layer(self, inputs: list[View], weight: Tensor, bias: Tensor | None, name: str) -> View:
        x = self.math.joined(inputs)
        return self.low.linear(x, weight, bias, f"{self.name}.{name}")

    def gated(self, x: View, deter: View) -> View:
        """torch.nn.GRUCell(x, deter): n + z (h - n)."""
        math, w, width = self.math, self.weights, deter.sizes[1]
        from_x = self.layer([x], w.w_ih, w.b_ih, "rnn.ih")
        from_h = self.layer([deter], w.w_hh, w.b_hh, "rnn.hh")
        new, old = (
            [v.narrow(1, i * width, (i + 1) * width) for i in range(3)] for v in (from_x, from_h)
        )
        r, z = (math.unary(Unary.SIGMOID, math.add(new[i], old[i])) for i in range(2))
        n = math.unary(Unary.TANH, math.add(new[2], math.multiply(r, old[2])))
        return math.add(n, math.multiply(z, math.subtract(deter, n)))

    def distribution(self, out: View) -> View:
        """What a head puts out, [B, P], -> parameters [B, P]."""
        math, (batch, width) = self.math, out.sizes
        if not self.classes:
            mean, raw = out.narrow(1, 0, width // 2), out.narrow(1, width // 2, width)
            std = math.affine(math.unary(Unary.SOFTPLUS, raw), 1.0, self.min_std)
            return math.joined([mean, std])
        logits = self.by_class(out)
        log_share = self.build.new(Type.F32, logits.sizes)
        self.build.emit(Opcode.SOFTMAX, log_share, logits, integers=(1,))
        if self.unimix > 0.0:
            share = math.unary(Unary.EXP, log_share)
            mixed = math.affine(share, 1.0 - self.unimix, self.unimix / self.classes)
            log_share = math.unary(Unary.LOG, mixed)
        return self.build.reshape(log_share, (batch, width))

    def by_class(self, of: View) -> View:
        """[B, G C] -> [B, G, C]."""
        return self.build.reshape(of, (of.sizes[0], of.sizes[1] // self.classes, self.classes))

    def sample(self, parameters: View, noise: View) -> tuple[View, View | None]:
        """stoch [B, S], and the classes int32 [B, G] or None."""
        math, build, (batch, width) = self.math, self.build, parameters.sizes
        if not self.classes:
            mean, std = (parameters.narrow(1, i * width // 2, (i + 1) * width // 2) for i in (0, 1))
            return math.add(mean, math.multiply(std, noise)), None
        share = math.unary(Unary.EXP, self.by_class(parameters))
        sizes = share.sizes
        cumulative = build.new(Type.F32, sizes)
        build.emit(Opcode.SCAN, cumulative, share)
        most = math.affine(cumulative.select(2, self.classes - 1), BELOW_ALL)
        point = math.multiply(noise, most).insert(2).expand(sizes)
        passed = build.new(Type.U8, sizes)
        build.emit(Opcode.BINARY, passed, cumulative, point, integers=(Binary.LESS_EQUAL,))
        index = build.new(Type.I32, sizes[:2])
        inner = passed.narrow(2, 0, self.classes - 1)
        build.emit(Opcode.REDUCE, index, inner, integers=(Reduction.SUM,))
        every = self.low.view(torch.arange(self.classes, dtype=torch.int32)).expand(sizes)
        picked = build.new(Type.U8, sizes)
        build.emit(
            Opcode.BINARY, picked, index.insert(2).expand(sizes), every, integers=(Binary.EQUAL,)
        )
        stoch = build.copy(picked, into=build.new(Type.F32, sizes))
        return build.reshape(stoch, (batch, width)), index
