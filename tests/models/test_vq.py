"""VectorQuantize against vector-quantize-pytorch: weights, outputs, gradients, learning, seeds."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor

from metabonk.models import vq as mine

theirs = pytest.importorskip("vector_quantize_pytorch", reason="pip install 'metabonk[bench]'")

# Options and the shape of the input they are tried with.
CASES: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "plain": ({}, (4, 9, 16)),
    "one token": ({}, (7, 16)),
    "straight through": ({"rotation_trick": False}, (4, 9, 16)),
    "one dimension": ({"dim": 1}, (4, 9, 1)),
    "projected": ({"codebook_dim": 5}, (4, 9, 16)),
    "projected, normalised": (
        {"codebook_dim": 5, "layernorm_after_project_in": True},
        (4, 9, 16),
    ),
    "cosine": ({"use_cosine_sim": True}, (4, 9, 16)),
    "heads": ({"heads": 4, "codebook_dim": 4}, (4, 9, 16)),
    "heads, one token": ({"heads": 4, "codebook_dim": 4}, (5, 16)),
    "separate heads": (
        {"heads": 4, "codebook_dim": 4, "separate_codebook_per_head": True},
        (4, 9, 16),
    ),
    "projected heads": ({"heads": 3, "codebook_dim": 8}, (4, 9, 16)),
    "channels first": ({"channel_last": False}, (4, 16, 9)),
    "images": ({"accept_image_fmap": True}, (3, 16, 4, 5)),
    "images, heads": ({"accept_image_fmap": True, "heads": 2, "codebook_dim": 8}, (3, 16, 4, 5)),
    "volumes": ({"accept_3d_fmap": True}, (2, 16, 2, 3, 4)),
    "k-means": ({"kmeans_init": True, "kmeans_iters": 5}, (4, 30, 16)),
    "k-means, few rows": ({"kmeans_init": True, "kmeans_iters": 2}, (2, 5, 16)),
    "k-means, cosine": ({"kmeans_init": True, "use_cosine_sim": True}, (4, 30, 16)),
    "dead codes": ({"threshold_ema_dead_code": 2}, (4, 30, 16)),
    "dead codes, few rows": ({"threshold_ema_dead_code": 3}, (2, 4, 16)),
    "dead codes, cosine": ({"threshold_ema_dead_code": 2, "use_cosine_sim": True}, (4, 30, 16)),
    "dead codes alone": ({"threshold_ema_dead_code": 1, "ema_update": False}, (4, 30, 16)),
    "slow, smooth": ({"decay": 0.99, "eps": 1e-2}, (4, 9, 16)),
    "weighted": ({"commitment_weight": 0.25}, (4, 9, 16)),
    "no commitment": ({"commitment_weight": 0.0}, (4, 9, 16)),
    "frozen": ({"freeze_codebook": True}, (4, 9, 16)),
    "learnable": ({"learnable_codebook": True, "ema_update": False}, (4, 9, 16)),
    "updated by hand": ({"manual_ema_update": True}, (4, 9, 16)),
    "not routed": ({"route_gradients_to_input": False}, (4, 9, 16)),
}


def pair(options: dict[str, Any], seed: int = 0) -> tuple[Any, Any]:
    """Both modules, made from the same seed."""
    settings = {"dim": 16, "codebook_size": 24, **options}
    made = []
    for package in (mine, theirs):
        torch.manual_seed(seed)
        made.append(package.VectorQuantize(**settings))
    return made[0], made[1]


def run(module: Any, x: Tensor, seed: int, **call: Any) -> tuple[Tensor, ...]:
    """Outputs, loss and the gradient to x of one step; the parameters keep theirs."""
    leaf = x.clone().requires_grad_()
    torch.manual_seed(seed)
    quantized, indices, loss = module(leaf, **call)[:3]
    module.zero_grad()
    total = (quantized * torch.linspace(-1, 1, quantized.numel()).view(quantized.shape)).sum()
    total = total + 3.0 * loss
    if total.requires_grad:
        total.backward()
    gradient = torch.zeros_like(x) if leaf.grad is None else leaf.grad
    return quantized.detach(), indices, loss.detach(), gradient


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=2e-5, rtol=2e-4)


def same_state(ours: Any, other: Any) -> None:
    left, right = ours.state_dict(), other.state_dict()
    assert list(left) == list(right)
    for name in left:
        assert left[name].dtype == right[name].dtype
        same(left[name], right[name])


@pytest.mark.parametrize("name", CASES)
def test_trains_and_evaluates_as_the_package_does(name: str) -> None:
    options, shape = CASES[name]
    ours, other = pair(options)
    same_state(ours, other)
    generator = torch.Generator().manual_seed(1)
    for step in range(3):
        x = torch.randn(shape, generator=generator)
        for a, b in zip(run(ours, x, step), run(other, x, step), strict=True):
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            same(a, b)
        for a, b in zip(ours.parameters(), other.parameters(), strict=True):
            assert (a.grad is None) == (b.grad is None)
            if a.grad is not None:
                same(a.grad, b.grad)
        same_state(ours, other)
    ours.eval()
    other.eval()
    for a, b in zip(run(ours, x, 9), run(other, x, 9), strict=True):
        same(a, b)
    same_state(ours, other)
    indices = ours(x)[1]
    if name == "projected heads":  # the package's own lookup does not fit its projection here
        same(ours.get_output_from_indices(indices), ours(x)[0])
    else:
        same(ours.get_output_from_indices(indices), other.get_output_from_indices(indices))
    same(ours.get_codes_from_indices(indices), other.get_codes_from_indices(indices))


@pytest.mark.parametrize("name", ["plain", "projected", "separate heads", "learnable", "cosine"])
def test_weights_carry_over_both_ways(name: str) -> None:
    options, shape = CASES[name]
    (ours, _), (_, other) = pair(options, 1), pair(options, 2)
    x = torch.randn(shape)
    other.load_state_dict(ours.state_dict())
    same(ours.eval()(x)[0], other.eval()(x)[0])
    (ours, _), (_, other) = pair(options, 3), pair(options, 4)
    ours.load_state_dict(other.state_dict())
    same(ours.eval()(x)[0], other.eval()(x)[0])
    same(ours.codebook, other.codebook)


@pytest.mark.parametrize("options", [{}, {"threshold_ema_dead_code": 2}, {"kmeans_init": True}])
@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("by", ["mask", "lens"])
def test_masked_rows_neither_count_nor_come_back(
    options: dict[str, Any], zeros: bool, by: str
) -> None:
    ours, other = pair({"return_zeros_for_masked_padding": zeros, **options})
    lens = torch.tensor([9, 1, 4])
    call = {"lens": lens} if by == "lens" else {"mask": torch.arange(9) < lens[:, None]}
    for step in range(3):
        x = torch.randn(3, 9, 16, generator=torch.Generator().manual_seed(step))
        found = run(ours, x, step, **call)
        for a, b in zip(found, run(other, x, step, **call), strict=True):
            same(a, b)
        same_state(ours, other)
    assert (found[1][1, 1:] == -1).all()


def test_calls_as_in_the_packages_readme() -> None:
    """Its example, run under both imports."""
    results = []
    for package in (mine, theirs):
        torch.manual_seed(0)
        quantizer = package.VectorQuantize(
            dim=256,
            codebook_size=512,
            decay=0.8,
            commitment_weight=1.0,
        )
        x = torch.randn(1, 1024, 256)
        quantized, indices, commit_loss = quantizer(x)
        assert quantized.shape == (1, 1024, 256)
        assert indices.shape == (1, 1024)
        results.append((quantized, indices, commit_loss))
    for a, b in zip(*results, strict=True):
        same(a.detach(), b.detach())


def test_the_loss_in_parts_and_the_codebook_set() -> None:
    ours, other = pair({"commitment_weight": 0.5})
    x = torch.randn(2, 5, 16)
    mine_parts, their_parts = (m(x, return_loss_breakdown=True)[3] for m in (ours, other))
    assert mine_parts._fields == their_parts._fields
    for a, b in zip(mine_parts, their_parts, strict=True):
        same(a.detach(), b.detach())
    codes = torch.randn(24, 16)
    ours.codebook = codes
    same(ours.codebook, codes)


def test_every_option_of_the_package_is_built_or_named() -> None:
    their_names = set(inspect.signature(theirs.VectorQuantize.__init__).parameters)
    my_names = set(inspect.signature(mine.VectorQuantize.__init__).parameters) - {"options"}
    assert their_names - my_names == set(mine.NOT_BUILT)
    assert my_names <= their_names
    defaults = inspect.signature(theirs.VectorQuantize.__init__).parameters
    for name, default in mine.NOT_BUILT.items():
        assert defaults[name].default == default
        mine.VectorQuantize(4, 8, **{name: default})
        with pytest.raises(NotImplementedError, match=name):
            mine.VectorQuantize(4, 8, **{name: object()})
    for name in my_names - {"self", "dim", "codebook_size"}:
        own = inspect.signature(mine.VectorQuantize.__init__).parameters[name].default
        assert own == defaults[name].default
    calls = set(inspect.signature(theirs.VectorQuantize.forward).parameters)
    my_calls = set(inspect.signature(mine.VectorQuantize.forward).parameters) - {"options"}
    assert calls - my_calls == set(mine.NOT_BUILT_IN_CALLS) - {"indices"}
    for name in mine.NOT_BUILT_IN_CALLS:
        with pytest.raises(NotImplementedError, match=name):
            mine.VectorQuantize(4, 8)(torch.randn(2, 3, 4), **{name: object()})


def test_bad_input_is_named() -> None:
    module = mine.VectorQuantize(16, 24)
    with pytest.raises(ValueError, match=r"x is \[2, 3, 15\]"):
        module(torch.randn(2, 3, 15))
    with pytest.raises(ValueError, match=r"x is \[2, 16, 3, 3\]"):
        module(torch.randn(2, 16, 3, 3))
    with pytest.raises(ValueError, match=r"row 1 holds NaN"):
        module(torch.full((1, 2, 16), torch.nan).index_fill(1, torch.tensor([0]), 0.0))
    with pytest.raises(ValueError, match="mask and lens"):
        module(torch.randn(2, 3, 16), mask=torch.ones(2, 3).bool(), lens=torch.ones(2))
    with pytest.raises(ValueError, match="sequences"):
        module(torch.randn(2, 16), mask=torch.ones(2, 1).bool())
    with pytest.raises(TypeError, match="no option 'colour'"):
        mine.VectorQuantize(16, 24, colour=1)
    with pytest.raises(ValueError, match="learnable_codebook"):
        mine.VectorQuantize(16, 24, learnable_codebook=True)
    with pytest.raises(NotImplementedError, match="sync_codebook"):
        mine.VectorQuantize(16, 24, sync_codebook=True)


def test_a_codebook_learns_where_the_rows_are() -> None:
    """Rows around 8 places: what is lost falls far below that of the untrained codebook."""
    torch.manual_seed(0)
    places = torch.randn(8, 4) * 3.0
    module = mine.VectorQuantize(4, 8, kmeans_init=True, threshold_ema_dead_code=1)
    untrained = mine.VectorQuantize(4, 8)

    def loss(of: mine.VectorQuantize) -> float:
        x = places[torch.randint(0, 8, (1, 512))] + 0.1 * torch.randn(1, 512, 4)
        return float((of(x)[0] - x).square().mean())

    before = loss(untrained.eval())
    for _ in range(30):
        loss(module)
    assert loss(module.eval()) < 0.05 * before
