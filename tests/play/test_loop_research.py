"""play/live_games.py: the loop over ResearchPlugin's shared memory, against a game that waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest
from gymnasium import spaces as gs
from sessions import reach, session_at

from metabonk.config import ModelConfig
from metabonk.errors import ConfigError, LinkError
from metabonk.games.research_shm import ACTION_SPACE
from metabonk.games.scripted import RandomPolicy
from metabonk.link.research_shm import COLUMNS, Event, ResearchGame, paths_of, widened
from metabonk.observations import observe
from metabonk.play.compiled import OWN, compile, load
from metabonk.play.ledger import SEEN, Gate, path_of, read_journal, read_ledger, seen_record
from metabonk.play.live_games import ResearchLive
from metabonk.play.loop import CompiledDecider, Live, LoopSettings, PythonDecider
from metabonk.play.proof import GAME_DROPS, drops
from metabonk.play.retrace import retrace
from metabonk.play.session import Session
from metabonk.records import ACTION_LAYOUT, Action, FieldGroup, GameState
from metabonk.spaces import ActionLayout

SOON = 60.0  # a hang, not a time, is what fails
SIZE = (24, 32)
EPISODE = 12  # decisions
Rows = list[tuple[float, ...]]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled policy of this memory: it reads frames and the time step and gives six numbers."""
    from networks import shaken

    from metabonk.models.policy import build

    space = gs.Dict(
        {
            "pixels": gs.Box(0, 255, (*SIZE, 3), np.uint8),
            "dt": gs.Box(0.0, 10.0, (1,), np.float32),
        }
    )
    config = ModelConfig(name="pilot", hidden=16)
    model = shaken(build(space, ActionLayout.of(ACTION_SPACE), config, seed=0), 0, 0.04)
    path = tmp_path_factory.mktemp("six") / "policy"
    compile(model, batch=1, sampled=True, seed=5).save(path)
    return path


@dataclass
class Stepped:
    """What a game that waits for every action was given. resets: episodes that were asked for."""

    actions: Rows = field(default_factory=list)
    resets: int = 0


@contextmanager
def stepped(path: Path) -> Iterator[Stepped]:
    """A game whose episodes end after EPISODE decisions and which begins none by itself."""
    told, over = Stepped(), threading.Event()
    game = ResearchGame(path, SIZE)
    noise = np.random.default_rng(0)

    def serve() -> None:
        step = -1
        while not over.is_set():
            answer = game.wait(0.05)
            if answer is Event.TIMEOUT:
                continue
            if isinstance(answer, Event):
                told.resets += 1
                step = 0
            else:
                told.actions.append(tuple(answer.tolist()))
                step += 1
            pixels = noise.integers(0, 256, (*SIZE, 3), np.uint8)
            game.publish(pixels, 1.0, step == EPISODE, step, 50 * step)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield told
    finally:
        over.set()
        thread.join()
        game.close()


def play(session: Session, policy: Path, path: Path, decisions: int) -> Live:
    decider = CompiledDecider(policy)
    session.keep_artifact(policy)
    played = ResearchLive([path], decider.frame)
    settings = LoopSettings(hz=250.0, cpu=-1, spin=0.0, stale=30.0)
    live = Live(played, [decider], settings, session, record=True)
    played.start()
    try:
        played.await_connected(SOON)
        live.start()
        reach(live, decisions)
    finally:
        live.stop()
    return live


def session_of(directory: Path) -> Session:
    made = session_at(directory, SIZE)
    return Session(made.directory, msgspec.structs.replace(made.setup, game="research_shm"))


def six(row: np.ndarray) -> tuple[float, ...]:
    """What the memory is told of an Action's row without a choice: move, jump, slide, interact,
    fire."""
    return tuple(float(row[column]) for column in (0, 1, 4, 5, 6, 7))


def test_a_policy_of_six_numbers_steps_a_game_and_is_retraced(tmp_path: Path, policy: Path) -> None:
    session = session_of(tmp_path / "s")
    with stepped(tmp_path / "game") as told:
        live = play(session, policy, tmp_path / "game", 4 * EPISODE)
    counts = live.counts()
    assert counts["agents"][0]["faults"] == 0
    assert counts["game"]["observations"] >= counts["agents"][0]["decided"] > 2 * EPISODE
    assert counts["agents"][0]["begun"] in (told.resets, told.resets - 1)
    assert told.resets > 2
    assert counts["game"]["lost"] == 0
    times = live.times()
    left = times[times["sent"] > 0]
    assert len(left) > len(times) // 2  # others may have been overtaken: the machine is busy
    assert (left["sent"] >= left["decided"]).all()
    assert times["sent"][-1] > 0  # what was handed over last was dealt with
    ticks = read_ledger(session.directory).ticks
    decided = ticks[(ticks["gate"] & Gate.DECIDED) != 0]
    # Every observation is answered by its own decision, but for those that ended an episode.
    place = (decided["sequence"].astype(np.int64) - 1) % (EPISODE + 1)  # in its episode
    assert np.array_equal((decided["gate"] & Gate.BEGINS) != 0, place == 0)
    answered = [six(row) for row in decided["action"][place != EPISODE]]
    assert told.actions == answered[: len(told.actions)]
    assert len(told.actions) >= len(answered) - 2  # the loop may end before the game hears it
    assert len(set(told.actions)) > EPISODE
    for row in (decided[0], decided[-1]):
        retrace(session, int(row["tick"]))


