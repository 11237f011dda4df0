"""backends/surroundings.py: what a state comes to, against its definition, thing by thing."""

from __future__ import annotations

import cmath
import math
import random
from typing import Any

import numpy as np
import pytest
from situations import HERE, enemy, state, thing

from metabonk._core.surroundings import Surroundings
from metabonk.cognition.backends.surroundings import FAR, NEAR, look
from metabonk.cognition.vocabulary import COMPASS_BINS
from metabonk.errors import CorruptError
from metabonk.records import (
    GAME_STATE,
    MAX_ENTITIES,
    MAX_PICKUPS,
    EntityFlag,
    FieldGroup,
    GameState,
    Pickup,
    PickupKind,
)

HALF_WAY, COST = 6.0, 0.15
LYING = {PickupKind.XP: 1.0, PickupKind.GOLD: 0.6, PickupKind.MAGNET: 3.0}
USED = {PickupKind.CHEST: 1.2, PickupKind.SHRINE: 0.9, PickupKind.PORTAL: 3.0}


def weight(flags: int) -> float:
    return 3.0 if flags & EntityFlag.BOSS else 1.6 if flags & EntityFlag.ELITE else 1.0


def bin_of(dx: float, dy: float) -> int:
    return round(math.atan2(dy, dx) / math.tau * COMPASS_BINS) % COMPASS_BINS


def places(things: Any) -> list[tuple[Any, float, int]]:
    """Of what is somewhere: it, metres away, bin."""
    found = []
    for one in things:
        dx, dy = one.position[0] - HERE[0], one.position[1] - HERE[1]
        if math.isfinite(math.hypot(dx, dy)):
            found.append((one, math.hypot(dx, dy), bin_of(dx, dy)))
    return found


def check(given: GameState) -> Surroundings:
    """Holds `look` against the definition."""
    found = look(given.pack())
    sectors = check_enemies(given, found)
    things = places(given.pickups)
    pulls, pull = [0.0] * COMPASS_BINS, 0.0
    for one, away, to in things:
        pulls[to] += LYING.get(one.kind, 0.0) / (1.0 + away / HALF_WAY)
        pull += LYING.get(one.kind, 0.0) / (1.0 + away / HALF_WAY) / (1.0 + sectors[to])
    np.testing.assert_allclose(found.pulls, pulls, rtol=1e-5, atol=1e-9)
    assert found.pull == pytest.approx(pull, rel=1e-5)
    check_candidates(given, found, sectors)
    return found


def check_enemies(given: GameState, found: Surroundings) -> list[float]:
    threat = [0.0] * COMPASS_BINS
    beings = places(given.entities)
    for one, away, to in beings:
        threat[to] += weight(one.flags) / (1.0 + (away / NEAR) ** 2)
    sides = [0.5 * (threat[i - 1] + threat[(i + 1) % COMPASS_BINS]) for i in range(COMPASS_BINS)]
    sectors = [own + side for own, side in zip(threat, sides, strict=True)]
    np.testing.assert_allclose(found.sectors, sectors, rtol=1e-5, atol=1e-9)
    assert found.danger == pytest.approx(sum(threat), rel=1e-5)
    assert found.exits == sum(s < 0.5 for s in sectors)
    assert found.enemies == sum(away < 2.0 * NEAR for _, away, _ in beings)
    directions = [cmath.exp(2j * math.pi * i / COMPASS_BINS) for i in range(COMPASS_BINS)]
    middle = sum(d * s for d, s in zip(directions, sectors, strict=True))
    toward = [
        s + 0.5 * (d * middle.conjugate()).real / (abs(middle) + 1e-6)
        for d, s in zip(directions, sectors, strict=True)
    ]
    assert toward[found.gap] == pytest.approx(min(toward), abs=1e-4)
    foes = [one for one in beings if not one[0].flags & EntityFlag.PROJECTILE]
    assert found.opponents == bool(foes)
    bosses = [one for one in foes if one[0].flags & EntityFlag.BOSS]
    nearest = min(bosses, key=lambda one: one[1])[0].id if bosses else None
    assert found.boss == nearest
    return sectors


