"""backends/rules.py: each principle of the strategist, its steadiness, and what it refuses."""

from __future__ import annotations

import asyncio
import math
import random

import numpy as np
import pytest
from situations import enemy, state, thing

from metabonk import protocols
from metabonk.cognition.backends.rules import Rules, Strategist, temper_of
from metabonk.cognition.question import Answer, Failure, Press, Question, Undecided
from metabonk.cognition.vocabulary import (
    Compass,
    Directive,
    Entity,
    Hold,
    Pickup,
    Priority,
    Verb,
)
from metabonk.errors import CorruptError
from metabonk.records import (
    GAME_STATE,
    EntityFlag,
    FieldGroup,
    GameState,
    PickupKind,
)
from metabonk.records import (
    Entity as Being,
)


def decide(given: GameState, in_force: Directive | None = None, goal: str = "") -> Directive:
    return Strategist(temper_of(goal)).decide(given.pack(), in_force).directive


def apart(bin: int, angle: float) -> float:
    """Degrees between a compass bin and a direction."""
    return abs((bin * 22.5 - angle + 180.0) % 360.0 - 180.0)


def test_weak_and_threatened_retreats_away_and_at_once() -> None:
    enemies = [enemy(i, 10.0 * i - 30.0, 4.0) for i in range(6)]  # in the east
    weak = decide(state(20.0, entities=enemies))
    assert weak.action is Verb.RETREAT
    assert weak.priority is Priority.CRITICAL
    assert isinstance(weak.target, Compass)
    assert apart(weak.target.bin, 180.0) <= 90.0
    strong = decide(state(100.0, entities=enemies[:1]))
    assert strong.action is not Verb.RETREAT  # the same place, nothing to fear
    alone = decide(state(20.0))
    assert alone.action is not Verb.RETREAT  # weak, and nobody is there


def test_a_crowd_that_nobody_says_the_place_of_is_one_all_the_same() -> None:
    """An agent of version 1 knows how many are near; where, it sees itself."""

    def said(health: float, crowd: int, **given: list) -> Directive:
        return Strategist().decide(state(health, **given).pack(), crowd=crowd).directive

    weak = said(20.0, 1)
    assert (weak.action, weak.target, weak.priority) == (Verb.RETREAT, Hold(), Priority.CRITICAL)
    assert weak.seconds > 2.0, "until the next answer: nothing that was seen grows old"
    assert said(100.0, 3).action is Verb.ATTACK
    assert said(100.0, 11).action is Verb.RETREAT, "more than ten"
    every = {said(10.0 * h, crowd).action for h in range(11) for crowd in range(1, 40)}
    assert every == {Verb.ATTACK, Verb.RETREAT}, "whoever is among enemies is told what to do"
    for health in (10.0, 50.0, 100.0):
        fled = [said(health, crowd).action is Verb.RETREAT for crowd in range(1, 40)]
        assert fled == sorted(fled), "and of more of them nothing braver"
    for health in (20.0, 100.0):
        assert said(health, 0).action is Verb.EXPLORE, "the control: nobody is there"
    heart = [thing(5, PickupKind.HEAL, 0.0, 3.0)]
    assert said(20.0, 4, pickups=heart).target == Pickup(5), (
        "what saves is nearer than what is said"
    )


def test_weak_takes_the_heart_that_is_on_a_free_way() -> None:
    enemies = [enemy(i, 10.0 * i - 30.0, 5.0) for i in range(6)]
    hearts = [thing(1, PickupKind.HEAL, 0.0, 7.0), thing(2, PickupKind.HEAL, 180.0, 9.0)]
    chosen = decide(state(20.0, entities=enemies, pickups=hearts))
    assert chosen == Directive(Verb.RETREAT, Pickup(2), 4.0, Priority.CRITICAL)
    whole = decide(state(100.0, entities=enemies, pickups=hearts))
    assert whole.target not in (Pickup(1), Pickup(2))


