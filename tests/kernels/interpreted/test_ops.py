"""The backend "triton" of the ops, in the interpreter, against references in float64: results,
gradients, registration, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metabonk.errors import BackendError
from metabonk.ops import (
    cfc_cell,
    cfc_scan,
    device,
    qlinear,
    qlinear_narrow,
    qlinear_triton,
    returns,
    rssm_scan,
    rssm_step,
    vq,
)
from metabonk.ops.rssm_weights import RssmWeights

# The largest error that was seen over these sizes, norm over norm; twice as much fails.
WORST = {
    "cfc": 2e-7,
    "cfc gradient": 2.1e-6,
    "gae": 2e-7,
    "lambda_returns": 3e-7,
    "qlinear": 2e-7,
    "rssm": 2e-6,
    "rssm gradient": 1e-5,
}


@pytest.fixture(autouse=True)
def _all_between_bands(request: pytest.FixtureRequest) -> None:
    """What ops allocate lies between guard bands; not in opcheck, which looks at memory itself."""
    if not request.node.name.startswith("test_registration"):
        request.getfixturevalue("guard")


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def distance(found: Tensor, wanted: Tensor) -> float:
    assert found.shape == wanted.shape
    return float((found.double() - wanted).norm() / (wanted.norm() or 1.0))


def close(what: str, found: Tensor, wanted: Tensor) -> None:
    assert distance(found.detach(), wanted.detach()) <= 2 * WORST[what]


def test_backends_name_triton_and_take_it_only_when_asked() -> None:
    assert vq.backends() == ("native", "triton", "torch")
    strided = randn(8, 6)[:, ::2]
    quantized, _ = vq.vq_lookup(strided, randn(5, 3))  # native cannot: torch, not the interpreter
    assert quantized.shape == (8, 3)
    with pytest.raises(BackendError, match=r"triton cannot take x with strides \(6, 2\)"):
        vq.vq_lookup(strided, randn(5, 3), backend="triton")
    with pytest.raises(BackendError, match=r"triton cannot take x of torch\.float64"):
        vq.vq_lookup(randn(8, 3).double(), randn(5, 3).double(), backend="triton")


def test_without_a_gpu_the_error_names_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "problem", lambda: "no GPU that torch can use")
    with pytest.raises(BackendError, match=r"here are: native, torch \(triton: no GPU"):
        vq.vq_lookup(randn(8, 3), randn(5, 3), backend="triton")


@pytest.mark.parametrize("metric", ["euclidean", "dot"])
@pytest.mark.parametrize("shape", [(7, 3), (2, 33, 20), (0, 4)])
def test_vq_lookup(shape: tuple[int, ...], metric: vq.Metric) -> None:
    x, codebook = randn(*shape).requires_grad_(), randn(67, shape[-1], seed=1)
    quantized, index = vq.vq_lookup(x, codebook, metric=metric, backend="triton")
    _, wanted = vq.reference(x.double(), codebook.double(), metric)
    assert torch.equal(index, wanted)
    assert torch.equal(quantized.detach(), codebook[index])
    quantized.backward(torch.ones_like(quantized))
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones_like(x))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, c: x[2].fill_(float("nan")), "row 2 holds NaN"),
        (lambda x, c: x[1].fill_(3e38), "row 1 holds NaN, infinity or numbers whose products"),
        (lambda x, c: c[4].fill_(float("inf")), "code 4 holds NaN"),
        (lambda x, c: c[3].fill_(1e20), "code 3 holds NaN, infinity or a norm"),
    ],
)
@pytest.mark.parametrize("width", [8, 300])
def test_vq_lookup_names_what_has_no_finite_score(
    change: Callable[[Tensor, Tensor], Any], words: str, width: int
) -> None:
    x, codebook = randn(5, width), randn(9, width, seed=1)
    change(x, codebook)
    with pytest.raises(ValueError, match=words):
        vq.vq_lookup(x, codebook, backend="triton")


def cfc(steps: int, rows: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    inputs, hidden, units = 5, 7, 9
    tensors = [
        randn(steps, rows, inputs),
        randn(rows, hidden).tanh(),
        randn(steps, rows, 1).exp(),
        (randn(steps, rows, 1) < 0.5).float(),
        randn(units, inputs + hidden) / 3,
        randn(units) / 3,
        randn(4 * hidden, units) / 3,
        randn(4 * hidden) / 3,
    ]
    return [t.to(dtype).requires_grad_() for t in tensors]


@pytest.mark.parametrize(("steps", "rows"), [(1, 1), (3, 4), (2, 35)])
@pytest.mark.parametrize("bare", [False, True])
def test_cfc_scan_and_its_gradients(steps: int, rows: int, bare: bool) -> None:
    given, exact = (
        cfc(steps, rows),
        [t.detach().double().requires_grad_() for t in cfc(steps, rows)],
    )
    if bare:  # no times, nothing forgotten
        given[2] = given[3] = exact[2] = exact[3] = None  # type: ignore[call-overload]
    out, wanted = cfc_scan.cfc_scan(*given, backend="triton"), cfc_scan.reference(*exact)
    close("cfc", out, wanted)
    weights = randn(*out.shape)
    leaves = [t for t in given if t is not None]
    found = torch.autograd.grad(out, leaves, weights)
    right = torch.autograd.grad(wanted, [t for t in exact if t is not None], weights.double())
    for mine, theirs in zip(found, right, strict=True):
        close("cfc gradient", mine, theirs)


def test_cfc_cell_is_a_step_of_it() -> None:
    x, h, dt, keep, *weights = (t.detach() for t in cfc(1, 4))
    found = cfc_cell.cfc_cell(x[0], h, dt[0], keep[0], *weights, backend="triton")
    wanted = cfc_cell.reference(
        *(t.double() for t in (x[0], h, dt[0], keep[0])), *(w.double() for w in weights)
    )
    close("cfc", found, wanted)


@pytest.mark.parametrize(("steps", "columns"), [(1, 1), (2, 3), (37, 5)])
@pytest.mark.parametrize("many", [False, True])
def test_gae_and_its_gradients(steps: int, columns: int, many: bool) -> None:
    generator = torch.Generator().manual_seed(steps)
    terminated, truncated, reset = (
        torch.rand(steps, columns, generator=generator) < 0.2 for _ in range(3)
    )
    reward, value = randn(steps, columns), randn(steps + 1, columns)
    # What flags switch off may be NaN: the value after an end, the step of a reset.
    value[1:][terminated & (torch.rand(steps, columns, generator=generator) < 0.5)] += 0
    gamma: float | Tensor = 0.9 + 0.1 * torch.rand(steps, columns, generator=generator)
    if not many:
        gamma, reset = 0.97, None  # type: ignore[assignment]
    leaves = [t.requires_grad_() for t in (reward, value)]
    exact = [t.detach().double().requires_grad_() for t in leaves]
    options = {"gamma": gamma, "gae_lambda": 0.9}
    out = returns.gae(*leaves, terminated, truncated.byte() * 3, reset, **options, backend="triton")
    exactly = gamma.double() if isinstance(gamma, Tensor) else gamma
    wanted = returns.gae_reference(*exact, terminated, truncated, reset, exactly, 0.9)
    close("gae", out, wanted)
    weights = randn(steps, columns, seed=1)
    found = torch.autograd.grad(out, leaves, weights)
    right = torch.autograd.grad(wanted, exact, weights.double())
    for mine, theirs in zip(found, right, strict=True):
        close("gae", mine, theirs)


def test_gae_passes_nothing_over_a_flag() -> None:
    """Not even NaN."""
    reward, value = torch.ones(4, 1), torch.ones(5, 1)
    terminated = torch.tensor([[False], [True], [False], [False]])
    reset = torch.tensor([[False], [False], [True], [False]])
    value[2] = float("nan")  # after the end, and the step that is none
    off = torch.zeros_like(terminated)
    options = {"gamma": 0.9, "gae_lambda": 0.5}
    found = returns.gae(reward, value, terminated, off, reset, **options, backend="triton")
    wanted = returns.gae(reward, value, terminated, off, reset, **options, backend="torch")
    assert torch.equal(found.isnan(), wanted.isnan())
    assert not found.isnan().any()


@pytest.mark.parametrize(("steps", "columns"), [(1, 1), (2, 3), (37, 5)])
def test_lambda_returns_and_their_gradients(steps: int, columns: int) -> None:
    given = [randn(steps, columns), randn(steps + 1, columns), randn(steps, columns).sigmoid()]
    leaves = [t.requires_grad_() for t in given]
    exact = [t.detach().double().requires_grad_() for t in leaves]
    out = returns.lambda_returns(*leaves, 0.9, backend="triton")
    wanted = returns.lambda_returns_reference(*exact, 0.9)
    close("lambda_returns", out, wanted)
    weights = randn(steps, columns, seed=1)
    found = torch.autograd.grad(out, leaves, weights)
    right = torch.autograd.grad(wanted, exact, weights.double())
    for mine, theirs in zip(found, right, strict=True):
        close("lambda_returns", mine, theirs)


@pytest.mark.parametrize("format", qlinear.FORMATS)
@pytest.mark.parametrize(
    ("lead", "inputs", "outputs"), [((3,), 7, 5), ((2, 35), 100, 33), ((0,), 4, 3)]
)
def test_qlinear(
    format: qlinear.WeightFormat, lead: tuple[int, ...], inputs: int, outputs: int
) -> None:
    x = randn(*lead, inputs).requires_grad_()
    weight, bias = qlinear.pack(randn(outputs, inputs), format), randn(outputs)
    y = qlinear.qlinear(x, weight, bias, backend="triton")
    close("qlinear", y, qlinear.reference(x.double(), weight, bias.double(), rounded=False)
          if not x.numel() else _rounded(x, weight, bias))  # fmt: skip
    bare = qlinear.qlinear(x.detach(), weight, backend="triton")
    assert bare.shape == y.shape
    if format == "int8":  # the same bits as everywhere
        assert torch.equal(y.detach(), qlinear.qlinear(x.detach(), weight, bias, backend="torch"))
    y.sum().backward()
    assert x.grad is not None
    wanted = weight.dequantize().double().sum(0).expand_as(x)
    assert distance(x.grad, wanted) < 1e-6


def _rounded(x: Tensor, weight: qlinear.Packed, bias: Tensor) -> Tensor:
    codes, scale = qlinear.round_rows(x.detach(), weight.format)
    exact = torch.from_numpy(np.asarray(weight.unpack().dequantize(), np.float64))
    return codes.double() * scale.double() @ exact.t() + bias.double()


@pytest.mark.parametrize("format", qlinear_narrow.LEAST)
@pytest.mark.parametrize(
    ("lead", "inputs", "outputs"), [((3,), 7, 5), ((2, 35), 100, 33), ((0,), 4, 3)]
)
def test_qlinear_narrow(
    format: qlinear.WeightFormat, lead: tuple[int, ...], inputs: int, outputs: int
) -> None:
    x = (randn(*lead, inputs) * 10).requires_grad_()
    weight, bias = qlinear.pack(randn(outputs, inputs), format), randn(outputs)
    y = qlinear_narrow.qlinear_narrow(x, weight, bias, backend="triton")
    wanted = qlinear_narrow.reference(x.detach().double(), weight, bias.double())
    if x.numel():
        close("qlinear", y, wanted)
    assert y.shape == wanted.shape
    y.sum().backward()
    assert x.grad is not None
    assert distance(x.grad, weight.dequantize().double().sum(0).expand_as(x)) < 1e-6


def test_qlinear_gives_bad_rows_no_numbers() -> None:
    x = randn(3, 40)
    x[1, 7] = float("inf")
    doors = [(qlinear.qlinear, format) for format in qlinear.FORMATS]
    doors += [(qlinear_narrow.qlinear_narrow, format) for format in ("fp8", "nvfp4")]
    for door, format in doors:
        y = door(x, qlinear.pack(randn(5, 40), format), backend="triton")
        assert not y[1].isfinite().any()
        assert y[[0, 2]].isfinite().all()


def test_weights_are_arranged_once_and_again_when_changed() -> None:
    first, second = (qlinear.pack(randn(9, 33, seed=s), "fp8") for s in (0, 1))
    x = randn(4, 33)
    qlinear.qlinear(x, first, backend="triton")
    known = qlinear_triton.arranged(first.panels, "fp8", 9, 33)
    assert qlinear_triton.arranged(first.panels, "fp8", 9, 33) is known
    first.panels.copy_(second.panels)
    changed = qlinear.qlinear(x, first, backend="triton")
    assert torch.equal(changed, qlinear.qlinear(x, second, backend="triton"))


def rssm(steps: int, rows: int, classes: int, dtype: torch.dtype = torch.float32) -> list[Any]:
    """deter, stoch, action, embed, keep, noise, weights; classes 0: Gaussians."""
    groups, action, embed, hidden, width = 3, 2, 4, 5, 6
    state, parameters = groups * (classes or 1), groups * (classes or 2)
    shapes = [(hidden, state + action), (hidden,), (3 * width, hidden), (3 * width, width)]
    shapes += [(3 * width,), (3 * width,), (hidden, width), (hidden,), (parameters, hidden)]
    shapes += [(parameters,), (hidden, width + embed), (hidden,), (parameters, hidden)]
    shapes += [(parameters,)]
    generator = torch.Generator().manual_seed(classes + rows)
    weights = [torch.randn(s, generator=generator) / s[-1] ** 0.5 for s in shapes]
    noise = torch.rand if classes else torch.randn
    tensors = [
        torch.randn(rows, width, generator=generator).tanh(),
        torch.randn(rows, state, generator=generator),
        torch.randn(steps, rows, action, generator=generator),
        torch.randn(steps, rows, embed, generator=generator),
        (torch.rand(steps, rows, 1, generator=generator) < 0.7).float(),
        noise(steps, rows, groups, generator=generator),
    ]
    return [*(t.to(dtype) for t in tensors), RssmWeights(*(w.to(dtype) for w in weights))]


@pytest.mark.parametrize("classes", [0, 4])
@pytest.mark.parametrize("observed", [True, False])
@pytest.mark.parametrize("kept", [True, False])
def test_rssm_scan_and_its_gradients(classes: int, observed: bool, kept: bool) -> None:
    *given, weights = rssm(3, 5, classes)
    given[3] = given[3] if observed else None
    given[4] = given[4] if kept else None
    weights = weights if observed else weights.prior()
    leaves = [given[i] for i in (0, 1, 2)] + ([given[3]] if observed else []) + weights.given()
    leaves = [t.requires_grad_() for t in leaves]
    exact = [None if t is None else t.detach().double() for t in given]
    exact_weights = RssmWeights(
        *(None if w is None else w.detach().double().requires_grad_() for w in weights)
    )
    exact_leaves = [exact[0], exact[1], exact[2]] + ([exact[3]] if observed else [])
    exact_leaves = [t.requires_grad_() for t in exact_leaves] + exact_weights.given()
    found = rssm_scan.rssm_scan(*given, weights, classes=classes, backend="triton")
    wanted = rssm_scan.reference(*exact, exact_weights, classes=classes, index=found[4])
    parts = [(f, w) for f, w in zip(found[:4], wanted[:4], strict=True) if f is not None]
    assert len(parts) == 3 + observed
    for mine, theirs in parts:
        close("rssm", mine, theirs)
    directions = [randn(*mine.shape, seed=i) for i, (mine, _) in enumerate(parts)]
    mine_all = torch.autograd.grad([m for m, _ in parts], leaves, directions)
    theirs_all = torch.autograd.grad(
        [w for _, w in parts], exact_leaves, [d.double() for d in directions]
    )
    for mine, theirs in zip(mine_all, theirs_all, strict=True):
        close("rssm gradient", mine, theirs)


def test_rssm_scan_draws_the_classes_that_noise_picks() -> None:
    *given, weights = rssm(3, 40, 5)
    given[1] = torch.randint(5, (40, 3)).int()
    found = rssm_scan.rssm_scan(*given, weights, classes=5, backend="triton")
    torchs = rssm_scan.rssm_scan(*given, weights, classes=5, backend="torch")
    assert found[4] is not None
    assert torchs[4] is not None
    assert int((found[4] != torchs[4]).sum()) == 0
    given[1][7, 2] = 5
    with pytest.raises(ValueError, match="no class"):
        rssm_scan.rssm_scan(*given, weights, classes=5, backend="triton")


def test_rssm_step_is_a_step_of_it() -> None:
    deter, stoch, action, embed, keep, noise, weights = rssm(1, 4, 3)
    now = deter, stoch, action[0], embed[0], keep[0], noise[0], weights
    step = rssm_step.rssm_step(*now, classes=3, backend="triton")
    scan = rssm_scan.rssm_scan(
        deter, stoch, action, embed, keep, noise, weights, classes=3, backend="triton"
    )
    for one, many in zip(step, scan, strict=True):
        assert one is not None
        assert many is not None
        assert torch.equal(one, many[0])


CHECKS: dict[str, Callable[[], tuple[Any, tuple[Any, ...]]]] = {
    "vq_lookup": lambda: (
        torch.ops.metabonk.vq_lookup,
        (randn(5, 4).requires_grad_(), randn(6, 4), "euclidean", "triton"),
    ),
    "cfc_scan": lambda: (torch.ops.metabonk.cfc_scan, (*cfc(2, 3), True, "triton")),
    "lambda_returns": lambda: (
        torch.ops.metabonk.lambda_returns,
        (randn(3, 2).requires_grad_(), randn(4, 2), randn(3, 2).sigmoid(), 0.9, "triton"),
    ),
    "qlinear": lambda: (
        torch.ops.metabonk.qlinear,
        (
            randn(3, 8).requires_grad_(),
            qlinear.pack(randn(4, 8), "nvfp4").panels,
            None,
            "nvfp4",
            4,
            "triton",
        ),
    ),
}


@pytest.mark.parametrize("name", CHECKS)
def test_registration_holds(name: str) -> None:
    op, arguments = CHECKS[name]()
    torch.library.opcheck(op, arguments)
