"""play/retrace.py: ticks decided again bit for bit, and everything that must not pass for that."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sessions import HZ, play, reach, session_at

from metabonk import _core
from metabonk.cognition.vocabulary import Compass, Directive, Hold, Verb
from metabonk.errors import ConfigError, CorruptError
from metabonk.games.arena import level_of
from metabonk.games.scripted import RandomPolicy
from metabonk.play import journal
from metabonk.play import ledger as ledgers
from metabonk.play.journal import HEADER_BYTES
from metabonk.play.ledger import (
    DIRECTIVE,
    INPUT,
    SEEN,
    TICK,
    Gate,
    path_of,
    read_journal,
    read_ledger,
)
from metabonk.play.live_games import ArenaLive
from metabonk.play.loop import CompiledDecider, Live, LoopSettings, PythonDecider
from metabonk.play.retrace import retrace
from metabonk.play.session import Session
from metabonk.records import ACTION_LAYOUT

Policies = tuple[Path, Path]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, policies: Policies) -> Session:
    """Two agents, a swap of weights, a directive; observations recorded as well."""
    session = session_at(tmp_path_factory.mktemp("retrace") / "s", agents=2)

    def meanwhile(live: Live) -> None:
        reach(live, 60)
        session.keep_artifact(policies[1])
        first = live.deciders[0]
        assert isinstance(first, CompiledDecider)
        first.swap(policies[1], timeout=30.0)
        live.direct(Directive(Verb.MOVE, Compass(3), 2.0), agent=0)
        reach(live, live.counts()["agents"][0]["decided"] + 100)

    play(session, policies[0], 0, meanwhile, record=True)
    return session


def without_recording(session: Session, to: Path) -> Session:
    shutil.copytree(session.directory, to)
    path_of(to, SEEN).unlink()
    return Session.open(to)


def decided(session: Session, agent: int, gate: Gate = Gate.DECIDED) -> list[int]:
    rows = read_ledger(session.directory).ticks
    rows = rows[(rows["agent"] == agent) & ((rows["gate"] & Gate.DECIDED) != 0)]
    return [int(tick) for tick in rows["tick"][(rows["gate"] & gate) != 0]]


@pytest.mark.parametrize("recorded", [True, False])
def test_ticks_are_decided_again_bit_for_bit(
    played: Session, tmp_path: Path, recorded: bool
) -> None:
    session = played if recorded else without_recording(played, tmp_path / "s")
    for agent in (0, 1):
        ticks = decided(session, agent)
        for tick in (ticks[0], ticks[len(ticks) // 2], ticks[-1]):
            found = retrace(session, tick, agent)
            assert found.decisions == ticks.index(tick) + 1 == found.counter + 1
    directed = decided(session, 0, Gate.DIRECTED)
    assert directed, "no tick was directed: nothing is tested"
    found = retrace(session, directed[0])
    assert found.directive.startswith("move compass:3")
    assert found.own.move != found.action.move
    ticks = decided(session, 0)
    hashes = {retrace(session, tick).artifact for tick in (ticks[0], ticks[-1])}
    assert len(hashes) == 2, "the swap is not in it: nothing is tested"


def test_a_recording_of_any_length_is_retraced(
    played: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(played.directory, SEEN)
    size = path.stat().st_size
    assert path_of(played.directory, "ledger").stat().st_size < size // 4
    monkeypatch.setattr(ledgers, "BYTES_MAX", size // 4)
    monkeypatch.setattr(journal, "PART_BYTES", size // 50)  # and it is read in parts
    ticks = decided(played, 1)
    for tick in (ticks[0], ticks[-1]):
        assert retrace(played, tick, 1).decisions == ticks.index(tick) + 1
    with pytest.raises(CorruptError, match=r"are taken in at once: read it a part at a time"):
        read_journal(path, SEEN, np.dtype([("bytes", "u1", 8)]))


@pytest.mark.parametrize("place", [0.1, 0.9])
def test_a_damaged_recording_is_refused(played: Session, tmp_path: Path, place: float) -> None:
    shutil.copytree(played.directory, tmp_path / "s")
    path = path_of(tmp_path / "s", SEEN)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 4
    path.write_bytes(data)
    with pytest.raises(CorruptError, match=r"seen\.bin is damaged at record"):
        retrace(Session.open(tmp_path / "s"), decided(played, 0)[len(decided(played, 0)) // 2])


def test_a_tick_that_was_not_recorded_is_named(played: Session, tmp_path: Path) -> None:
    shutil.copytree(played.directory, tmp_path / "s")
    path = path_of(tmp_path / "s", SEEN)
    data = path.read_bytes()
    record = int.from_bytes(data[12:16], "little")
    half = (len(data) - HEADER_BYTES) // record // 2
    path.write_bytes(data[: HEADER_BYTES + half * record])
    session = Session.open(tmp_path / "s")
    ticks = decided(session, 0)
    assert retrace(session, ticks[1]).decisions == 2
    with pytest.raises(CorruptError, match=r"the recording lacks tick \d+"):
        retrace(session, ticks[-1])


@pytest.fixture(scope="module")
def directed(tmp_path_factory: pytest.TempPathFactory, policies: Policies) -> Session:
    """A session in which one directive follows another."""
    session = session_at(tmp_path_factory.mktemp("directed") / "s")

    def meanwhile(live: Live) -> None:
        for verb in (Verb.EXPLORE, Verb.COLLECT, Verb.RETREAT, Verb.ATTACK, Verb.DEFEND):
            reach(live, live.counts()["agents"][0]["decided"] + 100)
            live.direct(Directive(verb, Hold(), 4.0))

    play(session, policies[0], 600, meanwhile, record=True)
    return session


@pytest.mark.parametrize("recorded", [True, False])
def test_directives_are_carried_out_again_bit_for_bit(
    directed: Session, tmp_path: Path, recorded: bool
) -> None:
    """What an executor does depends on all it did before: the way, what it chose, where it was."""
    session = directed if recorded else without_recording(directed, tmp_path / "s")
    ledger = read_ledger(session.directory)
    assert np.count_nonzero(ledger.directives["id"]) == 5  # and 0 where a run began
    ticks = ledger.ticks[(ledger.ticks["gate"] & (Gate.DECIDED | Gate.DIRECTED)) == 5]
    numbers = sorted(set(ticks["directive"].tolist()))
    assert len(numbers) >= 3, "too few directives fitted: nothing is tested"
    for number in numbers:
        mine = ticks["tick"][ticks["directive"] == number]
        some = mine[:: -max(1, len(mine) // 4)][:4].tolist()  # in any one both may go the same way
        found = [retrace(session, tick) for tick in some]
        assert all(one.directive for one in found)
        assert any(one.own.move != one.action.move for one in found)


def test_a_directive_that_its_run_took_along_is_not_carried_out_again(
    tmp_path: Path, policies: Policies
) -> None:
    session = session_at(tmp_path / "s")
    session.keep_artifact(policies[0])
    level = level_of({"time": {"duration": 1.0}}, 1)
    session.setup.level.update(msgspec.to_builtins(level))
    game = ArenaLive(level.pack(), session.setup.seeds, session.setup.frames, session, HZ)
    loop = LoopSettings(hz=HZ, cpu=-1, spin=0.0, stale=30.0)
    live = Live(game, [CompiledDecider(policies[0])], loop, session)
    live.start()
    try:
        reach(live, 10)
        given = live.direct(Directive(Verb.MOVE, Compass(3), 4.0))
        live.wait(lambda: live.counts()["agents"][0]["begun"] >= 3, seconds=60.0)
        reach(live, live.counts()["agents"][0]["decided"] + 20)
    finally:
        live.stop()
    ledger = read_ledger(session.directory)
    assert ledger.directives["id"].tolist() == [given, 0]
    ticks = ledger.ticks[(ledger.ticks["gate"] & Gate.DECIDED) != 0]
    last = int(ticks["tick"][ticks["directive"] == given][-1])
    began = int(ledger.directives["tick"][1])
    assert last < began
    until = int(ledger.directives["until"][0])
    tick = int(ticks["tick"][(ticks["tick"] > began) & (ticks["planned"] < until)][-1])
    assert retrace(session, last).directive
    assert not retrace(session, tick).directive


def test_another_directive_in_the_ledger_does_not_pass(directed: Session, tmp_path: Path) -> None:
    ledger = read_ledger(directed.directory)
    first = ledger.directives[0]
    assert DIRECTIVE.fields is not None
    data = path_of(directed.directory, "ledger").read_bytes()
    rows = np.frombuffer(data, DIRECTIVE, offset=HEADER_BYTES)
    place = int(np.flatnonzero((rows["entry"] == 2) & (rows["id"] == first["id"]))[0])
    at = HEADER_BYTES + place * DIRECTIVE.itemsize + DIRECTIVE.fields["action"][1]
    session = tampered(directed, tmp_path / "s", "ledger", at, DIRECTIVE.itemsize)
    chosen = ledger.ticks["directive"] == first["id"]
    chosen &= (ledger.ticks["gate"] & Gate.DECIDED) != 0
    with pytest.raises((CorruptError, ValueError)):
        retrace(session, int(ledger.ticks["tick"][chosen][-1]))


def test_frames_are_part_of_what_is_checked(tmp_path: Path, pixel_policy: Path) -> None:
    session = session_at(tmp_path / "s", frames=(24, 32))
    live = play(session, pixel_policy, 100)
    assert live.counts()["agents"][0]["faults"] == 0
    ticks = decided(session, 0)
    assert retrace(session, ticks[-1]).decisions == len(ticks) > 10
    setup = msgspec.structs.replace(session.setup, seeds=(8,))  # another game: other frames
    with pytest.raises(CorruptError, match="another hash"):
        retrace(Session(session.directory, setup), ticks[-1])


def test_frames_of_another_size_are_a_fault_and_counted(tmp_path: Path, pixel_policy: Path) -> None:
    session = session_at(tmp_path / "s", frames=(12, 16))
    counts = play(session, pixel_policy, 60).counts()["agents"][0]
    assert counts["decided"] == 0
    assert counts["faults"] > 5
    ticks = read_ledger(session.directory).ticks
    assert not ticks["action"][:, :9].any()  # nothing but the safe action ever left


def tampered(session: Session, to: Path, name: str, place: int, record: int) -> Session:
    """A copy in which one bit of a journal is another, its checksum made good."""
    copy = without_recording(session, to) if name != SEEN else session
    if name == SEEN:
        shutil.copytree(session.directory, to)
        copy = Session.open(to)
    path = path_of(copy.directory, name)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    at = HEADER_BYTES + (place - HEADER_BYTES) // record * record
    crc = _core.play.crc32c(bytes(data[at + 4 : at + record]))
    data[at : at + 4] = int(crc).to_bytes(4, "little")
    path.write_bytes(data)
    return copy


def row_at(session: Session, tick: int, agent: int = 1) -> int:
    """Where a tick's record begins in the file."""
    data = path_of(session.directory, "ledger").read_bytes()
    rows = np.frombuffer(data, TICK, offset=HEADER_BYTES)
    chosen = (rows["entry"] == 1) & (rows["agent"] == agent) & (rows["tick"] == tick)
    return HEADER_BYTES + int(np.flatnonzero(chosen)[0]) * TICK.itemsize


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("observation", "another hash"),
        ("memory", "recurrent state has another hash"),
        ("action", "differs from the one in the ledger"),
        ("artifact", "has no policy"),
    ],
)
def test_another_bit_in_the_ledger_does_not_pass(
    played: Session, tmp_path: Path, field: str, said: str
) -> None:
    tick = decided(played, 1)[40]
    assert TICK.fields is not None
    place = row_at(played, tick) + TICK.fields[field][1]
    session = tampered(played, tmp_path / "s", "ledger", place, TICK.itemsize)
    with pytest.raises((CorruptError, FileNotFoundError), match=said):
        retrace(session, tick, 1)
    retrace(session, decided(session, 1)[39], 1)  # what was before it still stands


