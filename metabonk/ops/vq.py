"""The nearest code of a codebook, and what codes learn from (van den Oord et al. 2017).

    euclidean: index = argmin_k |x - c_k|^2      dot: index = argmax_k x . c_k
    quantized = c_index, with the straight-through gradient d x = d quantized
    counts_k = how often k was taken,  sums_k = sum of the x that it was taken for

x [..., D], codebook [K, D], index [...] int64, quantized [..., D], counts [K], sums [K, D]. Exact:
all K scores x . c - |c|^2 / 2 are computed in x's dtype, the best is taken and of equal ones the
lowest index. Two codes whose scores differ by less than rounding, about D eps |x| |c|, may change
places. The codebook gets no gradient: it learns from `vq_statistics` (`ema_update_`), or from a
loss on `codebook[index]`.

Backends: `native` (csrc/nn/vq.h: one pass that keeps no [.., K] matrix; float32; equal codes score
equally wherever they stand; with AVX512_BF16 only the codes that could win are scored in float32),
`triton` (kernels/triton/vq.py: float32 on a GPU, screened in float16) and `torch` (any floating
dtype and device; equal codes may be told apart by how a BLAS rounds).
Knows torch and the core; no layers and no training.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from metabonk import _core
from metabonk.ops import device
from metabonk.ops.engines import PerThread, threads_of
from metabonk.ops.library import (
    bind,
    choose,
    define,
    differentiate,
    differentiate_never,
    expect_tensors,
    overlap,
    refusal,
    together,
)
from metabonk.ops.ranges import stepping

Backend = Literal["auto", "native", "triton", "torch"]
Metric = Literal["euclidean", "dot"]
SCORES = 1 << 24  # that the torch backend holds at a time

_engines = PerThread(_core.nn.VqEngine)


class Lookup(NamedTuple):
    """quantized: the codes [..., D], differentiable; indices: their numbers [...] int64."""

    quantized: Tensor
    indices: Tensor


class Statistics(NamedTuple):
    """counts: rows per code [K]; sums: of those rows [K, D]; both in x's dtype."""

    counts: Tensor
    sums: Tensor


def reference(x: Tensor, codebook: Tensor, metric: Metric = "euclidean") -> Lookup:
    """The formula as torch writes it, differentiable; holds [..., K, D]."""
    closeness = (
        x @ codebook.t() if metric == "dot" else -(x.unsqueeze(-2) - codebook).square().sum(-1)
    )
    index = closeness.argmax(-1)
    return Lookup(x + (codebook[index] - x).detach(), index)


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", *device.backends(), "torch")


def vq_lookup(
    x: Tensor, codebook: Tensor, *, metric: Metric = "euclidean", backend: Backend = "auto"
) -> Lookup:
    """See the module. An empty batch gives empty results.

    Raises ValueError for shapes or dtypes that do not fit, for no codes, and for numbers without a
    finite score; BackendError if `backend` cannot take these tensors.
    """
    _check(x, codebook, metric)
    return Lookup(*_LOOKUP(x, codebook, metric, backend))


def vq_statistics(x: Tensor, index: Tensor, codes: int, *, backend: Backend = "auto") -> Statistics:
    """Counts and sums per code; rows with index -1 are left out. Not differentiable.

    x [..., D], index [...] int64 below `codes`. `native` adds in the order of the rows whatever the
    number of threads. Raises ValueError for what does not fit, BackendError as `vq_lookup`.
    """
    _check_statistics(x, index, codes)
    return Statistics(*_STATISTICS(x.detach(), index, codes, backend))


def _check_statistics(x: Tensor, index: Tensor, codes: int) -> None:
    _check_x("vq_statistics", x)
    if codes < 1:
        raise ValueError(f"vq_statistics: codes is {codes}; wanted 1 or more")
    together("vq_statistics", {"x": x, "index": index})
    if index.shape != x.shape[:-1] or index.dtype != torch.int64:
        raise ValueError(
            f"vq_statistics: index is {index.dtype} {list(index.shape)}; "
            f"wanted torch.int64 {list(x.shape[:-1])}"
        )


@torch.no_grad()
def ema_update_(
    codebook: Tensor, size: Tensor, total: Tensor, new: Statistics, decay: float, eps: float = 1e-5
) -> None:
    """Moves a codebook towards what its codes were taken for, in place (van den Oord et al. 2017).

        size = decay size + (1 - decay) counts,  total = decay total + (1 - decay) sums
        codebook_k = total_k / n_k,  n = (size + eps) / (sum size + K eps) sum size

    codebook and total [K, D], size [K].
    """
    size.lerp_(new.counts.to(size), 1.0 - decay)
    total.lerp_(new.sums.to(total), 1.0 - decay)
    torch.div(total, smoothed(size, eps)[:, None], out=codebook)


