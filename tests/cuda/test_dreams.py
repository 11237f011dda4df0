"""The CUDA dream on the emulated device: the model's steps under an actor, in one launch.

What is sampled decides what follows, and rounding decides samples that are close: the reference, in
float64, takes the kernel's own classes and actions from step to step, and every sample must be one
that its own probabilities allow.
"""

from __future__ import annotations

import ctypes
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from emulated_device import AMPERE, HOPPER, Emulated, Guarded, address, aligned
from test_rssm import TOLERANCE, Rssm
from test_rssm import arguments as model_arguments

LAYERS_MAX = 4
Device = tuple[int, int, int, int]
Arrays = dict[str, npt.NDArray[Any]]


class Imagine(ctypes.Structure):
    """MetabonkCudaImagine of kernels/cuda/api.h."""

    _fields_ = [
        ("rssm", Rssm),
        ("layers", ctypes.c_int),
        ("squashed", ctypes.c_int),
        ("units", ctypes.c_int * LAYERS_MAX),
        ("floor", ctypes.c_float),
        ("action_noise", ctypes.c_void_p),
        ("table", ctypes.c_void_p),
        ("weights", ctypes.c_void_p * LAYERS_MAX),
        ("biases", ctypes.c_void_p * LAYERS_MAX),
        *((name, ctypes.c_void_p) for name in ("out_action", "out_log_prob", "out_policy")),
    ]


def structure(
    sizes: tuple[int, ...], mix: float, model: dict[str, Any], units: list[int], squashed: bool,
    floor: float, **more: Any,
) -> Imagine:  # fmt: skip
    """weights, biases: addresses, as all that is not named."""
    weights, biases = more.pop("weights", []), more.pop("biases", [])
    made = Imagine(Rssm(*sizes, mix, **model), len(units), int(squashed), floor=floor, **more)
    for i, width in enumerate(units):
        made.units[i] = width
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        made.weights[i], made.biases[i] = weight, bias
    return made


class Problem:
    """A model, and an actor of hidden layers of these widths. floor: 0.1."""

    def __init__(self, sizes: tuple[int, ...], hidden: tuple[int, ...], squashed: bool) -> None:
        self.sizes, self.squashed = sizes, squashed
        steps, rows, actions, _, deter, _, groups, classes = sizes
        self.model = model_arguments(*sizes)
        numbers = torch.Generator().manual_seed(len(hidden) + rows)
        self.units = [*hidden, actions * (2 if squashed else 1)]
        draw = torch.randn if squashed else torch.rand
        noise = draw(steps, rows, actions if squashed else 1, generator=numbers)
        self.noise = aligned(noise.numpy())
        self.weights, self.biases = [], []
        for inputs, outputs in pairwise((deter, *self.units)):
            weight = torch.randn(outputs, inputs, generator=numbers) * inputs**-0.5
            self.weights.append(aligned(weight.bfloat16().view(torch.int16).numpy()))
            self.biases.append(aligned(torch.randn(outputs, generator=numbers).numpy() * 0.2))
        table = torch.randn(groups, classes, self.units[0], generator=numbers) * groups**-0.5
        self.table = aligned(table.bfloat16().view(torch.int16).numpy())

    def structure(self, **results: Any) -> Imagine:
        model = {name: address(array) for name, array in self.model.items() if name != "action"}
        model |= {n: results.pop(n) for n in ("out_h", "out_log_probs", "out_index", "scratch")
                  if n in results}  # fmt: skip
        return structure(
            self.sizes, 0.01, model, self.units, self.squashed, 0.1,
            weights=[address(w) for w in self.weights], biases=[address(b) for b in self.biases],
            table=address(self.table), action_noise=address(self.noise), **results,
        )  # fmt: skip

    def run(self, emulated: Emulated, device: Device = HOPPER, seed: int = 0) -> Arrays:
        steps, rows, actions, _, deter, _, groups, classes = self.sizes
        lead = steps, rows
        scratch = emulated.size_of("metabonk_cuda_imagine_scratch", self.structure())
        results = {
            "out_h": Guarded((*lead, deter)),
            "out_log_probs": Guarded((*lead, groups, classes)),
            "out_index": Guarded((*lead, groups), np.int32),
            "out_action": Guarded((*lead, actions)),
            "out_log_prob": Guarded(lead),
            "out_policy": Guarded((*lead, self.units[-1])),
            "scratch": Guarded((scratch,), np.uint8),
        }
        given = self.structure(**{name: address(r.array) for name, r in results.items()})
        assert emulated.call("metabonk_cuda_imagine", given, device, seed) == 0
        for result in results.values():
            result.check()
        return {name: result.array for name, result in results.items()}


