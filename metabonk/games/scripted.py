"""Policies without learning for the arena: one that plays sensibly, one that plays at random.

Knows the meaning of the arena's observation features (metabonk/observations.py) and the effects in
the content; sees nothing else. Both implement `protocols.Policy` in vectorised numpy; the random
one plays any game.

`ScriptedPolicy` weighs sixteen directions and standing still by where each leads within a third of
a second and two thirds: away from enemies and projectiles by their threat, around the nearest enemy
at the distance its weapons like, towards what lies around when that is safe, not into a wall. It
jumps where it is stuck, slides and uses its ability where it is crowded, and takes the offer whose
effects are worth most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk.games import content
from metabonk.games.level import Level
from metabonk.observations import (
    ENTITY_FEATURES,
    GOLD_SCALE,
    MAP_METRES,
    METRES,
    OFFER_FEATURES,
    PICKUP_FEATURES,
    SPEED,
    STATE_FEATURES,
    VALUE_SCALE,
)
from metabonk.protocols import BoolArray, FloatArray, Observation
from metabonk.records import ACTION_LAYOUT, BUTTONS
from metabonk.spaces import ActionLayout

Array = npt.NDArray[Any]

_STATE = {name: i for i, name in enumerate(STATE_FEATURES)}
_ENTITY = {name: i for i, name in enumerate(ENTITY_FEATURES)}
_PICKUP = {name: i for i, name in enumerate(PICKUP_FEATURES)}
_OFFER = {name: i for i, name in enumerate(OFFER_FEATURES)}
_MOVE, _JUMP, _SLIDE, _INTERACT, _ABILITY, _CHOICE, _CLICK = 0, 4, 5, 6, 8, 9, 10
_FIRST_CHOICE = 2 * len(BUTTONS)  # of the action mask
_WATCHED = 20  # nearest entities; those further off hardly matter
_WALK = 6.0  # metres per second of the player

# What one unit of a stat is worth: of a factor for stats that are factors, else of the unit below.
_WORTH = {
    "max_health": 0.9, "regen": 0.8, "armor": 1.2, "evasion": 1.0, "max_shield": 0.7,
    "lifesteal": 1.0, "thorns": 0.25, "damage": 1.3, "attack_speed": 1.4, "area": 0.8,
    "projectiles": 1.0, "projectile_speed": 0.2, "duration": 0.3, "crit_chance": 1.0,
    "crit_damage": 0.4, "knockback": 0.2, "move_speed": 1.0, "jump_height": 0.05,
    "pickup_range": 0.5, "luck": 0.5, "xp_gain": 0.9, "gold_gain": 0.3,
}  # fmt: skip
_UNIT = {
    "max_health": 100.0, "regen": 2.0, "armor": 0.3, "evasion": 0.3, "max_shield": 60.0,
    "lifesteal": 0.08, "thorns": 30.0, "projectiles": 3.0, "crit_chance": 0.3,
    "crit_damage": 1.0, "pickup_range": 4.0, "luck": 1.5,
}  # fmt: skip
_REWARD_WORTH = 0.05
_NEW_WEAPON_WORTH = 0.5
_WEAPON_LEVEL_WORTH = 0.3


@dataclass(frozen=True)
class Habits:
    """What the scripted policy likes; distances in metres, times in seconds."""

    danger: float = 6.0  # weight of enemies against everything else
    contact: float = 1.3  # distance at which an enemy is as bad as can be
    caution: float = 0.7  # how fast danger falls off, e-fold
    pull: float = 1.5  # weight of what lies around
    engage: float = 0.35  # weight of keeping the weapons' distance
    inertia: float = 0.08  # bonus of going on in the same direction
    wall: float = 5.0  # metres from the edge that are avoided
    size: float = Level().terrain.size  # side of the arena, which no observation carries


class ScriptedPolicy:
    """Kites, collects and picks offers by value. State: per environment the last direction, the
    decisions it has been stuck for, and a parity that releases held buttons."""

    def __init__(self, habits: Habits = Habits()) -> None:
        self.habits = habits
        self._tables = _offer_values()
        self._reach = np.array([w.reach for w in content.load().weapon.values()], np.float32)
        self._threat = _threats()
        angles = 2 * np.pi * np.arange(16) / 16
        moving = np.stack([np.cos(angles), np.sin(angles)], 1)
        self._directions = np.concatenate([moving, np.zeros((1, 2))]).astype(np.float32)

    def reset(self, num_envs: int) -> Array:
        """Memory [num_envs, 3]: last direction (16: standing), stuck decisions, parity."""
        memory = np.zeros((num_envs, 3), np.int64)
        memory[:, 0] = len(self._directions) - 1
        return memory

    def act(
        self, observation: Observation, state: Array, is_first: BoolArray
    ) -> tuple[FloatArray, Array]:
        """Action rows [N, 12] for observations [N, ...] and the next memory."""
        memory = np.where(is_first[:, None], self.reset(len(is_first)), state)
        features = observation["state"]
        score, danger = self._score(observation, memory)
        best = np.argmax(score, axis=1)
        rows = np.zeros((len(features), ACTION_LAYOUT.columns), np.float32)
        rows[:, _CLICK : _CLICK + 2] = -1.0
        rows[:, _MOVE : _MOVE + 2] = self._directions[best]
        speed = np.hypot(
            features[:, _STATE["velocity_right"]], features[:, _STATE["velocity_forward"]]
        )
        blocked = (speed * SPEED < 0.3 * _WALK) & (best < 16) & (best == memory[:, 0])
        stuck = np.where(blocked, memory[:, 1] + 1, 0)
        pressing = memory[:, 2] == 0
        rows[:, _JUMP] = (stuck >= 1) & pressing
        rows[:, _SLIDE] = (danger > 1.2) & pressing
        rows[:, _ABILITY] = danger > 0.6
        rows[:, _INTERACT] = 1.0
        in_menu = features[:, _STATE["in_menu"]] > 0.5
        rows[in_menu, :_CHOICE] = 0.0
        rows[in_menu, _CHOICE] = self._choose(observation)[in_menu]
        return rows, np.stack([best, stuck, 1 - memory[:, 2]], 1)

    def _score(self, observation: Observation, memory: Array) -> tuple[Array, Array]:
        """Worth of each direction [N, 17] and the danger where the player stands [N]."""
        habits = self.habits
        features = observation["state"]
        reach = self._directions[None, :, None, :] * _WALK  # [1, 17, 1, 2]
        enemies = observation["entities"][:, :_WATCHED]
        there = observation["entities_mask"][:, :_WATCHED].astype(np.float32)
        at = enemies[..., :2] * METRES  # [N, E, 2]
        velocity = enemies[..., 4:6] * SPEED
        threat = there * self._threat_of(enemies)
        harm = np.zeros((len(features), len(self._directions)), np.float32)
        for seconds in (0.15, 0.35, 0.7):
            later = (at + velocity * seconds)[:, None] - reach * seconds  # [N, 17, E, 2]
            away = np.sqrt((later**2).sum(-1))
            near = np.exp(-np.maximum(away - habits.contact, 0.0) / habits.caution)
            harm += (threat[:, None] * near).sum(-1) / 3
        health = features[:, _STATE["health_fraction"]]
        fear = habits.danger * (1.5 - health)
        score = -fear[:, None] * harm
        score += habits.pull * self._attraction(observation, features)
        score += habits.engage * self._engagement(features, at, there, enemies)
        score -= self._walls(features)
        score[np.arange(len(score)), memory[:, 0]] += habits.inertia
        turned = memory[:, 1] >= 2  # stuck: anything but straight on
        score[turned, memory[turned, 0]] -= 2.0
        return score, harm[:, -1]

    def _threat_of(self, enemies: Array) -> Array:
        bits = enemies[..., _ENTITY["kind_bit_0"] : _ENTITY["kind_bit_0"] + 4]
        kind = (bits > 0.5) @ np.array([1, 2, 4, 8])
        rank = enemies[..., _ENTITY["rank"]]
        ordinary = self._threat[kind] * np.where(rank >= 0.5, 1.8, 1.0)
        return np.asarray(np.where(rank < 0, 1.0, ordinary), np.float32)

    def _attraction(self, observation: Observation, features: Array) -> Array:
        """How much nearer each direction brings what is worth having, [N, 17]."""
        pickups = observation["pickups"]
        at = pickups[..., :2] * METRES
        distance = np.sqrt((at**2).sum(-1)) + 1e-3
        value = np.clip(pickups[..., _PICKUP["value"]], 0.0, 0.99)
        amount = VALUE_SCALE * value / (1.0 - value)
        gold = np.clip(features[:, _STATE["gold"]], 0.0, 0.99)
        purse = GOLD_SCALE * gold / (1.0 - gold)
        hurt = 1.0 - features[:, _STATE["health_fraction"]]

        def kind(name: str) -> Array:
            return pickups[..., _PICKUP[f"is_{name}"]]

        affordable = purse[:, None] >= amount
        worth = (
            kind("xp") * (0.6 + 0.2 * np.minimum(amount, 5.0))
            + kind("gold") * 0.4
            + kind("heal") * (0.2 + 4.0 * hurt[:, None])
            + kind("magnet") * 2.0
            + kind("chest") * affordable * 4.0
            + kind("shrine") * np.where(distance < 2.0, 0.0, 2.0)
            + kind("portal") * np.where(distance < 1.0, 0.0, 8.0)
        )
        worth = worth * observation["pickups_mask"] / (1.0 + distance / 6.0)
        toward = at / distance[..., None]
        pull = (worth[..., None] * toward).sum(1)  # [N, 2]
        strength = np.sqrt((pull**2).sum(-1, keepdims=True))
        pull = pull / np.maximum(strength, 1.0)
        stay = (kind("shrine") * (distance < 2.5) + kind("portal") * (distance < 1.5)).max(-1)
        out = np.asarray(pull @ self._directions.T)
        out[:, -1] += 1.5 * stay
        return out

    def _engagement(self, features: Array, at: Array, there: Array, enemies: Array) -> Array:
        """Prefers the distance at which the weapons reach the nearest enemy, [N, 17]."""
        first = _STATE["weapon_0"]
        owned = features[:, first : first + len(self._reach)] > 0
        reach = np.where(owned, self._reach, 0.0).max(1)
        liked = np.clip(0.75 * reach, 1.8, 6.0)
        body = (enemies[..., _ENTITY["rank"]] >= 0) & (there > 0)
        distance = np.where(body, np.sqrt((at**2).sum(-1)), np.inf)
        nearest = distance.argmin(1)
        row = np.arange(len(at))
        known = np.isfinite(distance[row, nearest])
        target = np.where(known[:, None], at[row, nearest], 0.0)
        length = np.sqrt((target**2).sum(-1)) + 1e-3
        excess = np.clip((length - liked) / 4.0, -1.0, 1.0)
        toward = target / length[:, None]
        out = excess[:, None] * (toward @ self._directions.T)
        # Circling keeps enemies in a row behind and weapons in reach.
        around = np.stack([-toward[:, 1], toward[:, 0]], 1)
        return np.asarray(known[:, None] * (out + 0.3 * np.abs(around @ self._directions.T)))

    def _walls(self, features: Array) -> Array:
        """Cost of directions that lead to the arena's edge, [N, 17]."""
        sine, cosine = features[:, _STATE["heading_sin"]], features[:, _STATE["heading_cos"]]
        right, forward = self._directions[:, 0], self._directions[:, 1]
        dx = cosine[:, None] * forward + sine[:, None] * right
        dy = sine[:, None] * forward - cosine[:, None] * right
        cost = np.zeros_like(dx)
        for axis, step in (("x", dx), ("y", dy)):
            here = features[:, _STATE[axis], None] * MAP_METRES
            there = here + step * _WALK * 0.7
            margin = np.minimum(there, self.habits.size - there)
            cost += np.clip((self.habits.wall - margin) / self.habits.wall, 0.0, 2.0)
        return np.asarray(3.0 * cost)

    def _choose(self, observation: Observation) -> Array:
        """The choice for each environment [N], 0 where nothing can be selected."""
        offers = observation["offers"]
        bits = offers[..., _OFFER["item_bit_0"] : _OFFER["item_bit_0"] + 6]
        item = (bits > 0.5) @ (1 << np.arange(6))
        kind = offers[..., :4].argmax(-1)
        first = _OFFER["is_common"]
        rarity = offers[..., first : first + 5].argmax(-1)
        is_new = (offers[..., _OFFER["is_new"]] > 0.5).astype(np.int64)
        worth = self._tables[kind, item, rarity, is_new]
        selectable = observation["offers_mask"].astype(bool) & (
            offers[..., _OFFER["selectable"]] > 0.5
        )
        best = np.where(selectable, worth, -np.inf).argmax(-1)
        row = np.arange(len(offers))
        offered = np.rint(offers[row, best, _OFFER["choice"]] * 32)
        mask = observation["action_mask"][:, _FIRST_CHOICE + 1 :]
        other = np.where(mask.any(-1), mask.argmax(-1) + 1, 0)
        return np.where(selectable.any(-1), offered, other)