def test_a_crowd_is_left_through_the_widest_gap() -> None:
    """Enemies on all sides but one: the way out."""
    for gap in (0.0, 90.0, 202.5):
        enemies = [
            enemy(i, angle, 5.0)
            for i, angle in enumerate(range(0, 360, 12))
            if abs((angle - gap + 180) % 360 - 180) > 40
        ]
        chosen = decide(state(60.0, entities=enemies))
        assert chosen.action is Verb.RETREAT
        assert isinstance(chosen.target, Compass)
        assert apart(chosen.target.bin, gap) <= 22.5


def test_a_clear_path_collects() -> None:
    orbs = [thing(i, PickupKind.XP, 40.0 * i, 5.0) for i in range(8)]
    assert decide(state(pickups=orbs)).action is Verb.COLLECT
    assert decide(state()).action is Verb.EXPLORE  # there is nothing to collect


def test_chests_are_for_those_who_can_pay() -> None:
    chest = [thing(9, PickupKind.CHEST, 0.0, 6.0, value=25.0)]
    rich = decide(state(pickups=chest, gold=30.0))
    assert (rich.action, rich.target) == (Verb.INTERACT, Hold())
    assert decide(state(pickups=chest, gold=20.0)).action is not Verb.INTERACT


def test_shrines_are_gone_to_from_afar_unless_much_lies_around() -> None:
    """Constant `interact` returned more than rules that stooped for every crumb on the way."""
    shrine = [thing(9, PickupKind.SHRINE, 0.0, 40.0)]
    crumbs = [thing(i, PickupKind.XP, 120.0 * i, 8.0) for i in range(2)]
    assert decide(state(pickups=shrine + crumbs)).action is Verb.INTERACT
    plenty = [thing(i, PickupKind.XP, 30.0 * i, 4.0) for i in range(12)]
    assert decide(state(pickups=shrine + plenty)).action is Verb.COLLECT


def test_a_portal_comes_before_everything_that_is_harmless() -> None:
    things = [thing(i, PickupKind.XP, 40.0 * i, 5.0) for i in range(8)]
    things += [thing(20, PickupKind.SHRINE, 90.0, 5.0), thing(21, PickupKind.PORTAL, 0.0, 20.0)]
    chosen = decide(state(pickups=things))
    assert (chosen.action, chosen.target) == (Verb.INTERACT, Pickup(21))


def test_a_boss_is_kited_unless_one_is_weak() -> None:
    others = [enemy(1, 20.0, 9.0), enemy(7, 0.0, 8.0, int(EntityFlag.BOSS))]
    strong = decide(state(90.0, entities=others))
    assert (strong.action, strong.target, strong.priority) == (
        Verb.ATTACK, Entity(7), Priority.HIGH,
    )  # fmt: skip
    assert decide(state(15.0, entities=others)).action is Verb.RETREAT


def test_what_is_in_force_stays_where_little_speaks_against_it() -> None:
    orbs = [thing(i, PickupKind.XP, 40.0 * i, 9.0) for i in range(2)]
    shrine = [thing(20, PickupKind.SHRINE, 0.0, 24.0)]
    given = state(pickups=orbs + shrine)
    first = decide(given)
    options = {Verb.COLLECT, Verb.INTERACT}
    assert first.action in options
    (other,) = options - {first.action}
    assert decide(given, Directive(other)).action is other
    weak = state(10.0, entities=[enemy(1, 0.0, 2.0)], pickups=orbs)
    assert decide(weak, Directive(Verb.COLLECT)).action is Verb.RETREAT  # much speaks against it


def test_a_goal_stresses_and_unknown_words_do_not() -> None:
    assert temper_of("Survive 20 minutes").survive > 1.0 == temper_of("").survive
    assert temper_of("kill the boss").fight > 1.0
    assert temper_of("lorem ipsum " * 10_000) == temper_of("")
    orbs = [thing(1, PickupKind.XP, 0.0, 40.0)]
    far = state(pickups=orbs)
    assert decide(far).action is Verb.COLLECT
    assert decide(far, goal="explore").action is Verb.EXPLORE


