"""Rewards and ends of episodes worked out from states, where a game says neither.

Knows GameState's fields and the reward terms of the arena's levels; does not know transports. A
game of ours says both itself (BonkLink's trailer STEP) and this is not asked. Everything else,
every v1 plugin among them, carries states only.

Terms (level.Reward, the arena's own weights) and what each is worked out from:

| term | from | group of fields |
| --- | --- | --- |
| alive | seconds that `time` moved on | PLAYER |
| damage_taken, heal | falls and rises of `health` (of health and shield where carried) | PLAYER |
| death, victory | how the episode ended, see `End` | PLAYER, MENU |
| level | rises of `level`; without PROGRESS, menus called LevelUp that opened | PROGRESS or MENU |
| kill | rises of `kills` | PROGRESS |
| xp | rises of `xp`, over the threshold of a level too | PROGRESS |
| gold | rises of `gold` | PROGRESS |
| boss | bosses that were there and are not any more while the player lives | ENTITY_DETAIL |
| chest | chests and shrines that were there and are gone | PICKUPS |
| damage_dealt | nothing: no transport carries it, and its weight must be 0 | - |

What the arena counts exactly, states show only by what is left between two of them: damage and
healing within one decision cancel out, and gold that is earned and spent shows its rise only.
"""

from __future__ import annotations

import enum
import math
from typing import Any

import numpy as np

from metabonk.errors import ConfigError
from metabonk.games.level import Reward
from metabonk.records import EntityFlag, FieldGroup, PickupKind

# Menus that open while a run goes on, by the beginning of their names, in lower case.
DURING = ("none", "gameplay", "levelup", "chest", "pause", "encounter", "shrine", "upgrade")
_WON = ("victory", "win", "won")

State = np.void  # a GAME_STATE scalar


class End(enum.IntEnum):
    """How an episode ended. LEFT: its time was up, it was left or began anew; nobody died."""

    NO = 0
    DIED = 1
    WON = 2
    LEFT = 3


def menu_of(state: State) -> str:
    """The open menu's name as the game writes it; empty where nothing carries it."""
    return bytes(state["menu"]).decode("utf-8", "replace")


def in_run(state: State) -> bool:
    """Whether a run goes on, if with a menu open. v1 plugins may call a run that shows a menu not
    playing, so the menu's name counts too."""
    if state["playing"]:
        return True
    name = menu_of(state).lower()
    return bool(name) and name.startswith(DURING) and float(state["health"]) > 0.0


def end_of(before: State, now: State) -> End:
    """How the run that went on at `before` has ended by `now`, if it has."""
    if in_run(now):
        # A clock that falls back by more than it can be wrong is another run's.
        return End.LEFT if float(now["time"]) < float(before["time"]) - 0.5 else End.NO
    if menu_of(now).lower().startswith(_WON):
        return End.WON
    return End.DIED if float(now["health"]) <= 0.0 else End.LEFT  # a death menu may end time, too


class Derived:
    """The reward between two states."""

    def __init__(self, weights: Reward) -> None:
        if weights.damage_dealt != 0.0:
            raise ConfigError(
                f"level.reward.damage_dealt: {weights.damage_dealt:g}, but no transport tells the "
                "damage that was dealt: give 0 to play over a link"
            )
        self.weights = weights

    def reward(self, before: State, now: State, end: End) -> float:
        """Of what happened from one state of a run to a later one of it."""
        w, both = self.weights, FieldGroup(int(before["fields"]) & int(now["fields"]))
        if end is End.LEFT and in_run(now):
            return 0.0  # another run: nothing of it belongs to this one
        total = w.death if end is End.DIED else (w.victory if end is End.WON else 0.0)
        if both & FieldGroup.PLAYER:
            total += w.alive * max(_rise(before, now, "time"), 0.0)
            change = _rise(before, now, "health")
            if both & FieldGroup.PROGRESS:
                change += _rise(before, now, "shield")
            total += w.damage_taken * max(-change, 0.0) + w.heal * max(change, 0.0)
        if both & FieldGroup.PROGRESS:
            total += w.kill * max(_rise(before, now, "kills"), 0.0)
            total += w.level * max(_rise(before, now, "level"), 0.0)
            total += w.gold * max(_rise(before, now, "gold"), 0.0)
            total += w.xp * _earned(before, now)
        elif both & FieldGroup.MENU:
            total += w.level * (_levels(now) and not _levels(before))
        if both & FieldGroup.ENTITY_DETAIL and end is not End.DIED:
            total += w.boss * len(_bosses(before) - _bosses(now))
        if both & FieldGroup.PICKUPS:
            total += w.chest * len(_chests(before) - _chests(now))
        return total if math.isfinite(total) else 0.0


def _rise(before: State, now: State, name: str) -> float:
    return float(now[name]) - float(before[name])


def _earned(before: State, now: State) -> float:
    """Experience, which starts again from 0 at each level."""
    if now["level"] <= before["level"]:
        return max(_rise(before, now, "xp"), 0.0)
    return max(float(before["xp_next"]) - float(before["xp"]), 0.0) + max(float(now["xp"]), 0.0)


def _levels(state: State) -> bool:
    return menu_of(state).lower().startswith("levelup")


def _bosses(state: State) -> set[int]:
    return _ids(state["entities"][: int(state["entity_count"])], lambda e: _is_boss(e["flags"]))


def _is_boss(flags: Any) -> Any:
    return (flags & EntityFlag.BOSS > 0) & (flags & EntityFlag.PROJECTILE == 0)


def _chests(state: State) -> set[int]:
    kinds = (PickupKind.CHEST, PickupKind.SHRINE)
    things = state["pickups"][: int(state["pickup_count"])]
    return _ids(things, lambda p: np.isin(p["kind"], kinds))


def _ids(things: Any, chosen: Any) -> set[int]:
    return set(things["id"][chosen(things)].tolist())
