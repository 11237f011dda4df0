"""Rollouts: shared memory, what is carried over, what travels between processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs
from tiny_games import Memory, Walk

from metabonk import _core, games
from metabonk.config import ModelConfig, load
from metabonk.errors import CorruptError
from metabonk.games.native import NativeGame
from metabonk.learn.acting import CompiledActing
from metabonk.learn.collector import Collector, Noise
from metabonk.learn.presets import preset
from metabonk.learn.rollout import Rollout
from metabonk.learn.trainer import parse_fixed
from metabonk.models.policy import build
from metabonk.protocols import Array, BatchGame, Observation
from metabonk.spaces import ActionLayout

ENVS, HORIZON = 6, 16


class Spy(Walk):
    """Notes the addresses it is asked to write to."""

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.addresses: list[int] = []

    def step_into(self, actions, observation: Observation, *flags) -> None:
        self.addresses.append(observation["observation"].ctypes.data)
        super().step_into(actions, observation, *flags)


def make(game: BatchGame, name: str = "pilot", burn_in: int = 0, seed: int = 0) -> Collector:
    model = build(
        game.observation_space, game.action_layout, ModelConfig(name=name, hidden=8), seed=0
    )
    collector = Collector(game, model, horizon=HORIZON, burn_in=burn_in, seed=seed)
    collector.start(range(ENVS))
    return collector


def test_tiny_games_are_batch_games() -> None:
    assert isinstance(Walk(2), BatchGame)


def test_the_game_writes_where_the_policy_reads() -> None:
    game = Spy(ENVS)
    collector = make(game)
    read: list[int] = []
    step = collector.model.step

    def note(observation, state, is_first):
        read.append(observation["observation"].data_ptr())
        return step(observation, state, is_first)

    collector.model.step = note  # type: ignore[method-assign]
    collector.collect()
    assert len(game.addresses) == HORIZON
    assert read[1:] == game.addresses
    assert read[0] == collector.rollout.observation["observation"].ctypes.data


class Binding:
    """A batch of the native core that notes the addresses which it is told to write to."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self.addresses: list[dict[str, int]] = []

    def bind(self, observation: Observation, *flags: Any) -> Any:
        self.addresses.append({key: array.ctypes.data for key, array in observation.items()})
        return self._batch.bind(observation, *flags)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)