def test_probabilities_are_those_of_the_options() -> None:
    given = state(60.0, entities=[enemy(1, 0.0, 4.0)])
    verdict = Strategist().decide(given.pack())
    assert math.isclose(sum(verdict.probabilities.values()), 1.0)
    assert verdict.confidence == max(verdict.probabilities.values())
    assert verdict.probabilities[verdict.directive.action.value] == verdict.confidence


def test_fields_that_no_transport_carried_count_for_nothing() -> None:
    given = state(50.0, entities=[enemy(1, 0.0, 2.0)], pickups=[thing(1, PickupKind.XP, 0.0, 2.0)])
    given.fields = FieldGroup.PLAYER
    assert decide(given).action is Verb.EXPLORE


def test_kinds_of_things_that_nobody_knows_are_worth_nothing() -> None:
    """A newer game's kind 12 is not a chest because 12 ends as 4 does."""
    for known, verb in ((PickupKind.CHEST, Verb.INTERACT), (PickupKind.XP, Verb.COLLECT)):
        row = np.frombuffer(state(pickups=[thing(1, known, 0.0, 3.0)], gold=9.0).pack(), GAME_STATE)
        assert Strategist().decide(row.tobytes()).directive.action is verb
        newer = row.copy()
        newer["pickups"]["kind"][0, 0] += 8
        assert Strategist().decide(newer.tobytes()).directive.action is Verb.EXPLORE


def test_states_that_are_none_are_refused_and_half_of_one_is_used() -> None:
    strategist = Strategist()
    with pytest.raises(CorruptError, match="state: 3 bytes; wanted"):
        strategist.decide(b"abc")
    bad = state(float("nan")).pack()
    with pytest.raises(CorruptError, match="wanted finite numbers"):
        strategist.decide(bad)
    given = state(20.0, entities=[enemy(1, 0.0, 3.0)])
    given.entities.append(Being(2, 1, EntityFlag(0), (math.nan, math.inf, 0.0)))
    assert decide(given) == decide(state(20.0, entities=[enemy(1, 0.0, 3.0)]))


def test_whatever_a_state_holds_an_answer_is_a_directive_that_fits_it() -> None:
    rng = random.Random(3)
    for _ in range(300):
        entities = [
            enemy(i, rng.uniform(0, 360), rng.uniform(0, 60), rng.randrange(8))
            for i in range(rng.randrange(40))
        ]
        things = [
            thing(i, PickupKind(rng.randrange(7)), rng.uniform(0, 360), rng.uniform(0, 60))
            for i in range(rng.randrange(20))
        ]
        given = state(
            rng.uniform(0, 120), entities=entities, pickups=things, gold=rng.uniform(0, 2)
        )
        chosen = decide(given)
        if isinstance(chosen.target, Entity):
            assert chosen.target.id in {e.id for e in entities}
        if isinstance(chosen.target, Pickup):
            assert chosen.target.id in {t.id for t in things}


def test_the_backend_answers_strategies_and_hands_menus_on() -> None:
    async def menus(question: Question) -> Answer:
        return Answer(backend="rules", press=Press("click", choice=2))

    async def ask() -> None:
        backend = Rules()
        assert isinstance(backend, protocols.Backend)
        await backend.open()
        packed = state(20.0, entities=[enemy(1, 0.0, 3.0)]).pack()
        answer = await backend.decide(Question("a", packed=packed))
        assert answer.directive is not None
        assert answer.directive.action is Verb.RETREAT
        assert answer.mode == "rules"
        assert answer.press is None
        assert answer.reasoning
        with pytest.raises(Undecided) as refused:
            await backend.decide(Question("a", kind="menu", packed=packed))
        assert refused.value.failure is Failure.UNSUPPORTED
        with pytest.raises(Undecided) as garbage:
            await backend.decide(Question("a", packed=b"short"))
        assert garbage.value.failure is Failure.GARBAGE
        pressed = await Rules(menus=menus).decide(Question("a", kind="menu", packed=packed))
        assert pressed.press == Press("click", choice=2)
        await backend.close()

    asyncio.run(ask())
