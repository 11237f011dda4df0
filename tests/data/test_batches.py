"""data/batches.py: every decision once per epoch, in windows that no episode's end runs through."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import record, write_v1

from metabonk.data.batches import Batches, Windows, share
from metabonk.errors import ConfigError

LENGTHS = [7, 3, 40, 1, 16, 8]
TOTAL = sum(LENGTHS)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recorded")
    record(directory, LENGTHS)
    return directory


def decisions(batches: Batches) -> list[int]:
    """The numbers of all decisions in an epoch, fillings left out."""
    found: list[int] = []
    for batch in batches:
        assert batch["mask"].shape == batch["reward"].shape == batch["action"].shape[:2]
        numbers = batch["action"][..., 0].astype(int)
        np.testing.assert_array_equal(batch["observation"]["speed"][..., 0], numbers)
        assert not batch["action"][~batch["mask"]].any()
        found += numbers[batch["mask"]].tolist()
    return found


@pytest.mark.parametrize("length", [1, 8, 64])
@pytest.mark.parametrize("seed", [None, 3])
def test_every_decision_once(recorded: Path, length: int, seed: int | None) -> None:
    found = decisions(Batches(Windows(recorded, length), 4, seed))
    assert sorted(found) == list(range(TOTAL))
    assert (found == sorted(found)) == (seed is None)


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 5))
def test_processes_share_without_doubling(parts: int, length: int, epoch: int) -> None:
    lengths = np.arange(1, 23)
    order = np.random.default_rng(epoch).permutation(int(lengths.sum()))
    shares = [share(order, part, parts) for part in range(parts)]
    np.testing.assert_array_equal(np.concatenate(shares), order)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_shares_of_windows_are_the_whole(recorded: Path) -> None:
    windows = Windows(recorded, 8)
    found = [decisions(Batches(windows, 2, 1, part, 3)) for part in range(3)]
    assert sorted(itertools.chain(*found)) == list(range(TOTAL))
    with pytest.raises(ConfigError, match="part: 3 of 3"):
        share(np.arange(5), 3, 3)


def test_windows_end_with_their_episode(recorded: Path) -> None:
    for window in map(Windows(recorded, 8).__getitem__, range(len(Windows(recorded, 8)))):
        inside = window["mask"]
        assert not window["is_first"][inside][1:].any()
        ended = np.flatnonzero(window["terminated"])
        assert ended.tolist() in ([], [inside.sum() - 1])


def test_epochs_differ_and_repeat(recorded: Path) -> None:
    windows = Windows(recorded, 4)
    first, second = (decisions(b) for b in [Batches(windows, 4, 7)] * 2)
    assert first != second
    assert decisions(Batches(windows, 4, 7, epoch=1)) == second
    assert decisions(Batches(windows, 4, 8)) != first


def test_short_windows_and_batches_may_be_left_out(recorded: Path) -> None:
    whole = Windows(recorded, 8, short=False)
    assert len(whole) == sum(n // 8 for n in LENGTHS)
    assert all(whole[i]["mask"].all() for i in range(len(whole)))
    sizes = [len(b["reward"]) for b in Batches(whole, 3, whole=True)]
    assert sizes == [3] * (len(whole) // 3)
    assert [len(w["reward"]) for w in (Windows(recorded, 0)[i] for i in range(6))] == LENGTHS


def test_a_wrong_question_is_answered(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="length: -1"):
        Windows(recorded, -1)
    with pytest.raises(ConfigError, match="size: 0"):
        next(iter(Batches(Windows(recorded, 4), 0)))
    write_v1(tmp_path / "a.npz", range(8), "a", 0)
    mixed = Windows([recorded, tmp_path / "a.npz"], 8)
    with pytest.raises(ConfigError, match="not the same"):
        list(Batches(mixed, 50, None))
    shared = Windows([recorded, tmp_path / "a.npz"], 8, keys=("pixels",))
    assert sum(int(b["mask"].sum()) for b in Batches(shared, 50, None)) == TOTAL + 8
