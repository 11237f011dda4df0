"""Transitions: which decision led where, from episodes, files and rollouts alike."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces as gs

from metabonk.data.episode import EpisodeWriter, Header
from metabonk.data.library import Library
from metabonk.errors import ConfigError
from metabonk.learn.replay import Replay
from metabonk.learn.rollout import Rollout
from metabonk.learn.transitions import (
    FLAT,
    Transitions,
    from_library,
    from_pieces,
    from_replay,
    from_rollout,
)
from metabonk.protocols import Array
from metabonk.spaces import ActionLayout

SPACE = gs.Dict({"place": gs.Box(-np.inf, np.inf, (1,), np.float32)})
LAYOUT = ActionLayout.of(gs.Discrete(3))


def piece(start: float, steps: int, *, ended: str = "", seen: bool = True) -> dict[str, Array]:
    """An episode that counts on from `start`; seen: whether its last observation is known."""
    place = start + np.arange(steps + seen, dtype=np.float32)[:, None]
    over = np.zeros(steps, np.bool_)
    over[-1] = ended == "terminated"
    return {
        "observation/place": place,
        "action": np.full((steps, 1), 1.0, np.float32),
        "reward": np.arange(steps, dtype=np.float32),
        "terminated": over,
    }


def test_every_decision_knows_what_came_after_it_and_no_other() -> None:
    found = from_pieces(
        [piece(0, 3, ended="terminated"), piece(100, 2), piece(200, 2, seen=False)], LAYOUT
    )
    assert len(found) == 7
    place = found.observation["place"][:, 0]
    for row in found.decisions:
        after = found.after[row]
        assert after == -1 or place[after] == place[row] + 1
    # Ended: known, there is nothing. Cut: the last observation. Torn off: not known at all.
    assert place[found.judged].tolist() == [0, 1, 2, 100, 101, 200]
    assert place[found.after[found.judged[3:]]].tolist() == [101, 102, 201]


def test_returns_stop_at_the_end_of_an_episode() -> None:
    found = from_pieces([piece(0, 3, ended="terminated"), piece(100, 2)], LAYOUT)
    assert found.returns(0.5)[found.decisions].tolist() == [1.0, 2.0, 2.0, 0.5, 1.0]


def test_what_cannot_be_learned_from_is_left_out_and_counted() -> None:
    broken = piece(0, 8)
    broken["observation/place"][2] = np.nan
    broken["reward"][5] = np.inf
    broken["action"][6] = 7.0
    broken["action"][7] = 0.5
    found = from_pieces([broken], LAYOUT)
    assert found.decisions.tolist() == [0, 3, 4]
    assert found.left_out == {
        "an observation that is not finite": 2,  # the decision before it leads there
        "a reward that is not finite": 1,
        "an action that the game does not have": 2,
    }


def test_nothing_to_learn_from_is_an_error_that_says_why() -> None:
    with pytest.raises(ConfigError, match="no episodes"):
        from_pieces([], LAYOUT)
    broken = piece(0, 4)
    broken["reward"][:] = np.nan
    with pytest.raises(ConfigError, match=r"0 of 4 decisions.*4 with a reward"):
        from_pieces([broken], LAYOUT)


def test_no_more_is_read_than_was_asked_for() -> None:
    def pieces():  # type: ignore[no-untyped-def]
        yield piece(0, 3)
        yield piece(10, 5)
        raise AssertionError("read on")

    found = from_pieces(pieces(), LAYOUT, most_steps=5)
    assert found.observation["place"][found.decisions, 0].tolist() == [0, 1, 2, 10, 11]


def recorded(directory: Path, width: int, lengths: list[int]) -> gs.Dict:
    """Episodes of random numbers, one after the other; their space."""
    draw = np.random.default_rng(0)
    header = Header.of(LAYOUT, source="tiny", seed=0, actor="random", num_envs=1)
    with EpisodeWriter(directory, header) as writer:
        for number, length in enumerate(lengths):
            begins = number > 0  # with a step that only starts it
            for t in range(length + begins):
                writer.append_step(
                    {"place": draw.standard_normal((1, width), np.float32)},
                    draw.integers(0, 3, (1, 1)).astype(np.float32),
                    np.zeros((1, 1), np.float32),
                    draw.standard_normal(1, np.float32),
                    np.array([t == length + begins - 1]),
                    np.zeros(1, np.bool_),
                    np.array([begins and t == 0]),
                )
    return gs.Dict({"place": gs.Box(-np.inf, np.inf, (width,), np.float32)})


@pytest.mark.parametrize("most_steps", [0, 1, 40, 50, 53, 1000])
def test_rows_are_those_of_the_pieces_one_after_another(tmp_path: Path, most_steps: int) -> None:
    """As they were when they were read whole and joined."""
    space = recorded(tmp_path, 3, [20, 33, 17])
    if most_steps == 1:  # too few to learn from
        with pytest.raises(ConfigError, match="1 of 1 decisions"):
            from_library([tmp_path], space, LAYOUT, most_steps)
        return
    found = from_library([tmp_path], space, LAYOUT, most_steps)
    left, read = most_steps or 70, []
    for one in reversed(Library([tmp_path]).pieces):
        rows, steps = one.read(0, one.steps + 1, ["place"]), min(one.steps, left)
        cut = {key: rows[key][:steps] for key in FLAT}
        read += [{**cut, "observation/place": rows["observation/place"][: steps + 1]}]
        left -= steps
        if not left:
            break
    place = np.concatenate([rows["observation/place"] for rows in read])
    np.testing.assert_array_equal(found.observation["place"], place)
    for key in FLAT:
        values = np.concatenate([rows[key] for rows in read])
        assert len(values) == min(70, most_steps or 70) == len(found)
        np.testing.assert_array_equal(getattr(found, key)[found.decisions], values)
    after = [-1 if found.terminated[row] else row + 1 for row in found.decisions]
    if len(place) == found.decisions[-1] + 1:
        after[-1] = -1  # what came of it was not seen
    assert found.after[found.decisions].tolist() == after
    assert found.digest() == from_pieces(read, LAYOUT).digest()


def test_pieces_are_not_kept_beside_what_is_made_of_them(tmp_path: Path) -> None:
    """Recordings of half the memory can be learned from."""
    space = recorded(tmp_path, 1000, [50] * 40)
    tracemalloc.start()
    try:
        found = from_library([tmp_path], space, LAYOUT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Of the numbers it is noted which are finite, in a quarter of their bytes.
    assert peak < 1.5 * found.observation["place"].nbytes


def test_what_is_replayed_is_not_kept_beside_it_either(tmp_path: Path) -> None:
    """More than one environment's at a time."""
    space = gs.Dict({"place": gs.Box(-np.inf, np.inf, (500,), np.float32)})
    rollout = Rollout.allocate(space, LAYOUT, 8, 100)
    replay = Replay(tmp_path, 10_000, 8)
    replay.add(rollout)
    tracemalloc.start()
    try:
        found = from_replay(replay, LAYOUT, 10_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.observation["place"]) == len(replay) == 800
    assert peak < 1.7 * found.observation["place"].nbytes


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"observation/place": np.zeros((5, 1), np.float64)}, r"float32 \[1\] in.*float64 \[1\]"),
        ({"observation/place": np.zeros((5, 2), np.float32)}, r"float32 \[1\] in.*float32 \[2\]"),
        ({"observation/speed": np.zeros((5, 1), np.float32)}, "not at all in another"),
    ],
)
def test_episodes_of_two_kinds_are_refused(other: dict[str, Array], says: str) -> None:
    flat = {key: value for key, value in piece(0, 4).items() if key in FLAT}
    with pytest.raises(ConfigError, match=f"observation 'place': recorded as .*{says}"):
        from_pieces([piece(0, 4), {**flat, **other}], LAYOUT)


