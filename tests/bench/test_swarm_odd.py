"""bench/swarm/odd.py: a server that is no good is asked, and nothing of it is followed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from metabonk.bench import cognition, cognition_ticks
from metabonk.bench.swarm import odd
from metabonk.bench.swarm.odd import OddServer

from metabonk.cognition.agent.client import Client, ClientSettings, Sight
from metabonk.cognition.agent.decision import read_answer
from metabonk.cognition.question import Press
from metabonk.errors import CorruptError
from metabonk.records import FieldGroup, GameState, Widget

HANG_SECONDS = 30.0
PACKED = GameState().pack()


def asking(server: OddServer, patience: float) -> Client:
    settings = ClientSettings(every=0.05, patience=patience, pictures=False, linger=0.2)
    return Client("omega-0", server.url, settings, look=lambda: Sight(PACKED, time.monotonic_ns()))


def wait(client: Client, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The client's counts once they are as wanted."""
    end = time.monotonic() + HANG_SECONDS
    while not done(counts := client.counts()):
        assert time.monotonic() < end, counts
        time.sleep(0.01)
    return counts


def test_garbage_is_counted_and_not_followed() -> None:
    server = OddServer("garbled")
    try:
        with asking(server, 5.0) as client:
            counts = wait(client, lambda c: c["error"] >= 5 and c["unreadable"] >= 5)
            assert counts["applied"] == 0
            assert client.directive() is None
    finally:
        server.close()
        server.close()


@pytest.mark.parametrize("question", ["strategy", "menu"])
@pytest.mark.parametrize("answer", odd._GARBAGE)
def test_all_of_the_garbage_is_garbage(answer: dict[str, Any], question: Any) -> None:
    with pytest.raises(CorruptError):
        read_answer(answer, question)


def test_garbage_about_a_menu_ends_no_client() -> None:
    """The navigator reads texts instead, and asks again: whatever it is told, it goes on."""
    button = Widget(0.1, 0.1, 0.9, 0.3, True, 0, "Play")
    packed = GameState(fields=FieldGroup.EVERYTHING, menu="Main", widgets=[button]).pack()
    server, pressed = OddServer("garbled"), list[Press]()
    settings = ClientSettings(every=3600.0, pictures=False, menus=True, linger=0.2)
    client = Client(
        "omega-0", server.url, settings,
        look=lambda: Sight(packed, time.monotonic_ns()),
        press=lambda press: pressed.append(press) is None,
    )  # fmt: skip
    try:
        with client:
            counts = wait(client, lambda c: c["error"] >= 4)
            client.check()
        assert counts["applied"] == 0
        assert {press.text for press in pressed} == {"Play"}
    finally:
        server.close()


def test_what_is_late_is_not_followed_and_what_is_not_is() -> None:
    """Answers come up to a second late; they are of use for 0.3 s."""
    server = OddServer("late", 1.0)
    try:
        with asking(server, 0.3) as client:
            counts = wait(client, lambda c: c["applied"] >= 1 and c["lost"] >= 3 and c["late"] >= 2)
            assert all(
                d.received_ns <= d.captured_ns + 300_000_000
                for d in client.decisions
                if d.directive is not None
            )
            assert counts["applied"] == counts["ok"]
    finally:
        server.close()


def test_what_comes_after_the_end_is_not_followed() -> None:
    """A client that ends tells what came of a request under way: that it was not followed."""
    server = OddServer("late", 0.4)
    followed: list[float] = []
    try:
        for _ in range(5):
            settings = ClientSettings(every=0.05, patience=5.0, pictures=False, linger=0.8)
            client = Client(
                "omega-0", server.url, settings,
                look=lambda: Sight(PACKED, time.monotonic_ns()),
                apply=lambda directive, until: followed.append(time.monotonic()) is None,
            )  # fmt: skip
            client.start()
            wait(client, lambda c: c["under_way"] > 0)
            ended = time.monotonic()
            client.stop()
            time.sleep(0.1)
            assert not [at for at in followed if at > ended + 0.1]
    finally:
        server.close()


def test_nobody_is_there() -> None:
    server = OddServer("dead")
    try:
        with asking(server, 0.3) as client:
            time.sleep(0.3)
            assert not client.connected
            assert client.counts()["requests"] == 0
    finally:
        server.close()


def heard(late: tuple[int, float] = (8, 9.4), garbled: tuple[int, float] = (90, 0.0)) -> Any:
    """What the servers of a measurement said."""
    return {"late": cognition_ticks.Heard(*late), "garbled": cognition_ticks.Heard(*garbled)}


def test_more_misses_than_without_are_no_evidence() -> None:
    ours, peer = cognition_ticks.Proved(()), cognition_ticks.Proved(())
    ours.ticks = peer.ticks = 900
    ours.heard = heard()
    assert cognition_ticks.no_more(ours, peer).holds
    ours.missed = 1
    assert not cognition_ticks.no_more(ours, peer).holds
    peer.missed = 1
    assert cognition_ticks.no_more(ours, peer).holds


def test_a_proof_beside_nobody_who_spoke_is_no_evidence() -> None:
    """A server that never answered, or never too late, shows nothing about one that does."""
    ours, peer = cognition_ticks.Proved(()), cognition_ticks.Proved(())
    for said, why in (
        ({}, "late: nothing was heard of it"),
        (heard(late=(0, 0.0)), "late: nothing was heard of it"),
        (heard(garbled=(0, 0.0)), "garbled: nothing was heard of it"),
        (heard(late=(3, 4.0)), "late: nothing came later than 8 s"),
    ):
        ours.heard = said
        evidence = cognition_ticks.no_more(ours, peer)
        assert not evidence.holds
        assert why in evidence.note


def test_a_proof_lasts_longer_than_the_latest_answer() -> None:
    seconds = cognition_ticks.TICKS / 60.0
    assert seconds >= 30.0
    assert seconds > 2 * cognition_ticks.DELAY_SECONDS
    [case] = cognition_ticks.cases()
    proofs = 2 * len(cognition_ticks.MANNERS) * case.rounds
    assert proofs * seconds < cognition.GROUPS["ticks"] / 2, "and all of them fit"


def test_what_a_server_said_is_told() -> None:
    """Of few answers some are early and some late, and what they waited is counted."""
    server = OddServer("late", 1.0)
    try:
        with asking(server, 0.3) as client:
            wait(client, lambda c: server.answered >= 4)
        assert 0.6 < server.latest < HANG_SECONDS
    finally:
        server.close()
    silent = OddServer("dead")
    silent.close()
    assert (silent.answered, silent.latest) == (0, 0.0)


@pytest.mark.long
@pytest.mark.parametrize("manner", ["garbled", "dead", None])
def test_a_proof_is_made_beside_it(manner: Any) -> None:
    said: dict[Any, cognition_ticks.Heard] = {}
    report = cognition_ticks.proof(manner, ticks=60, heard=said)
    assert report["ticks"] == 60
    assert set(said) == {manner} - {None}
    if manner == "garbled":
        assert said[manner].answered > 0
