"""agent/outbox.py: outcomes go until they are acknowledged, a few at once, and no more than fit."""

from __future__ import annotations

import pytest

from metabonk.cognition.agent import outbox
from metabonk.cognition.agent.outbox import AT_ONCE, FIRST, MOST_PAUSE, Outbox
from metabonk.cognition.protocol.wire import Outcome, RequestId


def outcome(sequence: int) -> Outcome:
    return Outcome(id=RequestId("omega-0", 7, sequence), applied=True, seconds=1.0)


def due(box: Outbox, now: int) -> list[int]:
    return [one.id.sequence for one in box.due(now)]


def test_each_is_due_again_after_longer_pauses() -> None:
    box, now, pauses = Outbox(), 100, []
    box.add(outcome(1), now)
    for _ in range(8):
        assert due(box, now) == [1]
        assert due(box, now) == []
        assert box.next_ns is not None
        pauses.append(box.next_ns - now)
        now = box.next_ns
    assert pauses[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert pauses[-1] == MOST_PAUSE
    assert box.remove(outcome(1).id)
    assert not box.remove(outcome(1).id)
    assert (len(box), box.next_ns) == (0, None)


def test_a_few_go_at_once_and_the_others_after_them() -> None:
    box = Outbox()
    for sequence in range(2 * AT_ONCE + 1):
        assert box.add(outcome(sequence), 0)
    found = [due(box, 0) for _ in range(4)]
    assert [len(some) for some in found] == [AT_ONCE, AT_ONCE, 1, 0]
    assert [n for some in found for n in some] == list(range(2 * AT_ONCE + 1))


def test_another_connection_hears_all_at_once_and_another_server_begins_anew() -> None:
    for anew in (False, True):
        box, now = Outbox(), 0
        box.add(outcome(1), now)
        for _ in range(6):
            assert due(box, now) == [1]
            assert box.next_ns is not None
            now = box.next_ns
        due(box, now)
        box.hurry(now + 1, anew=anew)
        assert due(box, now + 1) == [1]
        assert box.next_ns == now + 1 + (FIRST if anew else MOST_PAUSE)


def test_with_a_request_goes_what_was_never_sent() -> None:
    box = Outbox()
    box.add(outcome(1), 0)
    assert due(box, 0) == [1]
    box.add(outcome(2), 1000)
    box.along()
    assert due(box, 1) == [2]
    assert box.next_ns == FIRST


def test_the_oldest_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST", 3)
    box = Outbox()
    assert [box.add(outcome(n), 0) for n in range(5)] == [True, True, True, False, False]
    assert due(box, 0) == [2, 3, 4]
