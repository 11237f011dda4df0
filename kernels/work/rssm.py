"""Recurrent state-space models: their layers in float32 and bf16, and whole scans in float32."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from ..architectures import BF16, TF32
from ..cases import Case, Inputs, generator
from ..cost import Cost
from ..triton import rssm
from ..triton.rssm_scan import scan

# rows, groups, classes, inputs beside them, hidden
SIZES = ((16, 32, 32, 16, 512), (1024, 32, 32, 16, 512))
SMALL = ((3, 2, 5, 7, 9), (70, 4, 8, 16, 40))
# steps, rows, groups, classes, action, embedding, deterministic state and hidden units
SCANS = (
    (1, 16, 32, 32, 16, 512, 512),
    (1, 1024, 32, 32, 16, 512, 512),
    (64, 16, 32, 32, 16, 512, 512),
)
SCANS_SMALL = ((3, 5, 2, 3, 4, 6, 8), (2, 33, 3, 0, 5, 7, 20))
# Of the product in float32 and in bf16, whose inputs the reference rounds as well.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 5e-6}


def cases() -> list[Case]:
    layers = [
        make(*size, dtype, small=size in SMALL)
        for make in (_layer_case, _gru_case)
        for dtype in TOLERANCE
        for size in SIZES + SMALL
    ]
    return layers + [_scan_case(*size, small=size in SCANS_SMALL) for size in SCANS + SCANS_SMALL]


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
        lambda given: (rssm.layer(*(given[n] for n in _LAYER), "elu", given["keep"]),),
        _layer_reference,
        Cost(
            weights + 4 * rows * (inputs + groups + 1),
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
        "index": torch.randint(classes, (rows, groups), generator=numbers).int(),
        "table": (randn(groups, classes, outputs) / groups**0.5).to(dtype),
        "bias": randn(outputs),
        "keep": (randn(rows) < 1).float(),
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
    hot = torch.nn.functional.one_hot(inputs["index"].cpu().long(), classes).double()
    total = _rounded(inputs["x"], inputs["weight"]) @ weight.t()
    total = total + hot.flatten(1) @ table.reshape(groups * classes, outputs)
    total = inputs["keep"].cpu().double()[:, None] * total + inputs["bias"].cpu().double()
    return (torch.nn.functional.elu(total),)


def _gru_reference(inputs: Inputs) -> tuple[Tensor, ...]:
    """torch's own cell in float64; the state that is kept is not rounded."""
    x, h, w_x, w_h, b_x, b_h = (inputs[name].cpu() for name in _GRU)
    ours = _rounded(x, w_x) @ w_x.double().t() + b_x.double()
    theirs = _rounded(h, w_h) @ w_h.double().t() + b_h.double()
    (r, z, n), (r_h, z_h, n_h) = ours.chunk(3, 1), theirs.chunk(3, 1)
    new = torch.tanh(n + torch.sigmoid(r + r_h) * n_h)
    gate = torch.sigmoid(z + z_h)
    return ((1 - gate) * new + gate * h.double(),)


_SCAN = "deter", "stoch", "action", "embed", "keep", "noise"
MIX, LEAST = 0.01, 0.1


def _scan_case(
    steps: int,
    rows: int,
    groups: int,
    classes: int,
    action: int,
    embed: int,
    width: int,
    small: bool,
) -> Case:
    """Observed, as a world model is trained. classes 0: Gaussians."""
    sizes = groups, classes, action, embed, width
    shapes = _shapes(*sizes)
    weights = sum(rows_ * columns for rows_, columns in shapes.values())
    state = groups * (classes or 1)
    # A one-hot state picks one row per group: a sum instead of a product.
    each = weights - (shapes["w_in"][0] * (state - groups) if classes else 0)
    values = steps * rows
    return Case(
        "rssm_scan",
        f"rssm {steps}x{rows} {groups}x{classes} of {width}",
        functools.partial(_make_scan, steps, rows, *sizes),
        functools.partial(_run_scan, classes),
        functools.partial(_scan_reference, classes),
        Cost(
            4 * weights + 4 * values * (action + embed + groups + 1),
            4 * values * (6 * width + 3 * width + state + 2 * groups * (classes or 2)),
            {TF32: 2 * values * each},
            nodes=4 * steps,
        ),
        2e-5,
        small,
        judge=functools.partial(_scan_judge, classes),
        facts={"classes": classes},
    )


def _shapes(
    groups: int, classes: int, action: int, embed: int, width: int
) -> dict[str, tuple[int, int]]:
    """Of the weights, in the scan's order; as many hidden units as deterministic state."""
    state, parameters = groups * (classes or 1), groups * (classes or 2)
    return {
        "w_in": (width, state + action),
        "w_ih": (3 * width, width),
        "w_hh": (3 * width, width),
        "w_prior": (width, width),
        "w_prior_out": (parameters, width),
        "w_post": (width, width + embed),
        "w_post_out": (parameters, width),
    }


