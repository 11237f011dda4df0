"""The CUDA CfC against the op's formula in float64, on the emulated device.

Odd sizes, every way in which a cluster can share the units, weights of both types, both with room
for the weights and without. Tolerances are what rounding to bf16 costs over the steps.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from emulated_device import AMPERE, HOPPER, Emulated, Guarded, address, aligned

from metabonk.ops import cfc_scan

Floats = npt.NDArray[np.float32]
TOLERANCE = 0.02  # of numbers within -1..1; the largest seen in the emulator is 0.008
NAMES = ("x", "h", "dt", "keep", "w_in", "b_in", "w_heads", "b_heads")


class Cfc(ctypes.Structure):
    """MetabonkCudaCfc of kernels/cuda/api.h."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("steps", "rows", "inputs", "hidden", "backbone")),
        ("bf16_weights", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in (*NAMES, "out", "z", "heads")),
    ]


def arguments(steps: int, rows: int, inputs: int, hidden: int, backbone: int) -> dict[str, Floats]:
    random = np.random.default_rng([steps, rows, inputs, hidden, backbone])

    def normal(*shape: int, scale: float = 1.0) -> Floats:
        return aligned((random.standard_normal(shape) * scale).astype(np.float32))

    width = inputs + hidden
    return {
        "x": normal(steps, rows, inputs),
        "h": normal(rows, hidden, scale=0.5),
        "dt": aligned(random.uniform(0.2, 3.0, (steps, rows, 1)).astype(np.float32)),
        "keep": aligned((random.random((steps, rows, 1)) < 0.8).astype(np.float32)),
        "w_in": normal(backbone, width, scale=width**-0.5),
        "b_in": normal(backbone, scale=0.2),
        "w_heads": normal(4 * hidden, backbone, scale=backbone**-0.5),
        "b_heads": normal(4 * hidden, scale=0.2),
    }


def wanted(given: dict[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
    """out, z and heads in float64, as the op's formula has them."""
    tensors = {n: None if a is None else torch.from_numpy(a).double() for n, a in given.items()}
    h, w_in, w_heads = tensors["h"], tensors["w_in"], tensors["w_heads"]
    out, zs, heads = [], [], []
    for i, x in enumerate(tensors["x"]):
        dt = 1.0 if tensors["dt"] is None else tensors["dt"][i]
        before = h if tensors["keep"] is None else h * tensors["keep"][i]
        zs.append(
            1.7159 * torch.tanh(0.666 * (torch.cat([x, before], 1) @ w_in.T + tensors["b_in"]))
        )
        f1, f2, a, s = (zs[-1] @ w_heads.T + tensors["b_heads"]).chunk(4, 1)
        gate = torch.sigmoid(a * dt + s)
        heads.append(torch.cat([f1.tanh(), f2.tanh(), a, gate], 1))
        h = (1 - gate) * f1.tanh() + gate * f2.tanh()
        out.append(h)
    reference = cfc_scan.reference(*(tensors[name] for name in NAMES))
    assert torch.allclose(torch.stack(out), reference, atol=1e-12)
    found = {"out": out, "z": zs, "heads": heads}
    return {name: torch.stack(values).numpy() for name, values in found.items()}


def run(
    emulated: Emulated,
    given: dict[str, Any],
    device: tuple[int, int, int, int] = HOPPER,
    seed: int = 0,
    bf16: bool = False,
    saving: bool = True,
) -> dict[str, Floats]:
    steps, rows, inputs = given["x"].shape
    hidden, backbone = given["h"].shape[1], len(given["b_in"])
    sizes = {"out": hidden, "z": backbone, "heads": 4 * hidden}
    results = {n: Guarded((steps, rows, s)) for n, s in sizes.items() if saving or n == "out"}
    held = dict(given)
    if bf16:
        for name in ("w_in", "w_heads"):
            held[name] = aligned(torch.from_numpy(given[name]).bfloat16().view(torch.int16).numpy())
    pointers = {name: address(array) for name, array in held.items()}
    pointers |= {name: address(result.array) for name, result in results.items()}
    structure = Cfc(steps, rows, inputs, hidden, backbone, int(bf16), **pointers)
    assert emulated.call("metabonk_cuda_cfc", structure, device, seed) == 0
    for result in results.values():
        result.check()
    return {name: result.array for name, result in results.items()}


SIZES = [
    (1, 1, 1, 1, 1),
    (3, 5, 7, 9, 11),
    (2, 16, 64, 64, 64),
    (4, 17, 33, 130, 70),
    (2, 40, 96, 128, 40),
    (5, 3, 12, 24, 200),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("device", [HOPPER, AMPERE], ids=["sm_90", "sm_80"])
def test_equals_the_formula(
    emulated: Emulated, size: tuple[int, ...], device: tuple[int, int, int, int]
) -> None:
    given = arguments(*size)
    reference = wanted(given)
    for seed in range(2):
        found = run(emulated, given, device, seed, bf16=bool(seed))
        for name, array in found.items():
            scale = max(1.0, float(np.abs(reference[name]).max()))
            assert np.abs(array - reference[name]).max() < TOLERANCE * scale, (name, seed)


@pytest.mark.parametrize("room", [28, 48], ids=lambda kilobytes: f"{kilobytes} KB")
def test_weights_without_room_are_streamed(emulated: Emulated, room: int) -> None:
    given = arguments(3, 7, 24, 72, 88)
    found = run(emulated, given, (9, 0, 132, room * 1024), saving=False)["out"]
    assert np.abs(found - wanted(given)["out"]).max() < TOLERANCE


def test_the_order_of_threads_does_not_matter(emulated: Emulated) -> None:
    given = arguments(4, 20, 20, 136, 72)
    first = run(emulated, given, seed=1)
    for seed in range(2, 6):
        again = run(emulated, given, seed=seed)
        assert all(np.array_equal(again[name], first[name]) for name in first)


def test_without_times_and_forgetting(emulated: Emulated) -> None:
    given: dict[str, Any] = {**arguments(3, 4, 8, 16, 24), "dt": None, "keep": None}
    assert np.abs(run(emulated, given)["out"] - wanted(given)["out"]).max() < TOLERANCE


def test_a_state_is_carried_in_place(emulated: Emulated) -> None:
    given = arguments(1, 18, 8, 40, 24)
    reference = wanted(given)["out"]
    pointers = {name: address(array) for name, array in given.items()}
    structure = Cfc(1, 18, 8, 40, 24, 0, **pointers, out=address(given["h"]))
    assert emulated.call("metabonk_cuda_cfc", structure) == 0
    assert np.abs(given["h"] - reference[0]).max() < TOLERANCE


def test_sizes_out_of_bounds_are_refused(emulated: Emulated) -> None:
    for sizes in [(0, 1, 1, 1, 1), (1, 0, 1, 1, 1), (1, 1, 0, 1, 1), (1, 1, 1, 1, 1 << 15)]:
        assert emulated.call("metabonk_cuda_cfc", Cfc(*sizes)) == -1
    given = arguments(1, 1, 300, 300, 300)
    pointers = {name: address(array) for name, array in given.items()}
    structure = Cfc(1, 1, 300, 300, 300, 0, **pointers, out=address(given["h"]))
    assert emulated.call("metabonk_cuda_cfc", structure, (9, 0, 132, 16 * 1024)) == -2
