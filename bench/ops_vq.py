"""Suite `ops`, vector quantisation: lookups on one thread, and a training step of the layer;
against faiss-cpu, torch.cdist and vector-quantize-pytorch on the same codes, and the floor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import peaks
from .case import Case
from .meter import Meter, Timed
from .ops_cfc import OneThread
from .peers import require
from .versus import Contender

ROWS, WIDTH = 4096, 128


def cases() -> list[Case]:
    return [_lookup(512), _lookup(8192), _train(512)]


def _lookup(codes: int) -> Case:
    peers: tuple[tuple[str, Callable[[], Meter]], ...] = (
        ("faiss-cpu", lambda: _faiss(codes)),
        ("torch cdist + argmin", lambda: _cdist(codes)),
        ("vector-quantize-pytorch", lambda: _package(codes)),
        ("floor", lambda: peaks.multiply_adds(ROWS * codes * WIDTH)),
    )
    return Case(
        "ops",
        f"vq {codes} codes x {WIDTH}, {ROWS} rows",
        "lookups/s",
        Contender("metabonk", lambda: OneThread(_plan(codes))),
        tuple(Contender(n, lambda make=make: OneThread(make())) for n, make in peers),
    )


def _train(codes: int) -> Case:
    def layer(module: str) -> Callable[[], Meter]:
        return lambda: OneThread(_training(codes, module))

    return Case(
        "ops",
        f"VectorQuantize {codes} codes x {WIDTH}, {ROWS} rows, forward and backward",
        "steps/s",
        Contender("metabonk", layer("metabonk.models.vq")),
        (Contender("vector-quantize-pytorch", layer("vector_quantize_pytorch")),),
    )


def _tensors(codes: int) -> tuple[Any, Any]:
    torch = require("torch", "train")
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(ROWS, WIDTH, generator=generator),
        torch.randn(codes, WIDTH, generator=generator),
    )


def _plan(codes: int) -> Timed:
    torch = require("torch", "train")
    from metabonk.ops import vq

    x, codebook = _tensors(codes)
    # Made while torch has one thread, which is then the plan's too.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    plan = vq.plan(x, codebook, torch.empty(ROWS, dtype=torch.int64))
    torch.set_num_threads(before)
    return Timed(plan.step, 1)


def _faiss(codes: int) -> Timed:
    faiss = require("faiss")
    x, codebook = (t.numpy() for t in _tensors(codes))
    index = faiss.IndexFlatL2(WIDTH)
    index.add(codebook)

    def search() -> None:
        before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        index.search(x, 1)
        faiss.omp_set_num_threads(before)

    return Timed(search, 1)


def _cdist(codes: int) -> Timed:
    torch = require("torch", "train")
    x, codebook = _tensors(codes)
    return Timed(lambda: torch.cdist(x, codebook).argmin(-1), 1)


def _package(codes: int) -> Timed:
    torch = require("torch", "train")
    package = require("vector_quantize_pytorch")
    x, codebook = _tensors(codes)
    layer = package.VectorQuantize(WIDTH, codes).eval()
    layer.codebook = codebook

    def forward() -> None:
        with torch.inference_mode():
            layer(x[None])

    return Timed(forward, 1)


def _training(codes: int, module: str) -> Timed:
    torch = require("torch", "train")
    package = require(module)
    x, _ = _tensors(codes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = package.VectorQuantize(WIDTH, codes, decay=0.99)
    leaf = x[None].clone().requires_grad_()

    def step() -> None:
        leaf.grad = None
        quantized, _, loss = layer(leaf)
        (quantized.sum() + loss).backward()

    return Timed(step, 1)
