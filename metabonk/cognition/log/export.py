"""The decision log as data sets: Parquet, the known design's JSON lines, chats to learn from.

Knows how episodes are split, what is left out, and where files go; does not know the journal's
columns (rows.py), what a format's rows look like (parquet.py, jsonlines.py, chats.py) or learning.
A row is a decision joined with what came of it; what has no pair is refused and counted. Rows of
one episode go to one split, so that nothing that is judged was seen before. A data set is whole or
not there.

    <out>/manifest.json        counts, splits, what was left out, which data it is of
    <out>/<split>.parquet      a row per decision, parquet.COLUMNS
    <out>/<split>.jsonl        the known design's layout: frames, state, reasoning, action, outcome
    <out>/<split>.chat.jsonl   {messages, images}: a system prompt, the situation, the answer
    <out>/<split>.reward.jsonl {prompt, completion, reward, advantage, label}: for reward models
    <out>/frames/<hash>.jpg    with frames: what `images` names

Splits are `train`, `validation` and `test`. The prompts are those that a model server is asked
with, but for the line that says when the answer takes effect: how late it was expected is not kept.
Rows for reward models are of answers that were followed: what came after another is of the
other's making. advantage: reward less the mean over the rows of the same question (strategy, menu)
that were followed, in deviations; label: whether it is above.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from metabonk import files
from metabonk.cognition.log.chats import Chats
from metabonk.cognition.log.jsonlines import SPLITS, JsonLines
from metabonk.cognition.log.parquet import Parquet
from metabonk.cognition.log.rows import Log, Row
from metabonk.cognition.question import Frame
from metabonk.errors import ConfigError

FORMATS = ("parquet", "jsonl", "chat")
MANIFEST = "manifest.json"
Progress = Callable[[int], None]  # rows so far
Rewards = dict[str, tuple[float, float]]  # mean and deviation by kind of question


@dataclass(frozen=True)
class Plan:
    """What to write. shares: of the episodes, for train, validation and test. frames: pictures as
    well. seed: which episodes go where. backends, answered: only rows of these backends (see
    Row.is_of; empty: of all), only those with an answer."""

    formats: tuple[str, ...] = FORMATS
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    frames: bool = False
    seed: int = 0
    backends: tuple[str, ...] = ()
    answered: bool = False

    def check(self) -> None:
        """Raises ConfigError for what cannot be."""
        wrong = [name for name in self.formats if name not in FORMATS]
        if wrong or not self.formats:
            raise ConfigError(
                f"format: {', '.join(wrong) or 'none'}; give some of {', '.join(FORMATS)}"
            )
        if min(self.shares) < 0.0 or not 0.999 <= sum(self.shares) <= 1.001:
            raise ConfigError(
                f"split: {self.shares}; give three shares that sum to 1, as 0.8,0.1,0.1"
            )

    def split_of(self, story: str) -> str:
        """Where an episode goes: by its name and the seed alone, whatever else is exported."""
        digest = hashlib.sha256(f"{self.seed}:{story}".encode()).digest()
        place = int.from_bytes(digest[:8], "little") / 2.0**64
        if place < self.shares[0]:
            return SPLITS[0]
        return SPLITS[1] if place < self.shares[0] + self.shares[1] else SPLITS[2]


class Manifest(msgspec.Struct, kw_only=True):
    """What an export holds. rows, episodes: by split. refused: rows left out, by reason; passed:
    rows that were not asked for. without_chat: rows no chat was made of, by reason; without_reward:
    rows with an answer that are not for reward models. missing_frames: that the store had no more.
    rewards: mean and deviation over the answers that were followed, by kind of question."""

    rows: dict[str, int]
    episodes: dict[str, int]
    refused: dict[str, int]
    passed: int
    without_chat: dict[str, int]
    without_reward: dict[str, int]
    missing_frames: int
    rewards: Rewards
    source: str
    seed: int
    shares: tuple[float, float, float]
    formats: tuple[str, ...]
    frames: bool
    format: int = 2


class Writer(Protocol):
    """One format's files."""

    def add(self, row: Row, split: str, pictures: Sequence[Frame]) -> None: ...

    def close(self) -> None: ...


