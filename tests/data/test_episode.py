"""data/episode.py: every row comes back in its episode, however the recording was cut up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from gymnasium import spaces as gs
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from metabonk.data.episode import EpisodeStore, EpisodeWriter, Header
from metabonk.errors import CorruptError
from metabonk.spaces import ActionLayout

LAYOUT = ActionLayout.of(gs.Dict({"move": gs.Box(-1, 1, (2,)), "jump": gs.Discrete(2)}))
HEADER = Header.of(LAYOUT, source="test", seed=5, actor="random", num_envs=2, rate=15.0)


def record(writer: EpisodeWriter, lengths: list[list[int]], steps: int, start: int = 0) -> None:
    """Plays a game whose observation counts: env i has episodes of `lengths[i]`, cycled."""
    clock = [0, 0]
    episode = [0, 0]
    for t in range(steps):
        done = [clock[i] == lengths[i][episode[i] % len(lengths[i])] for i in (0, 1)]
        ends = [clock[i] + 1 == lengths[i][episode[i] % len(lengths[i])] for i in (0, 1)]
        if t >= start:
            rows = [[i, episode[i], clock[i]] for i in (0, 1)]
            writer.append_step(
                {
                    "vector": np.array(rows, np.float32),
                    "pixels": np.full((2, 2, 2, 3), t, np.uint8),
                },
                np.array([[t, i, 1] for i in (0, 1)], np.float32),
                np.array([[-t, -i] for i in (0, 1)], np.float32),
                np.array([0.0 if d else 1.0 for d in done], np.float32),
                np.array([e and episode[i] % 2 == 0 for i, e in enumerate(ends)]),
                np.array([e and episode[i] % 2 == 1 for i, e in enumerate(ends)]),
                np.array(done),
            )
        for i in (0, 1):
            clock[i], episode[i] = (0, episode[i] + 1) if done[i] else (clock[i] + 1, episode[i])


def check(store: EpisodeStore, lengths: list[list[int]]) -> None:
    for env, number in store.entries():
        episode = store.read(env, number)
        length = lengths[env][number % len(lengths[env])]
        assert len(episode) == length
        assert episode.complete
        np.testing.assert_array_equal(episode.observation["vector"][:, 0], env)
        np.testing.assert_array_equal(episode.observation["vector"][:, 1], number)
        np.testing.assert_array_equal(episode.observation["vector"][:, 2], np.arange(length + 1))
        np.testing.assert_array_equal(episode.log_prob[:, 0], -episode.action[:, 0])
        assert episode.reward.sum() == length
        ended = np.arange(length) == length - 1
        np.testing.assert_array_equal(episode.terminated, ended & (number % 2 == 0))
        np.testing.assert_array_equal(episode.truncated, ended & (number % 2 == 1))


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=3),
    st.lists(st.integers(1, 7), min_size=1, max_size=3),
    st.integers(1, 40),
    st.integers(1, 9),
)
def test_rows_come_back_in_their_episodes(
    tmp_path_factory: pytest.TempPathFactory, a: list[int], b: list[int], steps: int, chunk: int
) -> None:
    directory = tmp_path_factory.mktemp("episodes")
    lengths = [a, b]
    with EpisodeWriter(directory, HEADER, chunk_bytes=chunk * 128) as writer:
        record(writer, lengths, steps)
    store = EpisodeStore(directory)
    store.verify()
    check(store, lengths)
    everything = [store.read(*key) for key in store.entries(complete=False)]
    assert sum(len(e) + int(e.complete) for e in everything) == 2 * steps
    for env in (0, 1):
        numbers = [number for e, number in store.entries(complete=False) if e == env]
        assert numbers == list(range(len(numbers)))


def test_each_chunk_says_where_it_is_from(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path, HEADER) as writer:
        record(writer, [[3], [4]], 9)
    (chunk,) = tmp_path.glob("chunk-*.safetensors")
    with safe_open(chunk, framework="numpy") as file:
        header = msgspec.json.decode(file.metadata()["header"], type=Header)
    assert header == HEADER == EpisodeStore(tmp_path).header
    assert [b["name"] for b in header.branches] == ["jump", "move"]
    assert (header.source, header.seed, header.rate, header.actor) == ("test", 5, 15.0, "random")


def test_reopened_writer_goes_on(tmp_path: Path) -> None:
    lengths = [[3, 5], [4]]
    with EpisodeWriter(tmp_path, HEADER) as writer:
        record(writer, lengths, 10)
    with EpisodeWriter(tmp_path, HEADER) as writer:
        assert writer.position == 10
        record(writer, lengths, 30, start=10)
    check(EpisodeStore(tmp_path), lengths)
    assert len(EpisodeStore(tmp_path).entries()) > 6


def test_cut_goes_back_to_a_flush(tmp_path: Path) -> None:
    lengths = [[3, 5], [4]]
    writer = EpisodeWriter(tmp_path, HEADER)
    record(writer, lengths, 10)
    position = writer.flush()
    record(writer, lengths, 17, start=10)
    writer.close()
    whole = EpisodeStore(tmp_path).manifest()
    again = EpisodeWriter(tmp_path, HEADER)
    with pytest.raises(ValueError, match="ends at position 11"):
        again.cut(11)
    again.cut(position)
    record(again, lengths, 17, start=10)
    again.close()
    assert EpisodeStore(tmp_path).manifest() == whole
    check(EpisodeStore(tmp_path), lengths)


def test_readable_while_written(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, HEADER)
    record(writer, [[3], [4]], 9)
    writer.flush()
    store = EpisodeStore(tmp_path)
    before = store.entries()
    with (tmp_path / "index.jsonl").open("ab") as index:
        index.write(b'{"file": "chunk-9')  # the next line is on its way
    store.refresh()
    assert store.entries() == before
    check(store, [[3], [4]])


def test_a_kill_loses_only_what_was_not_flushed(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_episode import *
writer = EpisodeWriter(sys.argv[1], HEADER)
record(writer, [[3], [4]], 12)
writer.flush()
record(writer, [[3], [4]], 20, start=12)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    store = EpisodeStore(tmp_path)
    check(store, [[3], [4]])
    assert sum(c.steps for c in store.chunks) == 12


def test_damage_is_named(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path, HEADER) as writer:
        record(writer, [[3], [4]], 9)
    store = EpisodeStore(tmp_path)
    (chunk,) = tmp_path.glob("chunk-*.safetensors")
    data = bytearray(chunk.read_bytes())
    data[-1] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(CorruptError, match=r"chunk-0+\.safetensors is damaged"):
        store.verify()
    os.truncate(chunk, 40)
    with pytest.raises(CorruptError, match=r"chunk-0+\.safetensors cannot be read"):
        store.read(*store.entries()[0])
    chunk.unlink()
    with pytest.raises(CorruptError, match=r"chunk-0+\.safetensors is gone"):
        store.verify()
    with pytest.raises(FileNotFoundError, match="holds no episodes"):
        EpisodeStore(tmp_path / "none")


def test_another_game_is_refused(tmp_path: Path) -> None:
    EpisodeWriter(tmp_path, HEADER).close()
    other = Header.of(LAYOUT, source="other", seed=5, actor="random", num_envs=2)
    with pytest.raises(CorruptError, match="records source 'test', not 'other'"):
        EpisodeWriter(tmp_path, other)
    with pytest.raises(ValueError, match=r"reward: shape \(3,\), expected \[2"):
        EpisodeWriter(tmp_path, HEADER).append_step(
            {}, *(np.zeros((2, 3), np.float32),) * 2, *(np.zeros(3, np.float32),) * 4
        )
