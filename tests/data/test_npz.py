"""data/npz.py: recordings of others open, ours open for others, and nothing runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from metabonk.data.episode import Episode, EpisodeStore, Header
from metabonk.data.npz import from_columns, import_npz, read_npz, to_columns, write_npz
from metabonk.errors import CorruptError
from metabonk.records import ACTION_LAYOUT, Action


def make_episode(steps: int = 5, terminated: bool = True) -> Episode:
    random = np.random.default_rng(0)
    header = Header.of(ACTION_LAYOUT, source="arena", seed=3, actor="human", num_envs=1, rate=15.0)
    rows = [
        Action((0.5, -1.0), (0.25, 0.0), jump=True, choice=3).row(),
        Action(fire=True, click=(0.25, 0.5)).row(),
        Action(interact=True).row(),
        Action(ability=True, click=(0.0, 0.0)).row(),
        Action(slide=True).row(),
    ]
    last = np.arange(steps) == steps - 1
    return Episode(
        0,
        2,
        header,
        {"pixels": random.integers(0, 255, (steps + 1, 6, 8, 3), np.uint8)},
        np.stack(rows[:steps]),
        np.zeros((steps, 0), np.float32),
        np.arange(steps, dtype=np.float32),
        last & terminated,
        last & (not terminated),
    )


def test_columns_are_the_published_ones() -> None:
    # move 2, look 2, fire, ability, interact, ui_click, click x, y
    columns = to_columns(make_episode().action)
    np.testing.assert_array_equal(columns[0], [0.5, -1.0, 0.25, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(columns[1], [0, 0, 0, 0, 1, 0, 0, 1, 0.25, 0.5])
    np.testing.assert_array_equal(columns[2], [0, 0, 0, 0, 0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(columns[3], [0, 0, 0, 0, 0, 1, 0, 1, 0, 0])
    back = from_columns(columns)
    assert Action.from_row(back[0]) == Action((0.5, -1.0), (0.25, 0.0))
    assert Action.from_row(back[1]) == Action(fire=True, click=(0.25, 0.5))
    assert Action.from_row(back[3]) == Action(ability=True, click=(0.0, 0.0))


@pytest.mark.parametrize("terminated", [True, False])
def test_round_trip(tmp_path: Path, terminated: bool) -> None:
    episode = make_episode(terminated=terminated)
    write_npz(tmp_path / "e.npz", episode, meta={"note": "x"})
    (read,) = read_npz(tmp_path / "e.npz")
    np.testing.assert_array_equal(read.observation["pixels"], episode.observation["pixels"][:-1])
    for name in ("action", "reward", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(read, name), getattr(episode, name))
    header = read.header
    assert (header.source, header.seed, header.actor, header.rate) == ("arena", 3, "human", 15.0)
    assert header.details["note"] == "x"


def test_a_version_1_reader_finds_its_keys(tmp_path: Path) -> None:
    write_npz(tmp_path / "e.npz", make_episode())
    file = np.load(tmp_path / "e.npz", allow_pickle=False)
    assert file["observations"].dtype == np.uint8
    assert file["actions"].shape == (5, 10)
    assert file["actions"].dtype == np.float32
    assert file["dones"].tolist() == [False] * 4 + [True]
    assert json.loads(str(file["meta"]))["episode_id"] == "arena-0-2"


def write_v1(path: Path, dones: list[bool], meta: dict[str, object] | None = None) -> None:
    steps = len(dones)
    np.savez(
        path,
        observations=np.full((steps, 2, 2, 3), len(path.name), np.uint8),
        actions=np.zeros((steps, 10), np.float32),
        dones=np.array(dones),
        video_source=np.array("film.mp4"),
        meta=np.array(json.dumps(meta or {})),
    )


def test_the_end_of_a_version_1_file_is_a_cut(tmp_path: Path) -> None:
    write_v1(tmp_path / "e.npz", [False, True, False, True])
    first, second = read_npz(tmp_path / "e.npz")
    assert (first.terminated.tolist(), first.truncated.tolist()) == ([False, True], [False] * 2)
    assert (second.terminated.tolist(), second.truncated.tolist()) == ([False] * 2, [False, True])
    assert first.header.source == "film.mp4"


def test_a_film_that_nobody_labelled_holds_no_actions(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", observations=np.zeros((3, 2, 2, 3), np.uint8))
    (episode,) = read_npz(tmp_path / "e.npz")
    assert episode.header.actor == "unlabelled"
    assert [Action.from_row(row) for row in episode.action] == [Action()] * 3  # nor a click


def test_import_joins_chunks_of_one_episode(tmp_path: Path) -> None:
    for index, name in enumerate(("a", "bb", "ccc")):
        meta = {"episode_id": "one" if index < 2 else "two", "chunk_index": index % 2}
        write_v1(tmp_path / f"{name}.npz", [False, False, True], meta)
    paths = [tmp_path / f"{name}.npz" for name in ("a", "bb", "ccc")]
    assert import_npz(paths, tmp_path / "store") == 9
    store = EpisodeStore(tmp_path / "store")
    assert [len(store.read(*key)) for key in store.entries(complete=False)] == [6, 3]
    assert store.entries() == []
    assert np.flatnonzero(store.read(0, 0).truncated).tolist() == [5]
    assert not store.read(0, 0).terminated.any()


def test_pickles_are_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    np.savez(tmp_path / "e.npz", observations=np.array([Bomb()], object))
    with pytest.raises(CorruptError, match=r"e\.npz cannot be read without running code"):
        read_npz(tmp_path / "e.npz")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observations": np.zeros((3, 2, 2, 3), np.float32)}, "observations must be uint8"),
        ({"actions": np.zeros((4, 10), np.float32)}, r"actions is float32 \(4, 10\), not numbers"),
        ({"rows": np.zeros(3, np.float32)}, r"rows is float32 \(3,\), not numbers \(3, columns\)"),
        ({"meta": np.array('{"rate": "often"}')}, "meta does not say what it should"),
        ({"dones": np.zeros(2, bool)}, r"dones has shape \(2,\)"),
        ({"meta": np.array("[")}, "meta is not a JSON object"),
    ],
)
def test_damage_is_named(tmp_path: Path, change: dict[str, np.ndarray], message: str) -> None:
    good = {"observations": np.zeros((3, 2, 2, 3), np.uint8)}
    np.savez(tmp_path / "e.npz", **(good | change))
    with pytest.raises(CorruptError, match=message):
        read_npz(tmp_path / "e.npz")
    (tmp_path / "torn.npz").write_bytes((tmp_path / "e.npz").read_bytes()[:100])
    with pytest.raises(CorruptError, match=r"torn\.npz"):
        read_npz(tmp_path / "torn.npz")
