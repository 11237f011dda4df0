"""What happened: the newest sight of a game, what in it is urgent, and what came of a decision.

Knows packed states (records.GameState) and how to add up what changes between them; does not know
requests on the wire, who decides, or how a game is reached. Sums go over deaths and new runs, so
that no gain is counted twice and none is lost by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from msgspec import UNSET, UnsetType

from metabonk.cognition.protocol.wire import Outcome, RequestId, Status, Trigger
from metabonk.cognition.vocabulary import Directive
from metabonk.protocols import Array
from metabonk.records import GAME_STATE, EntityFlag, FieldGroup

LOW_HEALTH = 0.3  # share of full health below which help is urgent
RECOVERED = 0.4  # share from which falling below LOW_HEALTH is news again
PLAYING_MENUS = ("", "None", "Gameplay")
_NS = 1_000_000_000
# Plain numbers, as every sight is looked at: operations on flags take longer than on arrays.
_PLAYER, _PROGRESS = int(FieldGroup.PLAYER), int(FieldGroup.PROGRESS)
_BOSS, _BOSS_OR_SHOT = int(EntityFlag.BOSS), int(EntityFlag.BOSS | EntityFlag.PROJECTILE)


# How a run has ended: empty while it goes on; left: its time was up, or it was left or begun anew.
Ending = Literal["", "died", "won", "left"]


@dataclass(frozen=True, slots=True)
class Sight:
    """What a game shows at one moment.

    packed: records.GameState.pack() bytes. captured_ns: monotonic nanoseconds when it was so.
    pixels: uint8 [H, W, 3], top row first, which must not change afterwards; None without.
    pixels_ns: monotonic nanoseconds when the pixels were so, not after the state; 0: with it.
    reward: the game's, summed since it was first looked at. run: another number once a run began
    anew. end: how the run has ended, if that is known. before: the last sight of the run before,
    where that is news. in_force: the directive that was followed then, from who keeps that himself;
    UNSET where it is what the client put in force last.
    """

    packed: bytes
    captured_ns: int
    pixels: Array | None = None
    reward: float = 0.0
    run: int = 0
    in_force: Directive | UnsetType | None = UNSET
    pixels_ns: int = 0
    end: Ending = ""
    before: Sight | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums up to a moment. health: points now; end: how the run has ended. left_with: points of
    health when the run before was seen last."""

    at_ns: int = 0
    reward: float = 0.0
    health: float = 0.0
    kills: int = 0
    xp: float = 0.0
    run: int = 0
    end: Ending = ""
    left_with: float = 0.0

    def parts(self, since: Totals) -> bool:
        """Whether the run that went on at `since` is over."""
        return self.run != since.run or bool(self.end and not since.end)


def record_of(packed: bytes) -> Any:
    """The fields of a packed state, without unpacking its lists. Raises ValueError for a size."""
    if len(packed) != GAME_STATE.itemsize:
        raise ValueError(f"packed: {len(packed)} bytes, a GameState has {GAME_STATE.itemsize}")
    return np.frombuffer(packed, GAME_STATE)[0]


def menu_of(record: Any) -> str:
    """Name of the open menu; empty while playing."""
    name = bytes(record["menu"]).decode("utf-8", "replace")
    return "" if name in PLAYING_MENUS else name


def has_boss(record: Any) -> bool:
    flags = record["entities"]["flags"][: int(record["entity_count"])]
    return bool(((flags & _BOSS_OR_SHOT) == _BOSS).any())  # and no projectile of one


def health_share(record: Any) -> float:
    """0..1 of full health; 1 where the state does not say."""
    most = float(record["max_health"])
    known = int(record["fields"]) & _PLAYER and most > 0.0
    return min(max(float(record["health"]) / most, 0.0), 1.0) if known else 1.0


class Triggers:
    """Tells once, when it begins, that something is urgent: low health, a boss, a menu."""

    def __init__(self) -> None:
        self._low = self._boss = False
        self._menu = ""

    def update(self, record: Any) -> Sequence[Trigger]:
        """What became urgent with this state, the most urgent first."""
        found: list[Trigger] = []
        share = health_share(record)
        if share < LOW_HEALTH and not self._low:
            self._low = True
            found.append("health")
        elif share >= RECOVERED:
            self._low = False
        boss = has_boss(record)
        if boss and not self._boss:
            found.append("boss")
        self._boss = boss
        menu = menu_of(record)
        if menu and menu != self._menu:
            found.append("menu")
        self._menu = menu
        return found


class Tally:
    """Adds up what changes from one sight to the next. record: the fields of the last one, None
    before it. One thread."""

    def __init__(self) -> None:
        self.totals = Totals()
        self.record: Any = None

    def update(self, sight: Sight) -> Any:
        """Takes the next sight; returns its fields. Raises ValueError for a state that is none."""
        now, before, totals = record_of(sight.packed), self.record, self.totals
        kills, xp = totals.kills, totals.xp
        if before is not None and sight.run == totals.run:
            kills += max(int(now["kills"]) - int(before["kills"]), 0)
            xp += earned(before, now)
        elif int(now["fields"]) & _PROGRESS and before is not None:
            kills += int(now["kills"])  # of the run that began meanwhile
        dead = before is not None and int(now["fields"]) & _PLAYER and float(now["health"]) <= 0.0
        self.totals = Totals(
            sight.captured_ns, _finite(sight.reward), _finite(float(now["health"])), kills,
            _finite(xp), sight.run, sight.end or ("died" if dead else ""),
            totals.left_with if sight.run == totals.run else totals.health,
        )  # fmt: skip
        self.record = now
        return now


def earned(before: Any, now: Any) -> float:
    """Experience between two states of a run; it starts again from 0 at each level."""
    if int(now["level"]) <= int(before["level"]):
        return max(float(now["xp"]) - float(before["xp"]), 0.0)
    rest = max(float(before["xp_next"]) - float(before["xp"]), 0.0)
    return rest + max(float(now["xp"]), 0.0)


@dataclass(slots=True)
class Window:
    """The seconds after one request, until its outcome is known."""

    id: RequestId
    since: Totals
    until_ns: int
    applied: bool = False
    age_ms: float = 0.0
    status: Status | str = "lost"

    def over(self, totals: Totals) -> bool:
        """Whether the seconds have passed, or the run has ended before them."""
        return totals.at_ns >= self.until_ns or totals.parts(self.since)

    def outcome(self, totals: Totals) -> Outcome:
        """What happened since, up to `totals`. A run that is gone without a word of its end was
        left: nobody died that nobody saw."""
        since = self.since
        same = totals.run == since.run
        return Outcome(
            id=self.id,
            applied=self.applied,
            seconds=min(max(totals.at_ns - since.at_ns, 0) / _NS, 3600.0),
            reward=totals.reward - since.reward,
            health_change=(totals.health if same else totals.left_with) - since.health,
            kills=max(totals.kills - since.kills, 0),
            xp=max(totals.xp - since.xp, 0.0),
            alive=(totals.end if same else since.end) != "died",
            age_ms=self.age_ms,
            status=self.status,  # type: ignore[arg-type]  # one of the Outcome's own words
        )


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