def addresses_read(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """Where the policy reads, slot by slot: what the compiled network is bound to, or what torch's
    is given as it decides."""
    read: list[set[int]] = []
    if isinstance(collector.acting, CompiledActing):
        bind = _core.nn.PolicyBinding

        def note_bound(reads: list[int], *rest: Any) -> Any:
            read.append(set(reads))
            return bind(reads, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(_core.nn, "PolicyBinding", note_bound)
            collector.acting.take_place(collector.rollout)
        return read
    step = collector.model.step

    def note(observation, state, is_first):
        read.append({tensor.data_ptr() for tensor in observation.values()})
        return step(observation, state, is_first)

    monkeypatch.setattr(collector.model, "step", note)
    return read


def acted_by(name: str, kind: str, num_envs: int) -> Collector:
    """A collector for a game as it is preset, acted by torch or compiled."""
    size = {"pixels": (20, 30)} if name in ("arena", "doom/basic") else {}
    game = games.make(name, num_envs, **size)
    config = load(environ={}, flags={"game.name": name, **preset(name), "model.hidden": 8})
    fixed = parse_fixed(config.model.fixed)
    model = build(game.observation_space, game.action_layout, config.model, seed=3, fixed=fixed)
    collector = Collector(game, model, horizon=4)
    if kind == "compiled":
        collector.act_by(CompiledActing(model, num_envs))
    collector.start(range(num_envs))
    return collector


def poison(collector: Collector) -> list[dict[str, Array]]:
    """Fills the slots to come, but for the last, which is carried over, with what no game shows;
    gives a copy of them."""
    for seen in collector._slots[1:-1]:
        for array in seen.values():
            array.fill(77)
    return [{key: array.copy() for key, array in seen.items()} for seen in collector._slots[1:-1]]


@pytest.mark.parametrize("kind", ["torch", "compiled"])
@pytest.mark.parametrize("name", ["arena", "grid64/key_door"])
def test_the_core_writes_where_the_policy_reads(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = acted_by(name, kind, 3)
    game = collector.game
    assert isinstance(game, NativeGame)
    game.batch = spy = Binding(game.batch)
    read = addresses_read(collector, monkeypatch)
    collector.collect()
    spy.addresses.clear()
    game._bound.clear()
    before = poison(collector)
    collector.collect()
    assert len(spy.addresses) == collector.rollout.horizon
    for bound, slot in zip(spy.addresses, read[1:], strict=False):
        assert set(bound.values()) <= slot
        assert set(bound) == set(game.observation_space.spaces)
    for slot, seen in zip(before, collector._slots[1:-1], strict=True):
        assert all((slot[key] != seen[key]).any() for key in slot), "nothing was written there"
    game.close()


@pytest.mark.parametrize("kind", ["torch", "compiled"])
def test_doom_copies_once_from_its_process_to_where_the_policy_reads(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("vizdoom")
    collector = acted_by("doom/basic", kind, 2)
    game = collector.game
    read = addresses_read(collector, monkeypatch)
    memory = game._slots["pixels"]  # type: ignore[attr-defined]
    copyto, copied = np.copyto, []

    def note(to: Array, given: Array, **how: Any) -> None:
        if np.shares_memory(given, memory) or to.shape == memory.shape:
            copied.append((to.ctypes.data, given.ctypes.data))
        copyto(to, given, **how)

    collector.collect()
    with monkeypatch.context() as patch:
        patch.setattr(np, "copyto", note)
        collector.collect()
    assert [source for _, source in copied] == [memory.ctypes.data] * collector.rollout.horizon
    slots = collector.rollout.observation["pixels"]
    assert [to for to, _ in copied] == [slot.ctypes.data for slot in slots[1:]]
    for (to, _), slot in zip(copied, read[1:], strict=False):
        assert to in slot
    np.testing.assert_array_equal(slots[-1], memory)
    game.close()


def test_a_rollout_replays_to_the_same_numbers() -> None:
    """Actions, rewards and flags are those of the game, step by step, resets included."""
    collector = make(Walk(ENVS))
    rollout = collector.collect()
    game = Walk(ENVS)
    seen = {"observation": np.zeros((ENVS, 3), np.float32)}
    game.reset_into(seen, range(ENVS))
    reward = np.zeros(ENVS, np.float32)
    flags = [np.zeros(ENVS, bool) for _ in range(3)]
    assert rollout.is_first[0].all()
    for t in range(HORIZON):
        np.testing.assert_array_equal(rollout.observation["observation"][t], seen["observation"])
        game.step_into(rollout.action[t], seen, reward, *flags)
        np.testing.assert_array_equal(rollout.reward[t], reward)
        np.testing.assert_array_equal(rollout.terminated[t], flags[0])
        np.testing.assert_array_equal(rollout.truncated[t], flags[1])
        np.testing.assert_array_equal(rollout.is_first[t + 1], flags[2])
    assert rollout.is_first[1:].any()
    assert rollout.truncated.any()


def test_log_probabilities_and_values_are_those_of_the_policy_that_acted() -> None:
    collector = make(Walk(ENVS))
    collector.collect()
    rollout = collector.collect(version=3)
    t = rollout.tensors()
    with torch.no_grad():
        seen = {"observation": t["observation.observation"]}
        out = collector.model.sequence(seen, t["state"][0], t["is_first"])
        parameters = out.parameters[:-1].flatten(0, 1)
        total, _ = collector.model.head.log_prob(parameters, None, t["action"].flatten(0, 1))
    expected = t["log_prob"].sum(-1).flatten()
    torch.testing.assert_close(total, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out.value, t["value"], atol=1e-5, rtol=1e-4)
    assert rollout.version == 3


def test_rollouts_follow_on_each_other() -> None:
    collector = make(Walk(ENVS))
    first = collector.collect()
    last = {k: v[-1].copy() for k, v in first.arrays().items() if len(v) == HORIZON + 1}
    second = collector.collect()
    for key, array in last.items():
        if key != "value":  # computed anew
            np.testing.assert_array_equal(second.arrays()[key][0], array, err_msg=key)
    assert collector.steps == 2 * HORIZON * ENVS


def test_burn_in_holds_the_steps_before() -> None:
    burn_in = 4
    collector = make(Walk(ENVS), burn_in=burn_in)
    first = collector.collect()
    assert collector.steps == (HORIZON + burn_in) * ENVS
    assert first.horizon == HORIZON
    before = {k: v.copy() for k, v in first.arrays().items()}
    second = collector.collect()
    for key, array in second.arrays().items():
        extra = len(array) - len(first.reward)
        np.testing.assert_array_equal(
            array[:burn_in], before[key][len(array) - extra - burn_in : len(array) - extra]
        )
    assert second.first == burn_in
    assert collector.steps == (2 * HORIZON + burn_in) * ENVS


def test_the_recurrent_state_is_carried_across_rollouts_and_reset_by_is_first() -> None:
    collector = make(Memory(ENVS))
    rollout = collector.collect()
    assert (rollout.state[0] == 0).all()
    second = collector.collect()
    assert not (second.state[0] == 0).all()
    fresh = second.is_first.copy()
    assert fresh.any()
    t, env = np.argwhere(fresh[:-1])[0]
    # After a first observation the state depends on it alone, whatever the state before held.
    with torch.no_grad():
        seen = {"observation": torch.from_numpy(second.observation["observation"][t])}
        noise = torch.randn(ENVS, collector.model.state_size)
        out = collector.model.step(seen, noise, torch.from_numpy(fresh[t]))
    np.testing.assert_allclose(out.state[env], second.state[t + 1, env], atol=1e-6)


def test_noise_with_memory_is_as_normal_and_remembers() -> None:
    model = build(
        gs.Dict(observation=gs.Box(-1, 1, (2,))),
        ActionLayout.of(gs.Box(-1, 1, (3,))),
        ModelConfig(hidden=8),
        seed=0,
    )
    uniform, plain = Noise(3).draw(5, (100, 2000), model)
    same, noise = Noise(3, memory=0.9).draw(5, (100, 2000), model)
    assert torch.equal(uniform, same)
    for part in (plain, noise, noise[:1], noise[-1:]):
        assert abs(float(part.mean())) < 0.1
        assert abs(float(part.std()) - 1.0) < 0.07
    for lag in (1, 5):
        expected = 0.9**lag
        assert abs(float((noise[lag:] * noise[:-lag]).mean()) - expected) < 0.05
        assert abs(float((plain[lag:] * plain[:-lag]).mean())) < 0.03


def test_the_seed_decides_what_is_drawn_and_nothing_else_does() -> None:
    def actions(seed: int) -> np.ndarray:
        torch.rand(3)
        return make(Walk(ENVS), seed=seed).collect().action.copy()

    np.testing.assert_array_equal(actions(1), actions(1))
    assert not np.array_equal(actions(1), actions(2))


@pytest.mark.parametrize("burn_in", [0, 3])
def test_a_loaded_collector_goes_on_exactly(burn_in: int) -> None:
    game = Walk(ENVS)
    collector = make(game, burn_in=burn_in)
    collector.collect()
    saved = {k: v.copy() for k, v in collector.state().items()}
    world = game.clone_state()
    expected = {k: v.copy() for k, v in collector.collect().arrays().items()}
    other_game = Walk(ENVS)
    other = make(other_game, burn_in=burn_in)
    other.model.load_state_dict(collector.model.state_dict())
    other_game.restore_state(world)
    other.load(saved)
    for key, array in other.collect().arrays().items():
        np.testing.assert_array_equal(array, expected[key], err_msg=key)
    assert other.steps == collector.steps


def test_resizing_goes_on_with_the_same_episodes() -> None:
    collector = make(Walk(ENVS))
    rollout = collector.collect()
    last = rollout.observation["observation"][-1].copy()
    state = rollout.state[-1].copy()
    collector.resize(8, 2)
    rollout = collector.collect()
    assert (rollout.horizon, rollout.burn_in) == (8, 2)
    np.testing.assert_array_equal(rollout.observation["observation"][0], last)
    np.testing.assert_array_equal(rollout.state[0], state)
    assert not rollout.is_first[0].all()


def test_a_rollout_crosses_processes_as_bytes() -> None:
    rollout = make(Walk(ENVS), burn_in=2).collect(version=5)
    other = Rollout.from_bytes(rollout.to_bytes())
    assert (other.version, other.burn_in) == (5, 2)
    for key, array in rollout.arrays().items():
        np.testing.assert_array_equal(other.arrays()[key], array)
    for data in (b"", b"\x00" * 40, rollout.to_bytes()[:-7]):
        with pytest.raises(CorruptError):
            Rollout.from_bytes(data)


def test_ended_episodes_are_counted_with_their_sums() -> None:
    collector = make(Walk(ENVS))
    rollout = collector.collect()
    ended = rollout.terminated | rollout.truncated
    assert len(rollout.episodes["return"]) == ended.sum() > 0
    t, env = np.argwhere(ended)[0]
    assert rollout.episodes["return"][0] == pytest.approx(
        rollout.reward[: t + 1, env].sum(), rel=1e-5
    )
    assert rollout.episodes["length"][0] == t + 1
