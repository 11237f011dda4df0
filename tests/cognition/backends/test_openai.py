"""openai.py and probe.py against the strict server: dialects, modes, aborts, faults."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import pytest
from asked import menu, question, strip

from metabonk.cognition.backends import probe as probing
from metabonk.cognition.backends.choice import describe, make
from metabonk.cognition.backends.fallback import Chain
from metabonk.cognition.backends.fits import check
from metabonk.cognition.backends.openai import OpenAIBackend, Server
from metabonk.cognition.backends.probe import Wish
from metabonk.cognition.backends.rules import Rules
from metabonk.cognition.question import Answer, Failure, Frame, Undecided, sees
from metabonk.cognition.servers.standin import Behaviour, StandIn
from metabonk.errors import BackendError
from metabonk.schema import BackendConfig

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 60.0))


@contextlib.asynccontextmanager
async def asking(
    behaviour: Behaviour | None = None,
    wish: Wish | None = None,
    *,
    opened: bool = True,
    server: StandIn | None = None,
    **given: Any,
) -> AsyncIterator[tuple[StandIn, OpenAIBackend]]:
    """A server and a backend that asks it."""
    server = server or StandIn(behaviour=behaviour or Behaviour(), bodies=[])
    url = await server.start()
    backend = OpenAIBackend(Server(url, wish=wish or Wish(timeout=10.0), **given))
    try:
        if opened:
            await backend.open()
        yield server, backend
    finally:
        await backend.close()
        await server.stop()


async def until(true: Any) -> None:
    async with asyncio.timeout(20.0):
        while not true():
            await asyncio.sleep(0.001)


def test_what_an_sglang_server_is_found_to_take() -> None:
    async def go() -> None:
        async with asking() as (_, backend):
            assert backend.found is not None
            dialect = backend.found.dialect
            assert (dialect.server, dialect.version) == ("sglang", "0.5.10")
            assert (dialect.score, dialect.score_images) == ("decisions", 9)
            assert (dialect.schema, dialect.images) == ("json_schema", 9)
            assert dialect.aborts
            assert backend.found.mode == "score"
            assert backend.found.notes == ()

    run(go())


@pytest.mark.parametrize(
    ("behaviour", "wish", "mode", "pictures"),
    [
        (Behaviour(without=frozenset({"decisions"})), Wish(), "schema", 9),
        (Behaviour(without=frozenset({"json_schema"})), Wish(), "score", 9),
        (Behaviour(without=frozenset({"images"})), Wish(), "score", 0),
        (Behaviour(ignores=frozenset({"json_schema"})), Wish(), "score", 9),
        (Behaviour(fails=frozenset({"json_schema"})), Wish(), "score", 9),
        (Behaviour(), Wish(mode="schema"), "schema", 9),
        (Behaviour(), Wish(frames=3), "score", 3),
        (Behaviour(), Wish(frames=0), "score", 0),
    ],
)
def test_servers_that_lack_something(
    behaviour: Behaviour, wish: Wish, mode: str, pictures: int
) -> None:
    async def go() -> None:
        async with asking(behaviour, wish) as (server, backend):
            assert backend.found is not None
            dialect = backend.found.dialect
            assert backend.found.mode == mode
            shown = dialect.score_images if mode == "score" else dialect.images
            assert shown == pictures
            assert sees(Chain([backend, Rules()])) == (pictures > 0)
            answer = check(await backend.decide(question()), question())
            assert answer.mode == mode
            assert server.bodies is not None
            sent = max(len(body.get("images", ())) for body in server.bodies[-2:])
            if mode == "schema":
                content = server.bodies[-1]["messages"][1]["content"]
                sent = sum(part["type"] == "image_url" for part in content)
            assert sent == pictures

    run(go())


@pytest.mark.parametrize(
    ("owner", "server", "form", "thinking"),
    [
        ("vllm", "vllm", "json_schema", True),
        ("llamacpp", "llama.cpp", "json_object", True),
        ("library", "ollama", "json_schema", False),
        ("somebody", "openai", "json_schema", False),
    ],
)
def test_other_servers(owner: str, server: str, form: str, thinking: bool) -> None:
    """Without decisions, aborts or SGLang's fields, which they would refuse."""

    async def go() -> None:
        async with asking(server=StandIn(owner=owner, bodies=[])) as (standing, backend):
            assert backend.found is not None
            dialect = backend.found.dialect
            assert (dialect.server, dialect.schema) == (server, form)
            assert (dialect.thinking, dialect.aborts, dialect.score) == (thinking, False, "")
            answer = check(await backend.decide(question()), question())
            assert (answer.mode, answer.model) == ("schema", "stand-in")
            assert standing.bodies is not None
            assert ("chat_template_kwargs" in standing.bodies[-1]) == thinking
            standing.behaviour.latency = 3600.0
            with pytest.raises(Undecided):
                await backend.decide(question(seconds=0.1))
            await until(lambda: standing.counts.abandoned == 1)
            assert standing.bodies[-1]["path"] != "/abort_request"

    run(go())


