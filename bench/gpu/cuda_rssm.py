"""Cases of the CUDA rollout of an RSSM's prior. What is sampled decides what follows, so that the
reference takes the kernel's own samples from step to step, and every sample must be one that the
kernel's own probabilities allow."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from metabonk.kernels.architectures import BF16
from metabonk.kernels.cases import Case, Inputs, generator
from metabonk.kernels.cost import Cost
from torch import Tensor

SIZES = "steps", "rows", "actions", "embed", "hidden", "units", "groups", "classes"
LARGE = (
    (1, 16, 16, 512, 512, 512, 32, 32),
    (15, 16, 16, 512, 512, 512, 32, 32),
    (15, 64, 16, 512, 512, 512, 32, 32),
)
SMALL = ((3, 5, 7, 9, 11, 13, 3, 5), (2, 20, 4, 24, 40, 24, 4, 8))
WEIGHTS = (
    *("w_action", "table", "b_embed", "w_x", "w_h", "b_x", "b_h"),
    *("w_prior", "b_prior", "w_logits", "b_logits"),
)
MIX = 0.01
TOLERANCE = 0.02  # of states and of log-probabilities, by norm
EDGE = 1e-5  # by which rounding moves the edges between classes


def cases(cuda: Any) -> list[Case]:
    """cuda: metabonk._cuda."""
    return [_case(cuda, sizes, small=sizes in SMALL) for sizes in LARGE + SMALL]


def _case(cuda: Any, sizes: tuple[int, ...], small: bool) -> Case:
    steps, rows, actions, embed, hidden, units, groups, classes = sizes
    layers = embed * actions + 3 * hidden * (embed + hidden)
    layers += units * hidden + groups * classes * units
    gathered = min(rows, classes) * groups * embed
    # Indices of latents are read and gathered; the layers of a step depend on each other.
    operations = 2 * steps * rows * (layers + groups * embed)
    return Case(
        "rssm_scan",
        f"cuda rssm {steps}x{rows} {hidden} {groups}x{classes}",
        functools.partial(_make, cuda, sizes),
        functools.partial(_run, cuda, sizes),
        _reference,
        Cost(
            2 * (layers + gathered) + 4 * rows * (hidden + steps * (actions + groups)),
            4 * steps * rows * (hidden + groups * (classes + 1)),
            {BF16: operations},
        ),
        TOLERANCE,
        small,
        judge=_judge,
    )


def _make(cuda: Any, sizes: tuple[int, ...], device: torch.device | str, seed: int) -> Inputs:
    steps, rows, actions, embed, hidden, units, groups, classes = sizes
    numbers = generator(seed)
    randn = functools.partial(torch.randn, generator=numbers)
    given = {
        "action": randn(steps, rows, actions),
        "h": randn(rows, hidden).tanh(),
        "index": torch.randint(classes, (rows, groups), generator=numbers, dtype=torch.int32),
        "uniform": torch.rand(steps, rows, groups, generator=numbers),
        "w_action": (randn(embed, actions) / actions**0.5).bfloat16(),
        "table": (randn(groups, classes, embed) / groups**0.5).bfloat16(),
        "b_embed": randn(embed) / 5,
        "w_x": (randn(3 * hidden, embed) / embed**0.5).bfloat16(),
        "w_h": (randn(3 * hidden, hidden) / hidden**0.5).bfloat16(),
        "b_x": randn(3 * hidden) / 5,
        "b_h": randn(3 * hidden) / 5,
        "w_prior": (randn(units, hidden) / hidden**0.5).bfloat16(),
        "b_prior": randn(units) / 5,
        "w_logits": (randn(groups * classes, units) / units**0.5).bfloat16(),
        "b_logits": randn(groups * classes) / 5,
        "scratch": torch.empty(cuda.rssm_scratch(sizes), dtype=torch.uint8),
    }
    return {name: t.to(device) for name, t in given.items()}


def _run(cuda: Any, sizes: tuple[int, ...], given: Inputs) -> tuple[Tensor, ...]:
    steps, rows, _, _, hidden, _, groups, classes = sizes
    h = given["h"]
    out = (
        h.new_empty(steps, rows, hidden),
        h.new_empty(steps, rows, groups, classes),
        given["index"].new_empty(steps, rows, groups),
    )
    sequence = (given[name] for name in ("action", "h", "index", "uniform"))
    cuda.rssm(
        sizes,
        MIX,
        tuple(t.data_ptr() for t in sequence),
        tuple(given[name].data_ptr() for name in WEIGHTS),
        tuple(t.data_ptr() for t in out),
        given["scratch"].data_ptr(),
        int(torch.cuda.current_stream(h.device).cuda_stream),
    )
    return out


def _reference(given: Inputs) -> tuple[Tensor, ...]:
    """The inputs that `_judge` needs samples for: there is nothing to compare without them."""
    return ()


def with_samples(given: Inputs, index: Tensor) -> tuple[Tensor, Tensor]:
    """States and log-probabilities in float64, with the latents after every step given."""
    w = {n: t.cpu().double() for n, t in given.items() if n not in ("index", "scratch")}
    classes = w["table"].shape[1]
    h, latent, states, found = w["h"], given["index"].cpu().long(), [], []
    for t, action in enumerate(w["action"]):
        hot = torch.nn.functional.one_hot(latent, classes).double()
        gathered = torch.einsum("bgc,gce->be", hot, w["table"])
        e = torch.nn.functional.elu(action @ w["w_action"].T + gathered + w["b_embed"])
        (xr, xz, xn), (hr, hz, hn) = (
            (v @ w[f"w_{n}"].T + w[f"b_{n}"]).chunk(3, 1) for n, v in (("x", e), ("h", h))
        )
        z = torch.sigmoid(xz + hz)
        h = (1 - z) * torch.tanh(xn + torch.sigmoid(xr + hr) * hn) + z * h
        p = torch.nn.functional.elu(h @ w["w_prior"].T + w["b_prior"])
        logits = (p @ w["w_logits"].T + w["b_logits"]).unflatten(1, (-1, classes))
        found.append(((1 - MIX) * logits.softmax(-1) + MIX / classes).log())
        states.append(h)
        latent = index[t].cpu().long()
    return torch.stack(states), torch.stack(found)


def _judge(given: Inputs, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """In units of the tolerance; infinite for a sample that its probabilities do not allow."""
    h, log_probs, index = (t.cpu() for t in found)
    classes = log_probs.shape[-1]
    if not bool(((index >= 0) & (index < classes)).all()):
        return float("inf")
    states, exact = with_samples(given, index)
    running = torch.nn.functional.pad(log_probs.double().exp().cumsum(-1), (1, 0))
    at, u = index.long()[..., None], given["uniform"].cpu().double()
    low, high = running.gather(-1, at)[..., 0], running.gather(-1, at + 1)[..., 0]
    if not bool(((low - EDGE <= u) & (u <= high + EDGE)).all()):
        return float("inf")
    errors = [
        float((a.double() - b).norm() / b.norm()) for a, b in ((h, states), (log_probs, exact))
    ]
    worst = max(errors)
    return worst / TOLERANCE if worst == worst else float("inf")
