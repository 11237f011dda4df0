"""Whether an answer fits its question: after every backend, also ours.

Knows the vocabulary and what a state holds; does not know who answered. An entity that a model
named may have died while it thought; System 1 grounds directives anew every tick, but what never
was there is garbage and is refused here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from metabonk.cognition import vocabulary as v
from metabonk.cognition.menus.goal import Goal
from metabonk.cognition.menus.menu import Screen, allowed, check_press
from metabonk.cognition.question import Answer, Failure, Question, Undecided
from metabonk.errors import ConfigError, CorruptError
from metabonk.records import GAME_STATE


def check(answer: Answer, question: Question) -> Answer:
    """The answer as it may be used. Raises Undecided (`garbage`) that names the field, what was got
    and what was wanted."""
    try:
        if question.kind == "menu":
            if answer.press is None or answer.directive is not None:
                raise CorruptError("press: none; a menu's question wants one and no directive")
            screen = Screen.of(question.state)
            press = check_press(Goal.of(question.goal), screen, answer.press)
            return dataclasses.replace(answer, press=press)
        if answer.directive is None or answer.press is not None:
            raise CorruptError("directive: none; a strategy's question wants one and no press")
        directive = v.read(v.spell(answer.directive))
        _grounded(directive, question)
        return answer
    except (CorruptError, ConfigError) as error:
        raise Undecided(Failure.GARBAGE, str(error), answer.backend) from error


def _grounded(directive: v.Directive, question: Question) -> None:
    target = directive.target
    if isinstance(target, v.Widget) and not question.packed:
        raise CorruptError(f"target: widget:{target.choice}; there is no state that shows it")
    if not question.packed or isinstance(target, v.Compass | v.Hold):
        return
    record: Any = np.frombuffer(question.packed, GAME_STATE)[0]
    if isinstance(target, v.Widget):
        if target.choice > record["widget_count"]:
            raise CorruptError(
                f"target: widget:{target.choice}; the screen has {record['widget_count']}"
            )
        if not record["widgets"]["enabled"][target.choice - 1]:
            raise CorruptError(f"target: widget:{target.choice}; it cannot be pressed now")
        # Whoever decides: a menu's question would refuse it, too.
        text = question.state.widgets[target.choice - 1].text
        if not allowed(Goal.of(question.goal), text):
            raise CorruptError(
                f"target: widget:{target.choice}, {text!r}; the goal does not ask for that"
            )
        return
    lists = ("entities", "entity_count") if isinstance(target, v.Entity) else _PICKUPS
    ids = record[lists[0]]["id"][: record[lists[1]]]
    if not (ids == target.id).any():
        raise CorruptError(f"target: {v.spell_target(target)}; the state has no such {lists[0]}")


_PICKUPS = ("pickups", "pickup_count")
