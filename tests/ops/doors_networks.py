"""Doors of layers and cells: CfC, dense, radar, RSSM, linear layers over weights in few bits."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from doors import SENTINEL, Arrays, Door, flags, numbers, out
from rssm_cases import NAMES, Size, one_step, problem
from torch import Tensor

from metabonk.ops import (
    cfc_cell,
    cfc_scan,
    dense,
    formats,
    imagine,
    qlinear,
    qweight,
    radar,
    rssm_scan,
    rssm_step,
)

raw = torch.ops.metabonk

# cfc -------------------------------------------------------------------------------------------


def cfc(lead: tuple[int, ...], **more: Tensor) -> Arrays:
    return {
        "x": numbers(*lead, 3),
        "h": numbers(lead[-1], 5),
        "dt": numbers(*lead, 1),
        "keep": numbers(*lead, 1),
        "w_in": numbers(6, 8),
        "b_in": numbers(6),
        "w_heads": numbers(20, 6),
        "b_heads": numbers(20),
        **more,
    }


def cfc_back(lead: tuple[int, int]) -> Arrays:
    given = cfc(lead)
    del given["b_in"], given["b_heads"]
    made = {"out": numbers(*lead, 5), "z": numbers(*lead, 6), "heads": numbers(*lead, 20)}
    return {"the gradient": numbers(*lead, 5), **given, **made}


def load_cfc(arrays: Arrays) -> None:
    plan = cfc_cell.plan(*cfc((4,)).values())
    plan.load(**arrays)


CFC = {
    "cfc_cell": Door(
        ("CfcEngine.forward",),
        lambda: cfc((4,)),
        lambda a: cfc_cell.cfc_cell(**a, backend="native"),
        follow=("x", "b_in"),
    ),
    "cfc_scan": Door(
        ("CfcEngine.forward",),
        lambda: cfc((2, 4)),
        lambda a: cfc_scan.cfc_scan(**a, backend="native"),
        follow=("x", "b_in"),
    ),
    "raw cfc_scan": Door(
        ("CfcEngine.forward",),
        lambda: cfc((2, 4)),
        lambda a: raw.cfc_scan(*a.values(), False, "native"),
        follow=("x", "b_in"),
    ),
    "raw cfc_scan_backward": Door(
        ("CfcEngine.backward",),
        lambda: cfc_back((2, 4)),
        lambda a: raw.cfc_scan_backward(*a.values(), "native"),
        follow=("x", "w_in"),
    ),
    "cfc_cell.plan": Door(
        ("CfcPlan", "CfcPlan.step"),
        lambda: cfc((4,), out=out(4, 5)),
        lambda a: cfc_cell.plan(**a),
        ("out",),
        ("x", "b_in"),
    ),
    "cfc_cell.plan of a sequence": Door(
        ("CfcPlan", "CfcPlan.step"),
        lambda: cfc((2, 4), out=out(2, 4, 5)),
        lambda a: cfc_cell.plan(**a),
        ("out",),
        ("x", "b_in"),
    ),
    "cfc_cell.plan.load": Door(
        ("CfcPlan.load",),
        lambda: {k: v for k, v in cfc((4,)).items() if k[0] in "wb"},
        load_cfc,
    ),
}

# dense, radar ----------------------------------------------------------------------------------


def layer() -> Arrays:
    return {
        "bias": numbers(5),
        "inputs[0]": numbers(40, 3),
        "inputs[1]": numbers(40, 4),
        "weights[0]": numbers(5, 3),
        "weights[1]": numbers(5, 4),
    }


def layer_back(arrays: Arrays) -> Any:
    gradient, y, x0, x1, w0, w1 = arrays.values()
    return raw.dense_backward(gradient, y, [x0, x1], [w0, w1], [True, True], "native")


def dense_back() -> Arrays:
    given = layer()
    del given["bias"]
    return {"the gradient": numbers(40, 5), "y": numbers(40, 5), **given}


DENSE = {
    "dense": Door(
        ("DenseEngine.forward",),
        layer,
        lambda a: dense.dense(*_halves(list(a.values())), backend="native"),
        follow=("bias", "inputs[0]"),
    ),
    "raw dense_backward": Door(
        ("DenseEngine.backward",), dense_back, layer_back, follow=("y", "inputs[0]")
    ),
    "radar": Door(
        ("spread_radar",),
        lambda: {"rows": numbers(2, 3, 5), "mask": flags(2, 3)},
        lambda a: radar.radar(**a, rings=(0.1, 0.5), reach=0.5, backend="native"),
        follow=("rows",),
    ),
    "raw radar": Door(
        ("spread_radar",),
        lambda: {"rows": numbers(2, 3, 5), "mask": flags(2, 3)},
        lambda a: raw.radar(*a.values(), [0.1, 0.5], 0.5, "native"),
        follow=("rows",),
    ),
}


def _halves(tensors: list[Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    return tensors[0], tensors[1:3], tensors[3:]


# rssm ------------------------------------------------------------------------------------------

RSSM_SIZE = Size(2, 4, 3, 5, 9, 7, 4, 5)
KIND = {"classes": 5, "backend": "native"}


def world(steps: bool, **more: Tensor) -> Arrays:
    given = problem(RSSM_SIZE) if steps else one_step(problem(RSSM_SIZE))
    return {**dict(zip(NAMES, given[:6], strict=True)), **given.weights._asdict(), **more}


def in_order(arrays: Arrays) -> tuple[Any, ...]:
    weights = rssm_scan.RssmWeights(*(arrays[name] for name in rssm_scan.RssmWeights._fields))
    return *(arrays[name] for name in NAMES), weights


def world_plan(arrays: Arrays) -> Any:
    fields = rssm_step.RssmStates._fields
    into = rssm_step.RssmStates(*(arrays[f"out.{name}"] for name in fields))
    return rssm_step.plan(*in_order(arrays), **KIND, out=into)


def world_out() -> Arrays:
    outputs = rssm_step.plan(*in_order(world(False)), **KIND).out._asdict()
    return {f"out.{name}": t.fill_(SENTINEL) for name, t in outputs.items()}


def sequence_plan(arrays: Arrays) -> Any:
    fields = rssm_step.RssmStates._fields
    into = rssm_step.RssmStates(*(arrays[f"out.{name}"] for name in fields))
    return rssm_scan.plan(*in_order(arrays), **KIND, out=into)


def sequence_out() -> Arrays:
    outputs = rssm_scan.plan(*in_order(world(True)), **KIND).out._asdict()
    return {f"out.{name}": t.fill_(SENTINEL) for name, t in outputs.items()}


def load_world(arrays: Arrays) -> None:
    plan = rssm_step.plan(*in_order(world(False)), **KIND)
    plan.load(rssm_scan.RssmWeights(*arrays.values()))


def world_gradient(arrays: Arrays) -> Any:
    leaf = arrays["action"].detach().requires_grad_()
    states = rssm_scan.rssm_scan(*in_order({**arrays, "action": leaf}), **KIND)
    return torch.autograd.grad(states.deter.sum(), leaf)


def dream() -> Arrays:
    given = problem(RSSM_SIZE)
    steps, batch, actions = RSSM_SIZE[:3]
    return {
        "deter": given.deter,
        "stoch": given.stoch,
        "noise": given.noise,
        "action_noise": numbers(steps, batch, 1).sigmoid(),
        **given.weights.prior()._asdict(),
        "actor[0] weight": numbers(actions, given.deter.shape[1] + given.stoch.shape[1]),
        "actor[0] bias": numbers(actions),
    }


def imagined(arrays: Arrays) -> Any:
    *start, weight, bias = arrays.values()
    weights = rssm_scan.RssmWeights(*start[4:])
    return imagine.imagine(*start[:4], weights, [(weight, bias)], squashed=False, **KIND)


def dream_arguments(arrays: Arrays) -> tuple[Any, ...]:
    *start, weight, bias = (arrays.get(name) for name in dream())
    return *start[:4], rssm_scan.RssmWeights(*start[4:]), [(weight, bias)]


def dream_plan(arrays: Arrays) -> Any:
    into = imagine.Dream(*(arrays[f"out.{name}"] for name in imagine.Dream._fields))
    return imagine.plan(*dream_arguments(arrays), squashed=False, **KIND, out=into)


def dream_with_out() -> Arrays:
    given = {k: v for k, v in dream().items() if v is not None}
    outputs = imagine.plan(*dream_arguments(given), squashed=False, **KIND).out._asdict()
    return given | {f"out.{name}": t.fill_(SENTINEL) for name, t in outputs.items()}


def load_dream(arrays: Arrays) -> None:
    plan = imagine.plan(*dream_arguments(dream()), squashed=False, **KIND)
    *_, weights, actor = dream_arguments({**dream(), **arrays})
    plan.load(weights, actor)


def imagined_gradient(arrays: Arrays) -> Any:
    leaf = arrays["deter"].detach().requires_grad_()
    return torch.autograd.grad(imagined({**arrays, "deter": leaf}).log_prob.sum(), leaf)


LEADS = ("deter", "action", "embed", "noise", "b_in")
STARTS = ("deter", "stoch", "noise", "action_noise")
DREAM_LEADS = ("deter", "noise", "b_in", "actor[0] bias")
RSSM = {
    "rssm_scan": Door(
        ("RssmEngine.forward",),
        lambda: world(True),
        lambda a: rssm_scan.rssm_scan(*in_order(a), **KIND),
        follow=LEADS,
    ),
    "rssm_scan's gradient": Door(
        ("RssmEngine.backward",), lambda: world(True), world_gradient, follow=LEADS
    ),
    "imagine": Door(
        ("RssmImagination", "RssmImagination.run"),
        lambda: {k: v for k, v in dream().items() if v is not None},
        lambda a: imagined({**dict.fromkeys(dream()), **a}),
        follow=DREAM_LEADS,
    ),
    "imagine's gradient": Door(
        ("RssmImagination.backward",),
        lambda: {k: v for k, v in dream().items() if v is not None},
        lambda a: imagined_gradient({**dict.fromkeys(dream()), **a}),
        follow=DREAM_LEADS,
    ),
    "imagine.plan": Door(
        ("RssmDreamPlan", "RssmDreamPlan.step"),
        dream_with_out,
        dream_plan,
        tuple(f"out.{name}" for name in imagine.Dream._fields),
        DREAM_LEADS,
    ),
    "imagine.plan.load": Door(
        ("RssmDreamPlan.load",),
        lambda: {k: v for k, v in dream().items() if v is not None and k not in STARTS},
        load_dream,
    ),
    "rssm_scan.plan": Door(
        ("RssmPlan", "RssmPlan.step"),
        lambda: world(True, **sequence_out()),
        sequence_plan,
        tuple(f"out.{name}" for name in rssm_step.RssmStates._fields),
        LEADS,
    ),
    "rssm_step": Door(
        ("RssmEngine.forward",),
        lambda: world(False),
        lambda a: rssm_step.rssm_step(*in_order(a), **KIND),
        follow=LEADS,
    ),
    "rssm_step.plan": Door(
        ("RssmPlan", "RssmPlan.step"),
        lambda: world(False, **world_out()),
        world_plan,
        tuple(f"out.{name}" for name in rssm_step.RssmStates._fields),
        LEADS,
    ),
    "rssm_step.plan.load": Door(
        ("RssmPlan.load",),
        lambda: {k: v for k, v in world(False).items() if k not in NAMES},
        load_world,
    ),
}

# weights in few bits ---------------------------------------------------------------------------


@functools.cache
def packed() -> qlinear.Packed:
    return qlinear.pack(numbers(5, 33), "nvfp4")


def product(**more: Tensor) -> Arrays:
    panels = packed().panels.clone()
    return {"x": numbers(4, 33), "weight.panels": panels, "bias": numbers(5), **more}


def with_panels(arrays: Arrays) -> tuple[Tensor, qlinear.Packed, Tensor]:
    weight = packed()._replace(panels=arrays["weight.panels"])
    return arrays["x"], weight, arrays["bias"]


def load_qlinear(arrays: Arrays) -> None:
    plan = qlinear.plan(*with_panels(product()))
    plan.load(*with_panels({**product(), **arrays})[1:])


def quantised() -> Arrays:
    weight = qweight.quantize(numbers(5, 33).numpy(), "nvfp4")
    return {"codes": weight.codes, "scales": weight.scales, "tensor_scale": weight.tensor_scale}


def stored(arrays: Arrays, then: str) -> Any:
    return getattr(qweight.QuantizedWeight("nvfp4", 33, **arrays), then)()


WEIGHTS = {
    "qlinear": Door(
        ("QLinearEngine.forward",),
        product,
        lambda a: qlinear.qlinear(*with_panels(a), backend="native"),
        follow=("x",),
    ),
    "raw qlinear": Door(
        ("QLinearEngine.forward",),
        product,
        lambda a: raw.qlinear(*a.values(), "nvfp4", 5, "native"),
        follow=("x",),
    ),
    "qlinear.plan": Door(
        ("QLinearPlan", "QLinearPlan.step"),
        lambda: product(out=out(4, 5)),
        lambda a: qlinear.plan(*with_panels(a), a["out"]),
        ("out",),
        ("x",),
    ),
    "qlinear.plan.load": Door(
        ("QLinearPlan.load",),
        lambda: {k: v for k, v in product().items() if k != "x"},
        load_qlinear,
    ),
    "qweight.quantize": Door(
        ("quantize_weights",),
        lambda: {"weight": numbers(5, 33).numpy()},
        lambda a: qweight.quantize(a["weight"], "int8"),
    ),
    "qweight dequantize": Door(
        ("dequantize_weights",), quantised, lambda a: stored(a, "dequantize"), follow=("codes",)
    ),
    "qweight pack": Door(
        ("pack_panels",), quantised, lambda a: stored(a, "pack"), follow=("codes",)
    ),
    "qweight.unpack": Door(
        ("unpack_panels",),
        lambda: {"panels": packed().panels.numpy().copy()},
        lambda a: qweight.unpack(a["panels"], "nvfp4", 5, 33),
    ),
    "formats.encode": Door(
        ("encode_numbers",),
        lambda: {"numbers": numbers(4, 6).numpy()},
        lambda a: formats.encode(a["numbers"], "e4m3"),
    ),
    "formats.decode": Door(
        ("decode_numbers",),
        lambda: {"codes": np.arange(24, dtype=np.uint16).reshape(4, 6)},
        lambda a: formats.decode(a["codes"], "bf16"),
    ),
}

NETWORKS: dict[str, Door] = {**CFC, **DENSE, **RSSM, **WEIGHTS}