def smoothed(size: Tensor, eps: float) -> Tensor:
    """Laplace smoothing of [..., K] counts that keeps their sum, so that none is 0."""
    whole = size.sum(-1, keepdim=True)
    return (size + eps) / (whole + size.shape[-1] * eps) * whole


class Plan:
    """A lookup whose memory is bound: `step()` is one native call that allocates nothing.

    The codebook is packed once; after changing it in place call `repack()`. What is bound stays
    alive, also where only `step` was taken from the plan. threads: how many a step takes at most.
    """

    def __init__(
        self,
        x: Tensor,
        codebook: Tensor,
        index: Tensor,
        quantized: Tensor | None,
        metric: Metric,
        threads: int | None = None,
    ) -> None:
        self.threads = threads_of("vq_lookup", threads)
        _check(x, codebook, metric)
        bind("vq_lookup", {"x": x, "codebook": codebook, "quantized": quantized})
        bind("vq_lookup", {"index": index}, torch.int64)
        if index.shape != x.shape[:-1]:
            raise ValueError(
                f"vq_lookup: index is {list(index.shape)}; wanted {list(x.shape[:-1])}"
            )
        if quantized is not None and quantized.shape != x.shape:
            raise ValueError(
                f"vq_lookup: quantized is {list(quantized.shape)}; wanted {list(x.shape)}"
            )
        outputs = {"index": index, "quantized": quantized}
        for name, out in outputs.items():
            for other, tensor in {"x": x, "codebook": codebook}.items():
                if out is not None and overlap(out, tensor):
                    raise ValueError(f"vq_lookup: {name} shares memory with {other}")
        if quantized is not None and overlap(index, quantized):
            raise ValueError("vq_lookup: index shares memory with quantized")
        self.bound = x, codebook, index, quantized
        engine = _engines.get_here() if threads is None else _core.nn.VqEngine(threads)
        self._native = _core.nn.VqPlan(
            engine,
            x.data_ptr(),
            index.numel(),
            codebook.data_ptr(),
            codebook.shape[0],
            codebook.shape[1],
            metric == "dot",
            index.data_ptr(),
            0 if quantized is None else quantized.data_ptr(),
            self.bound,
        )
        # The core's own: no Python frame around it but where a profiler looks.
        loops = _core.nn.vq_kernels
        self.step = stepping("vq_lookup", loops, self.bound, self._native.step)
        self.repack = self._native.repack


def plan(
    x: Tensor,
    codebook: Tensor,
    index: Tensor,
    quantized: Tensor | None = None,
    *,
    metric: Metric = "euclidean",
    threads: int | None = None,
) -> Plan:
    """Binds x [..., D], codebook [K, D] and the outputs index [...] int64 and, where wanted,
    quantized [..., D]: contiguous float32 in main memory.

    threads: at most so many, of the plan's own, for large batches only; None shares those of the
    calling thread's lookups, torch's number. A row gives the same index on any number. Raises
    ValueError for anything else.
    """
    return Plan(x, codebook, index, quantized, metric, threads)


def _check_x(op: str, x: Tensor) -> None:
    expect_tensors(op, {"x": x})
    if x.dim() < 1 or x.shape[-1] < 1 or not x.is_floating_point():
        raise ValueError(f"{op}: x is {x.dtype} {list(x.shape)}; wanted a floating [..., D]")


def _check(x: Tensor, codebook: Tensor, metric: str) -> None:
    _check_x("vq_lookup", x)
    together("vq_lookup", {"x": x, "codebook": codebook})
    if codebook.dim() != 2 or codebook.shape[1] != x.shape[-1] or codebook.dtype != x.dtype:
        raise ValueError(
            f"vq_lookup: codebook is {codebook.dtype} {list(codebook.shape)}; "
            f"wanted {x.dtype} [K, {x.shape[-1]}]"
        )
    if codebook.shape[0] < 1:
        raise ValueError("vq_lookup: codebook has 0 codes; wanted 1 or more")
    if metric not in ("euclidean", "dot"):
        raise ValueError(f"vq_lookup: metric is {metric!r}; wanted 'euclidean' or 'dot'")


def _lookup(x: Tensor, codebook: Tensor, metric: Metric, backend: str) -> tuple[Tensor, Tensor]:
    tensors = {"x": x, "codebook": codebook}
    reasons = refusal(tensors), device.refusal(tensors, backend)
    chosen = choose("vq_lookup", backend, backends(), *reasons)
    if chosen == "torch":
        return _torch_lookup(x, codebook, metric)
    if chosen == "triton":
        return _triton_lookup(x, codebook, metric)
    _check(x, codebook, metric)
    quantized = torch.empty_like(x)
    index = torch.empty(x.shape[:-1], dtype=torch.int64)
    _engines.get_here().lookup(
        x.data_ptr(),
        index.numel(),
        codebook.data_ptr(),
        codebook.shape[0],
        codebook.shape[1],
        metric == "dot",
        index.data_ptr(),
        quantized.data_ptr(),
    )
    return quantized, index