class RandomPolicy:
    """Uniform over what the action mask allows, in any game: bounded columns in their box,
    unbounded ones standard normal, choices alike; no clicks on the arena's menus.

    Its state is its generator, so that episodes repeat."""

    def __init__(self, seed: int = 0, layout: ActionLayout = ACTION_LAYOUT) -> None:
        self.seed = seed
        self.layout = layout

    def reset(self, num_envs: int) -> np.random.Generator:
        """A fresh generator; `num_envs` only sizes the rows that `act` draws."""
        return np.random.default_rng([self.seed, num_envs])

    def act(
        self, observation: Observation, state: np.random.Generator, is_first: BoolArray
    ) -> tuple[FloatArray, np.random.Generator]:
        """Action rows [N, columns]; of `is_first` only the length matters."""
        num, mask = len(is_first), observation.get("action_mask")
        rows = np.empty((num, self.layout.columns), np.float32)
        for branch in self.layout.branches:
            columns = rows[:, branch.column : branch.column + branch.width]
            if branch.name == "click":
                columns[:] = -1.0
            elif branch.kind == "continuous":
                low, high = np.array(branch.low), np.array(branch.high)
                free = ~(np.isfinite(low) & np.isfinite(high))
                drawn = state.uniform(
                    np.where(free, 0, low), np.where(free, 0, high), columns.shape
                )
                columns[:] = np.where(free, state.standard_normal(columns.shape), drawn)
            else:
                keys = state.random((num, branch.size))
                if mask is not None and branch.mask is not None:
                    keys[mask[:, slice(*branch.mask)] == 0] = -1.0
                columns[:, 0] = keys.argmax(-1)
        return rows, state


