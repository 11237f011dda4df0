"""Observations: GameState -> arrays, computed by the native core (csrc/games/observe.cc).

Knows the names, shapes and meaning of every feature. A pure function of the state, the same for
the arena, BonkLink and shared memory, so that what is trained and what is served see the same
input. Does not know where states come from.

Units: relative positions are in the camera's frame (right, forward, up), 16 m right and forward
and 8 m up count as 1, cut at 4. Velocities: 8 m/s count as 1. A quantity without a bound is
x / (|x| + scale): half at `scale`, never beyond 1. Fractions are 0..1. What the transport did not
carry is zero, and `carries_*` says so. Who needs metres again takes `METRES` to `VALUE_SCALE`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces as gs

from metabonk import _core
from metabonk.records import (
    ACTION_LAYOUT,
    GAME_STATE,
    FieldGroup,
    GameState,
    PickupKind,
)

Array = npt.NDArray[Any]

# What a feature of 1 stands for, as in csrc/games/observe.cc.
METRES = 16.0  # right and forward, relative
SPEED = 8.0  # metres per second
MAP_METRES = 64.0  # absolute
# The scale of x / (|x| + scale).
GOLD_SCALE = 100.0
VALUE_SCALE = 10.0  # of a pick-up

_CHARACTERS = 6
_WEAPON_KINDS = 16
_TOME_KINDS = 32
_STATS = 28

STATE_FEATURES = (
    "playing",
    "paused",
    "grounded",
    "in_menu",  # not playing, paused, or a menu other than None and Gameplay is open
    "health_fraction",
    "health",  # scale 100
    "max_health",  # scale 100
    "shield",  # scale 50
    "xp_fraction",  # of what the next level takes
    "level",  # scale 20
    "gold",  # scale 100
    "kills",  # scale 200
    "time",  # scale 300 s
    "score",  # scale 1000
    "velocity_right",
    "velocity_forward",
    "velocity_up",
    "heading_sin",
    "heading_cos",
    "x",  # world position, 64 m count as 1, cut at 4
    "y",
    "z",
    "tier",  # thirds
    *(f"character_{i}" for i in range(_CHARACTERS)),  # one-hot
    "entity_count",  # of 256
    "pickup_count",  # of 128
    "boss",  # one lives, wherever it is; the nearest of them:
    "boss_right",  # scale 16 m
    "boss_forward",  # scale 16 m
    "boss_health",  # fraction
    "tome_levels",  # sum, scale 8
    *(f"weapon_{i}" for i in range(_WEAPON_KINDS)),  # level of weapon kind i, scale 4
    *(f"carries_{name.lower()}" for name in FieldGroup.__members__ if name != "EVERYTHING"),
    *(f"tome_{i}" for i in range(_TOME_KINDS)),  # level of tome kind i, scale 4
)
ENTITY_FEATURES = (
    "right",
    "forward",
    "up",
    "closeness",  # 1 at the player, a half at 4 m
    "velocity_right",
    "velocity_forward",
    "health",  # fraction of its maximum; scale 100 where the maximum is unknown
    "rank",  # -1 projectile, 0 ordinary, 0.5 elite, 1 boss
    *(f"kind_bit_{i}" for i in range(4)),  # kind modulo 16, in binary
)
PICKUP_FEATURES = (
    "right",
    "forward",
    "up",
    "closeness",
    "value",  # scale 10
    *(f"is_{kind.name.lower()}" for kind in PickupKind),
)
OFFER_FEATURES = (
    *(f"is_{kind}" for kind in ("weapon", "tome", "item", "reward")),
    *(f"is_{rarity}" for rarity in ("common", "uncommon", "rare", "epic", "legendary")),
    "level",  # it would reach, scale 4
    "is_new",
    *(f"item_bit_{i}" for i in range(6)),  # index within its kind, in binary
    "selectable",
    "choice",  # that selects it, of 32
    "change_count",  # of 4
    *(f"stat_{i}" for i in range(_STATS)),  # change of stat i, scale 1, added or multiplied
)
NEAREST_ENTITIES = 32
NEAREST_PICKUPS = 16
OFFER_ROWS = 4
_MASK = sum(b.size for b in ACTION_LAYOUT.branches if b.mask)

# Key -> (names of the features in the last axis, shape, dtype).
OBSERVATION_FEATURES: dict[str, tuple[str, ...]] = {
    "state": STATE_FEATURES,
    "entities": ENTITY_FEATURES,  # nearest first, ties by id
    "pickups": PICKUP_FEATURES,  # nearest first, ties by id
    "offers": OFFER_FEATURES,  # as on the screen
}

OBSERVATION_SPACE = gs.Dict(
    {
        "state": gs.Box(-4.0, 4.0, (len(STATE_FEATURES),), np.float32),
        "entities": gs.Box(-4.0, 4.0, (NEAREST_ENTITIES, len(ENTITY_FEATURES)), np.float32),
        "entities_mask": gs.Box(0, 1, (NEAREST_ENTITIES,), np.uint8),
        "pickups": gs.Box(-4.0, 4.0, (NEAREST_PICKUPS, len(PICKUP_FEATURES)), np.float32),
        "pickups_mask": gs.Box(0, 1, (NEAREST_PICKUPS,), np.uint8),
        "offers": gs.Box(-4.0, 4.0, (OFFER_ROWS, len(OFFER_FEATURES)), np.float32),
        "offers_mask": gs.Box(0, 1, (OFFER_ROWS,), np.uint8),
        "action_mask": gs.Box(0, 1, (_MASK,), np.uint8),
        "dt": gs.Box(0.0, 10.0, (1,), np.float32),  # seconds
    }
)


def observe(state: GameState | bytes) -> dict[str, Array]:
    """The observation of one state: fresh arrays with the shapes of OBSERVATION_SPACE."""
    packed = state.pack() if isinstance(state, GameState) else state
    states = np.frombuffer(bytearray(packed), np.uint8).reshape(1, -1)
    out = {
        key: np.zeros((1, *space.shape), space.dtype)
        for key, space in OBSERVATION_SPACE.spaces.items()
        if space.shape is not None
    }
    observe_into(states, out)
    return {key: array[0] for key, array in out.items()}


def observe_into(states: Array, observation: dict[str, Array]) -> None:
    """Observations of N packed states (uint8 [N, 16376] or GAME_STATE [N]) into [N, ...] arrays.

    Keys that are left out are skipped. Raises TypeError or ValueError that names the array.
    """
    if states.dtype == GAME_STATE:
        states = states.view(np.uint8).reshape(len(states), GAME_STATE.itemsize)
    _core.records.observe_into(states, observation)
