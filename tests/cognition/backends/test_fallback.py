"""fallback.py and backends.py: the first answer that fits, in time, with every failure counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from metabonk import protocols
from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends.breaker import Breaker, State
from metabonk.cognition.backends.choice import describe, family, make
from metabonk.cognition.backends.fallback import Chain
from metabonk.cognition.backends.rules import Rules
from metabonk.cognition.question import Answer, Failure, Question, Undecided
from metabonk.errors import BackendError, ConfigError
from metabonk.records import FieldGroup, GameState, Widget
from metabonk.schema import BackendConfig

T = TypeVar("T")
GOOD = Answer("", directive=v.SAFE)
GARBAGE = Answer("", directive=v.Directive(v.Verb.ATTACK, v.Entity(99)))


class Scripted:
    """A backend that does one thing. does: an answer, an exception, or seconds to sleep first."""

    def __init__(self, name: str, *does: Answer | Exception | float, limit: int = 8) -> None:
        self.name, self.limit = name, limit
        self.does = list(does)
        self.asked: list[Question] = []
        self.cancelled = 0
        self.is_open = False

    async def open(self) -> None:
        if self.does and isinstance(self.does[0], BackendError):
            raise self.does[0]
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def decide(self, question: Question) -> Answer:
        self.asked.append(question)
        for what in self.does:
            if isinstance(what, float):
                try:
                    await asyncio.sleep(what)
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
            elif isinstance(what, Answer):
                return Answer(self.name, directive=what.directive)
            else:
                raise what
        raise Undecided(Failure.UNREACHABLE, "nothing", self.name)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 60.0))


def question(seconds: float = 30.0) -> Question:
    state = GameState(fields=FieldGroup.EVERYTHING, health=50, max_health=100, playing=True)
    return Question("a", packed=state.pack(), deadline=time.monotonic() + seconds)


def failing(failure: Failure) -> Undecided:
    return Undecided(failure, "on purpose", "x")


def test_the_first_answers_and_nobody_else_is_asked() -> None:
    first, second = Scripted("first", GOOD), Scripted("second", GOOD)
    chain = Chain([first, second])
    answer = run(chain.decide(question()))
    assert (answer.backend, answer.path) == ("first", ())
    assert not second.asked
    assert chain.name == "first"


@pytest.mark.parametrize(
    ("trouble", "failure"),
    [
        (failing(Failure.UNREACHABLE), Failure.UNREACHABLE),
        (failing(Failure.BROKEN), Failure.BROKEN),
        (failing(Failure.OVERLOADED), Failure.OVERLOADED),
        (failing(Failure.REFUSED), Failure.REFUSED),
        (failing(Failure.UNSUPPORTED), Failure.UNSUPPORTED),
        (GARBAGE, Failure.GARBAGE),
        (Answer(""), Failure.GARBAGE),
    ],
)
def test_the_next_is_asked_and_it_is_counted_and_said(
    trouble: Answer | Exception, failure: Failure
) -> None:
    chain = Chain([Scripted("first", trouble), Scripted("second", GOOD, limit=0)])
    answer = run(chain.decide(question()))
    assert answer.backend == "second"
    assert len(answer.path) == 1
    assert answer.path[0].startswith(f"first: {failure.value}: ")
    told = chain.metrics()
    assert told[f"backend_first_{failure.value}_total"] == 1.0
    assert told["backend_fallback_answers_total"] == 1.0
    assert told["backend_first_answers_total"] == 0.0


def test_nobody_answers() -> None:
    chain = Chain([Scripted("one", failing(Failure.BROKEN)), Scripted("two", GARBAGE)])
    with pytest.raises(Undecided, match=r"one: broken: .*; two: garbage: ") as error:
        run(chain.decide(question()))
    assert error.value.failure is Failure.GARBAGE


def test_a_late_one_is_cancelled_and_the_rules_still_answer_in_time() -> None:
    slow = Scripted("slow", 3600.0, GOOD)
    chain = Chain([slow, Rules()])
    asked = question(0.3)
    answer = run(chain.decide(asked))
    assert answer.backend == "rules"
    assert answer.path[0].startswith("slow: late")
    assert slow.cancelled == 1
    assert slow.asked[0].deadline < asked.deadline, "time is kept for who stands behind"


def test_time_is_shared_with_a_second_server() -> None:
    first, second = Scripted("first", 3600.0), Scripted("second", GOOD)
    asked = question(1.0)
    answer = run(Chain([first, second]).decide(asked))
    assert answer.backend == "second"
    given = first.asked[0].deadline - (asked.deadline - 1.0)
    assert 0.4 < given < 0.7
    assert second.asked[0].deadline <= asked.deadline


def test_the_breaker_keeps_away_from_what_fails() -> None:
    clock = [0.0]
    bad = Scripted("bad", failing(Failure.UNREACHABLE))
    chain = Chain([bad, Rules()], lambda: Breaker(3, pause=1.0, clock=lambda: clock[0]))

    async def go() -> None:
        for _ in range(10):
            await chain.decide(question())
        assert len(bad.asked) == 3
        assert chain.links[0].breaker.state is State.OPEN
        assert chain.metrics()["backend_bad_open_total"] == 7.0
        clock[0] += 1.0
        bad.does = [GOOD]
        answers = [await chain.decide(question()) for _ in range(3)]
        assert [answer.backend for answer in answers] == ["bad"] * 3
        assert chain.links[0].breaker.state is State.CLOSED

    run(go())


@pytest.mark.parametrize("failure", [Failure.REFUSED, Failure.UNSUPPORTED])
def test_bad_questions_do_not_take_a_backend_from_others(failure: Failure) -> None:
    bad = Scripted("server", failing(failure))
    chain = Chain([bad, Rules()])

    async def go() -> None:
        for _ in range(50):
            await chain.decide(question())

    run(go())
    assert chain.links[0].breaker.state is State.CLOSED
    assert len(bad.asked) == 50


def test_hopeless_deadlines_do_not_either_and_real_lateness_does() -> None:
    async def go(seconds: float) -> State:
        chain = Chain([Scripted("server", 3600.0), Rules()])
        chain.links[0].usual = 0.05
        for _ in range(6):
            await chain.decide(question(seconds))
        return chain.links[0].breaker.state

    assert run(go(0.05)) is State.CLOSED
    assert run(go(0.09)) is State.CLOSED, "less than its usual time, however often"
    assert run(go(-1.0)) is State.CLOSED
    assert run(go(0.2)) is State.OPEN


def test_a_slow_server_that_falls_silent_is_blamed_though_nobody_waits_twice_as_long() -> None:
    """Else every question would wait out its deadline."""

    async def go() -> None:
        server = Scripted("server", 3600.0)
        chain = Chain([server, Rules()])
        link = chain.links[0]
        link.usual = 0.2
        for _ in range(10):
            await chain.decide(question(0.35))
        assert link.breaker.opened == 1
        assert 5 <= len(server.asked) <= 8, "once late says nothing"

    run(go())


def test_what_a_slow_server_answers_ends_its_silence() -> None:
    async def go() -> None:
        server = Scripted("server")
        chain = Chain([server, Rules()])
        link = chain.links[0]
        link.usual = 0.2
        for _ in range(2):
            server.does = [3600.0]
            for _ in range(4):  # three of which it is blamed for
                await chain.decide(question(0.35))
            server.does = [GOOD]
            assert (await chain.decide(question())).backend == "server"
        assert link.breaker.opened == 0

    run(go())


def test_a_cancelled_question_cancels_what_runs_and_blames_nobody() -> None:
    slow = Scripted("slow", 3600.0)
    chain = Chain([slow, Rules()])

    async def go() -> None:
        tasks = [asyncio.create_task(chain.decide(question())) for _ in range(9)]
        while len(slow.asked) < 9:
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in done)

    run(go())
    assert slow.cancelled == 9
    assert chain.links[0].breaker.state is State.CLOSED


def test_opening_is_all_or_nothing() -> None:
    first, second = Scripted("first", GOOD), Scripted("second", BackendError("not there"))
    with pytest.raises(BackendError, match="not there"):
        run(Chain([first, second]).open())
    assert not first.is_open


def test_while_a_server_is_found_out_about_who_stands_behind_answers() -> None:
    """It may be loading for minutes: nobody waits for it, and its breaker hears of nothing."""

    class Opening(Scripted):
        async def open(self) -> None:
            await gate.wait()
            await super().open()

    gate = asyncio.Event()
    slow = Opening("slow", GOOD)
    chain = Chain([slow, Rules()])

    async def go() -> None:
        opening = asyncio.create_task(chain.open())
        await asyncio.sleep(0)
        for _ in range(20):
            answer = await chain.decide(question())
            assert answer.backend == "rules"
            assert answer.path[0].startswith("slow: unreachable: ")
        assert not slow.asked
        assert chain.metrics()["backend_slow_unreachable_total"] == 20.0
        gate.set()
        await opening
        answer = await chain.decide(question())
        assert (answer.backend, answer.path) == ("slow", ())
        assert chain.links[0].breaker.opened == 0

    run(go())


def test_time_is_not_kept_for_a_server_that_is_not_open_yet() -> None:
    first, second = Scripted("first", GOOD), Scripted("second", GOOD)
    chain = Chain([first, second])
    asked = question(1.0)
    chain.links[1].opening = True
    run(chain.decide(asked))
    assert first.asked[0].deadline == asked.deadline
    chain.links[1].opening = False
    run(chain.decide(asked))
    assert first.asked[1].deadline < asked.deadline


def test_no_chain_of_nobody_or_of_one_twice() -> None:
    for backends in ([], [Scripted("a"), Scripted("a")]):
        with pytest.raises(ValueError, match="wanted at least one"):
            Chain(backends)


def test_rules_alone_are_the_default_and_stand_behind_every_other() -> None:
    assert [link.backend.name for link in make(BackendConfig()).links] == ["rules"]
    chain = make(BackendConfig(chain="openai", url="http://a:1, http://b:2", model="m"))
    assert [link.backend.name for link in chain.links] == ["openai", "openai2", "rules"]
    assert [family(link.backend.name) for link in chain.links] == ["openai", "openai", "rules"]
    assert isinstance(chain, protocols.Backend)

    async def go() -> list[str]:
        only = make(BackendConfig())
        await only.open()
        answer = await only.decide(question())
        assert (answer.backend, answer.path, answer.mode) == ("rules", (), "rules")
        return describe(only)

    assert run(go()) == ["rules: answers at once, without a server"]


def test_others_are_handed_in() -> None:
    made = make(BackendConfig(chain="oracle"), {"oracle": lambda _: [Scripted("oracle", GOOD)]})
    assert run(made.decide(question())).backend == "oracle"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (BackendConfig(chain="opanai"), "did you mean 'openai'"),
        (BackendConfig(chain="openai,openai"), "twice"),
        (BackendConfig(chain="openai", url=" , "), "backend.url: empty"),
        (BackendConfig(chain="openai", url="ftp://x"), "wanted http"),
        (BackendConfig(chain="openai", model="a,b"), "2 models for 1 servers"),
        (BackendConfig(chain="openai", key_file="/nowhere"), "backend.key_file"),
        (BackendConfig(chain="policy"), "backend.policy: empty"),
        (BackendConfig(chain="policy", policy="/nowhere"), "backend.policy = /nowhere"),
    ],
)
def test_settings_that_cannot_be(config: BackendConfig, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make(config)


def test_key_files(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for text in (b"", b"two words", b"a\nb", b"\xff", b"x" * 10_000):
        file.write_bytes(text)
        with pytest.raises(ConfigError, match=f"^backend.key_file = {file}: "):
            make(BackendConfig(chain="openai", key_file=str(file)))
    file.write_bytes(b"s3cret\n")
    make(BackendConfig(chain="openai", key_file=str(file)))


def test_the_embedded_backend_reads_menus() -> None:
    widgets = [
        Widget(0.4, 0.4, 0.6, 0.5, True, 0, "Play"),
        Widget(0.4, 0.6, 0.6, 0.7, True, 0, "Quit"),
    ]
    state = GameState(fields=FieldGroup.EVERYTHING, menu="Main", paused=True, widgets=widgets)
    asked = Question("a", "menu", state.pack(), goal="Start a run")
    answer = run(make(BackendConfig()).decide(asked))
    assert answer.press is not None
    assert answer.press.text == "Play"