def check_candidates(given: GameState, found: Surroundings, sectors: list[float]) -> None:
    things = places(given.pickups)
    hearts = [one for one in things if one[0].kind == PickupKind.HEAL]
    assert (found.heart is None) == (not hearts)
    if found.heart is not None:
        wanted, away, to = min(hearts, key=lambda one: one[1] * (1.0 + sectors[one[2]]))
        assert found.heart.id == wanted.id
        assert found.heart.away == pytest.approx(away, rel=1e-5)
        assert found.heart.blocked == pytest.approx(sectors[to], rel=1e-5, abs=1e-9)

    def worth(one: tuple[Pickup, float, int]) -> float:
        return USED[one[0].kind] / (1.0 + one[1] / FAR) - COST * sectors[one[2]]

    used = [one for one in things if one[0].kind in USED and paid(one[0], found.gold)]
    assert (found.use is None) == (not used)
    if found.use is not None:
        best = max(used, key=worth)
        assert (found.use.id, found.use.kind) == (best[0].id, best[0].kind)
        assert found.use.worth == pytest.approx(worth(best), rel=1e-4, abs=1e-6)


def paid(one: Pickup, gold: float) -> bool:
    return one.kind != PickupKind.CHEST or one.value <= gold


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
        health, gold = random_.uniform(1.0, 100.0), random_.uniform(0.0, 30.0)
        check(state(health, entities=entities, pickups=things, gold=gold))


def test_what_is_nowhere_is_left_out_and_the_rest_stays() -> None:
    entities = [enemy(i + 1, 20.0 * i, 4.0) for i in range(5)]
    things = [thing(i + 1, PickupKind.XP, 20.0 * i, 4.0) for i in range(5)]
    entities[1].position = (math.nan, 0.0, 0.0)
    entities[3].position = (0.0, math.inf, 0.0)
    things[4].position = (-math.inf, 0.0, 0.0)
    found = check(state(entities=entities, pickups=things))
    assert found.enemies == 3
    assert np.count_nonzero(found.pulls) == 4


def test_counts_beyond_the_lists_read_no_further() -> None:
    row = np.frombuffer(state().pack(), GAME_STATE).copy()
    row["entity_count"] = row["pickup_count"] = 65_535
    row["entities"]["position"] = row["pickups"]["position"] = (*HERE, 0.0)
    found = look(row.tobytes())
    assert found.enemies == MAX_ENTITIES
    assert found.pull == pytest.approx(MAX_PICKUPS / (1.0 + MAX_ENTITIES))


def test_kinds_that_nobody_knows_are_worth_nothing() -> None:
    row = np.frombuffer(state(pickups=[thing(1, PickupKind.CHEST, 0.0, 2.0)]).pack(), GAME_STATE)
    row = row.copy()
    row["pickups"]["kind"] = 200
    found = look(row.tobytes())
    assert (found.pull, found.heart, found.use) == (0.0, None, None)


def test_what_cannot_be_paid_is_not_used() -> None:
    chest = thing(1, PickupKind.CHEST, 0.0, 2.0, value=10.0)
    assert look(state(pickups=[chest], gold=9.0).pack()).use is None
    assert look(state(pickups=[chest], gold=10.0).pack()).use is not None
    chest.value = math.nan
    assert look(state(pickups=[chest], gold=10.0).pack()).use is None


def test_near_and_far_are_where_things_count_half() -> None:
    given = state(entities=[enemy(1, 0.0, 8.0)], pickups=[thing(2, PickupKind.SHRINE, 180.0, 30.0)])
    found = look(given.pack(), near=8.0, far=30.0)
    assert found.danger == pytest.approx(0.5)
    assert found.use is not None
    assert found.use.worth == pytest.approx(0.5 * USED[PickupKind.SHRINE])
    with pytest.raises(CorruptError, match="above 0 metres"):
        look(given.pack(), near=0.0)


def test_what_no_transport_carried_is_not_there() -> None:
    entities = [enemy(1, 0.0, 2.0)]
    things = [thing(1, PickupKind.XP, 0.0, 2.0)]
    full = state(entities=entities, pickups=things, gold=3.0)
    assert look(full.pack()).gold == 3.0
    bare = look(state(entities=entities, pickups=things, fields=FieldGroup.PLAYER).pack())
    assert (bare.opponents, bare.pull) == (False, 0.0)
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


def test_the_gap_is_away_from_the_crowd() -> None:
    crowd = [enemy(i + 1, 90.0 + i, 5.0) for i in range(5)]
    assert look(state(entities=crowd).pack()).gap == 12, "south of who comes from the north"
