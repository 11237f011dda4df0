"""A compiled dreamer sees, believes and acts as its world model and its actor do in torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs
from torch import Tensor, nn

from metabonk.config import ModelConfig, WorldConfig
from metabonk.errors import CompileError
from metabonk.models.dreamer import Dreamer, DreamerPolicy
from metabonk.models.rssm import RSSM, Latent
from metabonk.models.world import build, observations
from metabonk.ops.rssm_scan import rssm_scan
from metabonk.play.compiled import CompiledPolicy, Terms, compile, load
from metabonk.play.compiler.assembly import assemble
from metabonk.play.compiler.dreamers import decision_of
from metabonk.play.compiler.lowering import TYPES, Lowering
from metabonk.play.compiler.program import Builder
from metabonk.play.compiler.tracing import OUTPUTS, capture
from metabonk.play.compiler.weights import Precision
from metabonk.protocols import Array
from metabonk.spaces import ActionLayout

PLAIN = gs.Dict({"observation": gs.Box(-9.0, 9.0, (5,), np.float32)})
MIXED = ActionLayout.of(
    gs.Dict({"aim": gs.Box(-1.0, 3.0, (2,), np.float32), "weapon": gs.Discrete(4)})
)
FRAMES = gs.Dict(
    {
        "pixels": gs.Box(0, 255, (36, 36, 3), np.uint8),
        "action_mask": gs.Box(0, 1, (4,), np.uint8),
    }
)
MASKED = ActionLayout.of(gs.Dict({"weapon": gs.Discrete(4)}), masked=("weapon",))
GAMES = {"plain": (PLAIN, MIXED), "frames": (FRAMES, MASKED)}
STEPS = 12


def dreamer_of(which: str, classes: int, deter: int = 24) -> DreamerPolicy:
    """Random in every weight, also in those that begin at zero."""
    space, layout = GAMES[which]
    config = WorldConfig(deter=deter, groups=5, classes=classes, hidden=24)
    world = build(space, layout, config, seed=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        dreamer = Dreamer(world.rssm.features, layout, 24, ModelConfig())
        for module in (world, dreamer):
            for parameter in module.parameters():
                with torch.no_grad():
                    parameter += 0.15 * torch.randn(parameter.shape)
    world.learn_scales(observations(seen_in(space, 64, 0)))
    return DreamerPolicy(world.requires_grad_(False), dreamer.requires_grad_(False), seed=7)


def seen_in(space: gs.Dict, num: int, seed: int) -> dict[str, Array]:
    space.seed(seed)
    drawn = [space.sample() for _ in range(num)]
    found = {key: np.stack([one[key] for one in drawn]) for key in space.spaces}
    if "action_mask" in found:
        found["action_mask"][:, seed % 4] = 1
    return found


class ByTorch:
    """What the verb `observe`, the actor and the head make of the same numbers."""

    def __init__(self, policy: DreamerPolicy, batch: int) -> None:
        self.policy, self.latent = policy, policy.world.init(batch)
        self.row = torch.zeros(batch, policy.dreamer.head.layout.columns)

    @torch.no_grad()
    def step(self, given: dict[str, Array]) -> dict[str, Array]:
        world, dreamer = self.policy.world, self.policy.dreamer
        head, groups = dreamer.head, world.rssm.groups
        uniform, normal = (torch.from_numpy(given[name]) for name in ("uniform", "normal"))
        if world.rssm.classes:
            noise, uniform = uniform[:, :groups], uniform[:, groups:]
        else:
            noise, normal = normal[:, :groups], normal[:, groups:]
        seen = {key: torch.from_numpy(given[key]) for key in world.space.spaces}
        first = torch.from_numpy(given["is_first"])
        self.latent = world.observe(self.latent, self.row, seen, first, noise)
        parameters = dreamer.parameters_of(self.latent.features)
        log_prob = torch.zeros(len(first), len(head.layout.branches))
        self.row = torch.zeros_like(self.row)
        head.sample(parameters, seen.get("action_mask"), uniform, normal, self.row, log_prob)
        value = dreamer.value(self.latent.features)
        carried = torch.cat([self.latent.features, self.row], -1)
        found = {"action": self.row, "log_prob": log_prob, "value": value, "recurrent": carried}
        return {key: tensor.numpy() for key, tensor in found.items()}


@pytest.mark.parametrize("classes", [0, 6])
@pytest.mark.parametrize("which", list(GAMES))
@pytest.mark.parametrize("batch", [1, 3])
def test_it_decides_as_torch_does(which: str, classes: int, batch: int) -> None:
    policy = dreamer_of(which, classes)
    decision = decision_of(policy, True)
    terms = Terms(
        batch=batch, precision="fp32", sampled=True, seed=0, columns=decision.head.layout.columns
    )
    compiled = CompiledPolicy(assemble(decision, batch=batch, outputs=OUTPUTS), terms)
    want, generator = ByTorch(policy, batch), np.random.default_rng(1)
    acted = set()
    for t in range(STEPS):
        drawn = seen_in(GAMES[which][0], batch, t)
        given = {key: np.ascontiguousarray(array) for key, array in drawn.items()}
        given["is_first"] = (generator.random(batch) < 0.2) | (t == 0)
        given["uniform"] = generator.random((batch, decision.uniforms), np.float32)
        given["normal"] = generator.standard_normal((batch, decision.normals), np.float32)
        out = {k: np.full(shape, np.nan, d) for k, (d, shape) in compiled.outputs.items()}
        compiled.bind_all({k: given[k] for k in compiled.inputs}, out).step()
        found = want.step(given)
        assert set(out) == set(OUTPUTS)
        for key, array in out.items():
            near = 1e-4 * (1.0 + np.abs(found[key]).max())
            np.testing.assert_allclose(array, found[key], rtol=0.0, atol=near, err_msg=key)
        acted |= {tuple(row) for row in out["action"].tolist()}
    assert len(acted) > 1


def test_it_remembers_and_forgets() -> None:
    policy = compile(dreamer_of("plain", 6), sampled=False)
    seen = [seen_in(PLAIN, 1, t) for t in range(4)]
    quiet = {
        name: np.full(policy.inputs[name][1], 0.5, np.float32)
        for name in ("uniform", "normal")
        if name in policy.inputs
    }

    def after(observation: dict[str, Array], first: bool) -> Array:
        action = np.zeros((1, MIXED.columns), np.float32)
        given = {**observation, **quiet, "is_first": np.array([first])}
        return policy.bind_all(given, {"action": action}).step()

    alone = after(seen[-1], True)
    for t, observation in enumerate(seen):
        carried = after(observation, t == 0)
    assert np.abs(carried - alone).max() > 1e-4
    np.testing.assert_array_equal(after(seen[-1], True), alone)


def test_its_noise_is_its_own_and_follows_from_the_seed() -> None:
    who = dreamer_of("plain", 0)
    seen, runs = seen_in(PLAIN, 1, 0), []
    for seed in (7, 7, 8):
        policy = compile(who, seed=seed)
        runs.append(np.stack([policy.step(seen).copy() for _ in range(5)]))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_it_follows_the_dreamer_when_that_learns(tmp_path: Path) -> None:
    who = dreamer_of("plain", 6)
    policy, seen = compile(who), seen_in(PLAIN, 1, 0)
    before = policy.step(seen).copy()
    with torch.no_grad():
        who.dreamer.head.linear.bias += 0.5
        who.world.rssm.post_out.bias[0] += 3.0
    policy.refresh()
    policy.seed(7)
    policy.reset()
    after = policy.step(seen).copy()
    np.testing.assert_array_equal(after, compile(who).step(seen))
    assert not np.array_equal(before, after)
    policy.save(tmp_path / "dreamer")
    np.testing.assert_array_equal(load(tmp_path / "dreamer").step(seen), after)


def test_what_only_dreams_need_is_left_behind() -> None:
    who = dreamer_of("plain", 6)
    names = " ".join(compile(who).program.tensors)
    assert "post_out" in names
    assert "prior" not in names
    assert "decoder" not in names
    held = sum(array.size for array in compile(who).program.tensors.values())
    assert held < sum(p.numel() for p in who.world.parameters())


@pytest.mark.parametrize("precision", ["bf16", "int8", "fp8", "int4"])
def test_it_takes_the_compiled_precisions(precision: str) -> None:
    """Fewer bytes, and what it carries is near that of float32, but not it."""
    who = dreamer_of("plain", 0, deter=96)
    exact, rough = (
        CompiledPolicy(
            assemble(decision_of(who, False), name, batch=2, outputs=OUTPUTS),  # type: ignore[arg-type]
            Terms(batch=2, precision=name, sampled=False, seed=0, columns=MIXED.columns),
        )
        for name in ("fp32", precision)
    )
    held = [sum(a.nbytes for a in p.program.tensors.values()) for p in (exact, rough)]
    assert held[1] < 0.8 * held[0]
    seen, carried = seen_in(PLAIN, 2, 0), []
    for policy in (exact, rough):
        recurrent = np.zeros(policy.outputs["recurrent"][1], np.float32)
        own = {
            name: np.full(shape, 0.3, dtype)
            for name, (dtype, shape) in policy.inputs.items()
            if name in ("uniform", "normal")
        }
        first = {"is_first": np.ones(2, np.bool_)}
        policy.bind_all({**seen, **own, **first}, {"recurrent": recurrent}).step()
        carried.append(recurrent[:, :96])
    apart = np.abs(carried[0] - carried[1]).mean()
    assert 0.0 < apart < 0.1 * np.abs(carried[0]).mean() + 0.02


class Dreamed(nn.Module):
    """A step that nobody observes."""

    def __init__(self, rssm: RSSM) -> None:
        super().__init__()
        self.rssm = rssm

    def forward(self, deter: Tensor, stoch: Tensor, action: Tensor, noise: Tensor) -> Tensor:
        return torch.cat(self.rssm.step(Latent(deter, stoch), action, noise), -1)


@pytest.mark.parametrize("classes", [0, 6])
def test_a_step_that_nobody_observes(classes: int) -> None:
    rssm = RSSM(3, 8, deter=16, groups=4, classes=classes, hidden=16).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    state = [torch.randn(2, n, generator=generator) for n in (16, rssm.stoch, 3)]
    inputs = (*state, rssm.noise(2, generator=generator))
    graph, places, values = capture(Dreamed(rssm), inputs)
    build, named = Builder(), dict(values)
    for i, (place, tensor) in enumerate(zip(places, inputs, strict=True)):
        named[place] = build.input(f"x{i}", TYPES[tensor.dtype], tuple(tensor.shape))  # type: ignore[assignment]
    low = Lowering(build, Precision())
    (result,) = low.run(graph, named)
    build.outputs["action"] = build.copy(low.view(result))
    terms = Terms(batch=2, precision="fp32", sampled=True, seed=0, columns=16 + rssm.stoch)
    policy = CompiledPolicy(build.finish(), terms)
    found = policy.step({f"x{i}": tensor.numpy() for i, tensor in enumerate(inputs)})
    want = Dreamed(rssm)(*inputs).numpy()
    np.testing.assert_allclose(found, want, atol=1e-5, rtol=1e-5)


def test_several_steps_are_no_decision() -> None:
    rssm = RSSM(3, 8, deter=16, groups=4, classes=0, hidden=16).requires_grad_(False)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rssm = rssm

        def forward(self, action: Tensor, noise: Tensor) -> Tensor:
            before, weights = rssm.initial(2), rssm.weights().prior()
            return rssm_scan(*before, action, None, None, noise, weights, classes=0).deter

    inputs = (torch.zeros(2, 2, 3), torch.zeros(2, 2, 4))
    graph, places, values = capture(Twice(), inputs)
    build, named = Builder(), dict(values)
    for i, (place, tensor) in enumerate(zip(places, inputs, strict=True)):
        named[place] = build.input(f"x{i}", TYPES[tensor.dtype], tuple(tensor.shape))  # type: ignore[assignment]
    with pytest.raises(CompileError, match="over 2 steps"):
        Lowering(build, Precision()).run(graph, named)
