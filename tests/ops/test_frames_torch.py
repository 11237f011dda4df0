"""Frames as tensors: the traced door gives what the numpy door does and names what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metabonk.errors import BackendError
from metabonk.ops import frames as numpy_door
from metabonk.ops import frames_torch as op

# Arguments after the frames, by operation; of which torch.ops.metabonk.frames_<name> takes all.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "resize": {"height": 9, "width": 11, "method": "bilinear"},
    "grey": {},
    "flip": {"horizontal": True, "vertical": True},
    "normalise": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "planar": True},
    "rgb_to_nv12": {"matrix": "bt601"},
    "nv12_to_rgb": {"matrix": "bt709"},
}


def picture(*leading: int, name: str = "resize") -> Tensor:
    """24 x 40 pixels of noise, or as many in NV12."""
    generator = torch.Generator().manual_seed(0)
    shape = (36, 40) if name == "nv12_to_rgb" else (24, 40, 3)
    return torch.randint(0, 256, (*leading, *shape), dtype=torch.uint8, generator=generator)


def run(name: str, frames: Tensor, **more: Any) -> Tensor:
    found: Tensor = getattr(op, name)(frames, **ARGUMENTS[name], **more)
    return found


@pytest.mark.parametrize("name", ARGUMENTS)
def test_both_doors_give_the_same(instructions: str, name: str) -> None:
    for frames in (picture(name=name), picture(2, 3, name=name), picture(0, name=name)):
        found = run(name, frames, backend="native")
        want = getattr(numpy_door, name)(frames.numpy(), **ARGUMENTS[name])
        np.testing.assert_array_equal(found.numpy(), want)
        assert found.dtype == torch.from_numpy(want).dtype


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_torch_backend_is_the_formula(name: str) -> None:
    """Rounding halfway aside, and normalise to the bit."""
    frames = picture(2, name=name)
    found, native = run(name, frames, backend="torch"), run(name, frames, backend="native")
    assert found.shape == native.shape
    assert found.dtype == native.dtype
    assert found.is_contiguous()
    most = 0 if name in ("flip", "normalise") else 1
    assert (found.double() - native.double()).abs().max() <= most
    want = getattr(numpy_door, name)(frames.numpy(), **ARGUMENTS[name], backend="numpy")
    assert (
        np.abs(found.numpy().astype(float) - want) > 0.5
    ).mean() < 0.01  # halves, summed in another order


@pytest.mark.parametrize("name", ARGUMENTS)
def test_where_frames_lie_otherwise_torch_takes_them_and_native_says_why(name: str) -> None:
    frames = picture(2, name=name)
    spread = torch.stack([frames, frames], 1)[:, 0]
    assert not spread.is_contiguous()
    same = run(name, frames, backend="torch")
    assert torch.equal(run(name, spread), same)
    with pytest.raises(BackendError, match=f"{name}: native cannot take frames with strides"):
        run(name, spread, backend="native")
    with pytest.raises(BackendError, match="no backend 'cuda'; here are: native, torch"):
        run(name, frames, backend="cuda")


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("backend", op.backends())
def test_opcheck(name: str, backend: str) -> None:
    packet = getattr(torch.ops.metabonk, f"frames_{name}").default
    torch.library.opcheck(packet, (picture(2, name=name), *ARGUMENTS[name].values(), backend))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_compiles_whole(name: str) -> None:
    def network(frames: Tensor) -> Tensor:
        return run(name, frames).float() * 0.5 + 1.0

    frames = picture(2, name=name)
    found = torch.compile(network, fullgraph=True)(frames)
    assert torch.equal(found, network(frames))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_frames_that_do_not_fit_are_named(name: str) -> None:
    frames = picture(2, name=name)
    for bad in (frames.float(), frames.ravel(), frames[..., :0], frames.to(torch.int16)):
        with pytest.raises(ValueError, match=rf"{name}: frames is torch\.\w+ \[.*\]; wanted"):
            run(name, bad)


def test_arguments_are_named() -> None:
    frames = picture()
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: op.resize(frames, 0, 2), "height, width are 0, 2"),
        (lambda: op.resize(frames, 2, 2, method="cubic"), "method is 'cubic'"),  # type: ignore[arg-type]
        (lambda: op.rgb_to_nv12(frames[:3]), "wanted even H and W"),
        (lambda: op.rgb_to_nv12(frames, matrix="bt9"), "matrix is 'bt9'"),  # type: ignore[arg-type]
        (lambda: op.nv12_to_rgb(frames[..., 0], matrix="bt9"), "matrix is 'bt9'"),  # type: ignore[arg-type]
        (lambda: op.normalise(frames, [0.1, 0.2]), "mean has 2 numbers; wanted 1 or 3"),
        (lambda: op.normalise(frames, 0.1, 0.0), "std is .*wanted numbers above 0"),
        (lambda: op.normalise(frames, float("nan")), "mean is .*finite"),
    ]
    for call, why in calls:
        with pytest.raises(ValueError, match=why):
            call()


def test_one_mean_for_all_channels_is_as_many() -> None:
    frames = picture(2)
    for backend in op.backends():
        assert torch.equal(
            op.normalise(frames, 0.5, 0.25, backend=backend),
            op.normalise(frames, [0.5] * 3, [0.25] * 3, backend=backend),
        )
