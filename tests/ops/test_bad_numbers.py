"""What no door takes though every shape fits: shared memory, sizes and numbers out of range.

Shapes, dtypes and strides are test_native_entries.py's. Each refusal names the argument and leaves
what would have been written as it was.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from doors import SENTINEL, flags, numbers, out
from doors_batches import samples, slopes
from doors_networks import cfc, dream_plan, dream_with_out, product, with_panels, world, world_plan
from doors_networks import world_out as step_out
from torch import Tensor

from metabonk.ops import adam, cfc_cell, frames, frames_torch, qlinear, qweight, radar, vq
from metabonk.ops.engines import MOST_THREADS

raw = torch.ops.metabonk
Call = Callable[[], Any]
FLAT = np.zeros((4, 6, 3), np.uint8)


def adam_step(**more: Any) -> Call:
    given = {"gradient": numbers(9), **{n: out(9) for n in ("weights", "mean", "square")}}
    return lambda: adam.step(**{**given, "count": 1, "rate": 0.1, **more})


def spread(
    rings: tuple[float, ...] = (0.1, 0.5), reach: float = 0.5, backend: str = "auto"
) -> Call:
    return lambda: radar.radar(numbers(2, 3, 5), flags(2, 3), rings, reach, backend)


def codes(threads: Any) -> Call:
    return lambda: vq.plan(numbers(4, 8), numbers(3, 8), torch.zeros(4).long(), threads=threads)


NUMBERS: dict[str, tuple[Call, str]] = {
    "count of half a step": (adam_step(count=1.5), "count is 1.5"),
    "count beyond the core": (adam_step(count=2**70), "count is 11805"),
    "rate": (adam_step(rate=math.nan), "rate is nan; wanted a finite"),
    "epsilon": (adam_step(epsilon=-1e-8), "epsilon is -1e-08; wanted 0 or more"),
    "betas": (adam_step(betas=(0.9, 1.0)), r"betas are \(0.9, 1.0\)"),
    "whole numbers": (
        lambda: adam.step(*(torch.ones(3).long() for _ in range(4)), count=1, rate=0.1),
        r"weights is torch.int64 \[3\]; wanted a float",
    ),
    "longest": (lambda: adam.clip(out(3), -1.0), "longest is -1.0; wanted 0 or more"),
    "longest nan": (lambda: adam.clip(out(3), math.nan), "longest is nan"),
    "clip of whole numbers": (lambda: adam.clip(torch.ones(3).long(), 1.0), "is torch.int64"),
    "no rings": (spread(()), r"rings is \[\]; wanted 1 to 16 ascending"),
    "seventeen rings": (spread(tuple(map(float, range(17))), 1.0, "torch"), "rings is"),
    "equal rings": (spread((0.5, 0.5)), "ascending"),
    "falling rings": (spread((0.5, 0.1)), "ascending"),
    "rings that are no numbers": (spread((math.nan, 1.0)), "ascending"),
    "reach of nothing": (spread(reach=0.0), "reach is 0.0; wanted a finite number above 0"),
    "reach without end": (spread(reach=math.inf, backend="torch"), "reach is inf"),
    "rows of whole numbers": (
        lambda: radar.radar(torch.ones(2, 3, 5).long(), flags(2, 3), (0.1,), 0.5),
        "rows is torch.int64; wanted a floating one",
    ),
    "raw rings": (
        lambda: raw.radar(numbers(2, 3, 5), flags(2, 3), [0.5, 0.5], 0.5, "native"), "ascending"
    ),
    "panels beyond the core": (lambda: qweight.panel_bytes("int8", 2**31, 4), "outputs: 2,147"),
    "inputs beyond the core": (lambda: qweight.panel_bytes("int8", 4, 2**62), "inputs: 4,611"),
    "an op of such a matrix": (
        lambda: raw.qlinear(*product().values(), "nvfp4", 2**40, "native"), "outputs: 1,099"
    ),
    "height beyond memory": (lambda: frames.resize(FLAT, 2**40, 4), "height, width are 1099"),
    "half a row": (lambda: frames.resize(FLAT, 4, 2.5), "width are 4, 2.5; wanted whole"),  # type: ignore[arg-type]
    "the same of tensors": (
        lambda: frames_torch.resize(torch.from_numpy(FLAT), 4, 2**31), "height, width are 4, 2147"
    ),
    "std of next to nothing": (lambda: frames.normalise(FLAT, 0.5, 1e-300), "std is 1e-300"),
    "threads of codes": (codes(MOST_THREADS + 1), "vq_lookup: threads is 1025; wanted 1 to 1,024"),
    "threads of cells": (lambda: cfc_cell.plan(**cfc((4,)), threads=2**31), "cfc_cell: threads is"),
    "threads of layers": (
        lambda: qlinear.plan(*with_panels(product()), threads=2000), "qlinear: threads is 2000"
    ),
    "flags of a gradient": (
        lambda: raw.dense_backward(
            numbers(40, 5), numbers(40, 5), [numbers(40, 3)], [numbers(5, 3)], [], "native"
        ),
        "wanted has 0 flags; wanted 1",
    ),
    "a value for all rows": (
        lambda: slopes(samples() | {"value": torch.tensor(1.0)}), r"value is torch.float32 \[\]"
    ),
    "a spread for all columns": (
        lambda: slopes(samples() | {"log_std": torch.tensor(1.0)}), r"log_std is torch.float32 \[\]"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_out_of_range_are_named(name: str) -> None:
    call, says = NUMBERS[name]
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize("threads", [1.5, "2"])
def test_threads_are_whole_numbers(threads: Any) -> None:
    with pytest.raises(TypeError, match=r"vq_lookup: threads is (float|str); wanted an int"):
        codes(threads)()


@pytest.mark.parametrize("longest", [0.0, math.inf])
def test_a_length_may_be_nothing_and_without_end(longest: float) -> None:
    gradient = out(3)
    adam.clip(gradient, longest)
    assert gradient.isfinite().all()
    assert bool((gradient == 0.0).all()) == (longest == 0.0)


# memory that is shared ---------------------------------------------------------------------------


@pytest.mark.parametrize("backend", adam.backends())
def test_a_step_wants_four_vectors(backend: Any) -> None:
    names = ("weights", "gradient", "mean", "square")
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            given = {name: out(9) for name in names}
            given[second] = given[first]
            with pytest.raises(ValueError, match="shares memory with"):
                adam.step(**given, count=1, rate=0.1, backend=backend)
            assert all((t == SENTINEL).all() for t in given.values())


def test_a_step_sees_vectors_that_overlap_in_part() -> None:
    room = out(20)
    with pytest.raises(ValueError, match="mean shares memory with weights"):
        adam.step(room[:9], out(9), room[8:17], out(9), count=1, rate=0.1)
    assert (room == SENTINEL).all()
    # The control: one behind the other, as a flat optimiser keeps them, and columns side by side.
    adam.step(room[:9], numbers(9), room[9:18], out(9), count=1, rate=0.1)
    assert not (room == SENTINEL).all()
    columns = out(9, 4)
    adam.step(*(columns[:, i] for i in range(4)), count=1, rate=0.1)
    assert not (columns[:, 0] == SENTINEL).all()
    adam.step(*(torch.zeros(0) for _ in range(4)), count=1, rate=0.1)


def test_a_plan_of_codes_writes_two_outputs() -> None:
    room = torch.full((32,), float(SENTINEL))
    index = room.view(torch.int64)[:4]
    with pytest.raises(ValueError, match="index shares memory with quantized"):
        vq.plan(numbers(4, 8), numbers(3, 8), index, room.view(4, 8))
    assert (room == SENTINEL).all()


def inside(weight: Tensor, like: Tensor) -> Tensor:
    """Memory of a weight, as an output of that shape."""
    return weight.flatten()[: like.numel()].view(like.shape)


def test_a_cells_output_is_none_of_its_weights() -> None:
    given = cfc((4,), out=out(4, 5))
    for name in ("w_in", "w_heads"):
        bad = {**given, "out": inside(given[name], given["out"])}
        with pytest.raises(ValueError, match=f"out shares memory with {name}"):
            cfc_cell.plan(**bad)


def test_a_world_models_output_is_none_of_its_weights() -> None:
    given = {**world(False), **step_out()}
    with pytest.raises(ValueError, match=r"out\.deter shares memory with w_hh"):
        world_plan({**given, "out.deter": inside(given["w_hh"], given["out.deter"])})


@pytest.mark.parametrize("name", ["w_hh", "actor[0] weight"])
def test_a_dreams_output_is_none_of_its_weights(name: str) -> None:
    given = dream_with_out()
    given[name] = torch.randn(4096)[: given[name].numel()].view(given[name].shape)
    given["out.log_prob"] = inside(given[name], given["out.log_prob"])
    with pytest.raises(ValueError, match=r"out\.log_prob shares memory with"):
        dream_plan(given)


# threads that there are not ----------------------------------------------------------------------

STARVED = """
import resource, torch
from metabonk.ops import vq
torch.set_num_threads(1)
x, codebook, index = torch.randn(4, 8), torch.randn(3, 8), torch.zeros(4, dtype=torch.int64)
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (256 << 20), resource.RLIM_INFINITY))
try:
    vq.plan(x, codebook, index, threads=1000)
except RuntimeError as error:
    print(error)
vq.plan(x, codebook, index, threads=2).step()
print("alive")
"""


def test_threads_that_the_system_does_not_start_are_an_error_and_no_end() -> None:
    done = subprocess.run([sys.executable, "-c", STARVED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, alive = done.stdout.splitlines()
    assert "of 1000 are all that the system starts, ask for fewer" in said
    assert alive == "alive"
