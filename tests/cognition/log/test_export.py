"""The decision log as data sets: pairs, splits, formats, and what is refused."""

from __future__ import annotations

import base64
import dataclasses
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from decision_logs import Log as Written
from decision_logs import arena_states, jpegs, menu_state, write

from metabonk.cognition import situation
from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends import scene
from metabonk.cognition.backends.prompt import MenuPrompt, StrategyPrompt
from metabonk.cognition.log import export, parquet
from metabonk.cognition.log.export import Plan
from metabonk.cognition.log.journal import FILE
from metabonk.cognition.log.jsonlines import known_layout
from metabonk.cognition.log.rows import Log
from metabonk.cognition.protocol.wire import RequestId
from metabonk.cognition.question import Press
from metabonk.errors import ConfigError, CorruptError
from metabonk.records import Entity, FieldGroup, GameState

LINES = Plan(formats=("jsonl", "chat"), shares=(0.5, 0.25, 0.25))


def lines(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def exported(folder: Path, plan: Plan = LINES) -> export.Manifest:
    with Log(folder) as log:
        return export.export(log, folder / "export", plan)


def test_rows_are_what_was_decided_and_what_came_of_it(tmp_path: Path) -> None:
    written = write(tmp_path, episodes=2, each=3)
    with Log(tmp_path) as log:
        rows = list(log.rows())
    assert sorted(row.id for row in rows) == sorted(written.written)
    by_id = {row.id: row for row in rows}
    row = by_id["omega-0/7/2"]
    assert (row.came.reward, row.came.kills, row.came.applied) == (2.0, 2, True)
    assert row.state.position == pytest.approx(row.state.position)
    assert row.directive is not None
    assert row.probabilities[row.directive.action.value] == max(row.probabilities.values())
    assert log.refused.total == 0


def test_rows_without_their_pair_are_refused_and_counted(tmp_path: Path) -> None:
    log = Written(tmp_path)
    packed, told = arena_states(1)[0], v.spell(v.SAFE)
    log.add(RequestId("a", 1, 1), packed, told, 1.0)
    log.add(RequestId("a", 1, 2), packed, told, None)
    log.outcome(RequestId("a", 1, 3), 5.0)
    log.close()
    manifest = exported(tmp_path)
    assert sum(manifest.rows.values()) == 1
    assert manifest.refused == {"no outcome yet": 1, "no decision": 1}


def test_an_episode_is_never_split(tmp_path: Path) -> None:
    write(tmp_path, episodes=40, each=3)
    manifest = exported(tmp_path)
    stories: dict[str, set[str]] = {}
    for split in export.SPLITS:
        for row in lines(tmp_path / "export" / f"{split}.jsonl"):
            agent, epoch, sequence = row["decision_id"].split("/")
            stories.setdefault(split, set()).add(f"{agent}/{epoch}/{int(sequence) // 3}")
    found = list(stories.values())
    assert len(found) == 3
    assert not found[0] & found[1]
    assert not found[0] & found[2]
    assert not found[1] & found[2]
    assert {s: len(of) for s, of in stories.items()} == manifest.episodes
    # Where an episode goes hangs on nothing but its name and the seed.
    places = [Plan(seed=seed).split_of("a/1/2") for seed in range(40)]
    assert places == [Plan(seed=seed).split_of("a/1/2") for seed in range(40)]
    assert len(set(places)) > 1


def test_the_known_layout_has_its_outcome_in_place(tmp_path: Path) -> None:
    write(tmp_path, episodes=3, each=2, frames=2)
    exported(tmp_path, Plan(formats=("jsonl",), shares=(1.0, 0.0, 0.0), frames=True))
    rows = lines(tmp_path / "export" / "train.jsonl")
    assert len(rows) == 6
    known = {"timestamp", "agent_id", "frames", "state", "reasoning", "goal", "action",
             "confidence", "inference_time_ms", "outcome"}  # fmt: skip
    for row in rows:
        assert known <= row.keys()
        assert row["outcome"]["success"] is True
        assert row["outcome"]["damage_taken"] == 3.0
        assert [base64.b64decode(f) for f in row["frames"]] == jpegs(2)
        assert row["frame_times"] == [0.0, -0.1]
        v.read(row["directive"])
        # Version 1 names places: it has no words for what is not in the state that is kept.
        assert row["action"] == {} or row["action"]["duration_seconds"] in v.SECONDS
    assert sum(bool(row["action"]) for row in rows) >= 3


def test_chats_answer_as_a_server_must(tmp_path: Path) -> None:
    write(tmp_path, episodes=6, each=4, frames=1)
    plan = Plan(formats=("chat",), shares=(1.0, 0.0, 0.0), frames=True)
    manifest = exported(tmp_path, plan)
    chats = lines(tmp_path / "export" / "train.chat.jsonl")
    rewards = lines(tmp_path / "export" / "train.reward.jsonl")
    assert manifest.without_chat == {}
    assert len(chats) == len(rewards) == 24
    with Log(tmp_path) as log:
        rows = {row.id: row for row in log.rows()}
    for one, judged in zip(chats, rewards, strict=True):
        row = rows[one["id"]]
        roles = [message["role"] for message in one["messages"]]
        assert roles == ["system", "user", "assistant"]
        said = msgspec.json.decode(one["messages"][-1]["content"][0]["text"])
        prompt = StrategyPrompt(row.asked(), scene.read(row.packed))
        assert prompt.from_json(said) == row.directive
        shown = [part for part in one["messages"][1]["content"] if part["type"] == "image"]
        assert len(shown) == len(one["images"]) == 1
        assert (tmp_path / "export" / one["images"][0]).read_bytes() == jpegs(1)[0]
        assert judged["prompt"] == one["messages"][:-1]
        assert judged["completion"] == one["messages"][-1:]
        assert judged["label"] == (judged["reward"] > manifest.rewards["strategy"][0])
    advantages = [row["advantage"] for row in rewards]
    assert min(advantages) < 0.0 < max(advantages)


def test_only_what_was_followed_is_rewarded(tmp_path: Path) -> None:
    """What came after an answer that nobody followed is none of its making, in no mean either."""
    log = Written(tmp_path)
    told = v.spell(v.Directive(v.Verb.EXPLORE))
    for number, packed in enumerate(arena_states(6)):
        followed = number < 4
        reward = 10.0 * (number % 2) if followed else 1000.0
        log.add(RequestId("a", 1, number), packed, told, reward, applied=followed)
    log.close()
    manifest = exported(tmp_path, Plan(formats=("chat",), shares=(1.0, 0.0, 0.0)))
    rewards = lines(tmp_path / "export" / "train.reward.jsonl")
    assert [(one["reward"], one["advantage"]) for one in rewards] == [
        (0.0, -1.0), (10.0, 1.0), (0.0, -1.0), (10.0, 1.0),
    ]  # fmt: skip
    assert manifest.rewards == {"strategy": (5.0, 5.0)}
    assert manifest.without_reward == {"not followed": 2}
    assert len(lines(tmp_path / "export" / "train.chat.jsonl")) == 6


def test_menus_are_not_held_against_strategies(tmp_path: Path) -> None:
    log = Written(tmp_path)
    told, press = v.spell(v.SAFE), msgspec.to_builtins(Press("click", 1, text="Play"))
    for number, packed in enumerate(arena_states(2)):
        log.add(RequestId("a", 1, number), packed, told, 100.0 + number)
        id = RequestId("a", 1, 10 + number)
        log.add(id, menu_state(), press, 0.5 * number, question="menu", goal="start")
    log.close()
    manifest = exported(tmp_path, Plan(formats=("chat",), shares=(1.0, 0.0, 0.0)))
    assert manifest.rewards == {"strategy": (100.5, 0.5), "menu": (0.25, 0.25)}
    rewards = lines(tmp_path / "export" / "train.reward.jsonl")
    assert [one["advantage"] for one in rewards] == [-1.0, 1.0, -1.0, 1.0]


def test_what_was_tried_at_random_is_rewarded_and_in_no_chat(tmp_path: Path) -> None:
    log = Written(tmp_path)
    told, packed = v.spell(v.Directive(v.Verb.EXPLORE)), arena_states(1)[0]
    log.add(RequestId("a", 1, 1), packed, told, 1.0)
    log.add(RequestId("a", 1, 2), packed, told, 3.0, mode="explore")
    log.close()
    manifest = exported(tmp_path, Plan(formats=("jsonl", "chat"), shares=(1.0, 0.0, 0.0)))
    assert manifest.without_chat == {"tried at random": 1}
    assert [one["id"] for one in lines(tmp_path / "export" / "train.chat.jsonl")] == ["a/1/1"]
    rewards = lines(tmp_path / "export" / "train.reward.jsonl")
    assert [one["id"] for one in rewards] == ["a/1/1", "a/1/2"]
    rows = lines(tmp_path / "export" / "train.jsonl")
    assert [one["mode"] for one in rows] == ["rules", "explore"]


def test_a_run_is_one_episode_whoever_counts_it(tmp_path: Path) -> None:
    """A game goes on when its client starts again, with an epoch and numbers of its own."""
    log = Written(tmp_path)
    told, packed = v.spell(v.SAFE), arena_states(1)[0]
    for epoch, episode, run in ((1, 3, 8), (2, 0, 8), (2, 1, 9), (1, 5, 0), (2, 5, 0)):
        id = RequestId("a", epoch, episode)
        log.add(id, packed, told, 1.0, episode=episode, run=run)
    log.add(RequestId("b", 1, 3), packed, told, 1.0, run=8)
    log.add(RequestId("b", 1, 4), menu_state(), told, 1.0, episode=2)
    log.add(RequestId("b", 1, 5), b"", told, 1.0, episode=2)
    log.close()
    with Log(tmp_path) as opened:
        stories = {row.id: row.story for row in opened.rows()}
    assert stories["a/1/3"] == stories["a/2/0"]
    others = [stories[id] for id in ("a/1/3", "a/2/1", "a/1/5", "a/2/5", "b/1/3", "b/1/4")]
    assert len(set(others)) == len(others), "other runs, and those without a seed, are their own"
    assert stories["b/1/4"] == stories["b/1/5"] == "b/1/2"


def test_menus_and_requests_without_an_answer(tmp_path: Path) -> None:
    log = Written(tmp_path)
    press = msgspec.to_builtins(Press("click", 1, text="Play"))
    log.add(RequestId("a", 1, 1), menu_state(), press, 1.0, question="menu", goal="start")
    log.add(RequestId("a", 1, 2), arena_states(1)[0], {}, 0.0, status="rejected")
    log.close()
    manifest = exported(tmp_path, Plan(formats=("jsonl", "chat"), shares=(1.0, 0.0, 0.0)))
    assert manifest.without_chat == {"rejected": 1}
    (chat,) = lines(tmp_path / "export" / "train.chat.jsonl")
    said = msgspec.json.decode(chat["messages"][-1]["content"][0]["text"])
    with Log(tmp_path) as opened:
        row = next(r for r in opened.rows() if r.question == "menu")
    assert MenuPrompt(row.asked(), scene.read(row.packed)).from_json(said).choice == 1
    rows = lines(tmp_path / "export" / "train.jsonl")
    assert rows[0]["press"] == {"action": "click", "target_text": "Play", "choice": 1}
    assert rows[1]["directive"] is None
    assert rows[1]["action"] == {}


def test_backends_and_answered_rows_alone(tmp_path: Path) -> None:
    log = Written(tmp_path)
    packed, told = arena_states(1)[0], v.spell(v.SAFE)
    log.add(RequestId("a", 1, 1), packed, told, 1.0, backend="openai")
    log.add(RequestId("a", 1, 2), packed, told, 1.0)
    log.add(RequestId("a", 1, 3), packed, {}, 1.0, backend="openai", status="error")
    log.close()
    plan = Plan(formats=("jsonl",), backends=("openai",), answered=True)
    manifest = exported(tmp_path, plan)
    assert (sum(manifest.rows.values()), manifest.passed) == (1, 2)


def test_all_servers_of_a_backend_are_asked_for_by_its_name(tmp_path: Path) -> None:
    """The second url of `backend.url` is openai2."""
    log = Written(tmp_path)
    packed, told = arena_states(1)[0], v.spell(v.SAFE)
    for number, name in enumerate(("openai", "openai2", "openai12", "openaint", "rules")):
        log.add(RequestId("a", 1, number), packed, told, 1.0, backend=name)
    log.close()
    for backends, count in ((("openai",), 3), (("openai2",), 1), (("openai2", "rules"), 2)):
        plan = Plan(formats=("jsonl",), backends=backends)
        with Log(tmp_path) as opened:
            manifest = export.export(opened, tmp_path / f"{count}", plan)
        assert sum(manifest.rows.values()) == count


def test_damaged_rows_are_left_out_and_the_rest_is_there(tmp_path: Path) -> None:
    write(tmp_path, episodes=3, each=4)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE decisions SET reason=CAST(x'fffe' AS TEXT) WHERE sequence=8")
        connection.execute("UPDATE outcomes SET reward=9e999 WHERE sequence=9")
        for sequence, column, value in (
            (0, "state", b"\x00" * 40),
            (1, "answer", '{"action": "dance", "target": "hold"}'),
            (2, "answer", "{" * 2000),
            (3, "frames", b"\xc1"),
            (4, "probabilities", "[1"),
            (5, "state", "text"),
            (6, "goal", b"\xff\xfe"),
            (7, "reasoning", 5),
        ):
            connection.execute(
                f"UPDATE decisions SET {column}=? WHERE sequence=?", (value, sequence)
            )
    manifest = exported(tmp_path)
    assert sum(manifest.refused.values()) == 8
    assert sum(manifest.rows.values()) == 4  # a number that became a text is one


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no journal here"):
        Log(tmp_path)
    (tmp_path / FILE).write_bytes(b"not a database, whatever it is called" * 40)
    with pytest.raises(CorruptError, match="move it away"):
        Log(tmp_path)
    (tmp_path / FILE).unlink()
    write(tmp_path, episodes=1, each=1)
    with pytest.raises(ConfigError, match="format: csv"):
        exported(tmp_path, Plan(formats=("csv",)))
    with pytest.raises(ConfigError, match="split"):
        exported(tmp_path, Plan(shares=(0.9, 0.2, 0.1)))
    (tmp_path / "export").mkdir()
    with pytest.raises(FileExistsError, match="choose another directory"):
        exported(tmp_path)


def test_a_file_that_is_damaged_anywhere_is_said_to_be(tmp_path: Path) -> None:
    """Whatever is overwritten: an error that names the file, or fewer rows; never anything else."""
    random = np.random.default_rng(1)
    write(tmp_path, episodes=6, each=4)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = (tmp_path / FILE).read_bytes()
    said = []
    for _ in range(60):
        damaged = bytearray(whole)
        at = int(random.integers(100, len(whole) - 300))
        damaged[at : at + 300] = random.bytes(300)
        (tmp_path / FILE).write_bytes(damaged)
        try:
            with Log(tmp_path) as log:
                assert len(list(log.rows())) <= 24
                log.digest()
        except CorruptError as error:
            said.append(str(error))
    assert len(said) > 5
    assert all(FILE in message for message in said)


def test_half_a_data_set_is_never_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, episodes=1, each=3)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("metabonk.cognition.log.jsonlines.Lines.write", full)
    with pytest.raises(OSError, match="No space left"):
        exported(tmp_path)
    assert not [path for path in tmp_path.iterdir() if "export" in path.name]


