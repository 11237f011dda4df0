"""One step of a recurrent state-space model: its layers, in float32 and bf16, and all of them."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..architectures import BF16, TF32
from ..cases import Case, Inputs, generator
from ..cost import Cost
from ..triton import rssm

# rows, groups, classes, inputs beside them, hidden
SIZES = ((16, 32, 32, 16, 512), (1024, 32, 32, 16, 512))
SMALL = ((3, 2, 5, 7, 9), (70, 4, 8, 16, 40))
# Of the product in float32 and in bf16, whose inputs the reference rounds as well.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 5e-6}


def cases() -> list[Case]:
    return [
        make(*size, dtype, small=size in SMALL)
        for make in (_layer_case, _gru_case)
        for dtype in TOLERANCE
        for size in SIZES + SMALL
    ]


def _layer_case(
    rows: int,
    groups: int,
    classes: int,
    inputs: int,
    outputs: int,
    dtype: torch.dtype,
    small: bool,
) -> Case:
    bytes_each = dtype.itemsize
    gathered = min(rows, classes) * groups * outputs  # rows of the table that any index takes
    weights = bytes_each * (outputs * inputs + gathered)
    products = 2 * rows * outputs * (inputs + groups)
    return Case(
        "rssm_step",
        f"rssm_layer {rows}x{inputs}+{groups}x{classes} to {outputs} {_name(dtype)}",
        functools.partial(_make_layer, rows, groups, classes, inputs, outputs, dtype),
        lambda given: (rssm.layer(*(given[n] for n in _LAYER), "silu"),),
        _layer_reference,
        Cost(
            weights + 4 * rows * inputs + 8 * rows * groups,
            4 * rows * outputs,
            {_unit(dtype): products},
        ),
        TOLERANCE[dtype],
        small,
    )


def _gru_case(
    rows: int,
    groups: int,
    classes: int,
    inputs: int,
    hidden: int,
    dtype: torch.dtype,
    small: bool,
) -> Case:
    inputs = hidden if not small else inputs
    products = 3 * hidden * (inputs + hidden)
    return Case(
        "rssm_step",
        f"gru {rows}x{inputs} to {hidden} {_name(dtype)}",
        functools.partial(_make_gru, rows, inputs, hidden, dtype),
        lambda given: (rssm.gru(*(given[n] for n in _GRU)),),
        _gru_reference,
        Cost(
            dtype.itemsize * products + 4 * rows * (inputs + hidden),
            4 * rows * hidden,
            {_unit(dtype): 2 * rows * products},
        ),
        TOLERANCE[dtype],
        small,
    )


_LAYER = "x", "weight", "index", "table", "bias"
_GRU = "x", "h", "w_x", "w_h", "b_x", "b_h"


def _name(dtype: torch.dtype) -> str:
    return "bf16" if dtype == torch.bfloat16 else "fp32"


def _unit(dtype: torch.dtype) -> str:
    return BF16 if dtype == torch.bfloat16 else TF32


def _make_layer(
    rows: int,
    groups: int,
    classes: int,
    inputs: int,
    outputs: int,
    dtype: torch.dtype,
    device: torch.device | str,
    seed: int,
) -> Inputs:
    numbers = generator(seed)
    randn = functools.partial(torch.randn, generator=numbers)
    given = {
        "x": randn(rows, inputs),
        "weight": (randn(outputs, inputs) / inputs**0.5).to(dtype),
        "index": torch.randint(classes, (rows, groups), generator=numbers),
        "table": (randn(groups, classes, outputs) / groups**0.5).to(dtype),
        "bias": randn(outputs),
    }
    return {name: t.to(device) for name, t in given.items()}


def _make_gru(
    rows: int, inputs: int, hidden: int, dtype: torch.dtype, device: torch.device | str, seed: int
) -> Inputs:
    randn = functools.partial(torch.randn, generator=generator(seed))
    given = {
        "x": randn(rows, inputs),
        "h": randn(rows, hidden).tanh(),
        "w_x": (randn(3 * hidden, inputs) / inputs**0.5).to(dtype),
        "w_h": (randn(3 * hidden, hidden) / hidden**0.5).to(dtype),
        "b_x": randn(3 * hidden) / 4,
        "b_h": randn(3 * hidden) / 4,
    }
    return {name: t.to(device) for name, t in given.items()}


def _rounded(x: Tensor, like: Tensor) -> Tensor:
    """As the product takes it: in the dtype of the weights."""
    return x.cpu().to(like.dtype).double()


def _layer_reference(inputs: Inputs) -> tuple[Tensor, ...]:
    """One-hot rows multiplied out."""
    weight, table = inputs["weight"].cpu().double(), inputs["table"].cpu().double()
    groups, classes, outputs = table.shape
    hot = torch.nn.functional.one_hot(inputs["index"].cpu(), classes).double()
    total = _rounded(inputs["x"], inputs["weight"]) @ weight.t() + inputs["bias"].cpu().double()
    total = total + hot.flatten(1) @ table.reshape(groups * classes, outputs)
    return (torch.nn.functional.silu(total),)


def _gru_reference(inputs: Inputs) -> tuple[Tensor, ...]:
    """torch's own cell in float64; the state that is kept is not rounded."""
    x, h, w_x, w_h, b_x, b_h = (inputs[name].cpu() for name in _GRU)
    ours = _rounded(x, w_x) @ w_x.double().t() + b_x.double()
    theirs = _rounded(h, w_h) @ w_h.double().t() + b_h.double()
    (r, z, n), (r_h, z_h, n_h) = ours.chunk(3, 1), theirs.chunk(3, 1)
    new = torch.tanh(n + torch.sigmoid(r + r_h) * n_h)
    gate = torch.sigmoid(z + z_h)
    return ((1 - gate) * new + gate * h.double(),)
