"""Cases of the CUDA kernels for frames: the very bytes of the processor's kernels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from metabonk.kernels.cases import Case, Inputs, generator
from metabonk.kernels.cost import Cost
from torch import Tensor

from metabonk.ops import frames

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Run = Callable[[Any, Inputs, int], Tensor]


def cases(cuda: Any) -> list[Case]:
    """cuda: metabonk._cuda."""
    return [
        _case(cuda, name, run, size, small=size == (2, 12, 20))
        for name, run in RUNS.items()
        for size in ((16, 360, 640), (2, 12, 20))
    ]


def _case(cuda: Any, name: str, run: Run, size: tuple[int, int, int], small: bool) -> Case:
    count, height, width = size
    pixels = count * height * width
    read, written = {
        "grey": (3.0, 1.0),
        "flip": (3.0, 3.0),
        "normalise": (3.0, 12.0),
        "rgb_to_nv12": (3.0, 1.5),
        "nv12_to_rgb": (1.5, 3.0),
        "resize": (3.0, 3.0 / 16.0),
    }[name]

    def work(given: Inputs) -> tuple[Tensor, ...]:
        stream = torch.cuda.current_stream(given["frames"].device).cuda_stream
        return (run(cuda, given, int(stream)),)

    return Case(
        f"frames.{name}",
        f"cuda {name} {count}x{height}x{width}",
        functools.partial(_make, cuda, name, size),
        work,
        functools.partial(_reference, name),
        Cost(int(pixels * read), int(pixels * written)),
        1.0,
        small,
        judge=_same,
        facts={"mean": MEAN, "std": STD},
    )


def _make(
    cuda: Any, name: str, size: tuple[int, int, int], device: torch.device | str, seed: int
) -> Inputs:
    count, height, width = size
    shape = (count, height * 3 // 2, width) if name == "nv12_to_rgb" else (*size, 3)
    given = {"frames": torch.randint(0, 256, shape, generator=generator(seed), dtype=torch.uint8)}
    if name == "resize":
        for side, (source, target) in {
            "row": (height, height // 4),
            "column": (width, width // 4),
        }.items():
            taps, first, weights = cuda.resize_axis(source, target, True)
            given[f"{side}_first"] = torch.tensor(first, dtype=torch.int32)
            given[f"{side}_weights"] = torch.tensor(weights, dtype=torch.int16).view(target, taps)
    return {n: t.to(device) for n, t in given.items()}


def _same(given: Inputs, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    same = all(torch.equal(f.cpu(), w) for f, w in zip(found, wanted, strict=True))
    return 0.0 if same else float("inf")


def _reference(name: str, given: Inputs) -> tuple[Tensor, ...]:
    array = given["frames"].cpu().numpy()
    found = {
        "grey": lambda: frames.grey(array),
        "flip": lambda: frames.flip(array, horizontal=True, vertical=True),
        "normalise": lambda: frames.normalise(array, MEAN, STD, planar=True),
        "rgb_to_nv12": lambda: frames.rgb_to_nv12(array),
        "nv12_to_rgb": lambda: frames.nv12_to_rgb(array),
        "resize": lambda: frames.resize(array, array.shape[1] // 4, array.shape[2] // 4),
    }[name]()
    return (torch.from_numpy(np.ascontiguousarray(found)),)


def _grey(cuda: Any, given: Inputs, stream: int) -> Tensor:
    x = given["frames"]
    out = x.new_empty(x.shape[:-1])
    cuda.grey(x.data_ptr(), out.numel(), out.data_ptr(), stream)
    return out


def _flip(cuda: Any, given: Inputs, stream: int) -> Tensor:
    x = given["frames"]
    out = torch.empty_like(x)
    cuda.flip(x.data_ptr(), len(x), tuple(x.shape[1:]), True, True, out.data_ptr(), stream)
    return out


def _normalise(cuda: Any, given: Inputs, stream: int) -> Tensor:
    x = given["frames"]
    count, height, width, channels = x.shape
    scale = [float(np.float32(1.0 / (255.0 * s))) for s in STD]
    shift = [float(np.float32(-m / s)) for m, s in zip(MEAN, STD, strict=True)]
    out = torch.empty(count, channels, height, width, device=x.device)
    cuda.normalise(x.data_ptr(), count, height * width, scale, shift, True, out.data_ptr(), stream)
    return out


def _rgb_to_nv12(cuda: Any, given: Inputs, stream: int) -> Tensor:
    x = given["frames"]
    count, height, width, _ = x.shape
    out = x.new_empty(count, height * 3 // 2, width)
    cuda.rgb_to_nv12(x.data_ptr(), count, height, width, True, out.data_ptr(), stream)
    return out


def _nv12_to_rgb(cuda: Any, given: Inputs, stream: int) -> Tensor:
    x = given["frames"]
    count, height, width = len(x), x.shape[1] // 3 * 2, x.shape[2]
    out = x.new_empty(count, height, width, 3)
    cuda.nv12_to_rgb(x.data_ptr(), count, height, width, True, out.data_ptr(), stream)
    return out


def _resize(cuda: Any, given: Inputs, stream: int) -> Tensor:
    x = given["frames"]
    count, height, width, channels = x.shape
    rows, columns = given["row_weights"], given["column_weights"]
    out = x.new_empty(count, len(rows), len(columns), channels)
    cuda.resize(
        x.data_ptr(),
        count,
        (height, width, channels, len(rows), len(columns)),
        (rows.shape[1], columns.shape[1]),
        (given["row_first"].data_ptr(), rows.data_ptr()),
        (given["column_first"].data_ptr(), columns.data_ptr()),
        out.data_ptr(),
        stream,
    )
    return out


RUNS: dict[str, Run] = {
    "grey": _grey,
    "flip": _flip,
    "normalise": _normalise,
    "rgb_to_nv12": _rgb_to_nv12,
    "nv12_to_rgb": _nv12_to_rgb,
    "resize": _resize,
}