def bf16(array: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(array).view(torch.bfloat16).double()


def reference(p: Problem, found: Arrays) -> dict[str, torch.Tensor]:
    """In float64, with the classes and the actions of `found`."""
    half = {"w_action", "table", "w_x", "w_h", "w_prior", "w_logits"}
    w = {n: bf16(a) if n in half else torch.from_numpy(a) for n, a in p.model.items()}
    w = {n: t.double() if n != "index" else t.long() for n, t in w.items()}
    classes, elu = w["table"].shape[1], torch.nn.functional.elu
    h, latent = w["h"], w["index"]
    rows: list[tuple[torch.Tensor, ...]] = []
    for t, action in enumerate(torch.from_numpy(found["out_action"]).double()):
        hot = torch.nn.functional.one_hot(latent, classes).double()
        out = h @ bf16(p.weights[0]).T + torch.einsum("bgc,gcu->bu", hot, bf16(p.table))
        out = out + torch.from_numpy(p.biases[0]).double()
        for weight, bias in zip(p.weights[1:], p.biases[1:], strict=True):
            out = elu(out) @ bf16(weight).T + torch.from_numpy(bias).double()
        rows.append((out,))
        gathered = torch.einsum("bgc,gce->be", hot, w["table"])
        e = elu(action @ w["w_action"].T + gathered + w["b_embed"])
        (xr, xz, xn), (hr, hz, hn) = (
            (v @ w[f"w_{n}"].T + w[f"b_{n}"]).chunk(3, 1) for n, v in (("x", e), ("h", h))
        )
        z = torch.sigmoid(xz + hz)
        h = (1 - z) * torch.tanh(xn + torch.sigmoid(xr + hr) * hn) + z * h
        logits = elu(h @ w["w_prior"].T + w["b_prior"]) @ w["w_logits"].T + w["b_logits"]
        share = logits.unflatten(1, (-1, classes)).softmax(-1)
        rows[-1] += (h, (0.99 * share + 0.01 / classes).log())
        latent = torch.from_numpy(found["out_index"][t]).long()
    names = "out", "h", "log_probs"
    return dict(zip(names, (torch.stack(c) for c in zip(*rows, strict=True)), strict=True))


def allowed(log_probs: torch.Tensor, index: torch.Tensor, u: torch.Tensor) -> bool:
    """Whether each class is the one at which the running sum passes u, but for rounding."""
    running = torch.nn.functional.pad(log_probs.double().exp().cumsum(-1), (1, 0))
    low = running.gather(-1, index[..., None])[..., 0]
    high = running.gather(-1, index[..., None] + 1)[..., 0]
    return bool(((low - 1e-5 <= u) & (u <= high + 1e-5)).all())


def check(p: Problem, found: Arrays) -> None:
    right = reference(p, found)
    assert np.abs(found["out_h"] - right["h"].numpy()).max() < TOLERANCE
    assert np.abs(found["out_log_probs"] - right["log_probs"].numpy()).max() < 4 * TOLERANCE
    index = torch.from_numpy(found["out_index"]).long()
    uniform = torch.from_numpy(p.model["uniform"]).double()
    assert allowed(torch.from_numpy(found["out_log_probs"]), index, uniform)
    policy, action = (torch.from_numpy(found[n]).double() for n in ("out_policy", "out_action"))
    log_prob, noise = torch.from_numpy(found["out_log_prob"]).double(), torch.from_numpy(p.noise)
    if not p.squashed:
        assert (policy - right["out"].log_softmax(-1)).abs().max() < 4 * TOLERANCE
        assert torch.equal(action.sum(-1), torch.ones_like(log_prob))
        taken = action.argmax(-1)
        assert torch.equal(action.gather(-1, taken[..., None])[..., 0], torch.ones_like(log_prob))
        assert allowed(policy, taken, noise[..., 0].double())
        assert (log_prob - policy.gather(-1, taken[..., None])[..., 0]).abs().max() < 1e-5
        return
    mean, raw = right["out"].chunk(2, -1)
    std = torch.nn.functional.softplus(raw) + 0.1
    assert (policy - torch.cat([mean, std], -1)).abs().max() < 4 * TOLERANCE
    mean, std = policy.chunk(2, -1)  # its own, of which the rest follows
    before = mean + std * noise.double()
    assert (action - torch.tanh(before)).abs().max() < 1e-3
    bend = 2 * (np.log(2.0) - before - torch.nn.functional.softplus(-2 * before))
    exact = (torch.distributions.Normal(mean, std).log_prob(before) - bend).sum(-1)
    assert (log_prob - exact).abs().max() < 1e-3 * max(1.0, float(exact.abs().max()))


SMALL_HOPPER, SMALL_AMPERE = (9, 0, 6, HOPPER[3]), (8, 0, 5, AMPERE[3])
CASES = [
    ((1, 1, 1, 1, 1, 1, 1, 2), (), True),
    ((3, 5, 7, 9, 11, 13, 3, 5), (6,), False),
    ((2, 40, 6, 40, 24, 33, 5, 8), (33, 17), True),
    ((3, 18, 17, 64, 96, 48, 8, 12), (24, 40, 9), False),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("device", [SMALL_HOPPER, SMALL_AMPERE], ids=["sm_90", "sm_80"])
def test_equals_the_formulas(emulated: Emulated, case: Any, device: Device) -> None:
    p = Problem(*case)
    check(p, p.run(emulated, device, seed=3))


@pytest.mark.parametrize("multiprocessors", [1, 2, 7])
@pytest.mark.parametrize("squashed", [False, True])
def test_any_number_of_members_and_groups(
    emulated: Emulated, multiprocessors: int, squashed: bool
) -> None:
    """One member with everything; more rows than groups; groups of several members: the same."""
    p = Problem((2, 35, 4, 24, 16, 24, 4, 6), (24,), squashed)
    found = p.run(emulated, (9, 0, multiprocessors, HOPPER[3]))
    check(p, found)


def test_the_order_of_threads_changes_nothing(emulated: Emulated) -> None:
    p = Problem((2, 20, 4, 24, 16, 24, 4, 6), (24, 12), False)
    one, two = (p.run(emulated, SMALL_HOPPER, seed) for seed in (1, 2))
    for name in one:
        if name != "scratch":
            assert np.array_equal(one[name], two[name]), name


def test_what_does_not_fit_is_refused(emulated: Emulated) -> None:
    p = Problem((1, 3, 4, 8, 8, 8, 2, 4), (6,), False)
    for change in ({"layers": 0}, {"layers": 5}, {"squashed": 1}):
        given = p.structure()
        for name, value in change.items():
            setattr(given, name, value)
        assert emulated.call("metabonk_cuda_imagine", given) != 0
    given = p.structure()
    given.units[0] = 0
    assert emulated.call("metabonk_cuda_imagine", given) != 0