def _make_scan(
    steps: int,
    rows: int,
    groups: int,
    classes: int,
    action: int,
    embed: int,
    width: int,
    device: torch.device | str,
    seed: int,
) -> Inputs:
    numbers = generator(seed)
    randn = functools.partial(torch.randn, generator=numbers)
    given: dict[str, Tensor] = {
        "deter": randn(rows, width).tanh(),
        "stoch": randn(rows, groups),
        "action": randn(steps, rows, action),
        "embed": randn(steps, rows, embed),
        "keep": (randn(steps, rows, 1) < 1.5).float(),
        "noise": randn(steps, rows, groups),
    }
    if classes:
        given["stoch"] = torch.randint(classes, (rows, groups), generator=numbers).int()
        given["noise"] = torch.rand(steps, rows, groups, generator=numbers)
    for name, (high, wide) in _shapes(groups, classes, action, embed, width).items():
        given[name] = randn(high, wide) / wide**0.5
        given["b" + name[1:]] = randn(high) / 4
    return {name: t.to(device) for name, t in given.items()}


def _weights(inputs: Inputs) -> list[Tensor]:
    """In the scan's order: the GRU's weights, then its biases."""
    names = ["w_in", "b_in", "w_ih", "w_hh", "b_ih", "b_hh"]
    for head in ("prior", "prior_out", "post", "post_out"):
        names += [f"w_{head}", f"b_{head}"]
    return [inputs[name] for name in names]


def _run_scan(classes: int, inputs: Inputs) -> tuple[Tensor, ...]:
    return scan(*(inputs[n] for n in _SCAN), _weights(inputs), classes, MIX, LEAST)[:5]


def _scan_reference(classes: int, inputs: Inputs) -> tuple[Tensor, ...]:
    """deter, stoch, prior, posterior and index in float64, with the classes that noise picks."""
    return _unroll(classes, inputs, None)


def _unroll(classes: int, inputs: Inputs, index: Tensor | None) -> tuple[Tensor, ...]:
    """index: classes that are taken instead of those that noise picks."""
    deter, stoch, action, embed, keep, noise = (inputs[n].cpu() for n in _SCAN)
    w_in, b_in, w_ih, w_hh, b_ih, b_hh, *heads = (w.cpu().double() for w in _weights(inputs))
    linear, elu = torch.nn.functional.linear, torch.nn.functional.elu
    state, h = (stoch.double() if not classes else _hot(stoch, classes)), deter.double()
    rows: list[tuple[Tensor, ...]] = []
    for t in range(len(action)):
        k = keep[t].double()
        x = elu(linear(torch.cat([state * k, action[t] * k], -1), w_in, b_in))
        h = h * k
        r, z, n = linear(x, w_ih, b_ih).chunk(3, -1)
        r_h, z_h, n_h = linear(h, w_hh, b_hh).chunk(3, -1)
        gate = torch.sigmoid(z + z_h)
        h = (1 - gate) * torch.tanh(n + torch.sigmoid(r + r_h) * n_h) + gate * h
        prior = linear(elu(linear(h, *heads[:2])), *heads[2:4])
        seen = torch.cat([h, embed[t].double()], -1)
        posterior = linear(elu(linear(seen, *heads[4:6])), *heads[6:8])
        prior, posterior = (_parameters(classes, out) for out in (prior, posterior))
        picked = torch.empty(0, dtype=torch.int32)
        if classes:
            picked = _pick(posterior, noise[t], classes) if index is None else index[t].cpu()
            state = _hot(picked, classes)
        else:
            mean, deviation = posterior.chunk(2, -1)
            state = mean + deviation * noise[t].double()
        rows.append((h, state, prior, posterior, picked))
    return tuple(torch.stack(column) for column in zip(*rows, strict=True))


def _hot(index: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(index.long(), classes).flatten(-2).double()


def _parameters(classes: int, out: Tensor) -> Tensor:
    if classes:
        share = out.unflatten(-1, (-1, classes)).softmax(-1)
        return ((1 - MIX) * share + MIX / classes).log().flatten(-2)
    mean, raw = out.chunk(2, -1)
    return torch.cat([mean, torch.nn.functional.softplus(raw) + LEAST], -1)


def _pick(parameters: Tensor, noise: Tensor, classes: int) -> Tensor:
    running = parameters.unflatten(-1, (-1, classes)).exp().cumsum(-1)
    point = noise[..., None].double() * (1 - 2.0**-20) * running[..., -1:]
    return (running <= point)[..., :-1].sum(-1).int()


def _scan_judge(
    classes: int, inputs: Inputs, found: Sequence[Tensor], wanted: Sequence[Tensor]
) -> float:
    """Norms of errors over norms, of 2e-5, against a scan that takes the same classes; a class may
    differ from the one that noise picks by rounding of its distribution only."""
    if classes:
        index = found[4].cpu()
        if bool(((index < 0) | (index >= classes)).any()):
            return float("inf")
        wanted = _unroll(classes, inputs, index)
        share = wanted[3].unflatten(-1, (-1, classes)).exp()
        hot = torch.nn.functional.one_hot(index.long(), classes)
        running = share.cumsum(-1)
        point = inputs["noise"].cpu().double() * running[..., -1]
        high = (running * hot).sum(-1)
        outside = torch.maximum(point - high, high - (share * hot).sum(-1) - point)
        if float(outside.max()) > 1e-4:
            return float("inf")
    errors = [
        float((mine.cpu().double() - theirs).norm() / theirs.norm())
        for mine, theirs in zip(found[:4], wanted[:4], strict=True)
    ]
    return max(e if e == e else float("inf") for e in errors) / 2e-5
