"""Recordings as replay: every row where it belongs, ends kept, nothing unusable learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs

from metabonk.data.episode import EpisodeWriter, Header
from metabonk.errors import ConfigError
from metabonk.learn.dreams import recorded
from metabonk.learn.dreams.recorded import NO_ACTION, NOT_FINITE, Recorded
from metabonk.spaces import ActionLayout

LAYOUT = ActionLayout.of(gs.Discrete(3))


def write(directory: Path, lengths: list[int], **spoil: Any) -> Path:
    """Episodes whose observation, action and reward all tell the number of the decision."""
    header = Header.of(LAYOUT, source="counting", seed=0, actor="test", num_envs=1)
    number = 0
    with EpisodeWriter(directory, header) as writer:
        for length in lengths:
            for t in range(length + 1):
                last = t == length
                seen = np.array([[number, 0.0]], np.float32)
                action = np.array([[number % 3]], np.float32)
                if number == spoil.get("observation"):
                    seen[0, 1] = np.nan
                if number == spoil.get("action"):
                    action[0, 0] = 7
                writer.append_step(
                    {"observation": seen},
                    action,
                    np.zeros((1, 1), np.float32),
                    np.array([0.0 if last else number], np.float32),
                    np.array([t == length - 1]),
                    np.array([False]),
                    np.array([last]),
                )
                number += 1
    return directory


def save_pt(path: Path, steps: int, **more: Any) -> Path:
    rows = {
        "observations": torch.arange(steps * 2.0).reshape(steps, 2),
        "actions": torch.linspace(-1, 1, steps)[:, None].repeat(1, 2),
        "rewards": torch.arange(float(steps)),
        "dones": torch.zeros(steps, dtype=torch.bool),
        "truncated": torch.zeros(steps, dtype=torch.bool),
    }
    torch.save({**rows, **more}, path)
    return path


def drawn(found: Recorded, length: int) -> dict[str, np.ndarray]:
    """Every sequence of that length."""
    starts = np.arange(1, len(found.learned) - length + 1)
    out = found.learned.at(starts, np.zeros(len(starts), np.int64), length)
    return {
        "seen": out.observation["observation"],
        "action": out.action[..., 0],
        "reward": out.reward,
        "terminated": out.terminated,
        "is_first": out.is_first,
    }


def test_rows_follow_each_other_as_they_were_played(tmp_path: Path) -> None:
    found = recorded.read([write(tmp_path / "e", [5, 7, 3])], tmp_path / "r")
    assert (len(found.learned), len(found.held)) == (6 + 8, 4)
    assert found.source == "counting"
    assert found.layout.to_json() == LAYOUT.to_json()
    assert found.space["observation"].shape == (2,)
    rows = drawn(found, 6)
    came = ~rows["is_first"]
    number = rows["seen"][..., 0]
    assert came.any()
    np.testing.assert_array_equal(rows["reward"][came], number[came] - 1)
    np.testing.assert_array_equal(rows["action"][came], (number[came] - 1) % 3)
    ends = {float(n) for n in number[rows["terminated"]]}
    assert ends == {5.0, 13.0}  # the last observations of the first two episodes
    assert not rows["action"][~came].any()


def test_small_blocks_are_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "e", [5, 7, 3, 11])
    whole = drawn(recorded.read([source], tmp_path / "whole"), 6)
    monkeypatch.setattr(recorded, "BLOCK_BYTES", 20)
    pieces = recorded.read([source], tmp_path / "pieces")
    assert len(pieces.learned.listing()) > 3
    for key, value in drawn(pieces, 6).items():
        np.testing.assert_array_equal(value, whole[key])


def test_an_end_that_nobody_saw_is_kept(tmp_path: Path) -> None:
    """Files of version 1 have no observation after the last action; its reward and end count."""
    done = torch.zeros(8, dtype=torch.bool)
    done[3] = True
    save_pt(tmp_path / "a.pt", 8, dones=done)
    save_pt(tmp_path / "b.pt", 8)
    found = recorded.read([tmp_path], tmp_path / "r")
    assert found.episodes == 3
    assert len(found.learned) == 4 + 1 + 4
    rows = drawn(found, 3)
    ended = rows["terminated"]
    assert set(rows["reward"][ended]) == {3.0}
    np.testing.assert_array_equal(rows["seen"][ended], np.tile([6.0, 7.0], (ended.sum(), 1)))
    assert found.layout.branches[0].kind == "continuous"


@pytest.mark.parametrize(("what", "why"), [("observation", NOT_FINITE), ("action", NO_ACTION)])
def test_what_cannot_be_learned_from_is_left_out_and_counted(
    tmp_path: Path, what: str, why: str
) -> None:
    found = recorded.read([write(tmp_path / "e", [9, 4], **{what: 4})], tmp_path / "r")
    assert found.left_out == {why: 1}
    rows = drawn(found, 4)
    assert np.isfinite(rows["seen"]).all()
    number = rows["seen"][..., 0]
    assert not (number == 4).any()
    assert rows["is_first"][number == 5].all()
    came = ~rows["is_first"]
    np.testing.assert_array_equal(rows["reward"][came], number[came] - 1)


def test_held_out_episodes_are_whole_and_apart(tmp_path: Path) -> None:
    found = recorded.read([write(tmp_path / "e", [4] * 25)], tmp_path / "r")
    assert len(found.held) == 2 * 5
    held, learned = (
        set(r.at(np.arange(1, len(r)), np.zeros(len(r) - 1, np.int64), 1).observation[
            "observation"
        ][..., 0].flatten())
        for r in (found.held, found.learned)
    )  # fmt: skip
    assert not held & learned


def test_a_single_episode_is_cut_in_time(tmp_path: Path) -> None:
    found = recorded.read([write(tmp_path / "e", [40])], tmp_path / "r")
    assert (len(found.learned), len(found.held)) == (36, 5)


def test_the_newest_are_kept_when_there_are_too_many(tmp_path: Path) -> None:
    source = write(tmp_path / "e", [5, 5, 5])
    found = recorded.read([source], tmp_path / "r", most_steps=11)
    assert found.episodes == 2
    assert drawn(found, 2)["seen"][..., 0].min() >= 6
    ((reason, count),) = found.left_out.items()
    assert (count, reason.split(";")[0]) == (5, "older than the newest of world.replay = 11")
    assert reason.endswith("--set world.replay=15")
    whole = recorded.read([source], tmp_path / "s", most_steps=15)
    assert (whole.episodes, whole.left_out) == (3, {})


def test_what_was_chosen_is_kept_to_its_last_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each episode has a row more than it has steps: what it ended in."""
    monkeypatch.setattr(recorded, "BLOCK_BYTES", 20)
    source = write(tmp_path / "e", [3] * 20)
    found = recorded.read([source], tmp_path / "r", most_steps=60)
    assert (found.episodes, found.left_out) == (20, {})
    assert len(found.learned) + len(found.held) == 20 * 4


