"""The small HTTP server and the pages it gives: whole, bounded, and readable by a scraper."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable

import pytest

from metabonk.cognition.broker.measures import MOST_LABELS, OTHERS, Measures
from metabonk.cognition.monitor.exposition import Histogram, Page
from metabonk.cognition.monitor.pages import MOST_BYTES, MOST_CONNECTIONS, Answer, HttpServer
from metabonk.cognition.monitor.scrape import parse, quantile
from metabonk.errors import ConfigError, LinkError


def served(body: Callable[[HttpServer], Awaitable[None]]) -> None:
    async def run() -> None:
        pages = {"/ok": lambda: Answer(200, "fine\n"), "/not": lambda: Answer(503, "no\n")}
        server = HttpServer("127.0.0.1:0", pages)
        await server.open()
        try:
            await body(server)
        finally:
            await server.close()
            await server.close()

    asyncio.run(run())


async def exchange(server: HttpServer, request: bytes, end: bool = False) -> tuple[int, bytes]:
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    if end:
        writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    head, _, data = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: " in head
    return int(head.split()[1]), data


@pytest.mark.parametrize(
    ("request_", "status", "data"),
    [
        (b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n", 200, b"fine\n"),
        (b"GET /ok?a=1 HTTP/1.0\r\n\r\n", 200, b"fine\n"),
        (b"HEAD /ok HTTP/1.1\r\n\r\n", 200, b""),
        (b"GET /not HTTP/1.1\r\n\r\n", 503, b"no\n"),
        (b"GET /etc/passwd HTTP/1.1\r\n\r\n", 404, None),
        (b"POST /ok HTTP/1.1\r\n\r\n", 405, None),
        (b"nonsense\r\n\r\n", 400, None),
        (b"\x16\x03\x01\x00\xff\r\n\r\n", 400, None),
        (b"GET /ok HTTP/1.1\r\nX: " + b"y" * (2 * MOST_BYTES), 431, None),
    ],
)
def test_requests(request_: bytes, status: int, data: bytes | None) -> None:
    async def body(server: HttpServer) -> None:
        found = await exchange(server, request_)
        assert found[0] == status
        assert data is None or found[1] == data

    served(body)


def test_half_a_request_is_told_and_too_many_are_turned_away() -> None:
    async def body(server: HttpServer) -> None:
        assert (await exchange(server, b"GET /ok", end=True))[0] == 400
        host, port = server.url.removeprefix("http://").split(":")
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(MOST_CONNECTIONS)]
        await asyncio.sleep(0.05)
        assert (await exchange(server, b"GET /ok HTTP/1.1\r\n\r\n"))[0] == 503
        for _, writer in idle:
            writer.close()
        for _ in range(100):
            if (await exchange(server, b"GET /ok HTTP/1.1\r\n\r\n"))[0] == 200:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("it never came back")

    served(body)


@pytest.mark.parametrize("address", ["", "127.0.0.1", ":80", "127.0.0.1:x", "127.0.0.1:99999"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        HttpServer(address, {})


def test_a_taken_address_is_told() -> None:
    async def body(server: HttpServer) -> None:
        second = HttpServer(server.url.removeprefix("http://"), {})
        with pytest.raises(LinkError, match="--http"):
            await second.open()

    served(body)


def test_a_page_is_read_back_as_it_was_meant() -> None:
    page = Page("metabonk_")
    page.add("requests_total", "counter", "Requests.", {('a"b\\c\nd',): 3.0}, ("agent",))
    page.add("agents", "gauge", "Agents.", 2.5)
    times = Histogram()
    random.seed(1)
    values = [random.uniform(0.001, 0.5) for _ in range(2000)]
    for value in [*values, math.nan, math.inf]:
        times.add(value)
    page.histogram("age_seconds", "Age.", {("x",): times}, ("stage",))
    found = parse(page.text())
    assert found.total("metabonk_requests_total", agent='a"b\\c\nd') == 3.0
    assert found.total("metabonk_agents") == 2.5
    assert found.total("metabonk_age_seconds_count") == 2000
    assert found.total("metabonk_age_seconds_sum") == pytest.approx(sum(values))
    middle = quantile(found.buckets("metabonk_age_seconds"), 0.5)
    assert middle is not None
    assert 0.2 <= middle <= 0.3


def test_labels_are_bounded() -> None:
    measures = Measures()
    for n in range(3 * MOST_LABELS):
        measures.requests[(measures.label(f"a{n}"),)] += 1
    assert len(measures.requests) == MOST_LABELS + 1
    assert measures.requests[(OTHERS,)] == 2 * MOST_LABELS
    for n in range(100):
        measures.stage(f"s{n}", 0.1)
    assert len(measures.stages) == 32
