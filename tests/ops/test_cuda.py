"""The backend "cuda" of the ops where there is no GPU: refused with reasons, never taken by itself;
where there is one, equal to the references within what rounding to bf16 costs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from metabonk.errors import BackendError
from metabonk.ops import cfc_scan as cfc
from metabonk.ops import cuda, library
from metabonk.ops import frames_torch as frames
from metabonk.ops import qlinear as linear

GPU = pytest.mark.skipif(bool(cuda.problem()), reason=f"needs a GPU: {cuda.problem()}")
HERE = pytest.mark.skipif(not cuda.problem(), reason="there is a GPU")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    cuda.problem.cache_clear()
    yield
    cuda.problem.cache_clear()


def tensors(device: str = "cpu") -> tuple[torch.Tensor, ...]:
    numbers = torch.Generator().manual_seed(0)
    shapes = [(3, 5, 7), (5, 9), (3, 5, 1), (3, 5, 1), (11, 16), (11,), (36, 11), (36,)]
    made = [torch.randn(*shape, generator=numbers) / 3 for shape in shapes]
    return tuple(t.to(device) for t in made)


@HERE
def test_asking_for_it_names_what_is_here_and_why_it_is_not() -> None:
    why = cuda.problem()
    with pytest.raises(BackendError, match=r"cfc_scan: no backend 'cuda'; here are: native") as got:
        cfc.cfc_scan(*tensors(), backend="cuda")
    assert f"(cuda: {why})" in str(got.value)
    weight = linear.pack(torch.randn(4, 8), "int8")
    with pytest.raises(BackendError, match=r"qlinear: no backend 'cuda'; here are: native"):
        linear.qlinear(torch.randn(2, 8), weight, backend="cuda")
    with pytest.raises(BackendError, match=r"grey: no backend 'cuda'; here are: native"):
        frames.grey(torch.zeros(2, 2, 3, dtype=torch.uint8), backend="cuda")
    assert "cuda" not in cfc.backends()


def test_a_module_that_is_not_built_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "metabonk._cuda", None)
    with pytest.raises(ModuleNotFoundError):
        cuda.module()
    assert cuda.problem().startswith("metabonk._cuda is not built")
    assert cuda.backends() == ()


class Played:
    """The module on a machine with a device."""

    @staticmethod
    def why_not() -> str:
        return ""


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the module, a driver and a GPU were there; tensors stay where they are."""
    monkeypatch.setitem(sys.modules, "metabonk._cuda", Played)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_it_is_taken_only_by_name(played: None) -> None:
    assert cuda.backends() == ("cuda",)
    reason = cuda.refusal({"x": torch.zeros(4)}, "auto")
    assert reason
    assert library.choose("op", "auto", ("cuda", "torch"), "", "", reason) == "torch"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(4), "x on cpu, wanted a GPU"),
        (torch.zeros(4, device="meta"), "x on meta, wanted a GPU"),
    ],
)
def test_tensors_elsewhere_are_refused(played: None, given: torch.Tensor, message: str) -> None:
    assert cuda.refusal({"x": given}, "cuda") == message
    with pytest.raises(BackendError, match=f"op: cuda cannot take {message}; here are: cuda"):
        library.choose("op", "cuda", ("cuda",), "", "", cuda.refusal({"x": given}, "cuda"))


def test_addresses_are_zero_for_nothing() -> None:
    assert cuda.address(None) == 0
    assert cuda.address(torch.empty(0)) == 0
    some = torch.ones(2)
    assert cuda.address(some) == some.data_ptr()


@GPU
def test_the_gpus_scan_equals_the_reference() -> None:
    given = [t.requires_grad_() for t in tensors("cuda")]
    found = cfc.cfc_scan(*given, backend="cuda")  # type: ignore[arg-type]
    wanted = cfc.reference(*(t.double() for t in given))  # type: ignore[arg-type]
    assert (found - wanted).abs().max() < 0.02
    found.sum().backward()
    assert all(t.grad is not None for t in given)


@GPU
@pytest.mark.parametrize("format", ["int8", "bf16", "fp8", "nvfp4", "mxfp8"])
def test_the_gpus_product_equals_the_reference(format: Any) -> None:
    weight = linear.pack(torch.randn(40, 96), format)
    x = torch.randn(5, 96)
    on_gpu = weight._replace(panels=weight.panels.cuda())
    found = linear.qlinear(x.cuda(), on_gpu, backend="cuda")
    wanted = linear.reference(x.double(), weight)
    assert (found.cpu() - wanted).norm() < 1e-5 * wanted.norm()


@GPU
def test_the_gpus_frames_are_the_processors() -> None:
    rgb = torch.randint(0, 256, (2, 12, 20, 3), dtype=torch.uint8)
    nv12 = frames.rgb_to_nv12(rgb)
    for run, given in (
        (lambda x, b: frames.resize(x, 5, 7, backend=b), rgb),
        (lambda x, b: frames.grey(x, backend=b), rgb),
        (lambda x, b: frames.flip(x, vertical=True, backend=b), rgb),
        (lambda x, b: frames.normalise(x, 0.5, 0.25, planar=True, backend=b), rgb),
        (lambda x, b: frames.rgb_to_nv12(x, backend=b), rgb),
        (lambda x, b: frames.nv12_to_rgb(x, backend=b), nv12),
    ):
        assert torch.equal(run(given.cuda(), "cuda").cpu(), run(given, "native"))
