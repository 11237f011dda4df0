"""Decisions as conversations: whatever is offered comes through, and all that the rules say."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from decision_logs import Log as Written
from decision_logs import menu_state
from situations import enemy, state, thing

from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends import scene
from metabonk.cognition.backends.prompt import MenuPrompt, StrategyPrompt
from metabonk.cognition.backends.rules import Strategist
from metabonk.cognition.log.chats import chat
from metabonk.cognition.log.export import Plan, export
from metabonk.cognition.log.rows import Log
from metabonk.cognition.menus.goal import MOST_CHARACTERS
from metabonk.cognition.protocol.wire import RequestId
from metabonk.cognition.question import Question
from metabonk.errors import CorruptError
from metabonk.records import EntityFlag, FieldGroup, GameState, PickupKind

DOC = Path(__file__).resolve().parents[3] / "docs/decision_log.md"


def crowded(seed: int = 0, enemies: int = 10, things: int = 8) -> GameState:
    """So much around as the journal keeps."""
    luck = random.Random(seed)

    def place() -> tuple[float, float]:
        return luck.uniform(0.0, 360.0), luck.uniform(2.0, 30.0)

    return state(
        luck.uniform(5.0, 100.0),
        gold=luck.choice((0.0, 100.0)),
        entities=[enemy(10 + i, *place(), luck.choice((0, 0, 0, 1, 4))) for i in range(enemies)],
        pickups=[thing(50 + i, PickupKind(i % 7), *place()) for i in range(things)],
    )


def prompt_of(packed: bytes) -> StrategyPrompt:
    return StrategyPrompt(Question("a", packed=packed), scene.read(packed))


def test_every_option_comes_back_as_what_it_was(tmp_path: Path) -> None:
    packed = crowded().pack()
    every = prompt_of(packed).options.every()
    assert {verb for verb, _ in every.values()} == set(v.Verb) - {v.Verb.CLICK}
    bare = {name for name, (_, named) in every.items() if isinstance(named.target, v.Hold)}
    assert bare == {"attack", "defend", "retreat", "collect", "explore", "interact", "hold"}
    log, told = Written(tmp_path), {}
    for number, (name, (verb, named)) in enumerate(every.items()):
        directive = v.Directive(verb, named.target, 2.0, v.Priority.HIGH)
        id = RequestId("a", 1, number)
        log.add(id, packed, v.spell(directive), float(number))
        told[str(id)] = name, directive
    log.close()
    with Log(tmp_path) as opened:
        found = export(opened, tmp_path / "out", Plan(formats=("chat",), shares=(1.0, 0.0, 0.0)))
        rows = {row.id: row for row in opened.rows()}
    assert found.without_chat == {}
    assert len(rows) == len(told) > 40
    for id, (name, directive) in told.items():
        messages, _ = chat(rows[id])
        said = msgspec.json.decode(messages[-1]["content"][0]["text"])
        assert said == {"directive": name, "seconds": 2.0, "priority": "high"}
        assert prompt_of(rows[id].packed).from_json(said) == directive


def test_a_chat_is_the_served_prompt_but_for_when_its_answer_takes_effect(tmp_path: Path) -> None:
    """And the documentation names the line that is missing."""
    packed = crowded().pack()
    log = Written(tmp_path)
    told = v.spell(v.Directive(v.Verb.EXPLORE))
    log.add(RequestId("a", 1, 1), packed, told, 1.0, goal="collect", in_force=v.SAFE)
    log.close()
    with Log(tmp_path) as opened:
        (row,) = opened.rows()
    (part,) = chat(row)[0][1]["content"]
    asked = Question("a", packed=row.packed, in_force=v.SAFE, goal="collect", latency=0.4)
    prompt = StrategyPrompt(asked, scene.read(asked.packed)).asked(())
    served = f"{prompt.situation}\n\n{prompt.task}".splitlines()
    missing = [line for line in served if line not in part["text"].splitlines()]
    assert missing == ["Your answer takes effect 0.4 s after the newest picture."]
    served.remove(missing[0])
    assert part["text"].splitlines() == served
    assert missing[0].replace("0.4", "N") in DOC.read_text("utf-8")


def test_a_chat_tells_of_enemies_that_were_only_said_to_be_near(tmp_path: Path) -> None:
    log, told = Written(tmp_path), v.spell(v.Directive(v.Verb.RETREAT))
    packed = GameState(fields=FieldGroup.PLAYER, health=1.0, max_health=1.0).pack()
    for number, crowd in enumerate((7, 0)):
        log.add(RequestId("a", 1, number), packed, told, 1.0, crowd=crowd)
    log.close()
    with Log(tmp_path) as opened:
        among, alone = (chat(row)[0][1]["content"][0]["text"] for row in opened.rows())
    assert "Enemies near, nobody says where: 7." in among
    assert "nobody says where" not in alone


LONG = "Take whatever seems best and go on. " * 10 + "Then quit"
FOREIGN = "Спокойно собирай всё, что лежит вокруг, и не спеши. " * 8 + "Потом quit"


@pytest.mark.parametrize("goal", [LONG, FOREIGN], ids=["long", "foreign"])
@pytest.mark.parametrize("question", ["strategy", "menu"])
def test_a_chat_has_the_whole_goal_and_what_may_be_done_by_it(
    tmp_path: Path, goal: str, question: str
) -> None:
    """A button that ends the game is offered where the goal says so, be it by its last word."""
    assert 300 < len(goal) <= MOST_CHARACTERS
    menu = question == "menu"
    packed = menu_state() if menu else crowded().pack()
    told = v.spell(v.Directive(v.Verb.EXPLORE))
    log = Written(tmp_path)
    log.add(
        RequestId("a", 1, 1), packed, {"kind": "click", "choice": 2} if menu else told, 1.0,
        question=question, goal=goal,
    )  # fmt: skip
    log.close()
    with Log(tmp_path) as opened:
        (row,) = opened.rows()
    (part,) = chat(row)[0][1]["content"]
    asked = Question("a", "menu" if menu else "strategy", row.packed, goal=goal)
    prompt = (MenuPrompt if menu else StrategyPrompt)(asked, scene.read(row.packed)).asked(())
    assert part["text"] == f"{prompt.situation}\n\n{prompt.task}"
    assert goal.removesuffix(".") in part["text"]
    if menu:
        assert prompt.schema is not None
        assert prompt.schema["properties"]["press"]["enum"] == ["widget:1", "widget:2", "none"]


def test_an_answer_that_was_not_offered_makes_no_chat(tmp_path: Path) -> None:
    log = Written(tmp_path)
    strange = v.Directive(v.Verb.COLLECT, v.Pickup(999))
    log.add(RequestId("a", 1, 1), crowded().pack(), v.spell(strange), 1.0)
    log.close()
    with Log(tmp_path) as opened:
        (row,) = opened.rows()
        found = export(opened, tmp_path / "out", Plan(formats=("chat",)))
    with pytest.raises(CorruptError, match=r"not among the options: .*collect pickup:999"):
        chat(row)
    assert found.without_chat == {"not among the options": 1}


@pytest.mark.parametrize("things", [0, 3, 8, 60])
def test_whatever_the_rules_decide_is_offered(things: int) -> None:
    """Also where so much lies around that hearts, portals and bosses are not the nearest."""
    strategist, said = Strategist(), set()
    for seed in range(150):
        packed = crowded(seed, enemies=seed % 30, things=things).pack()
        directive = strategist.decide(packed).directive
        name = v.spell_order(directive.action, directive.target)
        assert name in prompt_of(packed).options.every(), f"seed {seed}"
        said.add((directive.action, type(directive.target)))
    if things == 3:
        assert (v.Verb.ATTACK, v.Hold) in said or (v.Verb.ATTACK, v.Entity) in said
    if things == 8:
        assert {(v.Verb.RETREAT, v.Pickup), (v.Verb.INTERACT, v.Pickup)} <= said


def test_what_is_used_is_offered_without_naming_it_where_there_is_something() -> None:
    shrine = [thing(1, PickupKind.SHRINE, 0.0, 12.0)]
    given = state(90.0, pickups=shrine).pack()
    directive = Strategist().decide(given).directive
    assert (directive.action, directive.target) == (v.Verb.INTERACT, v.Hold())
    assert {"interact", "interact pickup:1"} <= set(prompt_of(given).options.every())
    nothing = prompt_of(state(90.0).pack()).options.every()
    assert not any(name.startswith("interact") for name in nothing)


def test_a_heart_and_a_boss_are_named_from_anywhere() -> None:
    shots = [
        enemy(100 + i, 9.0 * i, 3.0, EntityFlag.BOSS | EntityFlag.PROJECTILE) for i in range(9)
    ]
    gold = [thing(i, PickupKind.GOLD, 30.0 * i, 2.0) for i in range(12)]
    far = [thing(80, PickupKind.HEAL, 10.0, 60.0), thing(81, PickupKind.PORTAL, 20.0, 70.0)]
    chests = [thing(30 + i, PickupKind.CHEST, 40.0 * i, 5.0) for i in range(9)]
    packed = state(
        entities=[*shots, enemy(7, 0.0, 50.0, EntityFlag.BOSS)], pickups=[*gold, *chests, *far]
    ).pack()
    seen = scene.read(packed)
    assert seen.entities[0].target == v.Entity(7), "not its projectiles"
    assert seen.places[0].target == v.Pickup(81)
    assert [one.target for one in seen.hearts] == [v.Pickup(80)]
    assert seen.pickups[0] == seen.hearts[0]
    assert {"retreat pickup:80", "attack entity:7"} <= set(prompt_of(packed).options.few())