def test_other_games_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "e", [5, 5])
    wide = ActionLayout.of(gs.Box(-1, 1, (2,), np.float32))
    with pytest.raises(ConfigError, match="actions of 1 columns, wanted 2"):
        recorded.read([source], tmp_path / "r", layout=wide)
    space = gs.Dict({"observation": gs.Box(-1, 1, (5,), np.float32)})
    with pytest.raises(ConfigError, match=r"observation 'observation' is float32 \[2\], wanted"):
        recorded.read([source], tmp_path / "r", space=space)
    unknown = gs.Dict({"pixels": gs.Box(0, 255, (4, 4, 3), np.uint8)})
    with pytest.raises(ConfigError, match="has no 'pixels'"):
        recorded.read([source], tmp_path / "r", space=unknown)
    write(tmp_path / "both" / "a", [5])
    save_pt(tmp_path / "c.pt", 8)
    with pytest.raises(ConfigError, match="actions of 2 columns, wanted 1"):
        recorded.read([tmp_path / "both", tmp_path / "c.pt"], tmp_path / "r")


def test_nothing_but_ends_teaches_nothing(tmp_path: Path) -> None:
    done = torch.ones(9, dtype=torch.bool)
    save_pt(tmp_path / "a.pt", 9, dones=done)
    with pytest.raises(ConfigError, match="every one of 8 steps ends an episode"):
        recorded.read([tmp_path], tmp_path / "r")  # each is one step and the end after it
    write(tmp_path / "two", [1, 1])
    write(tmp_path / "longer", [1, 2])
    with pytest.raises(ConfigError, match="steps ends an episode"):
        recorded.read([tmp_path / "two"], tmp_path / "t")
    led = recorded.read([tmp_path / "two", tmp_path / "longer"] * 2, tmp_path / "u")
    assert (led.learned.ends, led.learned.leading) == (7, 1)  # the last one is held out
    # Our own format can say that every row ends an episode, and nothing comes after.
    header = Header.of(LAYOUT, source="ends", seed=0, actor="test", num_envs=1)
    with EpisodeWriter(tmp_path / "ends", header) as writer:
        for _ in range(9):
            one, yes = np.zeros((1, 1), np.float32), np.array([True])
            writer.append_step({"observation": one}, one, one, one[:, 0], yes, ~yes, ~yes)
    with pytest.raises(ConfigError, match="steps ends an episode"):
        recorded.read([tmp_path / "ends"], tmp_path / "s")
