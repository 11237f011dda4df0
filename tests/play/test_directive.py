"""play/directive.py: the vocabulary as the core's numbers, and back from ledgers of any age."""

from __future__ import annotations

import numpy as np
import pytest

from metabonk import _core
from metabonk.cognition.vocabulary import (
    TARGETS,
    Compass,
    Directive,
    Entity,
    Hold,
    Pickup,
    Priority,
    Target,
    Verb,
    Widget,
)
from metabonk.errors import CorruptError
from metabonk.play.directive import (
    ActionNumber,
    Numbers,
    TargetNumber,
    numbers,
    of_ledger,
    told,
)
from metabonk.play.ledger import DIRECTIVE
from metabonk.records import Action, GameState

EXAMPLES: tuple[Target, ...] = (Entity(2**32 - 1), Pickup(4), Compass(15), Widget(32), Hold())


def test_every_directive_is_one_of_the_cores() -> None:
    """The core takes exactly the targets that the vocabulary gives each action."""
    executor = _core.play.Executor(None)
    packed, row = GameState().pack(), Action().row()
    taken = 0
    for verb in Verb:
        for target in EXAMPLES:
            kind = numbers_of_target(target)
            given = Numbers(ActionNumber[verb.name], *kind, int(Priority.HIGH))
            if isinstance(target, TARGETS[verb]):
                assert numbers(Directive(verb, target, priority=Priority.HIGH)) == given
                executor.apply(1, *given, 10, packed, 1, row)
                taken += 1
            else:
                with pytest.raises(ValueError, match="kind"):
                    executor.apply(1, *given, 10, packed, 1, row)
    assert taken == sum(len(kinds) for kinds in TARGETS.values())


def numbers_of_target(target: Target) -> tuple[int, int]:
    verb = next(v for v in Verb if isinstance(target, TARGETS[v]))
    return numbers(Directive(verb, target))[1:3]


def test_ledgers_tell_what_was_given() -> None:
    row = np.zeros((), DIRECTIVE)
    for directive in (
        Directive(Verb.RETREAT, Pickup(2**31)),
        Directive(Verb.ATTACK, Entity(7), priority=Priority.CRITICAL),
        Directive(Verb.CLICK, Widget(3)),
        Directive(Verb.HOLD),
    ):
        given = numbers(directive)
        row["action"], row["kind"], row["number"], row["priority"] = given
        assert of_ledger(row) == given
    assert told(numbers(Directive(Verb.CLICK, Widget(3)))) == "click widget:3"
    assert told(numbers(Directive(Verb.RETREAT, Compass(4)))) == "retreat compass:4"
    assert told(numbers(Directive(Verb.HOLD))) == "hold"


def test_ledgers_from_before_kinds_of_target_are_read() -> None:
    row = np.zeros((), DIRECTIVE)
    row["action"], row["target"] = ActionNumber.MOVE, 3
    assert of_ledger(row) == numbers(Directive(Verb.MOVE, Compass(3), priority=Priority.LOW))
    row["action"] = ActionNumber.CLICK
    assert of_ledger(row) == numbers(Directive(Verb.CLICK, Widget(4), priority=Priority.LOW))
    row["action"] = ActionNumber.HOLD
    assert of_ledger(row).kind == TargetNumber.HERE


@pytest.mark.parametrize(("field", "value"), [("action", 200), ("kind", 99)])
def test_numbers_that_mean_nothing_are_refused(field: str, value: int) -> None:
    row = np.zeros((), DIRECTIVE)
    row[field] = value
    with pytest.raises(CorruptError, match=f"{value}"):
        of_ledger(row)


def test_the_executor_refuses_what_is_none_of_its_arguments() -> None:
    executor = _core.play.Executor(None)
    packed, row = GameState().pack(), Action().row()
    with pytest.raises(ValueError, match="state"):
        executor.apply(1, 1, 0, 0, 0, 10, packed[:-1], 1, row)
    with pytest.raises(TypeError):
        executor.apply(1, 1, 0, 0, 0, 10, packed, 1, row.astype(np.float64))
    with pytest.raises(ValueError, match="level"):
        _core.play.Executor(b"short")