def test_another_input_leads_to_another_observation(played: Session, tmp_path: Path) -> None:
    tick = decided(played, 1)[-1]
    inputs = np.frombuffer(path_of(played.directory, "inputs").read_bytes(), INPUT, -1, 64)
    walks = inputs["action"][:, 0] != 0  # not the first ones of a busy machine's, before it decided
    number = int(np.flatnonzero((inputs["agent"] == 1) & walks)[20])
    assert INPUT.fields is not None
    sign = HEADER_BYTES + number * INPUT.itemsize + INPUT.fields["action"][1] + 3
    session = without_recording(played, tmp_path / "s")
    data = bytearray(path_of(session.directory, "inputs").read_bytes())
    data[sign] ^= 0x80  # the other way
    at = HEADER_BYTES + number * INPUT.itemsize
    crc = _core.play.crc32c(bytes(data[at + 4 : at + INPUT.itemsize]))
    data[at : at + 4] = int(crc).to_bytes(4, "little")
    path_of(session.directory, "inputs").write_bytes(data)
    with pytest.raises(CorruptError, match="another hash"):
        retrace(session, tick, 1)


def test_inputs_that_end_early_are_said_to(played: Session, tmp_path: Path) -> None:
    session = without_recording(played, tmp_path / "s")
    path = path_of(session.directory, "inputs")
    path.write_bytes(path.read_bytes()[: HEADER_BYTES + 20 * INPUT.itemsize])
    retrace(session, decided(session, 0)[3])
    with pytest.raises(CorruptError, match="the inputs end after step 10"):
        retrace(session, decided(session, 0)[-1])


