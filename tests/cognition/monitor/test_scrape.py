"""cognition/monitor/scrape.py: what is on a page is read, and nothing that is no page is."""

from __future__ import annotations

import math
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from metabonk.cognition.monitor import scrape
from metabonk.errors import ConfigError, CorruptError, LinkError

PAGE = """\
# HELP requests_total Requests, by what became of them.
# TYPE requests_total counter
requests_total{status="ok",agent="a"} 3
requests_total{status="ok",agent="b"} 1 1700000000000
requests_total{status="stale",agent="b"} 2 # {trace="x{y}"} 0.5

sglang:token_usage{model_name="m, \\"quoted\\" and } braced\\n"} 0.25
idle_seconds NaN
limit +Inf
age_seconds_bucket{le="0.1"} 10
age_seconds_bucket{le="0.5"} 30
age_seconds_bucket{le="+Inf"} 40
"""


def test_a_page_is_read() -> None:
    page = scrape.parse(PAGE)
    assert len(page) == 9
    assert page.total("requests_total") == 6.0
    assert page.total("requests_total", status="ok") == 4.0
    assert page.by("requests_total", "agent") == {"a": 3.0, "b": 3.0}
    assert page.by("requests_total", "agent", status="stale") == {"b": 2.0}
    [usage] = page.samples("sglang:token_usage")
    assert usage.labels == {"model_name": 'm, "quoted" and } braced\n'}
    assert math.isnan(page.total("idle_seconds") or 0.0)
    assert page.total("limit") == math.inf


def test_absent_is_not_zero() -> None:
    page = scrape.parse(PAGE)
    assert page.total("nothing") is None
    assert page.mean("nothing") is None
    assert page.total("requests_total", status="error") is None
    assert page.buckets("nothing") == {}
    assert "nothing" not in page
    assert "limit" in page


def test_quantiles_lie_where_the_counts_do() -> None:
    buckets = scrape.parse(PAGE).buckets("age_seconds")
    assert scrape.quantile(buckets, 0.25) == pytest.approx(0.1)
    assert scrape.quantile(buckets, 0.5) == pytest.approx(0.3)
    assert scrape.quantile(buckets, 1.0) == 0.5  # of what is beyond the last bound no more is known
    assert scrape.quantile({}, 0.5) is None
    assert scrape.quantile({1.0: 0.0, math.inf: 0.0}, 0.5) is None


@pytest.mark.parametrize(
    "line",
    [
        "requests_total",
        "requests_total three",
        "9requests 3",
        'requests_total{status="ok} 3',
        "requests_total{status=ok} 3",
        'requests_total{status="ok";} 3',
        "<html>",
    ],
)
def test_what_is_no_sample_is_an_error_with_its_line(line: str) -> None:
    with pytest.raises(CorruptError, match="line 2"):
        scrape.parse(f"fine 1\n{line}\n")


def test_a_bound_that_is_no_number_is_an_error() -> None:
    with pytest.raises(CorruptError, match="no number"):
        scrape.parse('age_bucket{le="much"} 1').buckets("age")


def test_a_page_of_too_many_samples_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "MOST_SAMPLES", 3)
    assert len(scrape.parse("a 1\nb 1\nc 1")) == 3
    with pytest.raises(CorruptError, match="more than 3"):
        scrape.parse("a 1\nb 1\nc 1\nd 1")


def test_patterns_take_no_time_on_hostile_lines() -> None:
    """Nested quantifiers would take for ever on these."""
    for line in ("a{" + '"' * 50_000, "a{" + 'b="\\' * 20_000, "a{" + "b" * 50_000 + "} 1"):
        with pytest.raises(CorruptError):
            scrape.parse(line)


@contextmanager
def answering(answer: bytes, trickle: float = 0.0) -> Iterator[str]:
    """A server that says just this to everybody; with `trickle`, a byte per so many seconds."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            try:
                self.request.sendall(answer)
                while trickle:
                    time.sleep(trickle)
                    self.request.sendall(b"#")
            except OSError:
                pass  # the scraper gave up

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
        finally:
            server.shutdown()


def http(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def test_a_server_is_scraped() -> None:
    with answering(http(PAGE.encode())) as url:
        assert scrape.scrape(url).total("requests_total") == 6.0


def test_what_is_no_server_of_metrics_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(http(b"", "404 Not Found")) as url, pytest.raises(LinkError, match="404"):
        scrape.scrape(url)
    with answering(b"SSH-2.0-OpenSSH\r\n") as url, pytest.raises(LinkError, match="nobody answers"):
        scrape.scrape(url)
    with answering(http(b"\xff\xfe\x00")) as url, pytest.raises(CorruptError, match="no text"):
        scrape.scrape(url)
    monkeypatch.setattr(scrape, "MOST_BYTES", 1 << 20)
    big = http(b"# much\n" * 200_000)
    with answering(big) as url, pytest.raises(CorruptError, match="more than 1 MiB"):
        scrape.scrape(url)
    with pytest.raises(LinkError, match="is the server running"):
        scrape.scrape(url)  # it is gone


def test_an_answer_that_trickles_ends_with_the_timeout() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    with answering(head, trickle=0.02) as url, pytest.raises(LinkError, match="not there after"):
        scrape.scrape(url, timeout=0.3)


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "127.0.0.1:5556", "http://", "http://[", "ftp://a/b", ""]
)
def test_only_http_is_fetched(url: str) -> None:
    with pytest.raises(ConfigError, match="give an address"):
        scrape.scrape(url)
