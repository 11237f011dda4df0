"""States with something in every field."""

from __future__ import annotations

import numpy as np

from metabonk.records import (
    Entity,
    EntityFlag,
    FieldGroup,
    GameState,
    Offer,
    OfferKind,
    Pickup,
    PickupKind,
    Slot,
    StatChange,
    Widget,
)


def whole_state(seed: int) -> GameState:
    """A state with something in every field, float32 all over."""
    rng = np.random.default_rng(seed)

    def numbers(count: int) -> tuple[float, ...]:
        return tuple(float(x) for x in rng.normal(0, 50, count).astype(np.float32))

    def entity(i: int) -> Entity:
        position, velocity = numbers(3), numbers(3)
        return Entity(i + 1, i % 200, EntityFlag(i % 8), position, velocity, *numbers(2))  # type: ignore[arg-type]

    def offer(i: int) -> Offer:
        changes = [StatChange(j, j % 2 == 1, numbers(1)[0]) for j in range(i % 5)]
        return Offer(OfferKind(i % 4), i % 5, i, i + 1, changes, f"Angebot {i} für dich")

    state = GameState(FieldGroup(int(rng.integers(0, 4096))), *numbers(1))
    state.time, state.run_seed = float(np.float32(rng.uniform(0, 900))), int(rng.integers(0, 2**63))
    state.position, state.velocity = numbers(3), numbers(3)  # type: ignore[assignment]
    for name in ("yaw", "health", "max_health", "shield", "xp", "xp_next", "gold", "score"):
        setattr(state, name, numbers(1)[0])
    state.kills, state.level = int(rng.integers(0, 2**32)), int(rng.integers(0, 2**16))
    state.grounded, state.playing, state.paused = True, bool(seed % 2), not seed % 2
    state.tier, state.character, state.menu = 3, 5, "LevelUp"
    state.weapons = [Slot(i, i + 1) for i in range(8)]
    state.tomes = [Slot(8 - i, i) for i in range(8)]
    state.entities = [entity(i) for i in range(int(rng.integers(0, 257)))]
    state.pickups = [
        Pickup(i, PickupKind(i % 7), numbers(3), *numbers(1))  # type: ignore[arg-type]
        for i in range(int(rng.integers(0, 129)))
    ]
    state.widgets = [Widget(*numbers(4), i % 2 == 0, i % 9, f"W{i}") for i in range(seed % 33)]
    state.offers = [offer(i) for i in range(seed % 9)]
    return state