def _threats() -> Array:
    """How bad each kind of enemy is near, [16], about 1 for the ordinary."""
    out = np.ones(16, np.float32)
    for i, enemy in enumerate(content.load().enemy.values()):
        reach = enemy.radius + 0.05 * enemy.power
        out[i] = np.clip(0.4 + enemy.damage / 10.0 + 0.5 * reach, 0.5, 4.0)
    return out


def _worth_of(changes: tuple[content.Change, ...], scale: float) -> float:
    total = 0.0
    for change in changes:
        amount = change.multiply + change.add / _UNIT.get(change.stat, 1.0)
        total += _WORTH.get(change.stat, 0.0) * amount * scale
    return total


def _offer_values() -> Array:
    """Worth of an offer by (kind, item, rarity, is new), [4, 64, 5, 2]."""
    known = content.load()
    out = np.full((4, 64, 5, 2), _REWARD_WORTH)
    for r, rarity in enumerate(known.rarity.values()):
        for i, weapon in enumerate(known.weapon.values()):
            rate = weapon.damage * weapon.count / weapon.cooldown / 12.0
            growth = weapon.damage_growth / weapon.damage + 1.0 - weapon.cooldown_growth
            out[0, i, r, 0] = _WEAPON_LEVEL_WORTH * (0.5 + growth) * rarity.weapon_levels
            out[0, i, r, 1] = _NEW_WEAPON_WORTH * min(rate, 2.0) + 0.1 * r
        for i, tome in enumerate(known.tome.values()):
            out[1, i, r] = _worth_of(tome.changes, rarity.scale)
    for i, item in enumerate(known.item.values()):
        out[2, i] = _worth_of(item.changes, 1.0)
    return out