def test_a_log_can_be_exported_while_it_grows(tmp_path: Path) -> None:
    log = Written(tmp_path)
    packed, told = arena_states(1)[0], v.spell(v.SAFE)
    for sequence in range(3):
        log.add(RequestId("a", 1, sequence), packed, told, 1.0)
    while log._waiting:
        pass
    with Log(tmp_path) as opened:
        rows = opened.rows()
        next(rows)
        log.add(RequestId("b", 1, 1), packed, told, 1.0)
        assert len(list(rows)) == 2  # what was there when it began
    log.close()


def test_parquet_holds_every_column(tmp_path: Path) -> None:
    table = pytest.importorskip("pyarrow.parquet")
    write(tmp_path, episodes=4, each=5, frames=1)
    plan = Plan(formats=("parquet",), shares=(1.0, 0.0, 0.0), frames=True)
    manifest = exported(tmp_path, plan)
    found = table.read_table(tmp_path / "export" / "train.parquet")
    assert found.num_rows == manifest.rows["train"] == 20
    assert set(found.column_names) == {*parquet.COLUMNS, "frames"}
    rows = found.to_pylist()
    with Log(tmp_path) as log:
        for row, kept in zip(log.rows(), rows, strict=True):
            assert kept["state"] == row.packed
            assert kept["reward"] == row.came.reward
            assert kept["action"] == (row.directive.action.value if row.directive else None)
            assert kept["frames"][0]["bytes"] == jpegs(1)[0]
            assert kept["enemies_nearby"] == situation.outlook(row.packed).near == row.near
    assert len({kept["enemies_nearby"] for kept in rows}) > 1
    assert table.read_table(tmp_path / "export" / "test.parquet").num_rows == 0