def _torch_lookup(x: Tensor, codebook: Tensor, metric: Metric) -> tuple[Tensor, Tensor]:
    norms = codebook.square().sum(-1)
    if not norms.isfinite().all():
        code = int(norms.isfinite().logical_not().nonzero()[0])
        raise ValueError(
            f"vq_lookup: codebook: code {code} holds NaN, infinity or a norm beyond {x.dtype}"
        )
    rows = x.reshape(-1, x.shape[-1])
    index = torch.empty(len(rows), dtype=torch.int64, device=x.device)
    step = max(1, SCORES // len(codebook))
    offset = torch.zeros_like(norms) if metric == "dot" else norms * -0.5
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        score = torch.addmm(offset, rows[part], codebook.t())
        best, index[part] = score.max(-1)
        if not best.isfinite().all():
            row = first + int(best.isfinite().logical_not().nonzero()[0])
            raise ValueError(
                f"vq_lookup: x: row {row} holds NaN, infinity or numbers whose products overflow "
                f"{x.dtype}"
            )
    return codebook[index].view(x.shape), index.view(x.shape[:-1])


def _triton_lookup(x: Tensor, codebook: Tensor, metric: Metric) -> tuple[Tensor, Tensor]:
    """Rows without a finite score have index -1 on the device. What they are is asked for there
    once per call, except while a graph is recorded."""
    if not x.numel():
        return _torch_lookup(x, codebook, metric)
    kernels = device.family("vq")
    rows = x.view(-1, x.shape[-1])
    quantized, index = kernels.lookup(rows, kernels.prepare(codebook, metric == "euclidean"))
    if not device.capturing(x):
        sound = codebook.square().sum(-1).isfinite().all() & (index >= 0).all()
        if not sound:
            return _torch_lookup(x, codebook, metric)  # which says what is wrong
    return quantized.view(x.shape), index.view(x.shape[:-1])


def _fake_lookup(x: Tensor, codebook: Tensor, metric: str, backend: str) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(x.shape[:-1], dtype=torch.int64)


def _pass_through(ctx: Any, d_quantized: Tensor, d_index: None) -> tuple[Tensor | None, ...]:
    return d_quantized, None, None, None


def _statistics(x: Tensor, index: Tensor, codes: int, backend: str) -> tuple[Tensor, Tensor]:
    reason = refusal({"x": x}) or refusal({"index": index}, torch.int64)
    width = x.shape[-1]
    available = tuple(name for name in backends() if name != "triton")  # torch's are on devices
    if choose("vq_statistics", backend, available, reason) == "torch":
        return _torch_statistics(x.reshape(-1, width), index.reshape(-1), codes)
    _check_statistics(x, index, codes)
    counts, sums = torch.empty(codes), torch.empty(codes, width)
    _engines.get_here().accumulate(
        x.data_ptr(),
        index.data_ptr(),
        index.numel(),
        codes,
        width,
        counts.data_ptr(),
        sums.data_ptr(),
    )
    return counts, sums


def _torch_statistics(rows: Tensor, index: Tensor, codes: int) -> tuple[Tensor, Tensor]:
    outside = (index < -1) | (index >= codes)
    if outside.any():
        raise ValueError(
            f"vq_statistics: index: entry {int(outside.nonzero()[0])} is no code's: "
            f"wanted -1 to {codes - 1}"
        )
    counted = index >= 0
    to = index.clamp(min=0)
    counts = rows.new_zeros(codes).index_add_(0, to, counted.to(rows.dtype))
    sums = rows.new_zeros(codes, rows.shape[1])
    sums.index_add_(0, to, torch.where(counted[:, None], rows, 0.0))
    return counts, sums


def _fake_statistics(x: Tensor, index: Tensor, codes: int, backend: str) -> tuple[Tensor, Tensor]:
    return x.new_empty(codes), x.new_empty(codes, x.shape[-1])


_LOOKUP = define(
    "vq_lookup(Tensor x, Tensor codebook, str metric, str backend) -> (Tensor, Tensor)",
    _lookup,
    _fake_lookup,
)
differentiate("vq_lookup", lambda ctx, inputs, output: None, _pass_through)
_STATISTICS = define(
    "vq_statistics(Tensor x, Tensor index, int codes, str backend) -> (Tensor, Tensor)",
    _statistics,
    _fake_statistics,
)
differentiate_never("vq_statistics")
