"""Nearest codes: the codebooks of the tokenizers, clustered and unclustered rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..architectures import BF16
from ..cases import Case, Inputs, generator
from ..cost import Cost
from ..triton import vq

SIZES = ((65536, 512, 128), (65536, 8192, 64), (4096, 512, 128))
SMALL = ((131, 70, 24), (5, 1, 1), (64, 129, 300))
EPS = torch.finfo(torch.float32).eps


def cases() -> list[Case]:
    return [_case(*size, small=False) for size in SIZES] + [
        _case(*size, small=True) for size in SMALL
    ]


def cost(rows: int, codes: int, width: int) -> Cost:
    """x and codes read, quantized and index written; all scores, on cores of 16 bits."""
    return Cost(
        4 * width * (rows + codes),
        rows * (4 * width + 8),
        {BF16: 2 * rows * codes * width},
    )


def _case(rows: int, codes: int, width: int, small: bool) -> Case:
    def make(device: torch.device | str, seed: int) -> Inputs:
        numbers = generator(seed)
        codebook = torch.randn(codes, width, generator=numbers)
        x = codebook[torch.randint(codes, (rows,), generator=numbers)]
        x = x + 0.5 * torch.randn(rows, width, generator=numbers)
        x[::7] = torch.randn(len(x[::7]), width, generator=numbers)  # near no code
        return {"x": x.to(device), "codebook": codebook.to(device)}

    def run(inputs: Inputs) -> tuple[Tensor, ...]:
        return vq.lookup(inputs["x"], vq.prepare(inputs["codebook"]))

    name = f"vq {rows}x{width}/{codes}"
    return Case("vq_lookup", name, make, run, reference, cost(rows, codes, width), 1.0, small,
                judge=judge)  # fmt: skip


def reference(inputs: Inputs) -> tuple[Tensor, ...]:
    """quantized and index in float64, in parts that fit into memory."""
    x, codebook = inputs["x"].cpu().double(), inputs["codebook"].cpu().double()
    offset = codebook.square().sum(-1) / -2
    index = torch.cat([(offset + part @ codebook.t()).argmax(-1) for part in x.split(4096)])
    return codebook[index], index


def judge(inputs: Inputs, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """How much farther the chosen codes are than the nearest, in units of float32's rounding of a
    score, D eps |x| max |c|; quantized must be the code itself, bit for bit."""
    x, codebook = inputs["x"].cpu(), inputs["codebook"].cpu()
    quantized, index = (t.cpu() for t in found)
    outside = (index < 0) | (index >= len(codebook))
    if bool(outside.any()) or not torch.equal(quantized, codebook[index]):
        return float("inf")
    x, codebook = x.double(), codebook.double()
    offset = codebook.square().sum(-1) / -2
    score = [offset[i] + (x * codebook[i]).sum(-1) for i in (index, wanted[1])]
    unit = x.shape[1] * EPS * x.norm(dim=-1) * codebook.norm(dim=-1).max()
    return float(((score[1] - score[0]) / unit).max())