def export(log: Log, out: Path | str, plan: Plan, progress: Progress | None = None) -> Manifest:
    """Writes a data set of a log as it is now, whatever is written or removed meanwhile; `out` must
    not exist.

    Raises ConfigError for settings that cannot be, FileExistsError, MissingExtraError without
    pyarrow, CorruptError where the journal itself is damaged, OSError; nothing is left behind then.
    """
    plan.check()
    out = Path(out)
    if out.exists():
        raise FileExistsError(f"{out} is there already: choose another directory with --out")
    with _whole(out) as folder, log.still(), contextlib.ExitStack() as stack:
        rewards = _rewards_of(log, plan)
        sums = _Sums()
        writers: list[Writer] = []
        for name in plan.formats:
            writer = _writer(name, folder, rewards, sums)
            stack.callback(writer.close)
            writers.append(writer)
        store = _Pictures(log, folder, plan.frames)
        for row in log.rows():
            if not _wanted(row, plan):
                sums.passed += 1
                continue
            split = plan.split_of(row.story)
            sums.rows[split] += 1
            sums.stories[split].add(hashlib.sha256(row.story.encode()).digest()[:8])
            pictures = store.of(row)
            for writer in writers:
                writer.add(row, split, pictures)
            if progress is not None:
                progress(sum(sums.rows.values()))
        stack.close()
        manifest = _manifest(log, plan, sums, store.missing, rewards)
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        files.write(folder / MANIFEST, text + b"\n")
    return manifest


def _wanted(row: Row, plan: Plan) -> bool:
    if plan.backends and not row.is_of(plan.backends):
        return False
    return not plan.answered or row.answered


@dataclass
class _Sums:
    rows: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(SPLITS, 0)))
    stories: dict[str, set[bytes]] = field(default_factory=lambda: {s: set() for s in SPLITS})
    without_chat: Counter[str] = field(default_factory=Counter)
    without_reward: Counter[str] = field(default_factory=Counter)
    passed: int = 0


def _manifest(log: Log, plan: Plan, sums: _Sums, missing: int, rewards: Rewards) -> Manifest:
    refused = {"no outcome yet": log.refused.undecided, "no decision": log.refused.unknown}
    refused |= {f"damaged {name}": count for name, count in log.refused.damaged.items()}
    return Manifest(
        rows=dict(sums.rows),
        episodes={split: len(found) for split, found in sums.stories.items()},
        refused={name: count for name, count in refused.items() if count},
        passed=sums.passed,
        without_chat=dict(sums.without_chat),
        without_reward=dict(sums.without_reward),
        missing_frames=missing,
        rewards=rewards,
        source=log.digest(),
        seed=plan.seed,
        shares=plan.shares,
        formats=plan.formats,
        frames=plan.frames,
    )


def _rewards_of(log: Log, plan: Plan) -> Rewards:
    """Mean and deviation of the rewards of answers that were followed, by kind of question; a
    deviation of one value is 1."""
    found: dict[str, list[float]] = {}
    for row in log.rows():
        if _wanted(row, plan) and row.answered and row.came.applied:
            sums = found.setdefault(row.question, [0.0, 0.0, 0.0])  # rows, mean, squares
            sums[0] += 1.0
            step = row.came.reward - sums[1]
            sums[1] += step / sums[0]
            sums[2] += step * (row.came.reward - sums[1])
    deviations = {kind: (squares / count) ** 0.5 for kind, (count, _, squares) in found.items()}
    return {
        kind: (mean, deviations[kind] if deviations[kind] > 1e-9 else 1.0)
        for kind, (_, mean, _) in found.items()
    }


class _Pictures:
    """The frames of rows, each read once from the store and, for chats, written once."""

    def __init__(self, log: Log, folder: Path, wanted: bool) -> None:
        self._log, self._folder, self._wanted = log, folder / Log.FRAMES, wanted
        self.missing = 0
        if wanted:
            self._folder.mkdir()

    def of(self, row: Row) -> list[Frame]:
        if not self._wanted:
            return []
        found = []
        for name in row.frames:
            jpeg = self._log.frame(name.hash)
            if jpeg is None:
                self.missing += 1
                continue
            path = self._folder / f"{name.hash.hex()}.jpg"
            if not path.exists():
                path.write_bytes(jpeg)
            found.append(Frame(jpeg, name.time, name.predicted))
        return found


def _writer(name: str, folder: Path, rewards: Rewards, sums: _Sums) -> Writer:
    if name == "parquet":
        return Parquet(folder)
    if name == "jsonl":
        return JsonLines(folder)
    return Chats(folder, rewards, sums.without_chat, sums.without_reward)


@contextlib.contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A fresh directory beside `out` that takes its name at the end, or is gone."""
    out.parent.mkdir(parents=True, exist_ok=True)
    sibling = out.parent / f".{out.name}.partial-{uuid.uuid4().hex[:8]}"
    sibling.mkdir()
    try:
        yield sibling
        sibling.rename(out)
        files.sync(out.parent)
    finally:
        if sibling.exists():
            shutil.rmtree(sibling)
