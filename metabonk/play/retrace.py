"""Retracing: one tick of a session decided again, bit for bit, from what was kept.

Knows sessions, the ledger, recorded observations, and how the arena is played again from its seed
and its inputs. Every
decision up to the tick is made again by the policy that was in use then: its recurrent state is
reproduced, not trusted. What each decision saw and what it had in memory is compared with the
ledger's hashes, and its action with the ledger's bits.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from metabonk import _core, artifact
from metabonk.errors import ConfigError, CorruptError
from metabonk.games.level import parse
from metabonk.link import research_shm
from metabonk.observations import OBSERVATION_SPACE, observe_into
from metabonk.play.compiled import OWN, CompiledPolicy, load
from metabonk.play.directive import NOTHING, ActionNumber, of_ledger, told
from metabonk.play.journal import JournalReader
from metabonk.play.ledger import (
    SEEN,
    Gate,
    Ledger,
    path_of,
    read_inputs,
    read_ledger,
    seen_record,
)
from metabonk.play.session import Session
from metabonk.protocols import FloatArray
from metabonk.records import GAME_STATE, Action

Array = npt.NDArray[Any]

_PRESSES = slice(9, 12)  # choice and click in a row
_CHANGED = 1  # Applied::kChanged of csrc/play/directive.h
_STATELESS = (ActionNumber.NONE, ActionNumber.HOLD, ActionNumber.CLICK)  # need no entities


@dataclass(frozen=True)
class Retraced:
    """A tick that was decided again. decisions: how many were, up to it. own: the policy's action;
    action: as it was sent. directive: of it, for people; empty for none."""

    tick: int
    agent: int
    decisions: int
    artifact: str
    counter: int
    own: Action
    action: Action
    directive: str


@dataclass
class _Pilot:
    """The policy of a session, decision after decision, with the weights of each moment."""

    session: Session
    policy: CompiledPolicy | None = None
    digest: str = ""
    observation: dict[str, Array] = field(default_factory=dict)
    bound: Any = None

    def take(self, digest: str) -> None:
        """Uses the weights of that hash from now on; the recurrent state stays."""
        if digest == self.digest:
            return
        path = self.session.artifact_path(digest)
        if artifact.load(path).hash != digest:
            raise CorruptError(f"{path} is another policy than its name says: restore it")
        loaded = load(path)
        if self.policy is None:
            self.policy = loaded
            self.observation = {
                name: np.zeros(sizes, dtype)
                for name, (dtype, sizes) in loaded.inputs.items()
                if name not in OWN
            }
            self.bound = loaded.bind(self.observation)
        else:
            self.policy.swap(loaded)
        self.digest = digest


def retrace(session: Session, tick: int, agent: int = 0) -> Retraced:
    """Decides tick `tick` of `agent` again.

    Raises ConfigError where there is nothing to decide again (there is no such tick, it held the
    last action, a policy in Python decided, the game was not recorded), CorruptError at the first
    hash or bit that differs.
    """
    ledger = read_ledger(session.directory)
    row = ledger.ticks[ledger.at(tick, agent)]
    _refuse(row)
    of_agent = ledger.ticks[ledger.ticks["agent"] == agent]
    decided = of_agent[((of_agent["gate"] & Gate.DECIDED) != 0) & (of_agent["tick"] <= tick)]
    if len(decided) == 0 or int(decided["counter"][0]) != 0:
        raise CorruptError(
            f"the ledger lacks this agent's first decisions: the recurrent state before tick {tick}"
            " cannot be made again"
        )
    pilot = _Pilot(session)
    own = sent = np.zeros(0, np.float32)
    directive = ""
    with contextlib.ExitStack() as stack:
        game = _game(session, agent, bytes(row["artifact"]).hex(), stack)
        hands = _hands(session, ledger, agent, game)
        for number, one in enumerate(decided):
            if int(one["counter"]) != number:
                raise CorruptError(f"the ledger lacks decisions before tick {int(one['tick'])}")
            own, state = _decide(pilot, game, one)
            heard = own.copy()
            if int(one["gate"]) & Gate.MUTED:
                heard[_PRESSES] = Action().row()[_PRESSES]
            sent, directive = hands.carry(one, heard, state)
    if int(row["gate"]) & Gate.RELEASED:
        sent[_PRESSES] = Action().row()[_PRESSES]
    if sent.tobytes() != row["action"].tobytes():
        raise CorruptError(
            f"tick {tick}: the action that is decided again differs from the one in the ledger: "
            f"{sent.tolist()} against {row['action'].tolist()}"
        )
    return Retraced(
        tick=tick,
        agent=agent,
        decisions=len(decided),
        artifact=pilot.digest,
        counter=int(row["counter"]),
        own=Action.from_row(own),
        action=Action.from_row(sent),
        directive=directive,
    )


def _refuse(row: Array) -> None:
    tick = int(row["tick"])
    if not int(row["gate"]) & Gate.DECIDED:
        raise ConfigError(
            f"tick {tick}: nothing was decided in it, the last action or the safe one was sent; "
            "`metabonk why` says more"
        )
    if not row["artifact"].any():
        raise ConfigError(
            f"tick {tick}: a policy on a thread of Python decided, whose own state is not kept: "
            "only compiled policies are reproduced bit for bit"
        )


class _Game(Protocol):
    """Where the observations of decisions come from."""

    def see(self, row: Array, observation: dict[str, Array]) -> bytes:
        """Fills the observation of a tick, which is none before the one asked for last; returns its
        state, as far as directives need it."""


@dataclass
class _Hands:
    """What carried directives out: they are carried out again, in every decision's state.

    given: DIRECTIVE [D] of the agent, as they were taken up. world: where whole states come from;
    None where they are not kept. seen_whole: whether a decision's own state is whole.
    """

    given: Array
    executor: Any
    world: _Arena | None
    seen_whole: bool

    def carry(self, row: Array, own: FloatArray, state: bytes) -> tuple[FloatArray, str]:
        """The action of a decided tick with its directive, and what that was, for people."""
        if len(self.given) == 0:
            return own.copy(), ""
        tick, number = int(row["tick"]), int(row["directive"])
        before = self.given[self.given["tick"] <= tick]
        found = before[-1] if len(before) else None
        given = NOTHING if found is None else of_ledger(found)
        if self.world is not None and not self.seen_whole:
            state = self.world.see(row, {})
        elif not self.seen_whole and given.action not in _STATELESS:
            if number == 0:
                return own.copy(), ""  # it was over, or fitted nothing
            raise ConfigError(
                f"tick {tick}: {told(given)} cannot be carried out again: recordings of this game "
                "keep no entities and pickups; `metabonk why` says what is known"
            )
        until = 0 if found is None else int(found["until"])
        identity = 0 if found is None else int(found["id"])
        planned = int(row["planned"])
        try:
            applied: Any = self.executor.apply(identity, *given, until, state, planned, own)
        except ValueError as error:
            raise CorruptError(f"tick {tick}: directive {identity}: {error}") from error
        sent, outcome = applied
        if (identity if outcome == _CHANGED else 0) != number:
            raise CorruptError(
                f"tick {tick}: by the ledger directive {number} changed the action, carried out "
                f"again it is {identity if outcome == _CHANGED else 'none'}"
            )
        return sent, f"{told(given)}, priority {given.priority}" if number else ""


@dataclass
class _Arena:
    """The arena of one agent, played again input by input."""

    batch: Any
    inputs: Array
    buffers: Any
    frames: tuple[int, int]
    step: int = 0

    def see(self, row: Array, observation: dict[str, Array]) -> bytes:
        self._play_to(int(row["sequence"]))
        state = np.frombuffer(bytearray(self.batch.game_state(0)), GAME_STATE)
        state["dt"] = row["dt"]
        wanted = {k: a for k, a in observation.items() if k in OBSERVATION_SPACE.spaces}
        observe_into(state, wanted)
        if "pixels" in observation:
            observation["pixels"][0] = self.batch.render(0, *self.frames)
        return state.tobytes()

    def _play_to(self, sequence: int) -> None:
        """Until the capture of that sequence; 1 is the beginning."""
        if sequence - 1 > len(self.inputs):
            raise CorruptError(
                f"the inputs end after step {len(self.inputs)}, the ledger saw {sequence - 1}: the "
                "disk lost the end"
            )
        while self.step < sequence - 1:
            self.batch.step(self.inputs["action"][self.step][None], self.buffers)
            self.step += 1


class _Recorded:
    """Observations as they were recorded, of seen_record: read on from one to the next, since the
    frames of an hour are more than memory should hold."""

    def __init__(self, recording: JournalReader, agent: int) -> None:
        parts = (rows[rows["agent"] == agent] for rows in recording.parts())
        self._rows: Iterator[Array] = itertools.chain.from_iterable(parts)
        self._at: Array | None = None

    def see(self, row: Array, observation: dict[str, Array]) -> bytes:
        tick = int(row["tick"])
        found = self._at
        while found is None or int(found["tick"]) < tick:
            found = self._at = next(self._rows, None)
            if found is None:
                break
        if found is None or int(found["tick"]) != tick:
            raise CorruptError(
                f"the recording lacks tick {tick}: its queue was full, or it is torn"
            )
        data, at = found["observation"].tobytes(), 0
        for array in observation.values():
            array[...] = np.frombuffer(data, array.dtype, array.size, at).reshape(array.shape)
            at += array.nbytes
        state = np.zeros((), GAME_STATE)
        raw = state.reshape(1).view(np.uint8)
        raw[: len(found["head"])] = found["head"]
        widgets = GAME_STATE.fields["widgets"][1]  # type: ignore[index]
        raw[widgets : widgets + len(found["widgets"])] = found["widgets"]
        return state.tobytes()


def _game(session: Session, agent: int, digest: str, stack: contextlib.ExitStack) -> _Game:
    """The session's recording, which `stack` closes, else its arena. Raises ConfigError where there
    is neither."""
    if path_of(session.directory, SEEN).exists():
        inputs = load(session.artifact_path(digest)).inputs
        sizes = [
            dtype.itemsize * math.prod(shape)
            for name, (dtype, shape) in inputs.items()
            if name not in OWN
        ]
        record = seen_record(sum(sizes))
        recording = JournalReader(path_of(session.directory, SEEN), SEEN, record)
        return _Recorded(stack.enter_context(recording), agent)
    if session.setup.game == "arena":
        return _arena(session, agent)
    raise ConfigError(
        f"{session.directory} has no recording of {session.setup.game} to take observations from: "
        "play with --record; without one nothing can be checked"
    )


def _arena(session: Session, agent: int) -> _Arena:
    setup = session.setup
    inputs = read_inputs(session.directory)
    inputs = inputs[inputs["agent"] == agent]
    if not np.array_equal(inputs["step"], np.arange(1, len(inputs) + 1)):
        raise CorruptError(f"{session.directory}: inputs are missing, the game cannot be played on")
    if agent >= len(setup.seeds):
        raise CorruptError(f"{session.directory}: its card has no seed of agent {agent}")
    level = parse(setup.level)
    batch = _core.arena.Batch(level.pack(), 1, 1)
    outcome = (np.zeros(1, np.float32), *(np.zeros(1, np.bool_) for _ in range(3)))
    buffers = batch.bind({"dt": np.zeros((1, 1), np.float32)}, *outcome)
    batch.reset(np.array([setup.seeds[agent] % 2**64], np.uint64), buffers)
    return _Arena(batch, inputs, buffers, setup.frames)


def _decide(pilot: _Pilot, game: _Game, row: Array) -> tuple[FloatArray, bytes]:
    """One decision again: its action and the state. Raises CorruptError where a hash differs."""
    tick = int(row["tick"])
    pilot.take(bytes(row["artifact"]).hex())
    assert pilot.policy is not None
    state = game.see(row, pilot.observation)
    seen = _core.play.digest([_bytes(array) for array in pilot.observation.values()])
    if tuple(int(x) for x in row["observation"]) != seen:
        raise CorruptError(f"tick {tick}: what is observed again has another hash than the ledger")
    memory = _core.play.digest([_bytes(array) for array in pilot.policy.states()])
    if int(row["memory"]) != memory[0]:
        raise CorruptError(f"tick {tick}: the recurrent state has another hash than in the ledger")
    if int(row["gate"]) & Gate.BEGINS:
        pilot.policy.reset()
    action: FloatArray = pilot.bound.step()[0].copy()
    return research_shm.widened(action) if len(action) == research_shm.COLUMNS else action, state


def _hands(session: Session, ledger: Ledger, agent: int, game: _Game) -> _Hands:
    """What carries directives out again. The arena's states come from its inputs, whatever else
    was recorded: a recording keeps no entities."""
    given = ledger.directives[ledger.directives["agent"] == agent]
    if session.setup.game != "arena":
        return _Hands(given, _core.play.Executor(None), None, False)
    world = game if isinstance(game, _Arena) else _arena(session, agent) if len(given) else None
    executor = _core.play.Executor(parse(session.setup.level).pack())
    return _Hands(given, executor, world, isinstance(game, _Arena))


def _bytes(array: Array) -> Array:
    return np.ascontiguousarray(array).view(np.uint8).reshape(-1)
