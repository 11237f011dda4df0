"""Recurrent work as plain torch does it: scans of the closed-form cell, layers, scans and dreams of
world models. A sequence is a loop over one step, which is what gets compiled.

Knows the ops' formulas and the cases' inputs.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from metabonk.kernels.cases import Case, Inputs
from torch import Tensor
from torch.nn import functional

from metabonk.ops import cfc_scan, imagine_torch, rssm_torch
from metabonk.ops.rssm_weights import Distribution, RssmWeights

from .plain import Plain, Step

MIX, LEAST = 0.01, 0.1  # of all cases
CFC = "x", "h", "dt", "keep", "w_in", "b_in", "w_heads", "b_heads"
SCAN = "w_in", "b_in", "w_ih", "w_hh", "b_ih", "b_hh"
PRIOR = "w_prior", "b_prior", "w_prior_out", "b_prior_out"
POSTERIOR = "w_post", "b_post", "w_post_out", "b_post_out"


def cfc(case: Case, given: Inputs) -> Plain:
    """States of all steps, float32."""
    return Plain({name: given[name].float() for name in CFC}, cfc_scan.step, _cfc)


def _cfc(step: Step, inputs: Inputs) -> tuple[Tensor, ...]:
    x, h, dt, keep, *weights = (inputs[name] for name in CFC)
    states = []
    for t in range(len(x)):
        h = step(x[t], h, dt[t], keep[t], *weights)
        states.append(h)
    return (torch.stack(states),)


def cudnn(case: Case, given: Inputs) -> Plain | None:
    """cuDNN's GRU: the very layer of a case that is one, and beside a scan of closed-form cells
    another cell of the same kind with as many units."""
    if case.op == "cfc_scan":
        x, h = given["x"], given["h"]
        gru = torch.nn.GRU(x.shape[2], h.shape[1]).to(x.device)
    elif "w_x" in given and "x" in given:
        dtype = given["w_x"].dtype
        x, h = given["x"][None].to(dtype), given["h"].to(dtype)
        gru = torch.nn.GRU(x.shape[2], h.shape[1]).to(x.device, dtype)
        with torch.no_grad():
            for name, ours in (("weight_ih", "w_x"), ("weight_hh", "w_h"), ("bias_ih", "b_x"),
                               ("bias_hh", "b_h")):  # fmt: skip
                getattr(gru, f"{name}_l0").copy_(given[ours])
    else:
        return None
    return Plain({"gru": gru.requires_grad_(False).eval(), "x": x, "h": h[None]}, _gru)


def _gru(gru: torch.nn.GRU, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    return (gru(x, h)[0].float(),)


def layer(case: Case, given: Inputs) -> Plain:
    """The layer over one-hot classes and numbers as one product, in the weights' dtype."""
    table, weight = given["table"], given["weight"]
    inputs = {name: given[name] for name in ("x", "index", "bias", "keep")}
    inputs["weight"] = torch.cat([table.flatten(0, 1).t(), weight], 1).contiguous()
    return Plain(inputs, functools.partial(_layer, table.shape[1]))


def _layer(
    classes: int, x: Tensor, index: Tensor, bias: Tensor, keep: Tensor, weight: Tensor
) -> tuple[Tensor, ...]:
    hot = functional.one_hot(index.long(), classes).flatten(1)
    row = torch.cat([hot.to(weight.dtype), x.to(weight.dtype)], 1)
    return (functional.elu(keep[:, None] * functional.linear(row, weight).float() + bias),)


def cell(case: Case, given: Inputs) -> Plain:
    """torch's own GRU cell, in the weights' dtype."""
    dtype = given["w_x"].dtype
    names = "x", "h", "w_x", "w_h", "b_x", "b_h"
    return Plain({name: given[name].to(dtype) for name in names}, _cell)


def _cell(
    x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b_x: Tensor, b_h: Tensor
) -> tuple[Tensor, ...]:
    return (torch.gru_cell(x, h, w_x, w_h, b_x, b_h).float(),)


def scan(case: Case, given: Inputs) -> Plain:
    """A world model's steps with observations: states, samples, both distributions, classes."""
    kind = Distribution(case.facts["classes"], MIX, LEAST)
    weights = RssmWeights(*(given[name] for name in (*SCAN, *PRIOR, *POSTERIOR)))
    names = "deter", "stoch", "action", "embed", "keep", "noise"
    inputs: dict[str, Any] = {name: given[name] for name in names}
    return Plain(inputs | _by_name(weights), _scan_step(kind), functools.partial(_scan, kind))


