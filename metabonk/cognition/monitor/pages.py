"""A small HTTP server for health and metrics: GET, whole pages, one request per connection.

Knows HTTP/1.1 as far as probes and Prometheus need it; does not know what its pages say. Bounded
everywhere: bytes of a request, seconds to send it, connections at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from metabonk.errors import ConfigError, LinkError

MOST_BYTES = 8 << 10
MOST_CONNECTIONS = 64
SECONDS = 5.0
LINGER = 0.2
_REASONS = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 431: "Request Header Fields Too Large", 503: "Service Unavailable",
}  # fmt: skip


class Answer(NamedTuple):
    """A page. status: 200, or 503 where something is not ready."""

    status: int
    text: str
    type: str = "text/plain; charset=utf-8"


class HttpServer:
    """Serves `pages`, functions by path, at HOST:PORT (port 0: one that is free)."""

    def __init__(self, address: str, pages: Mapping[str, Callable[[], Answer]]) -> None:
        host, colon, port = address.rpartition(":")
        if not (colon and host and port.isdigit() and int(port) <= 65_535):
            raise ConfigError(f"--http {address}: wanted HOST:PORT, as 127.0.0.1:5556")
        self.host, self._port, self._pages = host.strip("[]"), int(port), pages
        self._server: asyncio.Server | None = None
        self._open = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def open(self) -> None:
        """Raises LinkError if the address is taken."""
        try:
            self._server = await asyncio.start_server(
                self._serve, self.host, self._port, limit=MOST_BYTES
            )
        except OSError as error:
            raise LinkError(
                f"{self.host}:{self._port}: {error.strerror or error}; give another with --http"
            ) from error
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def close(self) -> None:
        """Safe to call twice."""
        if self._server is not None:
            self._server.close()
            self._server = None
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._open > MOST_CONNECTIONS:
                answer, head = Answer(503, "too many connections\n"), False
            else:
                answer, head = await self._answer(reader)
            data = answer.text.encode()
            lines = [
                f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}",
                f"Content-Type: {answer.type}",
                f"Content-Length: {len(data)}",
                "Cache-Control: no-store",
                "Connection: close",
            ]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head else data))
            async with asyncio.timeout(SECONDS):
                await writer.drain()
            writer.write_eof()
            async with asyncio.timeout(LINGER):  # what is not read takes the answer away with it
                while await reader.read(MOST_BYTES):
                    pass
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # who asked is gone, or the server ends; nothing more is told
        finally:
            self._open -= 1
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[Answer, bool]:
        """The page that is asked for, and whether only its head is."""
        try:
            async with asyncio.timeout(SECONDS):
                request = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            return Answer(408, "no whole request came\n"), False
        except asyncio.LimitOverrunError:
            return Answer(431, f"more than {MOST_BYTES} bytes\n"), False
        except asyncio.IncompleteReadError:
            return Answer(400, "the request ends in the middle\n"), False
        words = request.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return Answer(400, "not an HTTP request\n"), False
        method, path = words[0], words[1].split(b"?", 1)[0].decode("ascii", "replace")
        if method not in (b"GET", b"HEAD"):
            return Answer(405, "only GET and HEAD\n"), False
        page = self._pages.get(path)
        if page is None:
            known = "\n".join(self._pages)
            return Answer(
                404, f"there is no {path[:80]!r} here, only\n{known}\n"
            ), method == b"HEAD"
        return page(), method == b"HEAD"
