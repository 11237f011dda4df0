"""bench/world_gpu.py: its contenders do the same work, here on the processor, and say where there
is no GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from metabonk.bench import case, world, world_gpu
from metabonk.bench.versus import AbsentError

torch = pytest.importorskip("torch")

from metabonk.bench.peers.torch_world import TorchLearner, of_torch  # noqa: E402
from metabonk.bench.peers.torch_world_compiled import CompiledLearner  # noqa: E402
from test_world import CELLS, LAYOUT, LENGTH, SMALL, drawn, spread  # noqa: E402

from metabonk.learn.dreams.world import WorldLearner  # noqa: E402
from metabonk.models.world import WorldModel, build  # noqa: E402

UPDATES = 3
Losses = list[dict[str, float]]


@pytest.fixture
def model() -> WorldModel:
    return spread(build(CELLS, LAYOUT, SMALL, seed=0))


def losses(learner: WorldLearner) -> Losses:
    return [learner.update(drawn(CELLS, number))[0] for number in range(UPDATES)]


def apart(one: Losses, other: Losses, key: str) -> float:
    """The largest relative difference of a term over the updates."""
    return max(abs(a[key] - b[key]) / abs(b[key]) for a, b in zip(one, other, strict=True))


def test_what_is_compiled_loses_alike(model: WorldModel) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    eager = losses(TorchLearner(of_torch(model), SMALL))
    compiled = losses(CompiledLearner(of_torch(model), SMALL, backend="aot_eager"))
    for key in eager[0]:
        assert apart(compiled, eager, key) < 1e-4, key
    counters = torch._dynamo.utils.counters
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 3  # each part once, and not at every update


def test_torchrls_part_is_as_large_and_loses_nearly_alike(model: WorldModel) -> None:
    """Its draws are its own; with our activation in the place of its own nothing else differs."""
    pytest.importorskip("torchrl.modules.models.model_based")
    from metabonk.bench.peers.torchrl_world import Rollout, of_torchrl

    made = of_torchrl(model)
    assert isinstance(made.rssm, Rollout)
    count = sum(p.numel() for p in model.parameters())
    assert sum(p.numel() for p in made.parameters()) == count
    for part in list(made.modules()):
        for name, child in part.named_children():
            if isinstance(child, torch.nn.SiLU):
                setattr(part, name, torch.nn.ELU())
    before = [p.clone() for p in made.rssm.parameters()]
    eager = losses(TorchLearner(of_torch(model), SMALL))
    theirs = losses(TorchLearner(made, SMALL))
    for key in eager[0]:
        assert apart(theirs, eager, key) < 0.1, key
    learned = zip(made.rssm.parameters(), before, strict=True)
    assert all(not torch.equal(now, then) for now, then in learned)


def test_torchrls_step_is_compiled_where_that_is_asked(
    model: WorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torchrl.modules.models.model_based")
    from metabonk.bench.peers.torchrl_world import of_torchrl

    steps: list[int] = []

    def compiles(run: Callable[..., Any], **how: Any) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            steps.append(len(given))
            return run(*given)

        return call

    monkeypatch.setattr(torch, "compile", compiles)
    losses(TorchLearner(of_torchrl(model, compiled=True), SMALL))
    assert len(steps) == UPDATES * LENGTH


def test_without_a_gpu_nothing_is_timed_and_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = world_gpu.cases()
    assert [made.group for made in found] == [world_gpu.GROUP] * len(world_gpu.UNITS)
    assert {made.name for made in found} <= {made.name for made in world.cases()}
    told = case.measure(found[0])
    assert told["ours"] is None
    assert all("finds no CUDA device" in peer["skipped"] for peer in told["peers"].values())
    with pytest.raises(AbsentError):
        world_gpu.gpu()


@pytest.mark.parametrize("wrong", [False, True])
def test_the_evidence_is_of_what_is_compiled_too(
    model: WorldModel, monkeypatch: pytest.MonkeyPatch, wrong: bool
) -> None:
    def sized(game: str) -> Any:
        return drawn(CELLS), (model, SMALL)

    def other(game: str, device: str) -> TorchLearner:
        return TorchLearner(of_torch(spread(build(CELLS, LAYOUT, SMALL, seed=5))), SMALL)

    monkeypatch.setattr(world_gpu, "sized", sized)

    def compiled(game: str, device: str) -> CompiledLearner:
        return CompiledLearner(of_torch(model), SMALL, backend="aot_eager")

    monkeypatch.setattr(world_gpu, "compiled", other if wrong else compiled)
    world_gpu._apart.cache_clear()
    found = world_gpu.lose_alike("any", "cpu")
    world_gpu._apart.cache_clear()
    assert found.holds != wrong, found.note


@pytest.mark.parametrize("game", world_gpu.UNITS)
def test_models_have_twelve_million_parameters(game: str) -> None:
    """Without their numbers, which nobody needs here."""
    ways: list[Callable[[str, str], Any]] = [world_gpu.ours, world_gpu.eager]
    for way in ways:
        learner = way(game, "cpu")
        count = sum(p.numel() for p in learner.model.parameters())
        assert count == pytest.approx(12e6, rel=0.02)
