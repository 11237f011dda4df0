"""The true time step matters: a policy that is told a constant one loses return.

The level holds an action for 1 to 30 ticks and loses four frames in five. The policy here stands
still, turns the camera to the nearest enemy and shoots where it looks; while an old frame is shown
it keeps account of how far its own turning has come, which takes the time that has passed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metabonk.games import content, make
from metabonk.games import level as levels
from metabonk.observations import STATE_FEATURES
from metabonk.records import ACTION_LAYOUT

TURN_RATE = 3.5  # radians a second at full look, of the content's body
LOOK, FIRE, CHOICE, CLICK = 2, 7, 9, slice(10, 12)
MEAN_STEP = 15.5 / 60
TIME, IN_MENU = STATE_FEATURES.index("time"), STATE_FEATURES.index("in_menu")
MIX = {name: 0.0 for name in content.load().enemy if name != "goblin"}
LEVEL: dict[str, Any] = {
    "character": "ranger",
    "start_weapons": ["bow"],
    "start_weapon_level": 4,
    "menus": False,
    "time": {"duration": 45.0, "boss_at": -1.0, "skip_min": 1, "skip_max": 30, "drop_rate": 0.8},
    "enemies": {"damage": 0.1, "speed": 0.3, "at_start": 30, "mix": MIX},
    "offers": {"xp_rate": 0.0},
    "terrain": {"relief": 0.0, "obstacles": 0.0},
}


class Aim:
    """Memory [N, 5]: time shown, seconds since, radians turned since, last look, old frames."""

    def __init__(self, constant: bool) -> None:
        self.constant = constant

    def reset(self, num_envs: int) -> Any:
        return np.zeros((num_envs, 5))

    def act(self, observation: Any, memory: Any) -> tuple[Any, Any]:
        state, enemies = observation["state"], observation["entities"]
        shown, age, turned, look, frames = memory.T
        old = state[:, TIME] == shown
        frames = np.where(old, frames + 1, 0)
        now = np.where(old, MEAN_STEP * frames if self.constant else observation["dt"][:, 0], 0.0)
        turned = np.where(old, turned + look * TURN_RATE * (now - age), 0.0)
        bearing = np.arctan2(enemies[:, 0, 0], enemies[:, 0, 1]) - turned  # to the right
        error = (bearing + np.pi) % (2 * np.pi) - np.pi
        look = np.clip(error / (TURN_RATE * MEAN_STEP), -1, 1)
        look = np.where(observation["entities_mask"][:, 0] > 0, np.rint(127 * look) / 127, 0.0)
        rows = np.zeros((len(state), ACTION_LAYOUT.columns), np.float32)
        rows[:, LOOK], rows[:, FIRE], rows[:, CLICK] = look, 1.0, -1.0
        return rows, np.stack([state[:, TIME], now, turned, look, frames], 1)


def returns(policy: Aim, seeds: list[int], **time: float) -> Any:
    level = levels.parse({**LEVEL, "time": {**LEVEL["time"], **time}})
    game = make("arena", len(seeds), level=level, threads=2)
    observation = {
        key: np.zeros((len(seeds), *space.shape), space.dtype)
        for key, space in game.observation_space.spaces.items()
    }
    reward = np.zeros(len(seeds), np.float32)
    terminated, truncated, is_reset = np.zeros((3, len(seeds)), np.bool_)
    game.reset_into(observation, seeds)
    memory = policy.reset(len(seeds))
    total, over = np.zeros(len(seeds)), np.zeros(len(seeds), np.bool_)
    while not over.all():
        rows, memory = policy.act(observation, memory)
        game.step_into(rows, observation, reward, terminated, truncated, is_reset)
        total += np.where(over, 0.0, reward)
        over |= terminated | truncated
    return total


def test_a_policy_that_is_told_a_constant_step_loses_return() -> None:
    seeds = list(range(7000, 7128))
    lost = returns(Aim(constant=False), seeds) - returns(Aim(constant=True), seeds)
    error = 1.98 * lost.std(ddof=1) / np.sqrt(len(lost))  # t, 127 degrees of freedom, 95 %
    assert lost.mean() - error > 0.0, (lost.mean(), error)


def test_without_lost_frames_there_is_nothing_to_keep_account_of() -> None:
    told = [returns(Aim(constant), list(range(8)), drop_rate=0.0) for constant in (False, True)]
    np.testing.assert_array_equal(*told)
