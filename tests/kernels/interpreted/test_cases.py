"""Every kernel on its small cases against float64, with each checked-in tile, in guard bands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from metabonk.kernels import tiles
from metabonk.kernels.cases import Case, cases
from metabonk.kernels.triton import kernel as launches

SMALL = [case for case in cases() if case.small]

# The worst that was seen of each family over these sizes and two seeds, in units of the case's
# tolerance; a kernel that grew worse by half fails although it keeps its tolerance.
WORST = {
    "vq": 0.001,
    "linear int8": 0.06,
    "linear e4m3": 7e-5,
    "linear nvfp4": 0.006,
    "linear bf16": 0.01,
    "quantize": 1e-9,
    "cfc": 0.02,
    "rssm_layer": 0.05,
    "gru": 0.05,
    "rssm ": 0.02,
    "imagine": 0.01,
    "squashed": 0.035,
    "gaussian": 0.05,
    "categorical": 0.3,
    "gae": 0.05,
    "lambda_returns": 0.08,
}


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name.replace(" ", "-"))
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_reference(case: Case, seed: int, guard: Any) -> None:
    inputs = {name: guard.copy(t) for name, t in case.make("cpu", seed).items()}
    error = case.error(inputs, case.run(inputs))
    assert error <= 1.0
    family = max((name for name in WORST if case.name.startswith(name)), key=len)
    assert error <= 1.5 * WORST[family]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name.replace(" ", "-"))
def test_what_runs_is_what_a_graph_can_hold(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in a run asks for numbers on the processor, which waits for the device."""
    inputs = case.make("cpu", 0)
    for name in ("cpu", "item", "tolist", "numpy", "__bool__"):
        asked = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, _refusing(name, asked))
    case.run(inputs)


OURS = "metabonk.kernels.work", "metabonk.kernels.triton"


def _refusing(name: str, asked: Callable[..., Any]) -> Callable[..., Any]:
    """The method, but for launches and cases; Triton's interpreter may ask what it likes."""

    def ask(self: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        assert not caller.startswith(OURS), f"{caller} calls Tensor.{name}"
        return asked(self, *arguments, **options)

    return ask


def test_a_run_that_waits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal itself, on what reads codes back: `numbers` of the rows' formats."""
    from metabonk.kernels.work.quantize import numbers

    monkeypatch.setattr(torch.Tensor, "cpu", _refusing("cpu", torch.Tensor.cpu))
    with pytest.raises(AssertionError, match=r"work\.quantize calls Tensor\.cpu"):
        numbers("bf16", torch.ones(1, 1), torch.ones(1), None)


def every_tile() -> list[tuple[str, tiles.Tile]]:
    """One per different size of a tile, whatever the architecture."""
    found: dict[tuple[Any, ...], tiles.Tile] = {}
    for tile in tiles.every():
        found.setdefault((tile.kernel, *sorted(tile.constants.items())), tile)
    return [(tile.name, tile) for tile in found.values()]


# A case that uses the kernel, by the kernel's name.
USED_IN: dict[str, Callable[[str], str]] = {
    "vq_": lambda _: "vq 131x24/70",
    "quantize_": lambda kernel: f"quantize {kernel.removeprefix('quantize_')} 3x1500",
    "int8_linear": lambda _: "linear int8 x int8 70x96x40",
    "fp8_linear": lambda _: "linear e4m3 x fp8 70x96x40",
    "nvfp4_linear": lambda _: "linear nvfp4 x nvfp4 70x96x40",
    "cfc_": lambda _: "cfc 4x33 20-48-40",
    "rssm_layer_bf16": lambda _: "rssm_layer 70x16+4x8 to 40 bf16",
    "rssm_layer": lambda _: "rssm_layer 70x16+4x8 to 40 fp32",
    "gru_bf16": lambda _: "gru 70x16 to 40 bf16",
    "gru": lambda _: "gru 70x16 to 40 fp32",
    "categorical": lambda _: "categorical 40x32",
    "gaussian": lambda _: "gaussian 40x32",
    "squashed": lambda _: "squashed 40x32",
    "gae": lambda _: "gae 5x17",
    "lambda_returns": lambda _: "lambda_returns 5x17",
}


def case_of(kernel: str) -> Case:
    if kernel.endswith("_decoded"):
        name = f"linear bf16 x {kernel.removesuffix('_decoded')} 70x96x40"
    else:
        name = next(make(kernel) for start, make in USED_IN.items() if kernel.startswith(start))
    return next(case for case in SMALL if case.name == name)


@pytest.mark.parametrize(
    ("name", "tile"), every_tile(), ids=lambda v: v if isinstance(v, str) else ""
)
def test_any_tile_gives_the_same(
    name: str, tile: tiles.Tile, guard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tile in turn stands in for all others of its kernel."""
    taken = []

    def choose(kernel: str, architecture: str, **sizes: Any) -> tiles.Tile:
        if kernel != tile.kernel:
            return tiles.choose(kernel, architecture, **sizes)
        taken.append(kernel)
        return tile

    monkeypatch.setattr(launches, "choose", choose)
    case = case_of(tile.kernel)
    inputs = {name: guard.copy(t) for name, t in case.make("cpu", 2).items()}
    assert case.error(inputs, _run(case, tile.kernel, inputs)) <= 1.0
    assert taken


def _run(case: Case, kernel: str, inputs: dict[str, Any]) -> Any:
    if not kernel.startswith("cfc_"):
        return case.run(inputs)
    from metabonk.kernels.triton import cfc
    from metabonk.kernels.work.cfc import NAMES

    return cfc.scan(*(inputs[n] for n in NAMES), saving=True, whole=kernel == "cfc_scan")


def test_a_kernel_that_writes_outside_is_found(guard: Any) -> None:
    """The guard itself: one element behind the end is enough."""
    held = guard.new((5,), torch.float32)
    beyond = held.as_strided((6,), (1,))
    beyond[5] = 1.0
    with pytest.raises(AssertionError, match="wrote outside"):
        guard.check()
    beyond[5] = float("nan")
