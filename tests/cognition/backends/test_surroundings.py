"""backends/surroundings.py: what a state comes to, against its definition, thing by thing."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from situations import HERE, enemy, state, thing

from metabonk.cognition.backends.surroundings import DIRECTIONS, Surroundings, look
from metabonk.cognition.vocabulary import COMPASS_BINS
from metabonk.errors import CorruptError
from metabonk.records import (
    GAME_STATE,
    MAX_ENTITIES,
    MAX_PICKUPS,
    EntityFlag,
    FieldGroup,
    GameState,
    PickupKind,
)

NEAR = 5.0


def weight(flags: int) -> float:
    return 3.0 if flags & EntityFlag.BOSS else 1.6 if flags & EntityFlag.ELITE else 1.0


def bin_of(dx: float, dy: float) -> int:
    return round(math.atan2(dy, dx) / math.tau * COMPASS_BINS) % COMPASS_BINS


def check(given: GameState) -> Surroundings:
    """Holds `look` against the definition."""
    found = look(given.pack(), NEAR)
    beings = [(e.id, e.position[0] - HERE[0], e.position[1] - HERE[1], e) for e in given.entities]
    beings = [one for one in beings if math.isfinite(math.hypot(one[1], one[2]))]
    assert found.ids.tolist() == [id for id, *_ in beings]
    assert found.flags.tolist() == [int(e.flags) for *_, e in beings]
    far = [math.hypot(dx, dy) for _, dx, dy, _ in beings]
    np.testing.assert_allclose(found.away, far, rtol=1e-5, atol=1e-5)
    threat = [0.0] * COMPASS_BINS
    for (_, dx, dy, one), away in zip(beings, far, strict=True):
        threat[bin_of(dx, dy)] += weight(one.flags) / (1.0 + (away / NEAR) ** 2)
    sides = [0.5 * (threat[i - 1] + threat[(i + 1) % COMPASS_BINS]) for i in range(COMPASS_BINS)]
    sectors = [own + side for own, side in zip(threat, sides, strict=True)]
    np.testing.assert_allclose(found.sectors, sectors, rtol=1e-4, atol=1e-6)
    assert found.danger == pytest.approx(sum(threat), rel=1e-4)
    assert found.exits == sum(s < 0.5 for s in sectors)
    assert found.enemies == sum(away < 2.0 * NEAR for away in far)
    things = [p for p in given.pickups if math.isfinite(math.hypot(*p.position[:2]))]
    assert found.thing_ids.tolist() == [p.id for p in things]
    assert found.thing_kinds.tolist() == [int(p.kind) for p in things]
    np.testing.assert_allclose(found.thing_values, [p.value for p in things], rtol=1e-6)
    offsets = [(p.position[0] - HERE[0], p.position[1] - HERE[1]) for p in things]
    assert found.thing_bins.tolist() == [bin_of(*offset) for offset in offsets]
    away = [math.hypot(*offset) for offset in offsets]
    np.testing.assert_allclose(found.thing_away, away, rtol=1e-5, atol=1e-5)
    return found


def test_it_is_what_the_definition_says_of_any_state() -> None:
    random_ = random.Random(5)

    def angle() -> float:  # off the edges of bins, where rounding may go either way
        return 22.5 * random_.randrange(16) + random_.uniform(-11.0, 11.0)

    for _ in range(60):
        entities = [
            enemy(i + 1, angle(), random_.uniform(0.1, 60.0), random_.randrange(8))
            for i in range(random_.choice((0, 1, 7, 40)))
        ]
        things = [
            thing(i + 1, random_.choice(list(PickupKind)), angle(), random_.uniform(0.1, 60.0), i)
            for i in range(random_.choice((0, 1, 5, 30)))
        ]
        check(state(random_.uniform(1.0, 100.0), entities=entities, pickups=things))


def test_what_is_nowhere_is_left_out_and_the_rest_stays() -> None:
    entities = [enemy(i + 1, 20.0 * i, 4.0) for i in range(5)]
    things = [thing(i + 1, PickupKind.XP, 20.0 * i, 4.0) for i in range(5)]
    entities[1].position = (math.nan, 0.0, 0.0)
    entities[3].position = (0.0, math.inf, 0.0)
    things[4].position = (-math.inf, 0.0, 0.0)
    found = check(state(entities=entities, pickups=things))
    assert found.ids.tolist() == [1, 3, 5]
    assert found.thing_ids.tolist() == [1, 2, 3, 4]


def test_counts_beyond_the_lists_read_no_further() -> None:
    row = np.frombuffer(state().pack(), GAME_STATE).copy()
    row["entity_count"] = row["pickup_count"] = 65_535
    found = look(row.tobytes())
    assert len(found.ids) == MAX_ENTITIES
    assert len(found.thing_ids) == MAX_PICKUPS


def test_what_no_transport_carried_is_not_there() -> None:
    entities = [enemy(1, 0.0, 2.0)]
    things = [thing(1, PickupKind.XP, 0.0, 2.0)]
    full = state(entities=entities, pickups=things, gold=3.0)
    assert look(full.pack()).gold == 3.0
    bare = look(state(entities=entities, pickups=things, fields=FieldGroup.PLAYER).pack())
    assert (len(bare.ids), len(bare.thing_ids)) == (0, 0)
    assert (bare.danger, bare.exits) == (0.0, COMPASS_BINS)
    assert bare.gold == math.inf, "not told: nothing is too dear"


@pytest.mark.parametrize(("health", "most", "share"), [(30, 60, 0.5), (90, 60, 1), (5, 0, 1)])
def test_health_is_a_share_of_the_most(health: float, most: float, share: float) -> None:
    given = state(health)
    given.max_health = most
    assert look(given.pack()).health == share


def test_bytes_that_are_no_state_are_refused() -> None:
    with pytest.raises(CorruptError, match="3 bytes; wanted"):
        look(b"abc")
    lost = state()
    lost.position = (math.nan, 0.0, 0.0)
    with pytest.raises(CorruptError, match="wanted finite numbers"):
        look(lost.pack())


def test_directions_are_the_compass() -> None:
    assert DIRECTIONS[0] == pytest.approx(1.0)
    assert DIRECTIONS[4] == pytest.approx(1j), "north"
