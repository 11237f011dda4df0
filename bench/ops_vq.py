"""Suite `ops`, vector quantisation: lookups on one thread, and a training step of the layer;
against faiss-cpu, torch.cdist and vector-quantize-pytorch on the same codes, and the floor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import peaks
from .agreement import STRAYS, agreeing
from .case import Case
from .meter import Meter, Timed
from .ops_cfc import OneThread
from .peers import require
from .peers.compiled import compiled
from .versus import Contender

ROWS, WIDTH = 4096, 128


def cases() -> list[Case]:
    return [_lookup(512), _lookup(8192), _train(512)]


def _lookup(codes: int) -> Case:
    peers: tuple[tuple[str, Callable[[], Meter]], ...] = (
        ("faiss-cpu", lambda: _faiss(codes)),
        ("torch cdist + argmin", lambda: _cdist(codes)),
        ("torch.compile", lambda: _compiled(codes)),
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
    def layer(module: str, compile_: bool = False) -> Callable[[], Meter]:
        return lambda: OneThread(_training(codes, module, compile_))

    return Case(
        "ops",
        f"VectorQuantize {codes} codes x {WIDTH}, {ROWS} rows, forward and backward",
        "steps/s",
        Contender("metabonk", layer("metabonk.models.vq")),
        (
            Contender("vector-quantize-pytorch", layer("vector_quantize_pytorch")),
            Contender(
                "vector-quantize-pytorch, torch.compile", layer("vector_quantize_pytorch", True)
            ),
        ),
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
    indices = torch.empty(ROWS, dtype=torch.int64)
    plan = vq.plan(x, codebook, indices)
    torch.set_num_threads(before)
    return _agreeing("plan", codes, Timed(plan.step, 1), got=lambda: [indices])


def _agreeing(who: str, codes: int, meter: Timed, **how: Any) -> Timed:
    """Once it finds the codes that are nearest in float64, but for those that are as near as
    rounding is."""
    torch = require("torch", "train")
    x, codebook = (t.double() for t in _tensors(codes))
    wanted = torch.cdist(x, codebook).argmin(-1)
    return agreeing(who, meter, [wanted], 0.0, strays=STRAYS, **how)


def _faiss(codes: int) -> Timed:
    faiss = require("faiss")
    x, codebook = (t.numpy() for t in _tensors(codes))
    index = faiss.IndexFlatL2(WIDTH)
    index.add(codebook)

    def search() -> Any:
        before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        found = index.search(x, 1)[1]
        faiss.omp_set_num_threads(before)
        return [found[:, 0]]

    return _agreeing("faiss-cpu", codes, Timed(search, 1))


def _cdist(codes: int) -> Timed:
    torch = require("torch", "train")
    x, codebook = _tensors(codes)
    return _agreeing("cdist", codes, Timed(lambda: [torch.cdist(x, codebook).argmin(-1)], 1))


def _compiled(codes: int) -> Timed:
    """Distances as a product, which it fuses with the minimum as far as it can; of cdist it makes
    the same call."""
    torch = require("torch", "train")
    x, codebook = _tensors(codes)

    def nearest(x: Any, codebook: Any) -> Any:
        return ((codebook * codebook).sum(-1) - 2.0 * (x @ codebook.t())).argmin(-1)

    run = compiled(nearest)

    def search() -> Any:
        with torch.inference_mode():
            return [run(x, codebook)]

    return _agreeing("torch.compile", codes, Timed(search, 1))


def _package(codes: int) -> Timed:
    torch = require("torch", "train")
    package = require("vector_quantize_pytorch")
    x, codebook = _tensors(codes)
    layer = package.VectorQuantize(WIDTH, codes).eval()
    layer.codebook = codebook

    def forward() -> Any:
        with torch.inference_mode():
            return [layer(x[None])[1][0]]

    return _agreeing("vector-quantize-pytorch", codes, Timed(forward, 1))


def _training(codes: int, module: str, compile_: bool) -> Timed:
    """A step of the layer that learns its codes. The first one of each is compared with the
    package's, which begins with the same codes."""
    torch = require("torch", "train")
    x, _ = _tensors(codes)
    leaf = x[None].clone().requires_grad_()

    def made(module: str) -> Any:
        package = require(module)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # which codes they begin with
            return package.VectorQuantize(WIDTH, codes, decay=0.99)

    def gradient(layer: Any) -> list[Any]:
        leaf.grad = None
        quantized, _, loss = layer(leaf)
        (quantized.sum() + loss).backward()
        return [leaf.grad]

    wanted = [found.clone() for found in gradient(made("vector_quantize_pytorch"))]
    layer = compiled(made(module)) if compile_ else made(module)
    return agreeing(module, Timed(lambda: gradient(layer), 1), wanted, strays=STRAYS)