@pytest.mark.parametrize(
    ("space", "layout", "says"),
    [
        (gs.Dict({"speed": SPACE["place"]}), LAYOUT, "observation 'speed'"),
        (gs.Dict({"place": gs.Box(-1, 1, (2,), np.float32)}), LAYOUT, r"float32 \[1\].*\[2\]"),
        (SPACE, ActionLayout.of(gs.MultiDiscrete([3, 3])), "1 columns, the game has 2"),
    ],
)
def test_recordings_of_another_game_are_refused(
    space: gs.Dict, layout: ActionLayout, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        from_pieces([piece(0, 4)], LAYOUT).check(space, layout)


def played(steps: int) -> Rollout:
    """Two environments that count; the first one's episodes last three steps, and every other one
    is cut, the second one's never end."""
    rollout = Rollout.allocate(SPACE, LAYOUT, 2, steps)
    at, number = np.zeros(2), 0
    rollout.is_first[0] = True
    for t in range(steps):
        rollout.observation["place"][t, :, 0] = at + np.array([100.0 * number, 1000.0])
        rollout.action[t], rollout.reward[t] = t % 3, at
        over = at[0] == 3
        rollout.terminated[t, 0] = at[0] == 2 and number % 2 == 0
        rollout.truncated[t, 0] = at[0] == 2 and number % 2 == 1
        rollout.is_first[t + 1, 0] = over
        at += 1
        if over:
            at[0], number = 0, number + 1
    rollout.observation["place"][steps, :, 0] = at + np.array([100.0 * number, 1000.0])
    return rollout


def test_a_rollout_and_its_recording_say_the_same(tmp_path: Path) -> None:
    rollout = played(10)
    header = Header.of(LAYOUT, source="tiny", seed=0, actor="random", num_envs=2)
    with EpisodeWriter(tmp_path, header) as writer:
        for t in range(10):
            writer.append_step(
                {"place": rollout.observation["place"][t]},
                rollout.action[t],
                rollout.log_prob[t],
                rollout.reward[t],
                rollout.terminated[t],
                rollout.truncated[t],
                rollout.is_first[t + 1],
            )
    direct, read = from_rollout(rollout, LAYOUT), from_library([tmp_path], SPACE, LAYOUT)
    # The recording lacks the very last observation, and with it one outcome of each environment.
    ours, theirs = led(direct), led(read)
    assert theirs < ours
    assert len(ours - theirs) == 2
    assert (2.0, 2.0, 2.0, None) in theirs  # terminated
    assert (102.0, 0.0, 2.0, 103.0) in theirs  # cut


def led(found: Transitions) -> set[tuple[float, float, float, float | None]]:
    place = found.observation["place"][:, 0]
    return {
        (
            float(place[row]),
            float(found.action[row, 0]),
            float(found.reward[row]),
            None if found.after[row] < 0 else float(place[found.after[row]]),
        )
        for row in found.judged
    }
