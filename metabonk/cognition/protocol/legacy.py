"""Version 1 of the cognitive protocol, for agents that are deployed already: one part of JSON.

Knows v1's fields and how they become ours and back; does not know sockets, or who decides. What v1
does wrong is not passed on: a strip whose last frame repeats the current one is put in order, and
an error is an error, with no directive (v1's own fallback was "retreat to (0, 0)").

    {agent_id, frames: [1–9 base64 JPEGs], state, timestamp}       also behind an empty part
    {agent_id, reasoning, goal, strategy, directive: {action, target: [x, y], duration_seconds,
     priority}, confidence, inference_time_ms, timestamp}          + status, and error where not ok
    {agent_id, decision_id, outcome: {reward, …}}                  alone, or with the next request

The answer has the parts that the question had: a v1 client that got an empty part before its answer
took that for the answer and waited for ever. Of outcomes version 1 has the words of its log
(`decision_id`, the timestamp of a reply) and no message: who sends them has them joined.
"""

from __future__ import annotations

import base64
import binascii
import math
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from metabonk.cognition import vocabulary as v
from metabonk.cognition.protocol import state_v1
from metabonk.cognition.protocol.state_v1 import Said
from metabonk.cognition.protocol.wire import (
    AgentName,
    Buffer,
    FrameInfo,
    Limits,
    Reply,
    WireError,
    check_jpeg,
    check_plain,
)
from metabonk.cognition.question import Answer
from metabonk.errors import CorruptError
from metabonk.records import FieldGroup, GameState

JSON_BYTES = 6 << 20  # nine frames of 640x360 in base64 take 0.7 MB
PATIENCE = 5.0  # seconds: v1 names no deadline, and drops a directive after as many
STRIP = 9
_STEP_NS = 16_666_667  # between frames of a v1 strip: they are of successive ticks
_FAR = 10.0  # metres: how far away the place lies that a direction becomes

# Ours -> v1's verbs. `click` has none.
VERBS: Mapping[v.Verb, str] = {
    v.Verb.MOVE: "move",
    v.Verb.ATTACK: "attack",
    v.Verb.DEFEND: "defend",
    v.Verb.RETREAT: "retreat",
    v.Verb.COLLECT: "collect",
    v.Verb.EXPLORE: "move",
    v.Verb.INTERACT: "move",
    v.Verb.HOLD: "defend",
}
PRIORITIES = {
    v.Priority.LOW: "low",
    v.Priority.NORMAL: "medium",
    v.Priority.HIGH: "high",
    v.Priority.CRITICAL: "critical",
}


class _Outcome(msgspec.Struct):
    """damage_taken: version 1's word for health that was lost."""

    reward: float
    health_change: float = 0.0
    damage_taken: float = 0.0
    kills: Annotated[int, Meta(ge=0, le=2**31)] = 0
    xp: float = 0.0
    alive: bool = True
    applied: bool | None = None


class _Request(msgspec.Struct):
    agent_id: AgentName
    frames: Annotated[list[str], Meta(max_length=STRIP)] | UnsetType = UNSET
    state: dict[str, Any] | UnsetType = UNSET
    timestamp: float = 0.0
    decision_id: float | None = None
    outcome: _Outcome | None = None


class Came(NamedTuple):
    """What a v1 agent says of an outcome. decision: its reply's timestamp, None for the last one.
    applied: None where it does not say whether it followed."""

    decision: float | None
    reward: float
    health_change: float
    kills: int
    xp: float
    alive: bool
    applied: bool | None


class Asked(NamedTuple):
    """What a v1 client asked. offsets: of the frames, nanoseconds from the current one, and whether
    it was predicted. came: of an earlier decision. asks: False where that is all it says."""

    agent: str
    frames: list[bytes]
    offsets: list[tuple[int, bool]]
    said: Said
    enveloped: bool
    came: Came | None = None
    asks: bool = True


def is_v1(parts: Sequence[Buffer]) -> bool:
    """Whether a message is of version 1: no v2 header begins as JSON does."""
    bare = len(parts) == 1 or (len(parts) == 2 and not len(parts[0]))
    return bare and bytes(parts[-1][:64]).lstrip()[:1] == b"{"


def read(parts: Sequence[Buffer], limits: Limits, points: bool = False) -> Asked:
    """A v1 request. points: as of `state_v1.read`. Raises WireError; nothing is unfolded that is
    larger than allowed."""
    text = parts[-1]
    if len(text) > JSON_BYTES:
        raise WireError("too_large", f"{len(text):,} bytes of JSON, {JSON_BYTES:,} are allowed")
    try:
        asked = msgspec.json.decode(text, type=_Request)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise WireError("malformed", f"version 1: {error}") from error
    came = None if asked.outcome is None else _came(asked.outcome, asked.decision_id)
    state = {} if asked.state is UNSET else asked.state
    coded = [] if asked.frames is UNSET else asked.frames
    check_plain(state, "state")
    frames = [_frame(text, index, limits) for index, text in enumerate(coded)]
    kept, offsets = in_order(frames)
    asks = came is None or asked.state is not UNSET or asked.frames is not UNSET
    said = state_v1.read(state, points)
    return Asked(asked.agent_id, kept, offsets, said, len(parts) == 2, came, asks)