def rollout(case: Case, given: Inputs) -> Plain:
    """The same of the prior alone, from the CUDA kernel's inputs, in float32: states, logarithms
    of probabilities, classes."""
    groups, classes = given["table"].shape[:2]
    w = {name: t.float() for name, t in given.items() if t.is_floating_point()}
    w_in = torch.cat([w["table"].flatten(0, 1).t(), w["w_action"]], 1).contiguous()
    names = "b_embed", "w_x", "w_h", "b_x", "b_h", "w_prior", "b_prior", "w_logits", "b_logits"
    weights = RssmWeights(w_in, *(w[name] for name in names))
    inputs: dict[str, Any] = {"deter": w["h"], "stoch": given["index"], "action": w["action"]}
    inputs |= {"embed": None, "keep": None, "noise": w["uniform"]} | _by_name(weights)
    kind = Distribution(classes, MIX, LEAST)

    def whole(step: Step, inputs: Inputs) -> tuple[Tensor, ...]:
        deter, _, prior, _, index = _scan(kind, step, inputs)
        return deter, prior.unflatten(-1, (groups, classes)), index

    return Plain(inputs, _scan_step(kind), whole)


def _by_name(weights: RssmWeights) -> dict[str, Tensor]:
    return {f"weights.{i}": t for i, t in enumerate(weights.given())}


def _gathered(inputs: Inputs) -> RssmWeights:
    return RssmWeights(*(t for name, t in inputs.items() if name.startswith("weights.")))


def _scan_step(kind: Distribution) -> Step:
    def step(*arguments: Any) -> tuple[Any, ...]:
        return tuple(rssm_torch.step(*arguments, kind))[:5]

    return step


def _scan(kind: Distribution, step: Step, inputs: Inputs) -> tuple[Tensor, ...]:
    deter, stoch, action = (inputs[name] for name in ("deter", "stoch", "action"))
    embed, keep, noise = (inputs[name] for name in ("embed", "keep", "noise"))
    weights = _gathered(inputs)
    if kind.classes:
        stoch = _hot(stoch, kind.classes)
    steps = []
    for t in range(len(action)):
        seen, kept = (None if v is None else v[t] for v in (embed, keep))
        done = step(deter, stoch, action[t], seen, kept, noise[t], weights)
        deter, stoch = done[:2]
        steps.append(done)
    return _stacked(steps)


def dream(case: Case, given: Inputs) -> Plain:
    """Steps that nobody observes under an actor, float32: all that `imagine` returns."""
    kind = Distribution(case.facts["classes"], MIX, LEAST)
    squashed = case.facts["squashed"]
    weights = RssmWeights(*(given[name] for name in (*SCAN, *PRIOR)))
    layers = [(given[f"w_actor_{i}"], given[f"b_actor_{i}"]) for i in range(_depth(given))]
    inputs = {name: given[name] for name in ("deter", "stoch", "noise", "action_noise")}
    for i, (weight, bias) in enumerate(layers):
        inputs |= {f"w_actor_{i}": weight, f"b_actor_{i}": bias}

    def step(*arguments: Any) -> tuple[Any, ...]:
        return tuple(imagine_torch.step(*arguments, squashed, kind, LEAST))[:7]

    return Plain(inputs | _by_name(weights), step, functools.partial(_dream, kind))


def _depth(inputs: Inputs) -> int:
    return sum(name.startswith("w_actor_") for name in inputs)


def _dream(kind: Distribution, step: Step, inputs: Inputs) -> tuple[Tensor, ...]:
    deter, stoch, noise, chosen = (
        inputs[name] for name in ("deter", "stoch", "noise", "action_noise")
    )
    weights = _gathered(inputs)
    actor = [(inputs[f"w_actor_{i}"], inputs[f"b_actor_{i}"]) for i in range(_depth(inputs))]
    if kind.classes:
        stoch = _hot(stoch, kind.classes)
    steps = []
    for t in range(len(noise)):
        done = step(deter, stoch, noise[t], chosen[t], weights, actor)
        deter, stoch = done[:2]
        steps.append(done)
    return _stacked(steps)


def _hot(index: Tensor, classes: int) -> Tensor:
    return functional.one_hot(index.long(), classes).flatten(-2).float()


def _stacked(steps: list[tuple[Any, ...]]) -> tuple[Tensor, ...]:
    """Of all steps; what is not there has no elements."""
    nothing = torch.empty(0, dtype=torch.int32)
    return tuple(
        nothing if column[0] is None else torch.stack(column) for column in zip(*steps, strict=True)
    )