def test_how_many_are_near_is_what_was_said_or_within_ten_metres(tmp_path: Path) -> None:
    log, told = Written(tmp_path), v.spell(v.SAFE)
    far = [Entity(id=i, position=(500.0, float(i), 0.0)) for i in range(1, 30)]
    seen = GameState(fields=FieldGroup.EVERYTHING, entities=far, health=1.0, max_health=1.0)
    said = GameState(fields=FieldGroup.PLAYER, health=1.0, max_health=1.0)
    given = ((seen.pack(), 0), (said.pack(), 4), (b"", 0))
    for number, (packed, crowd) in enumerate(given):
        log.add(RequestId("a", 1, number), packed, told, 1.0, crowd=crowd)
    log.close()
    with Log(tmp_path) as opened:
        rows = list(opened.rows())
    assert [row.near for row in rows] == [0, 4, None]
    assert [row.crowd for row in rows] == [0, 4, 0]
    assert [known_layout(row)["state"]["enemies_nearby"] for row in rows] == [0, 4, None]
    before = dataclasses.replace(rows[0], outlook=None)
    assert before.near == 0, "of a journal that kept no outlook, not all that it kept"


def test_missing_pictures_are_counted(tmp_path: Path) -> None:
    write(tmp_path, episodes=1, each=2, frames=2)
    for path in (tmp_path / "frames").glob("*/*.jpg"):
        path.unlink()
    plan = Plan(formats=("chat",), shares=(1.0, 0.0, 0.0), frames=True)
    assert exported(tmp_path, plan).missing_frames == 4