def test_other_weights_do_not_pass(played: Session, tmp_path: Path, policies: Policies) -> None:
    session = without_recording(played, tmp_path / "s")
    digest = CompiledDecider(policies[0]).hash
    shutil.rmtree(session.artifact_path(digest))
    shutil.copytree(policies[1], session.directory / "artifacts" / digest)
    with pytest.raises(CorruptError, match="another policy"):
        retrace(session, decided(session, 0)[0])


def test_a_game_without_a_recording_says_so(played: Session, tmp_path: Path) -> None:
    session = without_recording(played, tmp_path / "s")
    setup = msgspec.structs.replace(session.setup, game="bonklink")
    with pytest.raises(ConfigError, match="no recording of bonklink"):
        retrace(Session(session.directory, setup), decided(session, 0)[0])


def test_a_ledger_without_its_beginning_cannot_be_retraced(played: Session, tmp_path: Path) -> None:
    session = without_recording(played, tmp_path / "s")
    path = path_of(session.directory, "ledger")
    data = path.read_bytes()
    beginning = row_at(session, decided(session, 1)[0]) + TICK.itemsize
    path.write_bytes(data[:HEADER_BYTES] + data[beginning:])
    with pytest.raises(CorruptError, match="first decisions"):
        retrace(session, decided(session, 1)[-1], 1)


def test_a_policy_in_python_is_not_reproduced(tmp_path: Path) -> None:
    session = session_at(tmp_path / "s")
    play(session, PythonDecider(RandomPolicy(0, ACTION_LAYOUT), "random"), 120)
    with pytest.raises(ConfigError, match="on a thread of Python"):
        retrace(session, decided(session, 0)[-1])


def test_a_tick_in_which_nothing_was_decided_says_so(tmp_path: Path, policies: Policies) -> None:
    session = session_at(tmp_path / "s")

    def meanwhile(live: Live) -> None:
        reach(live, 30)
        live.game.stop()
        live.wait(lambda: live.counts()["agents"][0]["held"] > 5, seconds=60.0)

    play(session, policies[0], 30, meanwhile)
    rows = read_ledger(session.directory).ticks
    held = rows["tick"][(rows["gate"] & Gate.HELD) != 0]
    assert len(held) > 5
    with pytest.raises(ConfigError, match="nothing was decided"):
        retrace(session, int(held[-1]))
