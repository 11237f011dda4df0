"""httpclient.py: kept connections, limits on everything a server sends, real cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk.cognition.backends.httpclient import (
    MOST_HEAD,
    BadReply,
    HttpClient,
    Reply,
    Unreachable,
    _read_head,
)
from metabonk.cognition.backends.openai import OpenAIBackend, Server
from metabonk.cognition.servers.standin import Behaviour, StandIn
from metabonk.errors import BackendError, ConfigError

T = TypeVar("T")
HANG = 20.0  # a generous limit: whoever needs it has failed


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 60.0))


async def scripted(
    replies: list[bytes], use: Callable[[HttpClient], Awaitable[T]], most_body: int = 1 << 16
) -> tuple[T, int]:
    """Runs `use` against a server that sends these bytes, one for each request, then closes;
    with the number of requests that it saw."""
    seen = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = [ln for ln in head.decode().split("\r\n") if ln.startswith("Content-Length")]
            await reader.readexactly(int(length[0].split(":")[1]) if length else 0)
            writer.write(replies[seen])
            seen += 1
            await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = HttpClient(
        f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", most_body=most_body
    )
    try:
        return await use(client), seen
    finally:
        await client.close()
        server.close()


def got(reply: bytes, most_body: int = 1 << 16) -> Reply:
    return run(scripted([reply], lambda client: client.get("/", HANG), most_body))[0]


def test_a_connection_is_kept_and_timed() -> None:
    async def go() -> None:
        server = StandIn()
        client = HttpClient(await server.start())
        for _ in range(5):
            reply = await client.get("/v1/models", HANG)
            assert reply.status == 200
            assert b"stand-in" in reply.body
        assert client.connects == server.counts.connections == 1
        assert set(reply.stages) == {"connect", "send", "wait", "receive"}
        assert reply.stages["connect"] == 0.0
        await client.close()
        await server.stop()

    run(go())


def test_a_kept_connection_that_was_closed_is_made_anew() -> None:
    """Servers close idle connections; the request that meets this is not lost."""

    async def go() -> None:
        first = StandIn()
        url = await first.start()
        client = HttpClient(url)
        await client.get("/v1/models", HANG)
        await first.stop()
        second = StandIn()
        await second.start(port=int(url.rpartition(":")[2]))
        assert (await client.get("/v1/models", HANG)).status == 200
        assert client.connects == 2
        await client.close()
        await second.stop()

    run(go())


def test_a_new_connection_that_is_closed_is_an_error_and_asked_once() -> None:
    async def use(client: HttpClient) -> str:
        with pytest.raises(Unreachable) as error:
            await client.get("/", HANG)
        return str(error.value)

    text, seen = run(scripted([b""], use))
    assert "broke before a reply" in text
    assert seen == 1


def test_nobody_there() -> None:
    async def go() -> None:
        server = StandIn()
        url = await server.start()
        await server.stop()
        with pytest.raises(Unreachable, match=url):
            await HttpClient(url).get("/", HANG)

    run(go())


@pytest.mark.parametrize("host", ["model..local", "m" * 64])
def test_hosts_that_cannot_be_names(host: str) -> None:
    """They are looked for in vain, as other hosts that are not there."""
    url = f"http://{host}:30000"
    with pytest.raises(Unreachable, match=re.escape(url)):
        run(HttpClient(url).get("/", HANG))
    with pytest.raises(BackendError, match=r"no model server at .* set backend\.url"):
        run(OpenAIBackend(Server(url)).open())


def test_bodies_in_every_framing() -> None:
    plain = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n"
    )
    closed = b"HTTP/1.1 200 OK\r\n\r\nhello"
    early = b"HTTP/1.1 100 Continue\r\n\r\n" + plain
    for reply in (plain, chunked, closed, early):
        assert got(reply).body == b"hello"
    assert got(b"HTTP/1.1 204 No Content\r\n\r\n").body == b""


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "begins with"),
        (b"HTTP/1.1 abc\r\n\r\n", "begins with"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "headers exceed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n", "at most 65536"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70_000, "at most 65536"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "wanted its size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n", "at most 65536"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n", "not as long"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 40,
            "trailers",
        ),
    ],
)
def test_replies_that_are_none(reply: bytes, told: str) -> None:
    with pytest.raises(BadReply, match=told):
        got(reply)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        b"HTTP/1.1 200",
    ],
)
def test_a_reply_that_breaks_off(reply: bytes) -> None:
    with pytest.raises(Unreachable, match="broke"):
        got(reply)


def test_cancelling_closes_the_connection() -> None:
    """Engines end what they compute when the client is gone."""

    async def go() -> None:
        server = StandIn(behaviour=Behaviour(fault="hang"))
        client = HttpClient(await server.start())
        task = asyncio.create_task(client.post("/v1/decisions", b"{}", HANG))
        while not server.counts.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(HANG):
            while not server.counts.abandoned:
                await asyncio.sleep(0.001)
        await server.stop()

    run(go())


def test_being_late_closes_it_too_and_the_next_request_works() -> None:
    async def go() -> None:
        server = StandIn(behaviour=Behaviour(fault="hang"))
        client = HttpClient(await server.start())
        with pytest.raises(TimeoutError):
            await client.post("/v1/decisions", b"{}", 0.05)
        assert (await client.get("/v1/models", HANG)).status == 200
        await client.close()
        await server.stop()
        assert server.counts.abandoned == 1

    run(go())


def test_the_key_is_sent_and_never_shown() -> None:
    async def go() -> None:
        server = StandIn(key="s3cret")
        url = await server.start()
        assert (await HttpClient(url).get("/v1/models", HANG)).status == 401
        client = HttpClient(url, key="s3cret")
        assert (await client.get("/v1/models", HANG)).status == 200
        assert "s3cret" not in client.url + repr(client)
        await server.stop()

    run(go())


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://x", "wanted http://HOST:PORT"),
        ("http://", "wanted http://HOST:PORT"),
        ("127.0.0.1:30000", "wanted http://HOST:PORT"),
        ("http://x:99999", "the port is not a number below 65536"),
        ("http://x y", "wanted printable ASCII without spaces"),
        ("http://[::1", "Invalid IPv6 URL"),
    ],
)
def test_urls_that_are_none_are_told_by_the_name_that_people_gave(url: str, why: str) -> None:
    with pytest.raises(ConfigError) as error:
        OpenAIBackend(Server(url))
    assert str(error.value).startswith(f"backend.url: {url!r}; {why}")
    with pytest.raises(ConfigError, match=r"^url: "):
        HttpClient(url)


def test_a_key_cannot_smuggle_headers() -> None:
    key = "a\r\nX-Evil: 1"
    with pytest.raises(ConfigError, match=r"^backend\.key_file: .*printable") as error:
        OpenAIBackend(Server("http://127.0.0.1:1", key=key))
    assert "Evil" not in str(error.value)


WHOLE = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
)


@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.integers(0, 90), st.binary(max_size=6))))
@settings(max_examples=300)
def test_any_bytes_are_a_reply_or_an_error(whole: bytes, changes: list[tuple[int, bytes]]) -> None:
    """Mutated replies end: with a body, or with an error that is caught."""
    data = bytearray(whole)
    for at, put in changes:
        data[at : at + len(put)] = put

    async def go() -> None:
        reader = asyncio.StreamReader(limit=MOST_HEAD)
        reader.feed_data(bytes(data))
        reader.feed_eof()
        with contextlib.suppress(BadReply, asyncio.IncompleteReadError):
            status, headers, _ = await _read_head(reader)
            body = await HttpClient("http://x", most_body=64)._read_body(reader, status, headers)
            assert len(body) <= 64

    run(go())