def remove_all(folder: Path) -> None:
    """What removing old rows does, in one go and by somebody else."""
    with sqlite3.connect(folder / FILE) as connection:
        connection.execute("DELETE FROM decisions")
        connection.execute("DELETE FROM outcomes")


def test_rows_that_are_removed_meanwhile_are_exported_whole(tmp_path: Path) -> None:
    """Every pass over the log sees the moment at which the export began: means, rows, digest."""
    write(tmp_path, episodes=4, each=5)
    plan = Plan(formats=("jsonl",), shares=(1.0, 0.0, 0.0))
    with Log(tmp_path) as log:
        before = export.export(log, tmp_path / "before", plan)

    def removed(done: int) -> None:
        if done == 1:
            remove_all(tmp_path)

    with Log(tmp_path) as log:
        manifest = export.export(log, tmp_path / "export", plan, removed)
        assert list(log.rows()) == [], "and afterwards they are gone"
    assert manifest == before
    assert len(lines(tmp_path / "export" / "train.jsonl")) == 20


def test_still_is_one_moment_and_without_it_there_are_two(tmp_path: Path) -> None:
    write(tmp_path, episodes=1, each=4)
    with Log(tmp_path) as log:
        with log.still(), log.still():
            digest = log.digest()
            remove_all(tmp_path)
            assert log.digest() == digest
            assert len(list(log.rows())) == 4
        assert log.digest() != digest
