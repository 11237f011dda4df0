"""openai.py against the strict server: modes, pictures, aborts, faults."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from asked import menu, question, strip
from model_servers import asking, run, until

from metabonk.cognition.backends.choice import describe, make
from metabonk.cognition.backends.fallback import Chain
from metabonk.cognition.backends.fits import check
from metabonk.cognition.backends.openai import EXPLAIN_TOKENS
from metabonk.cognition.backends.probe import Wish
from metabonk.cognition.backends.rules import Rules
from metabonk.cognition.question import Answer, Failure, Frame, Undecided
from metabonk.cognition.servers.standin import Behaviour, StandIn
from metabonk.schema import BackendConfig


def test_the_same_words_with_another_picture_have_another_answer() -> None:
    """A cache by text alone would give the first answer again."""

    async def go(mode: Any) -> set[str]:
        async with asking(wish=Wish(mode=mode)) as (_, backend):
            seen = set()
            for picture in range(12):
                asked = question(0, frames=strip(picture))
                answer = await backend.decide(asked)
                seen.add(f"{answer.directive} {answer.confidence:.6f}")
            again = await backend.decide(question(0, frames=strip(3)))
            assert f"{again.directive} {again.confidence:.6f}" in seen
            return seen

    assert len(run(go("score"))) == 12
    assert len(run(go("schema"))) > 1


@pytest.mark.parametrize("mode", ["score", "schema"])
def test_every_answer_is_valid(mode: Any) -> None:
    async def go() -> set[str]:
        async with asking(wish=Wish(mode=mode, frames=1)) as (_, backend):
            asked = [question(i, frames=strip(i, 1)) for i in range(80)]
            answers = await asyncio.gather(*(backend.decide(one) for one in asked))
            for one, answer in zip(asked, answers, strict=True):
                check(answer, one)
            return {str(answer.directive) for answer in answers}

    assert len(run(go())) > 20, "they are not all the same"


def test_an_answer_says_how_it_came_about() -> None:
    async def go() -> None:
        async with asking() as (_, backend):
            answer = await backend.decide(question())
            assert (answer.backend, answer.model, answer.mode) == ("openai", "stand-in", "score")
            assert abs(sum(answer.probabilities.values()) - 1.0) < 1e-9
            assert answer.directive is not None
            assert answer.probabilities[answer.directive.action.value] == answer.confidence
            assert set(answer.stages) == {
                "prompt", "connect", "send", "wait", "receive", "parse",
            }  # fmt: skip
            assert answer.tokens > 0
            assert backend.metrics()["scored_total"] == 1.0
            assert 0.0 < backend.metrics()["label_mass"] <= 1.0

    run(go())


def test_what_agents_share_is_cached() -> None:
    """Rules stand in front, so another agent's question finds them in the server's cache."""

    async def go() -> tuple[int, int]:
        async with asking(wish=Wish(mode="schema")) as (_, backend):
            await backend.decide(question(1, frames=strip(1)))
            other = await backend.decide(question(2, frames=strip(2)))
            same = await backend.decide(question(2, frames=strip(2)))
            assert same.cached_tokens > 0.9 * same.tokens
            return other.cached_tokens, other.tokens

    cached, tokens = run(go())
    assert 150 < cached < 0.9 * tokens


@pytest.mark.parametrize(
    ("fault", "failures"),
    [
        ("error", {Failure.BROKEN}),
        ("busy", {Failure.OVERLOADED}),
        ("garbage", {Failure.GARBAGE}),
        ("lie", {Failure.GARBAGE}),
        ("cut", {Failure.UNREACHABLE}),
        ("huge", {Failure.GARBAGE, Failure.UNREACHABLE}),
        ("hang", {Failure.LATE}),
    ],
)
@pytest.mark.parametrize("mode", ["score", "schema"])
def test_faults_are_told_apart_and_the_rules_answer(
    mode: Any, fault: Any, failures: set[Failure]
) -> None:
    async def go() -> Answer:
        async with asking(wish=Wish(mode=mode)) as (server, backend):
            server.behaviour.fault = fault
            seconds = 0.4 if fault == "hang" else 20.0
            with pytest.raises(Undecided) as error:
                await backend.decide(question(seconds=seconds))
            assert error.value.failure in failures
            assert error.value.backend == "openai"
            chain = Chain([backend, Rules()])
            answer = await chain.decide(question(seconds=seconds))
            server.behaviour.fault = ""
            assert (await chain.decide(question())).backend == "openai", "and it recovers"
            return answer

    answer = run(go())
    assert answer.backend == "rules"
    assert answer.path


def test_what_is_late_is_aborted_at_the_server() -> None:
    async def go() -> None:
        async with asking(wish=Wish(mode="schema")) as (server, backend):
            server.behaviour.latency = 3600.0
            with pytest.raises(Undecided) as error:
                await backend.decide(question(seconds=1.5))
            assert error.value.failure is Failure.LATE
            await until(lambda: server.counts.aborted + server.counts.abandoned >= 1)
            await until(lambda: server.counts.running == 0)
            assert backend.metrics()["aborts_total"] == 1.0
            assert server.bodies is not None
            await until(lambda: server.bodies and server.bodies[-1]["path"] == "/abort_request")
            assert server.bodies[-1]["rid"] == server.bodies[-2]["rid"]

    run(go())


@pytest.mark.parametrize("mode", ["score", "schema"])
def test_what_is_cancelled_is_aborted_at_the_server(mode: Any) -> None:
    async def go() -> None:
        async with asking(wish=Wish(mode=mode)) as (server, backend):
            server.behaviour.latency = 3600.0
            tasks = [asyncio.create_task(backend.decide(question(i))) for i in range(8)]
            each = 2 if mode == "score" else 1  # seconds and priority are asked beside it
            await until(lambda: server.counts.running == 8 * each)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await until(lambda: server.counts.running == 0)

    run(go())


def test_many_questions_at_the_same_time() -> None:
    async def go() -> None:
        async with asking(Behaviour(latency=0.02)) as (server, backend):
            before = server.counts.most_running
            answers = await asyncio.gather(*(backend.decide(question(i)) for i in range(16)))
            assert len({id(answer) for answer in answers}) == 16
            assert server.counts.most_running > max(before, 8)

    run(go())


def test_a_killed_server_is_a_counted_fallback_and_its_return_is_noticed() -> None:
    async def go() -> None:
        server = StandIn()
        url = await server.start()
        chain = make(BackendConfig(chain="openai", url=url))
        await chain.open()
        assert "stand-in at" in describe(chain)[0]
        assert (await chain.decide(question())).backend == "openai"
        await server.stop()
        answers = [await chain.decide(question()) for _ in range(10)]
        assert {answer.backend for answer in answers} == {"rules"}
        assert all("openai: " in answer.path[0] for answer in answers)
        told = chain.metrics()
        assert told["backend_openai_unreachable_total"] == 4.0, "then the breaker opened"
        assert told["backend_openai_open_total"] == 6.0
        await server.start(port=int(url.rpartition(":")[2]))
        async with asyncio.timeout(20.0):
            while (await chain.decide(question())).backend != "openai":
                await asyncio.sleep(0.02)
        await chain.close()
        await server.stop()

    run(go())


def test_reasons_are_words_beside_the_decision() -> None:
    async def go() -> None:
        async with asking(explain_seconds=10.0) as (_, backend):
            told = await backend.decide(question(explain=True))
            silent = await backend.decide(question(explain=False))
            assert told.reasoning == "Stay away from what is close and gather what is left behind."
            assert silent.reasoning == ""
            assert told.directive == silent.directive, "words never change a decision"
            assert backend.metrics()["explained_total"] == 1.0

    run(go())


def test_late_reasons_do_not_make_a_decision_late() -> None:
    async def go() -> None:
        async with asking(explain_seconds=0.05) as (server, backend):
            server.most_running = 1
            server._room = asyncio.Semaphore(1)
            server.behaviour.latency = 0.2
            answer = await backend.decide(question(explain=True))
            assert answer.directive is not None

    run(go())


@pytest.mark.parametrize("mode", ["score", "schema"])
def test_menus_by_buttons_and_by_pixels(mode: Any) -> None:
    async def go() -> None:
        async with asking(wish=Wish(mode=mode)) as (_, backend):
            asked = question(kind="menu", packed=menu("Play", "Options"), goal="Start a run")
            presses = set()
            for seed in range(20):
                answer = await backend.decide(
                    question(seed, kind="menu", packed=asked.packed, goal=asked.goal)
                )
                assert answer.press is not None
                presses.add((answer.press.kind, answer.press.choice))
            assert presses == {("click", 1), ("click", 2), ("noop", 0)}
            kinds = set()
            for seed in range(12):
                asked = question(seed, kind="menu", packed=b"", goal="Start a run")
                press = check(await backend.decide(asked), asked).press
                assert press is not None
                kinds.add(press.kind)
            assert kinds == {"click_xy", "noop"}

    run(go())


@pytest.mark.parametrize("mode", ["auto", "score", "schema"])
def test_more_buttons_than_can_be_scored_are_written(mode: Any) -> None:
    async def go() -> None:
        async with asking(wish=Wish(mode=mode)) as (_, backend):
            for count in (25, 26, 32):
                packed = menu(*(f"Level {i}" for i in range(count)))
                asked = question(kind="menu", packed=packed, goal="Level 3")
                answer = check(await backend.decide(asked), asked)
                scored = mode != "schema" and count == 25
                assert answer.mode == ("score" if scored else "schema")

    run(go())


def test_what_only_a_schema_can_answer_is_told_apart_where_there_is_none() -> None:
    async def go() -> None:
        lacks = Behaviour(without=frozenset({"json_schema"}))
        for mode in ("auto", "score"):
            async with asking(lacks, Wish(mode=mode)) as (_, backend):
                assert (await backend.decide(question())).mode == "score"
                for packed, told in (
                    (menu(), "a place on a picture takes a server that keeps to JSON schemas"),
                    (menu(*map(str, range(30))), "30 buttons, more than the 25 that can be scored"),
                ):
                    with pytest.raises(Undecided, match=told) as error:
                        await backend.decide(question(kind="menu", packed=packed, goal="Start"))
                    assert error.value.failure is Failure.UNSUPPORTED

    run(go())


@pytest.mark.parametrize("mode", ["score", "schema"])
def test_a_model_is_told_of_enemies_that_are_only_said_to_be_near(mode: Any) -> None:
    async def go(crowd: int) -> str:
        async with asking(wish=Wish(mode=mode)) as (server, backend):
            assert server.bodies is not None
            server.bodies.clear()
            await backend.decide(question(crowd=crowd))
            return str(server.bodies)

    assert "Enemies near, nobody says where: 12." in run(go(12))
    assert "nobody says where" not in run(go(0))


def test_where_scores_decide_reasons_are_asked_for_with_pictures() -> None:
    async def go() -> None:
        async with asking(wish=Wish(mode="score"), explain_seconds=10.0) as (server, backend):
            answer = await backend.decide(question(explain=True))
            assert (answer.mode, bool(answer.reasoning)) == ("score", True)
            (chat,) = [b for b in server.bodies or () if "chat" in b["path"] and _words(b)]
            content = chat["messages"][1]["content"]
            assert sum(part["type"] == "image_url" for part in content) == 9

    run(go())


def _words(body: dict[str, Any]) -> bool:
    """Whether it is asked for reasons: at length, and held to nothing."""
    return "response_format" not in body and body["max_tokens"] == EXPLAIN_TOKENS


@pytest.mark.parametrize("mode", ["auto", "schema"])
@pytest.mark.parametrize("blind", ["server", "wish", "question", "strip"])
def test_no_place_is_asked_for_without_a_picture(mode: Any, blind: str) -> None:
    """What a model made up would be pressed: somewhere."""

    async def go() -> None:
        lacks = frozenset({"images"} if blind == "server" else ())
        wish = Wish(mode=mode, frames=0 if blind == "wish" else 9)
        async with asking(Behaviour(without=lacks), wish) as (server, backend):
            before = server.counts.requests
            lazy = Lazy(*range(9))  # overwritten before it was read
            given: dict[str, Any] = {"frames": ()} if blind == "question" else {}
            if blind == "strip":
                given = {"frames": lazy.frames, "view": lazy}
            asked = question(kind="menu", packed=menu(), goal="Start a run", **given)
            with pytest.raises(Undecided, match="no picture to find a place on") as error:
                await backend.decide(asked)
            assert error.value.failure is Failure.UNSUPPORTED
            assert server.counts.requests == before
            asked = question(kind="menu", packed=menu("Play"), goal="Start a run", **given)
            assert (await backend.decide(asked)).press is not None, "buttons have names"

    run(go())


def test_a_bad_question_is_refused_and_nobody_is_asked() -> None:
    async def go() -> None:
        async with asking() as (server, backend):
            before = server.counts.requests
            with pytest.raises(Undecided) as error:
                await backend.decide(question(packed=b"short"))
            assert error.value.failure is Failure.REFUSED
            assert server.counts.requests == before
            with pytest.raises(Undecided) as error:
                await backend.decide(question(frames=(Frame(b"no jpeg", 0.0),)))
            assert error.value.failure is Failure.REFUSED
            assert "cannot be decoded" in str(error.value)

    run(go())


class Lazy:
    """A strip that lies elsewhere; `question.View`. read: pictures that were; gone: that are not
    there any more."""

    def __init__(self, *gone: int) -> None:
        self.whole = strip(7)
        self.read: list[int] = []
        self.seconds = 0.0
        self._gone = gone

    @property
    def frames(self) -> tuple[Frame, ...]:
        """As a question has them before anybody looks."""
        return tuple(Frame(b"", f.time, f.predicted, n) for n, f in enumerate(self.whole))

    async def look(self, frames: Sequence[Frame]) -> tuple[Frame, ...]:
        await asyncio.sleep(0.001)
        self.read += [frame.number for frame in frames]
        return tuple(self.whole[f.number] for f in frames if f.number not in self._gone)

    def seen(self) -> tuple[Frame, ...]:
        return tuple(self.whole[number] for number in self.read)

    def release(self) -> None:
        raise AssertionError("the broker's to do")


@pytest.mark.parametrize("mode", ["score", "schema"])
@pytest.mark.parametrize(("most", "read"), [(9, list(range(9))), (2, [0, 5]), (0, [])])
def test_pictures_that_lie_elsewhere_are_read_when_they_are_shown(
    mode: Any, most: int, read: list[int]
) -> None:
    async def go() -> None:
        async with asking(wish=Wish(mode=mode, frames=most)) as (_, backend):
            lazy = Lazy()
            there = await backend.decide(question(frames=lazy.whole))
            elsewhere = await backend.decide(question(frames=lazy.frames, view=lazy))
            assert lazy.read == read
            assert elsewhere.directive == there.directive
            assert elsewhere.confidence == there.confidence, "the same was shown"

    run(go())


def test_pictures_that_are_gone_are_left_out() -> None:
    async def go() -> None:
        async with asking() as (server, backend):
            lazy = Lazy(0, 8)
            assert server.bodies is not None
            server.bodies.clear()
            answer = await backend.decide(question(frames=lazy.frames, view=lazy))
            assert answer.directive is not None
            assert max(len(body.get("images", ())) for body in server.bodies) == 7

    run(go())


def test_a_chain_that_does_not_come_to_its_server_reads_nothing() -> None:
    async def go() -> None:
        async with asking() as (server, backend):
            chain = Chain([backend, Rules()])
            await server.stop()
            for _ in range(6):
                await chain.decide(question(seconds=0.5))
            lazy = Lazy()
            answer = await chain.decide(question(frames=lazy.frames, view=lazy))
            assert answer.backend == "rules"
            assert "left alone" in answer.path[0], "the breaker is open"
            assert lazy.read == []

    run(go())