def test_a_decision_model() -> None:
    """It refuses `/v1/decisions`, takes assets without looking at them, and eight pictures."""

    async def go() -> None:
        async with asking(server=StandIn(decider=True, bodies=[])) as (server, backend):
            assert backend.found is not None
            dialect = backend.found.dialect
            assert (dialect.score, dialect.score_images) == ("systemone_images", 8)
            assert (dialect.schema, backend.found.mode) == ("", "score")
            seen = set()
            for picture in range(4):
                asked = question(0, frames=strip(picture))
                answer = check(await backend.decide(asked), asked)
                seen.add(answer.confidence)
            assert len(seen) == 4
            assert server.bodies is not None
            assert max(len(body.get("images", ())) for body in server.bodies[-2:]) == 8

    run(go())


@pytest.mark.parametrize(
    ("server", "wish", "told"),
    [
        (
            StandIn(behaviour=Behaviour(without=frozenset({"decisions", "json_schema"}))),
            Wish(),
            "cannot be held to answers that fit",
        ),
        (
            StandIn(
                behaviour=Behaviour(
                    without=frozenset({"decisions"}), ignores=frozenset({"json_schema"})
                )
            ),
            Wish(),
            "neither scores nor JSON schemas",
        ),
        (
            StandIn(behaviour=Behaviour(without=frozenset({"decisions"}))),
            Wish(mode="score"),
            "backend.mode to auto or schema",
        ),
        (
            StandIn(behaviour=Behaviour(ignores=frozenset({"json_schema"}))),
            Wish(mode="schema"),
            "backend.mode to auto or score",
        ),
        (StandIn(version="0.5.9"), Wish(), "CVE-2026-3059"),
        (StandIn(key="s3cret"), Wish(), "backend.key_file"),
        (StandIn(behaviour=Behaviour(latency=30.0)), Wish(timeout=0.1), "did not answer within"),
    ],
)
def test_servers_that_will_not_do(server: StandIn, wish: Wish, told: str) -> None:
    async def go() -> None:
        async with asking(wish=wish, opened=False, server=server) as (_, backend):
            with pytest.raises(BackendError, match=told):
                await backend.open()
            with pytest.raises(Undecided):
                await backend.decide(question())

    run(go())


def test_a_server_that_is_set_and_not_there_is_an_error_at_the_start() -> None:
    async def go() -> None:
        server = StandIn()
        url = await server.start()
        await server.stop()
        chain = make(BackendConfig(chain="openai", url=url))
        with pytest.raises(BackendError, match="metabonk serve vlm"):
            await chain.open()

    run(go())


def test_it_is_waited_for() -> None:
    async def go() -> None:
        late = StandIn()
        url = await late.start()
        await late.stop()
        backend = OpenAIBackend(Server(url, wish=Wish(wait=30.0)))
        opening = asyncio.create_task(backend.open())
        await asyncio.sleep(0.3)
        assert not opening.done()
        await late.start(port=int(url.rpartition(":")[2]))
        await opening
        await backend.close()
        await late.stop()

    run(go())


def test_what_is_no_model_server() -> None:
    async def go() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nit works!")
            writer.close()

        plain = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{plain.sockets[0].getsockname()[1]}"
        with pytest.raises(BackendError, match="no OpenAI-compatible server"):
            await OpenAIBackend(Server(url)).open()
        plain.close()

    run(go())


def test_which_model() -> None:
    models = [probing._Model("a"), probing._Model("b")]
    asked = probing._Probe(OpenAIBackend(Server("http://x"))._client, Wish())
    with pytest.raises(BackendError, match="has the models a, b: say which"):
        asked._pick(models)
    named = probing._Probe(OpenAIBackend(Server("http://x"))._client, Wish(model="b"))
    assert named._pick(models) == "b"


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
            with pytest.raises(Undecided) as error:
                await backend.decide(question(seconds=0.4))
            assert error.value.failure in failures
            assert error.value.backend == "openai"
            chain = Chain([backend, Rules()])
            answer = await chain.decide(question(seconds=0.4))
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
                await backend.decide(question(seconds=0.2))
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
            if mode == "score":
                with pytest.raises(Undecided) as error:
                    await backend.decide(question(kind="menu", packed=b"", goal="Start"))
                assert error.value.failure is Failure.UNSUPPORTED
                return
            kinds = set()
            for seed in range(12):
                asked = question(seed, kind="menu", packed=b"", goal="Start a run")
                press = check(await backend.decide(asked), asked).press
                assert press is not None
                kinds.add(press.kind)
            assert kinds == {"click_xy", "noop"}

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
