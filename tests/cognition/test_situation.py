"""What the journal keeps of a state: everything that is near, in a kilobyte."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from peers import crowd

from metabonk.cognition import situation
from metabonk.cognition.backends.surroundings import look
from metabonk.errors import CorruptError
from metabonk.records import GAME_STATE, Entity, FieldGroup, GameState, Offer, Pickup, PickupKind


def test_what_is_near_is_kept_and_all_the_rest_exactly() -> None:
    state = crowd()
    kept = GameState.unpack(situation.expand(situation.shrink(state.pack())))

    def away(thing: Entity | Pickup) -> float:
        return float(np.hypot(thing.position[0] - 3.0, thing.position[1] + 4.0))

    for name, most in situation.KEEP.items():
        near = sorted(getattr(state, name), key=away)[:most]
        assert {t.id for t in getattr(kept, name)} == {t.id for t in near}
        assert getattr(kept, name) == [t for t in getattr(state, name) if t in near], "their order"
    for name in ("time", "health", "position", "kills", "level", "menu", "widgets", "offers"):
        assert getattr(kept, name) == getattr(state, name), name


def test_a_small_state_is_kept_whole() -> None:
    state = crowd(entities=5, pickups=2)
    assert GameState.unpack(situation.expand(situation.shrink(state.pack()))) == state


def test_the_fullest_state_takes_little() -> None:
    sizes = [len(situation.shrink(crowd(seed).pack())) for seed in range(10)]
    assert max(sizes) <= 1200, sizes
    assert len(zlib.compress(crowd().pack(), 6)) > 4000, "without leaving anything out"


def test_nothing_is_kept_as_nothing() -> None:
    assert situation.shrink(b"") == b""
    assert situation.expand(b"") == b""
    assert situation.unfold(b"") == (b"", None)


def same(one: situation.Outlook, other: situation.Outlook) -> bool:
    equal = np.array_equal(one.threat, other.threat) and np.array_equal(one.pull, other.pull)
    return equal and one.near == other.near


def test_the_outlook_is_that_of_the_whole_state() -> None:
    """Of what is left out the sums are kept, and nothing else."""
    packed = crowd().pack()
    kept = situation.unfold(situation.shrink(packed))
    assert kept.outlook is not None
    assert same(kept.outlook, situation.outlook(packed))
    nearest = situation.outlook(kept.packed)
    assert kept.outlook.pull.sum() > nearest.pull.sum() + 1.0
    assert (kept.outlook.threat >= nearest.threat).all()
    around = look(packed)
    np.testing.assert_allclose(kept.outlook.threat, around.sectors, rtol=1e-3)
    assert kept.outlook.near == around.enemies
    # What the rules make of it: how much lies where the way is clear.
    clear = (kept.outlook.pull / (1.0 + kept.outlook.threat.astype(np.float64))).sum()
    assert clear == pytest.approx(around.pull, rel=2e-3)


def test_a_crowd_that_was_only_said_is_kept_with_the_state() -> None:
    packed = GameState(fields=FieldGroup.PLAYER, health=1.0, max_health=1.0).pack()
    kept = situation.unfold(situation.shrink(packed, crowd=7)).outlook
    assert kept is not None
    assert kept.near == 7
    assert same(kept._replace(near=0), situation.outlook(packed)), "it lies nowhere"
    assert situation.outlook(packed, 70_000).near == 65_535
    busy = crowd().pack()
    assert situation.outlook(busy, 5).near == situation.outlook(busy).near + 5


def test_a_journal_of_before_has_no_outlook_and_is_read() -> None:
    packed = crowd().pack()
    whole = zlib.decompress(situation.shrink(packed))
    size = 2 * 16 * 2 + 2
    before = situation.unfold(zlib.compress(whole[:-size]))
    assert before.outlook is None
    assert before.packed == situation.expand(situation.shrink(packed))
    for wrong in (whole[:-1], whole + b"x", whole[:-size] + b"\xff" * size):
        with pytest.raises(CorruptError, match=r"state: .*outlook"):
            situation.unfold(zlib.compress(wrong))


def test_a_state_without_numbers_to_look_from_is_kept_without_an_outlook() -> None:
    state = crowd()
    state.position = (float("nan"), 0.0, 0.0)
    kept = situation.unfold(situation.shrink(state.pack()))
    assert kept.outlook is None
    assert kept.packed


def test_chests_that_cannot_be_paid_are_no_nearer_than_they_are() -> None:
    """What can be used is kept from ten times as far; what cannot takes its place from nobody."""
    far = Pickup(id=99, kind=PickupKind.SHRINE, position=(60.0, 0.0, 0.0))
    chests = [
        Pickup(id=i, kind=PickupKind.CHEST, position=(40.0, float(i), 0.0), value=25.0)
        for i in range(12)
    ]
    coins = [
        Pickup(id=20 + i, kind=PickupKind.GOLD, position=(8.0 + i, 0.0, 0.0)) for i in range(9)
    ]
    for gold, shrine, paid in ((0.0, True, 0), (30.0, False, situation.KEEP["pickups"])):
        state = GameState(fields=FieldGroup.EVERYTHING, gold=gold, pickups=[*coins, *chests, far])
        kept = GameState.unpack(situation.expand(situation.shrink(state.pack()))).pickups
        assert any(thing.id == 99 for thing in kept) is shrine, gold
        assert sum(thing.kind == PickupKind.CHEST for thing in kept) == paid, gold


@pytest.mark.parametrize(
    "bad",
    [
        b"garbage",
        zlib.compress(b"short"),
        zlib.compress(bytes(400)),
        zlib.compress(b"\xff" * 400),
        zlib.compress(bytes(GAME_STATE.itemsize + 1)),
        zlib.compress(bytes(200_000_000)),  # two hundred kilobytes that unfold to a thousand times
        situation.shrink(GameState().pack())[:-3],
    ],
    ids=["garbage", "short", "more", "counts", "long", "bomb", "cut off"],
)
def test_what_is_no_kept_state_is_refused(bad: bytes) -> None:
    with pytest.raises(CorruptError, match="state"):
        situation.expand(bad)
    with pytest.raises(CorruptError, match="state"):
        situation.shrink(b"x")


def test_a_kept_offer_with_too_many_changes_is_no_state() -> None:
    """Exports read offers: one row of a foreign journal would end them all."""
    row = np.frombuffer(GameState(offers=[Offer(text="a")]).pack(), GAME_STATE).copy()
    assert situation.unfold(situation.shrink(row.tobytes())).packed
    row["offers"]["change_count"][0, 0] = 9
    with pytest.raises(CorruptError, match="offers"):
        situation.unfold(situation.shrink(row.tobytes()))
