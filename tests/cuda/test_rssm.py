"""The CUDA rollout of an RSSM's prior on the emulated device.

What is sampled decides what follows, and rounding decides samples that are close: the reference, in
float64, takes the kernel's own samples from step to step, and every sample must be one that its own
probabilities allow.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from emulated_device import AMPERE, HOPPER, Emulated, Guarded, address, aligned

from metabonk.ops import rssm_step

TOLERANCE = 0.02  # of states (0.006 seen in the emulator); twice that of log-probabilities
SIZES = "steps", "rows", "actions", "embed", "hidden", "units", "groups", "classes"
WEIGHTS = "w_action", "table", "w_x", "w_h", "w_prior", "w_logits"
POINTERS = (
    *("action", "h", "index", "uniform", "w_action", "table", "b_embed", "w_x", "w_h", "b_x"),
    *("b_h", "w_prior", "b_prior", "w_logits", "b_logits"),
    *("out_h", "out_log_probs", "out_index", "scratch"),
)
Device = tuple[int, int, int, int]


class Rssm(ctypes.Structure):
    """MetabonkCudaRssm of kernels/cuda/api.h."""

    _fields_ = [
        *((name, ctypes.c_int) for name in SIZES),
        ("mix", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in POINTERS),
    ]


def arguments(*sizes: int) -> dict[str, Any]:
    """Weights as bf16 in int16 arrays, the rest float32; index int32."""
    steps, rows, actions, embed, hidden, units, groups, classes = sizes
    numbers = torch.Generator().manual_seed(sum(sizes))

    def randn(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=numbers) * scale

    given = {
        "action": randn(steps, rows, actions),
        "h": randn(rows, hidden).tanh(),
        "uniform": torch.rand(steps, rows, groups, generator=numbers),
        "w_action": randn(embed, actions, scale=actions**-0.5),
        "table": randn(groups, classes, embed, scale=groups**-0.5),
        "b_embed": randn(embed, scale=0.2),
        "w_x": randn(3 * hidden, embed, scale=embed**-0.5),
        "w_h": randn(3 * hidden, hidden, scale=hidden**-0.5),
        "b_x": randn(3 * hidden, scale=0.2),
        "b_h": randn(3 * hidden, scale=0.2),
        "w_prior": randn(units, hidden, scale=hidden**-0.5),
        "b_prior": randn(units, scale=0.2),
        "w_logits": randn(groups * classes, units, scale=units**-0.5),
        "b_logits": randn(groups * classes, scale=0.2),
    }
    held: dict[str, Any] = {
        n: aligned((t.bfloat16().view(torch.int16) if n in WEIGHTS else t).numpy())
        for n, t in given.items()
    }
    index = torch.randint(classes, (rows, groups), generator=numbers, dtype=torch.int32)
    return held | {"index": aligned(index.numpy())}


def run(
    emulated: Emulated,
    sizes: tuple[int, ...],
    given: dict[str, Any],
    device: Device = HOPPER,
    seed: int = 0,
    mix: float = 0.01,
) -> dict[str, npt.NDArray[Any]]:
    steps, rows, _, _, hidden, _, groups, classes = sizes
    empty = Rssm(*sizes, mix)
    results = {
        "out_h": Guarded((steps, rows, hidden)),
        "out_log_probs": Guarded((steps, rows, groups, classes)),
        "out_index": Guarded((steps, rows, groups), np.int32),
        "scratch": Guarded((emulated.size_of("metabonk_cuda_rssm_scratch", empty),), np.uint8),
    }
    pointers = {name: address(array) for name, array in given.items()}
    pointers |= {name: address(result.array) for name, result in results.items()}
    structure = Rssm(*sizes, mix, **pointers)
    assert emulated.call("metabonk_cuda_rssm", structure, device, seed) == 0
    for result in results.values():
        result.check()
    return {name: result.array for name, result in results.items() if name != "scratch"}


def reference(given: dict[str, Any], index: npt.NDArray[np.int32], mix: float) -> tuple[Any, Any]:
    """States and log-probabilities in float64, with the latents after every step given."""
    w = {n: torch.from_numpy(a) for n, a in given.items()}
    w = {n: (t.view(torch.bfloat16) if n in WEIGHTS else t) for n, t in w.items()}
    classes = w["table"].shape[1]
    w = {n: t.double() if n != "index" else t.long() for n, t in w.items()}
    h, latent, states, log_probs = w["h"], w["index"], [], []
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
        log_probs.append(((1 - mix) * logits.softmax(-1) + mix / classes).log())
        states.append(h)
        latent = torch.from_numpy(index[t]).long()
    return torch.stack(states), torch.stack(log_probs)


def check(given: dict[str, Any], found: dict[str, npt.NDArray[Any]], mix: float = 0.01) -> None:
    index = found["out_index"]
    classes = given["table"].shape[1]
    assert ((index >= 0) & (index < classes)).all()
    states, log_probs = reference(given, index, mix)
    assert np.abs(found["out_h"] - states.numpy()).max() < TOLERANCE
    largest = max(1.0, float(log_probs.abs().max()))
    assert np.abs(found["out_log_probs"] - log_probs.numpy()).max() < 2 * TOLERANCE * largest
    # By the kernel's own numbers the sample is exact but for the rounding of the running sum.
    own = torch.from_numpy(found["out_log_probs"]).double().exp()
    running = torch.nn.functional.pad(own.cumsum(-1), (1, 0))
    at = torch.from_numpy(index).long()[..., None]
    u = torch.from_numpy(given["uniform"]).double()
    low, high = running.gather(-1, at)[..., 0], running.gather(-1, at + 1)[..., 0]
    assert ((low - 1e-5 <= u) & (u <= high + 1e-5)).all()


CASES = [
    (1, 1, 1, 1, 1, 1, 1, 2),
    (3, 5, 7, 9, 11, 13, 3, 5),
    (2, 40, 6, 40, 24, 33, 5, 8),
    (3, 18, 17, 64, 96, 48, 8, 12),
]
SMALL_HOPPER, SMALL_AMPERE = (9, 0, 6, HOPPER[3]), (8, 0, 5, AMPERE[3])


@pytest.mark.parametrize("sizes", CASES, ids=str)
@pytest.mark.parametrize("device", [SMALL_HOPPER, SMALL_AMPERE], ids=["sm_90", "sm_80"])
def test_equals_the_formulas(emulated: Emulated, sizes: tuple[int, ...], device: Device) -> None:
    given = arguments(*sizes)
    check(given, run(emulated, sizes, given, device, seed=3))


@pytest.mark.parametrize("multiprocessors", [1, 2, 7])
def test_any_number_of_members_and_groups(emulated: Emulated, multiprocessors: int) -> None:
    """One member with everything; more rows than groups; groups of several members."""
    sizes = (2, 35, 4, 24, 16, 24, 4, 6)
    given = arguments(*sizes)
    check(given, run(emulated, sizes, given, (9, 0, multiprocessors, HOPPER[3])))


def test_groups_are_fewer_where_members_lack_room(emulated: Emulated) -> None:
    sizes = (2, 35, 4, 48, 48, 48, 4, 8)
    given = arguments(*sizes)
    check(given, run(emulated, sizes, given, (9, 0, 4, 44 * 1024)))


def test_a_step_is_that_of_the_op(emulated: Emulated) -> None:
    sizes = (1, 9, 5, 24, 40, 24, 4, 8)
    given = arguments(*sizes)
    w = {n: torch.from_numpy(a) for n, a in given.items()}
    w = {n: (t.view(torch.bfloat16) if n in WEIGHTS else t).double() for n, t in w.items()}
    table = w["table"].flatten(0, 1).T
    weights = rssm_step.RssmWeights(
        torch.cat([table, w["w_action"]], 1), w["b_embed"], w["w_x"], w["w_h"], w["b_x"], w["b_h"],
        w["w_prior"], w["b_prior"], w["w_logits"], w["b_logits"],
    )  # fmt: skip
    wanted = rssm_step.reference(
        w["h"], torch.from_numpy(given["index"]), w["action"][0], None, None, w["uniform"][0],
        weights, classes=8,
    )  # fmt: skip
    found = run(emulated, sizes, given, SMALL_HOPPER)
    assert np.abs(found["out_h"][0] - wanted.deter.numpy()).max() < TOLERANCE
    log_probs = wanted.prior.reshape(9, 4, 8).numpy()
    assert np.abs(found["out_log_probs"][0] - log_probs).max() < 4 * TOLERANCE
    # Few samples lie so close to an edge that rounding moves them.
    chosen = wanted.stoch.reshape(9, 4, 8).argmax(-1).numpy()
    assert (found["out_index"][0] == chosen).mean() > 0.9


def test_the_mixture_reaches_every_class(emulated: Emulated) -> None:
    sizes = (1, 64, 2, 8, 8, 8, 1, 8)
    given = arguments(*sizes)
    given["b_logits"][:] = 0
    given["b_logits"][0] = 40.0
    found = run(emulated, sizes, given, SMALL_HOPPER, mix=0.5)
    check(given, found, mix=0.5)
    assert len(np.unique(found["out_index"])) == 8


def test_the_order_of_threads_does_not_matter(emulated: Emulated) -> None:
    sizes = (2, 20, 5, 24, 40, 24, 4, 8)
    given = arguments(*sizes)
    first = run(emulated, sizes, given, SMALL_HOPPER)
    for seed in range(1, 5):
        again = run(emulated, sizes, given, SMALL_HOPPER, seed)
        assert all(np.array_equal(again[name], first[name]) for name in first)


def test_what_is_out_of_bounds_is_refused(emulated: Emulated) -> None:
    good = (1, 1, 1, 1, 1, 1, 1, 2)
    for i in range(8):
        sizes = tuple(0 if i == j else n for j, n in enumerate(good))
        assert emulated.call("metabonk_cuda_rssm", Rssm(*sizes)) == -1
    assert emulated.call("metabonk_cuda_rssm", Rssm(1, 1, 1, 8, 8, 8, 1, 257)) == -1
    big = Rssm(1, 1, 16, 2048, 2048, 2048, 32, 32)
    assert emulated.call("metabonk_cuda_rssm", big, (9, 0, 8, HOPPER[3])) == -2
