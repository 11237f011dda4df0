"""probe.py against the strict server: which dialects are found, and which servers will not do."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from typing import Any

import pytest
from asked import question, strip
from model_servers import asking, run, until

from metabonk.cognition.backends import probe as probing
from metabonk.cognition.backends.choice import make
from metabonk.cognition.backends.fallback import Chain
from metabonk.cognition.backends.fits import check
from metabonk.cognition.backends.openai import OpenAIBackend, Server
from metabonk.cognition.backends.probe import Wish
from metabonk.cognition.backends.rules import Rules
from metabonk.cognition.question import Undecided, sees
from metabonk.cognition.servers.standin import Behaviour, StandIn
from metabonk.errors import BackendError
from metabonk.schema import BackendConfig


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
                await backend.decide(question(seconds=1.0))
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


class Mute(StandIn):
    """Its chat never answers."""

    async def _scored_or_written(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/v1/chat/completions":
            await asyncio.sleep(3600.0)
        return await super()._scored_or_written(path, body)


@pytest.mark.parametrize(
    ("server", "form", "noted"),
    [
        (StandIn(), "json_schema", False),
        (StandIn(behaviour=Behaviour(without=frozenset({"json_schema"}))), "", False),
        (StandIn(decider=True), "", False),
        (Mute(), "", True),
    ],
)
def test_scores_that_are_wished_for_leave_the_chat_to_what_cannot_be_scored(
    server: StandIn, form: str, noted: bool
) -> None:
    """A server without any still scores."""

    async def go() -> None:
        wish = Wish(mode="score", timeout=2.0 if noted else 10.0)
        async with asking(wish=wish, server=server) as (_, backend):
            assert backend.found is not None
            assert (backend.found.mode, backend.found.dialect.schema) == ("score", form)
            notes = [note for note in backend.found.notes if "does not chat" in note]
            assert len(notes) == noted
            assert check(await backend.decide(question()), question()).mode == "score"

    run(go())


def test_a_model_that_sees_in_chat_alone_is_sent_pictures() -> None:
    """Of menus without buttons, though scores decide."""

    async def go() -> None:
        async with asking(wish=Wish(mode="score"), explain_seconds=0.0) as (_, backend):
            assert backend.found is not None
            blind = dataclasses.replace(backend.found.dialect, score_images=0)
            backend.found = dataclasses.replace(backend.found, dialect=blind)
            assert backend.sees
            mute = dataclasses.replace(blind, schema="")
            backend.found = dataclasses.replace(backend.found, dialect=mute)
            assert not backend.sees

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


class Front:
    """A web server with one reply to everything, which can be changed."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        self.requests += 1
        told = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(self.body)}\r\n\r\n"
        writer.write(told.encode() + self.body)
        writer.close()

    def turn(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body


def opened(front: Front, wish: Wish, prefix: str = "", after: float = 0.0) -> None:
    """Opens a backend against it. after: seconds until its server is there; 0: never."""

    async def go() -> None:
        plain = await asyncio.start_server(front.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{plain.sockets[0].getsockname()[1]}{prefix}"
        if after:
            listed = b'{"data": [{"id": "a"}, {"id": "b"}]}'
            asyncio.get_running_loop().call_later(after, front.turn, 200, listed)
        backend = OpenAIBackend(Server(url, wish=wish))
        try:
            await backend.open()
        finally:
            await backend.close()
            plain.close()

    run(go())


NOT_FOUND = b'{"detail": "Not Found"}'


@pytest.mark.parametrize(
    ("status", "body", "model"),
    [
        (200, b"it works!", ""),
        (200, b"it works!", "m"),
        (200, b"{}", ""),
        (404, NOT_FOUND, ""),
        (404, b'{"data": []}', ""),
        (500, b'{"data": [{"id": "m"}]}', ""),
        (404, b"\xff", ""),
    ],
)
def test_what_is_no_model_server(status: int, body: bytes, model: str) -> None:
    with pytest.raises(BackendError, match=r"no OpenAI-compatible server .* without /v1") as error:
        opened(Front(status, body), Wish(model=model), "/v1")
    assert f"/v1/v1/models answers {status} " in str(error.value)


def test_an_address_with_v1_is_told_where_the_model_is_set_too() -> None:
    """Some servers that are none the worse for it cannot list their models."""
    with pytest.raises(BackendError, match=r"/v1/models: 404 \(give its address without /v1\)"):
        opened(Front(404, NOT_FOUND), Wish(model="m"), "/v1")
    with pytest.raises(BackendError, match="cannot be held to answers that fit") as error:
        opened(Front(404, NOT_FOUND), Wish(model="m"))
    assert "without /v1" not in str(error.value)


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", NOT_FOUND])
@pytest.mark.parametrize("model", ["", "m"])
def test_a_gateway_without_its_server_is_waited_for(status: int, body: bytes, model: str) -> None:
    front = Front(status, body)
    with pytest.raises(BackendError, match=rf"answers {status} .*raise backend\.wait"):
        opened(front, Wish(model=model))
    assert front.requests == 1
    with pytest.raises(BackendError, match="has the models a, b: say which"):
        opened(Front(status, body), Wish(wait=30.0), after=0.3)


def test_which_model() -> None:
    models = [probing._Model("a"), probing._Model("b")]
    asked = probing._Probe(OpenAIBackend(Server("http://x"))._client, Wish())
    with pytest.raises(BackendError, match="has the models a, b: say which"):
        asked._pick(models)
    named = probing._Probe(OpenAIBackend(Server("http://x"))._client, Wish(model="b"))
    assert named._pick(models) == "b"
