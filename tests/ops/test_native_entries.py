"""No silent copies: every native entry, reached through every door, refuses arrays that it cannot
read as they lie, names the argument, and leaves outputs as they were.

The table of doors below names the entries of `_core.nn` and `_core.video` that each one reaches; an
entry that no door reaches fails the first test.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from rssm_cases import NAMES, Size, one_step, problem
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import (
    cfc_cell,
    cfc_scan,
    dense,
    formats,
    frames,
    frames_torch,
    merge,
    qlinear,
    qweight,
    radar,
    returns,
    rssm_scan,
    rssm_step,
    vq,
)

Arrays = dict[str, Any]
raw = torch.ops.metabonk
SENTINEL = 7


@dataclass(frozen=True)
class Door:
    """reaches: native entries. arrays: good ones by the name that errors give them. call: with all
    of them. outputs: those that are written. follow: what others are held against, so that the
    first of those may be named when one of these is at fault."""

    reaches: tuple[str, ...]
    arrays: Callable[[], Arrays]
    call: Callable[[Arrays], Any]
    outputs: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def flags(*shape: int) -> Tensor:
    return numbers(*shape) > 0.8


def out(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.full(shape, SENTINEL, dtype=dtype)


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


def load_world(arrays: Arrays) -> None:
    plan = rssm_step.plan(*in_order(world(False)), **KIND)
    plan.load(rssm_scan.RssmWeights(*arrays.values()))


def world_gradient(arrays: Arrays) -> Any:
    leaf = arrays["action"].detach().requires_grad_()
    states = rssm_scan.rssm_scan(*in_order({**arrays, "action": leaf}), **KIND)
    return torch.autograd.grad(states.deter.sum(), leaf)


LEADS = ("deter", "action", "embed", "noise", "b_in")
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

# returns, merge, vq ----------------------------------------------------------------------------


def rollout(**more: Tensor) -> Arrays:
    ended = {name: flags(4, 3) for name in ("terminated", "truncated", "is_reset")}
    return {
        "reward": numbers(4, 3),
        "value": numbers(5, 3),
        **ended,
        "gamma": numbers(4, 3).sigmoid(),
        **more,
    }


def rollout_back() -> Arrays:
    given = rollout()
    del given["reward"], given["value"]
    return {"the gradient": numbers(4, 3), **given}


def dreams(**more: Tensor) -> Arrays:
    return {
        "reward": numbers(4, 3),
        "value": numbers(5, 3),
        "discount": numbers(4, 3).sigmoid(),
        **more,
    }


RETURNS = {
    "gae": Door(
        ("Gae", "Gae.run"),
        rollout,
        lambda a: returns.gae(**a, gae_lambda=0.9, backend="native"),
        follow=("reward",),
    ),
    "raw gae": Door(
        ("Gae", "Gae.run"),
        rollout,
        lambda a: raw.gae(*a.values(), 1.0, 0.9, "native"),
        follow=("reward",),
    ),
    "raw gae_backward": Door(
        ("Gae.gradient",),
        rollout_back,
        lambda a: raw.gae_backward(*a.values(), 1.0, 0.9, "native"),
        follow=("the gradient",),
    ),
    "plan_gae": Door(
        ("GaePlan", "GaePlan.step"),
        lambda: rollout(out=out(4, 3)),
        lambda a: returns.plan_gae(**a, gae_lambda=0.9),
        ("out",),
        ("reward",),
    ),
    "lambda_returns": Door(
        ("LambdaReturns", "LambdaReturns.run"),
        dreams,
        lambda a: returns.lambda_returns(**a, lambda_=0.9, backend="native"),
        follow=("reward",),
    ),
    "raw lambda_returns": Door(
        ("LambdaReturns", "LambdaReturns.run"),
        dreams,
        lambda a: raw.lambda_returns(*a.values(), 0.9, "native"),
        follow=("reward",),
    ),
    "raw lambda_returns_backward": Door(
        ("LambdaReturns.gradient",),
        lambda: {
            "the gradient": numbers(4, 3),
            "out": numbers(4, 3),
            "value": numbers(5, 3),
            "discount": numbers(4, 3),
        },
        lambda a: raw.lambda_returns_backward(*a.values(), 0.9, "native"),
        follow=("the gradient",),
    ),
    "plan_lambda_returns": Door(
        ("LambdaReturnsPlan", "LambdaReturnsPlan.step"),
        lambda: dreams(out=out(4, 3)),
        lambda a: returns.plan_lambda_returns(**a, lambda_=0.9),
        ("out",),
        ("reward",),
    ),
}


def models(**more: Tensor) -> Arrays:
    return {"models[0]": numbers(9), "models[1]": numbers(9), **more}


def two(arrays: Arrays) -> list[Tensor]:
    return [arrays["models[0]"], arrays["models[1]"]]


MERGE = {
    "merge.weighted": Door(
        ("WeightedPlan", "WeightedPlan.step"),
        models,
        lambda a: merge.weighted(two(a), [0.5, 0.5], backend="native"),
        follow=("models[0]",),
    ),
    "raw merge_weighted": Door(
        ("WeightedPlan", "WeightedPlan.step"),
        models,
        lambda a: raw.merge_weighted(two(a), [0.5, 0.5], "native"),
        follow=("models[0]",),
    ),
    "merge.plan_weighted": Door(
        ("WeightedPlan",),
        lambda: models(out=out(9)),
        lambda a: merge.plan_weighted(two(a), [0.5, 0.5], a["out"]),
        ("out",),
        ("models[0]",),
    ),
    "merge.ties": Door(
        ("TiesPlan", "TiesPlan.step"),
        lambda: models(base=numbers(9)),
        lambda a: merge.ties(a["base"], two(a), backend="native"),
        follow=("base",),
    ),
    "raw merge_ties": Door(
        ("TiesPlan", "TiesPlan.step"),
        lambda: models(base=numbers(9)),
        lambda a: raw.merge_ties(a["base"], two(a), [1.0, 1.0], 2, 1.0, "native"),
        follow=("base",),
    ),
    "merge.plan_ties": Door(
        ("TiesPlan",),
        lambda: models(base=numbers(9), out=out(9)),
        lambda a: merge.plan_ties(a["base"], two(a), out=a["out"]),
        ("out",),
        ("base",),
    ),
}


def codes(**more: Tensor) -> Arrays:
    return {"x": numbers(8, 4), "codebook": numbers(6, 4), **more}


def rows(**more: Tensor) -> Arrays:
    return {"x": numbers(8, 4), "index": torch.arange(8) % 6, **more}


VQ = {
    "vq_lookup": Door(
        ("VqEngine.lookup",), codes, lambda a: vq.vq_lookup(**a, backend="native"), follow=("x",)
    ),
    "raw vq_lookup": Door(
        ("VqEngine.lookup",),
        codes,
        lambda a: raw.vq_lookup(*a.values(), "dot", "native"),
        follow=("x",),
    ),
    "vq_statistics": Door(
        ("VqEngine.accumulate",),
        rows,
        lambda a: vq.vq_statistics(**a, codes=6, backend="native"),
        follow=("x",),
    ),
    "raw vq_statistics": Door(
        ("VqEngine.accumulate",),
        rows,
        lambda a: raw.vq_statistics(*a.values(), 6, "native"),
        follow=("x",),
    ),
    "vq.plan": Door(
        ("VqPlan", "VqPlan.step", "VqPlan.repack"),
        lambda: codes(index=out(8, dtype=torch.int64), quantized=out(8, 4)),
        lambda a: vq.plan(**a),
        ("index", "quantized"),
        ("x",),
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

# frames ----------------------------------------------------------------------------------------


def frame_doors() -> Iterator[tuple[str, Door]]:
    settings: dict[str, dict[str, Any]] = {"resize": {"height": 3, "width": 4}}
    for name in ("resize", "grey", "flip", "normalise", "rgb_to_nv12", "nv12_to_rgb"):
        entries = (name, "FramePlan.step", *(["Resizer"] if name == "resize" else []))
        more = settings.get(name, {})
        shape = (12, 8) if name == "nv12_to_rgb" else (8, 6, 3)
        given = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        like = getattr(frames, name)(given, **more)

        def arrays(given: Any = given, like: Any = like) -> Arrays:
            return {"frames": given.copy(), "out": np.full_like(like, SENTINEL)}

        for door in (name, f"plan_{name}"):
            call = functools.partial(_with, getattr(frames, door), more)
            yield f"frames.{door}", Door(entries, arrays, call, ("out",), ("frames",))
        traced = functools.partial(
            _with, getattr(frames_torch, name), {**more, "backend": "native"}
        )
        tensors = functools.partial(lambda given: {"frames": torch.from_numpy(given.copy())}, given)
        yield f"frames_torch.{name}", Door(entries, tensors, traced)


def _with(function: Callable[..., Any], more: Mapping[str, Any], arrays: Arrays) -> Any:
    return function(**arrays, **more)


DOORS: dict[str, Door] = {
    **RSSM, **CFC, **DENSE, **RETURNS, **MERGE, **VQ, **WEIGHTS, **dict(frame_doors())
}  # fmt: skip

# Take no arrays: names of loops, sizes, what a processor can do.
NO_ARRAYS = {
    "CfcEngine", "CfcPlan.threads", "CfcPlan.tier", "DenseEngine", "FramePlan", "QLinearEngine",
    "QLinearPlan.threads", "QLinearPlan.tier", "RssmEngine", "RssmPlan.tier", "VqEngine",
    "cfc_kernels", "dense_kernels", "frame_kernels", "merge_kernels", "peak_bf16_products",
    "peak_byte_products", "peak_multiply_add", "peak_read", "qlinear_kernels", "returns_kernels",
    "rssm_kernels", "vq_kernels", "weight_bytes",
}  # fmt: skip
# Not an op's: compiled policies, whose door is metabonk.play.
ELSEWHERE = ("Policy", "Program", "program_")


def entries() -> set[str]:
    found = set()
    for room in (_core.nn, _core.video):
        for name, value in vars(room).items():
            if name.startswith("_") or name.startswith(ELSEWHERE):
                continue
            found.add(name)
            if isinstance(value, type):
                found |= {f"{name}.{m}" for m in vars(value) if not m.startswith("_")}
    return found


def test_every_native_entry_stands_behind_a_door() -> None:
    reached = {entry for door in DOORS.values() for entry in door.reaches}
    assert reached | NO_ARRAYS == entries()


def test_every_door_takes_what_it_should() -> None:
    for door in DOORS.values():
        door.call(door.arrays())


# faults ----------------------------------------------------------------------------------------


def strided(array: Any) -> Any:
    """The same numbers two elements apart; of one column, two rows apart."""
    if isinstance(array, Tensor):
        wide = torch.stack([array, array], -1)[..., 0]
        return wide if not wide.is_contiguous() else torch.stack([array, array], 1)[:, 0]
    return np.stack([array, array], -1)[..., 0]


def other_dtype(array: Any) -> Any:
    if isinstance(array, Tensor):
        return array.to(torch.int16 if array.dtype != torch.float32 else torch.float64)
    return array.astype(np.int16 if array.dtype != np.float32 else np.float64)


def misaligned(array: Any) -> Any:
    """The same numbers one byte off what their type wants."""
    size = array.nbytes
    memory = np.zeros(size + 64, np.uint8)
    begin = -memory.ctypes.data % 16 + 1
    if isinstance(array, Tensor):
        flat = torch.frombuffer(memory, dtype=array.dtype, count=array.numel(), offset=begin)
        flat.copy_(array.reshape(-1))
        return flat.view(array.shape)
    view = memory[begin : begin + size].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def longer(array: Any) -> Any:
    """One more row."""
    return (torch if isinstance(array, Tensor) else np).concatenate([array, array[:1]])


def other_rank(array: Any) -> Any:
    return array[None]


def elsewhere(array: Tensor) -> Tensor:
    return array.to("meta")


FAULTS = (strided, other_dtype, misaligned, longer, other_rank, elsewhere)
# What is no fault: another number of rows or dimensions is a batch of its own where nothing else
# has to agree with it.
FREE = {
    ("formats.encode", "numbers"), ("formats.decode", "codes"), ("qweight.quantize", "weight"),
    ("raw qlinear", "x"), ("qlinear", "x"), ("vq_lookup", "codebook"),
    ("raw vq_lookup", "codebook"), ("vq.plan", "codebook"), ("vq_lookup", "x"),
    ("raw vq_lookup", "x"), ("qweight dequantize", "codes"), ("qweight pack", "codes"),
}  # fmt: skip


def faults() -> Iterator[Any]:
    for name, door in DOORS.items():
        for argument, array in door.arrays().items():
            for fault in FAULTS:
                # What torch's dispatcher sees on `meta` is a question about shapes.
                asks = len(door.arrays()) == 1 or name.startswith("raw")
                if fault is elsewhere and (asks or not isinstance(array, Tensor)):
                    continue
                if fault is misaligned and array.itemsize == 1:
                    continue
                if fault is strided and (argument == "the gradient" or array.size == 1):
                    continue  # autograd's own may lie anyhow and are copied; one number cannot
                shapes = fault in (longer, other_rank)
                if shapes and ((name, argument) in FREE or name.startswith("frames_torch")):
                    continue
                if shapes and name.startswith("frames.") and argument == "frames":
                    continue  # `out` is what does not fit then, which is a fault of its own
                yield pytest.param(name, argument, fault, id=f"{name}-{argument}-{fault.__name__}")


@pytest.mark.parametrize(("name", "argument", "fault"), list(faults()))
def test_what_cannot_be_read_is_named_and_nothing_is_written(
    name: str, argument: str, fault: Callable[[Any], Any]
) -> None:
    door = DOORS[name]
    arrays = door.arrays()
    arrays[argument] = fault(arrays[argument])
    with pytest.raises((ValueError, TypeError, BackendError)) as raised:
        door.call(arrays)
    said = str(raised.value)
    # Where all others are held against the one that is at fault, the first of them is named.
    allowed = [argument] if argument not in door.follow else list(arrays)
    assert any(f"{word} " in said for word in allowed), said
    for output in door.outputs:
        array = arrays[output]
        if not (isinstance(array, Tensor) and array.is_meta):
            assert (array == SENTINEL).all()


@pytest.mark.parametrize("value", [np.zeros(1), np.zeros(3), 1.0, "1", None, torch.zeros(1)])
def test_an_address_is_an_int_and_nothing_that_can_be_made_into_one(value: Any) -> None:
    """An array of one number would become 0 or 1 otherwise, and the kernel write there."""
    with pytest.raises(TypeError):
        _core.nn.encode_numbers(0, value, 1, 0)
    with pytest.raises(TypeError):
        _core.video.grey(value, 1, 0, None)
    with pytest.raises(TypeError):
        _core.nn.WeightedPlan([value], [1.0], 1, 0, None)
    with pytest.raises(TypeError):
        _core.nn.CfcPlan((3, 5, 6), 1, 4, (value,) * 4, (0, 0, 0, 0), 0, (), False, 1)