def _came(outcome: _Outcome, decision: float | None) -> Came:
    """Raises WireError for a number that is not finite."""
    health = outcome.health_change - outcome.damage_taken  # of two large ones it may be infinite
    said = msgspec.structs.asdict(outcome) | {"decision_id": decision}
    check_plain(said | {"health_change - damage_taken": health}, "outcome")
    return Came(
        decision, outcome.reward, health, outcome.kills, outcome.xp, outcome.alive,
        outcome.applied,
    )  # fmt: skip


def in_order(frames: list[bytes]) -> tuple[list[bytes], list[tuple[int, bool]]]:
    """A v1 strip as it was meant: frames, and of each its nanoseconds from the current one and
    whether it was predicted.

    v1's own buffer holds five frames, so nine come as t−4 … t, three predictions, and t again,
    which is left out. Nine others are five past, the current and three predicted ones; fewer are
    the past up to the current one.
    """
    current, predicted = len(frames) - 1, 0
    if len(frames) == STRIP:
        repeats = frames[8] == frames[4]
        frames = frames[:8] if repeats else frames
        current, predicted = (4, 3) if repeats else (5, 3)
    past = [((index - current) * _STEP_NS, False) for index in range(len(frames) - predicted)]
    ahead = [((index + 1) * _STEP_NS, True) for index in range(predicted)]
    return frames, past + ahead


def infos(asked: Asked, now_ns: int) -> list[FrameInfo]:
    """The frames' times, counting from now: v1's timestamps are of clocks that nobody compared."""
    return [FrameInfo(max(0, now_ns + offset), predicted) for offset, predicted in asked.offsets]


def write(
    agent: str,
    reply: Reply,
    said: Said | None,
    answer: Answer | None,
    enveloped: bool,
    timestamp: float = 0.0,
) -> list[Buffer]:
    """The answer to a v1 client. A reply that is not ok or a fallback carries no directive.

    said: with the question; None where it could not be read. timestamp: seconds since 1970, by
    which an outcome may name the decision; 0: now.
    """
    words: dict[str, Any] = {
        "agent_id": agent,
        "reasoning": reply.reasoning or reply.reason,
        "goal": answer.goal if answer else "",
        "strategy": answer.strategy if answer else "",
        "directive": says(reply, said),
        "confidence": reply.confidence,
        "inference_time_ms": reply.server_ms,
        "timestamp": timestamp or time.time(),
        "status": reply.status,
    }
    if reply.status not in ("ok", "fallback"):
        words["error"] = True
    text = msgspec.json.encode(words)
    return [b"", text] if enveloped else [text]


def says(reply: Reply, said: Said | None) -> dict[str, Any]:
    """The directive of a reply in v1's words; empty for a refusal, and for what v1 cannot say."""
    if said is None or reply.status not in ("ok", "fallback"):
        return {}
    return directive_of(v.read(reply.answer), said.state, said.placed)


def directive_of(directive: v.Directive, state: GameState, placed: bool = True) -> dict[str, Any]:
    """A directive in v1's words: its target as a place of the world, [x east, y north] in metres.

    placed: whether the state's position was said. Empty for what v1 cannot say: a click, exploring
    no matter where (which v1 does when it is told nothing), or a place that is not known.
    """
    verb = VERBS.get(directive.action)
    place = _place(directive, state, placed)
    if verb is None or (place is None and directive.action is not v.Verb.RETREAT):
        return {}
    words: dict[str, Any] = {
        "action": verb,
        "duration_seconds": directive.seconds,
        "priority": PRIORITIES[directive.priority],
    }
    if place is not None:
        words["target"] = [round(place[0], 3), round(place[1], 3)]
    return words


def _place(directive: v.Directive, state: GameState, placed: bool) -> tuple[float, float] | None:
    target, action = directive.target, directive.action
    for kind, things in ((v.Entity, state.entities), (v.Pickup, state.pickups)):
        if isinstance(target, kind):
            found = next((t.position for t in things if t.id == target.id), None)
            if found is None:
                return None
            if action is v.Verb.RETREAT and kind is v.Entity:
                return _away(state, found)
            return found[0], found[1]
    if not (placed and state.fields & FieldGroup.PLAYER):
        return None
    x, y, _ = state.position
    if isinstance(target, v.Compass):
        angle = 2.0 * math.pi * target.bin / v.COMPASS_BINS
        return x + _FAR * math.cos(angle), y + _FAR * math.sin(angle)
    if state.entities and action in (v.Verb.RETREAT, v.Verb.ATTACK):
        near = min(state.entities, key=lambda e: math.dist(e.position, state.position)).position
        return _away(state, near) if action is v.Verb.RETREAT else (near[0], near[1])
    return None if action in (v.Verb.RETREAT, v.Verb.EXPLORE) else (x, y)


def _away(state: GameState, threat: tuple[float, float, float]) -> tuple[float, float] | None:
    if not state.fields & FieldGroup.PLAYER:
        return None
    x, y, _ = state.position
    dx, dy = x - threat[0], y - threat[1]
    length = math.hypot(dx, dy)
    if length < 1e-6:
        dx, dy, length = 1.0, 0.0, 1.0
    return x + _FAR * dx / length, y + _FAR * dy / length


def _frame(text: str, index: int, limits: Limits) -> bytes:
    if len(text) > limits.frame_bytes * 4 // 3 + 4:
        raise WireError("too_large", f"frames[{index}]: {len(text):,} characters of base64")
    try:
        jpeg = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise WireError("malformed", f"frames[{index}]: not base64 ({error})") from error
    try:
        check_jpeg(jpeg, limits.pixels)
    except CorruptError as error:
        raise WireError("jpeg", f"frames[{index}]: {error}") from error
    return jpeg