def test_what_the_memory_does_not_carry_is_masked(tmp_path: Path, pixel_policy: Path) -> None:
    session = session_of(tmp_path / "s")
    with stepped(tmp_path / "game"):
        play(session, pixel_policy, tmp_path / "game", 30)
    inputs = {name: given for name, given in load(pixel_policy).inputs.items() if name not in OWN}
    sizes = [dtype.itemsize * int(np.prod(shape)) for dtype, shape in inputs.values()]
    rows, _ = read_journal(path_of(session.directory, SEEN), SEEN, seen_record(sum(sizes)))
    assert len(rows) > 5
    nothing = observe(GameState(FieldGroup(0)).pack())
    at = 0
    masked = 0
    for (name, (dtype, shape)), size in zip(inputs.items(), sizes, strict=True):
        part = np.frombuffer(rows["observation"][-1].tobytes()[at : at + size], dtype)
        at += size
        if name == "pixels":
            assert np.ptp(part) > 100  # noise, as the game showed it
        elif name != "dt":
            np.testing.assert_array_equal(part.reshape(shape[1:]), nothing[name])
            masked += 1
    assert masked > 2


def test_a_game_that_is_not_there_is_named(tmp_path: Path) -> None:
    played = ResearchLive([tmp_path / "megabonk_env_7"])
    played.start()
    deadline = time.monotonic() + SOON
    while not played.native[0].why:  # it looks from a thread of its own
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(LinkError, match=r"megabonk_env_7: no game is played there \(there is no"):
        played.await_connected(0.01)
    played.stop()


def test_the_thread_that_writes_asks_for_its_priority(tmp_path: Path) -> None:
    for priority in (0, 1):
        played = ResearchLive([tmp_path / "nobody"], priority=priority)
        played.start()
        played.stop()
        wanted = LoopSettings(cpu=-1, priority=priority).granted()  # it depends on the machine
        assert played.native[0].granted() == wanted
        assert played.refused() == wanted["priority_error"]
    with pytest.raises(ValueError, match="priority"):
        ResearchLive([tmp_path / "nobody"], priority=100)


def test_actions_that_nobody_took_are_counted_as_skipped(tmp_path: Path) -> None:
    """A loop over a game whose thread has not begun: each action overtakes the one before."""
    played = ResearchLive([tmp_path / "nobody"])
    decider = PythonDecider(RandomPolicy(0, ACTION_LAYOUT), "random")
    live = Live(played, [decider], LoopSettings(hz=500.0, cpu=-1, spin=0.0), ticks=20)
    live.loop.start()
    while live.loop.running:
        time.sleep(0.01)
    live.loop.stop()
    ticks = live.counts()["agents"][0]["ticks"]
    assert ticks > 1
    assert live.counts()["game"]["actions_skipped"] == ticks - 1
    played.start()
    played.stop()
    times = live.times()
    assert (times["sent"][:-1] == -1).all()
    assert times["sent"][-1] > 0  # there was nobody whom it could have been sent to
    assert live.counts()["agents"][0]["missed"] >= ticks - 1
    assert drops(live)[GAME_DROPS["actions_skipped"]] == ticks - 1


def test_several_games_are_numbered_on(tmp_path: Path) -> None:
    names = [path.name for path in paths_of("3", 2, tmp_path)]
    assert names == ["megabonk_env_3", "megabonk_env_4"]
    assert [path.name for path in paths_of("a", 1, tmp_path)] == ["megabonk_env_a"]
    with pytest.raises(ConfigError, match="'a' is no number from which 2"):
        paths_of("a", 2, tmp_path)


def test_six_numbers_are_an_action_while_playing() -> None:
    row = np.array([0.5, -1.0, 1.0, 0.0, 0.0, 1.0], np.float32)
    assert Action.from_row(widened(row)) == Action((0.5, -1.0), jump=True, fire=True)
    assert six(widened(row)) == tuple(row.tolist())
    assert len(row) == COLUMNS
