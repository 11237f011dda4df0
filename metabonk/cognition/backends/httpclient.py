"""A small HTTP/1.1 client for model servers: keep-alive, deadlines, limits, real cancellation.

Knows requests and replies over asyncio streams; does not know what the bodies mean. A cancelled or
late request closes its connection, which is how engines learn that nobody waits any more. Nothing
that a server sends is trusted: the head, every chunk and the body have limits.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from metabonk.errors import ConfigError, CorruptError, LinkError

MOST_HEAD = 32 << 10  # bytes of status line and headers
_IDLE_SECONDS = 20.0  # servers drop idle connections; most wait longer than this


class Unreachable(LinkError):
    """No connection, or it broke before the reply was whole."""


class BadReply(CorruptError):
    """Bytes that are no HTTP reply, or more of them than allowed."""


@dataclass(frozen=True, slots=True)
class Reply:
    """status: of HTTP. headers: lower-case names. stages: seconds of connect (0 on a kept
    connection), send, wait (for the first byte) and receive."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    stages: Mapping[str, float]

    def text(self, most: int = 300) -> str:
        """The start of the body, for messages."""
        return " ".join(self.body[: 4 * most].decode("utf-8", "replace").split())[:most]


@dataclass(slots=True, eq=False)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: float = field(default_factory=time.monotonic)

    def alive(self) -> bool:
        fresh = time.monotonic() - self.used < _IDLE_SECONDS
        return fresh and not self.reader.at_eof() and not self.writer.is_closing()

    def drop(self) -> None:
        """Closes without waiting for what was not sent: the server sees it at once."""
        self.writer.transport.abort()


class _Refused(Exception):
    """A kept connection was closed under us before a byte of the reply: ask again on a new one."""


class HttpClient:
    """Requests to one server. Belongs to one asyncio loop.

    url: `http://host:port/prefix` or https. key: sent as a bearer token, never shown. most_body:
    bytes of a reply's body. names: what people call url and key, for errors. Raises ConfigError.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        most_body: int = 1 << 20,
        names: tuple[str, str] = ("url", "key"),
    ) -> None:
        parts, port = _checked(url, names[0])
        if not _plain(key):
            raise ConfigError(f"{names[1]}: the key is not printable ASCII without spaces")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._host, self._secure = parts.hostname, parts.scheme == "https"
        self._port = port or (443 if self._secure else 80)
        self._prefix = parts.path.rstrip("/")
        self._most_body = most_body
        self._fixed = f"Host: {parts.netloc.rpartition('@')[2]}\r\nAccept: application/json\r\n"
        if key:
            self._fixed += f"Authorization: Bearer {key}\r\n"
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._ssl = ssl.create_default_context() if self._secure else None
        self.connects = 0

    async def get(self, path: str, timeout: float) -> Reply:
        """See `request`."""
        return await self.request("GET", path, b"", timeout)

    async def post(self, path: str, body: bytes, timeout: float) -> Reply:
        """A JSON body; see `request`."""
        return await self.request("POST", path, body, timeout)

    async def request(self, method: str, path: str, body: bytes, timeout: float) -> Reply:
        """One exchange. path: below the url's prefix. timeout: seconds for all of it.

        Raises TimeoutError, Unreachable, BadReply; whatever ends it early closes the connection.
        """
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._fixed}"
        if body or method == "POST":
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        data = head.encode() + b"\r\n"
        async with asyncio.timeout(max(timeout, 0.0)):
            kept = self._kept()
            if kept is not None:
                try:
                    return await self._exchange(kept, data, body, None)
                except _Refused:
                    pass
            started = time.perf_counter()
            fresh = await self._connect()
            return await self._exchange(fresh, data, body, time.perf_counter() - started)

    async def close(self) -> None:
        """Drops every connection, busy ones too; safe to call twice."""
        for connection in [*self._idle, *self._busy]:
            connection.drop()
        self._idle.clear()

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.alive():
                return connection
            connection.drop()
        return None

    async def _connect(self) -> _Connection:
        try:
            reader, writer = await asyncio.open_connection(
                self._host, self._port, ssl=self._ssl, limit=MOST_HEAD
            )
        except (OSError, UnicodeError) as error:  # ssl.SSLError too; hosts that are no names
            told = getattr(error, "strerror", None) or error
            raise Unreachable(f"{self.url}: {told}") from error
        self.connects += 1
        return _Connection(reader, writer)

    async def _exchange(
        self, connection: _Connection, head: bytes, body: bytes, connecting: float | None
    ) -> Reply:
        """connecting: seconds that it took; None for a kept connection."""
        self._busy.add(connection)
        whole = False
        try:
            started = time.perf_counter()
            try:
                connection.writer.writelines((head, body))
                await connection.writer.drain()
                sent = time.perf_counter()
                status, headers, first = await _read_head(connection.reader)
            except (OSError, asyncio.IncompleteReadError) as error:
                partial = getattr(error, "partial", b"")
                if connecting is None and not partial:
                    raise _Refused from error
                raise Unreachable(f"{self.url}: the connection broke before a reply") from error
            try:
                content = await self._read_body(connection.reader, status, headers)
            except (OSError, asyncio.IncompleteReadError) as error:
                raise Unreachable(f"{self.url}: the connection broke in a reply") from error
            ended = time.perf_counter()
            whole = _keeps(headers)
            stages = {
                "connect": connecting or 0.0, "send": sent - started, "wait": first - sent,
                "receive": ended - first,
            }  # fmt: skip
            return Reply(status, headers, content, stages)
        finally:
            self._busy.discard(connection)
            if whole and connection.alive():
                connection.used = time.monotonic()
                self._idle.append(connection)
            else:
                connection.drop()

    async def _read_body(
        self, reader: asyncio.StreamReader, status: int, headers: Mapping[str, str]
    ) -> bytes:
        if status in (204, 304):
            return b""
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return await self._read_chunks(reader)
        length = headers.get("content-length")
        if length is None:
            body = await reader.read(self._most_body + 1)
            while len(body) <= self._most_body and (more := await reader.read(1 << 16)):
                body += more
            self._within(len(body))
            return body
        if not (length.isascii() and length.isdigit() and len(length) < 12):
            raise BadReply(f"{self.url}: content-length {length[:20]!r} is no number of bytes")
        self._within(int(length))
        return await reader.readexactly(int(length))

    async def _read_chunks(self, reader: asyncio.StreamReader) -> bytes:
        parts: list[bytes] = []
        total = 0
        while True:
            line = (await _read_line(reader)).partition(b";")[0].strip()
            if not line or len(line) > 8 or line.strip(b"0123456789abcdefABCDEF"):
                raise BadReply(f"{self.url}: a chunk begins with {line[:20]!r}; wanted its size")
            size = int(line, 16)
            if size == 0:
                for _ in range(32):  # trailers
                    if not (await _read_line(reader)).strip():
                        return b"".join(parts)
                raise BadReply(f"{self.url}: more than 32 trailers")
            total += size
            self._within(total)
            parts.append(await reader.readexactly(size))
            if await reader.readexactly(2) != b"\r\n":
                raise BadReply(f"{self.url}: a chunk is not as long as it says")

    def _within(self, size: int) -> None:
        if size > self._most_body:
            raise BadReply(f"{self.url}: a reply of {size} bytes; at most {self._most_body} wanted")


def _checked(url: str, name: str) -> tuple[SplitResult, int | None]:
    """A url's parts and its port. name: what people call it. Raises ConfigError."""
    if not _plain(url):
        raise ConfigError(f"{name}: {url!r}; wanted printable ASCII without spaces")
    try:
        parts = urlsplit(url)
    except ValueError as error:  # half an IPv6 address, for one
        raise ConfigError(f"{name}: {url!r}; {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{name}: {url!r}; wanted http://HOST:PORT or https://HOST")
    try:
        return parts, parts.port
    except ValueError as error:
        raise ConfigError(f"{name}: {url!r}; the port is not a number below 65536") from error


def _plain(text: str) -> bool:
    """Whether nothing in it could end a line of a request, or begin another."""
    return all(32 < ord(c) < 127 for c in text)


def _keeps(headers: Mapping[str, str]) -> bool:
    framed = "content-length" in headers or "transfer-encoding" in headers
    return framed and "close" not in headers.get("connection", "").lower()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], float]:
    while True:
        try:
            raw = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError as error:
            raise BadReply(f"a reply's headers exceed {MOST_HEAD} bytes") from error
        first = time.perf_counter()
        lines = raw.decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        code = rest[:3]
        if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit()):
            raise BadReply(f"a reply begins with {lines[0][:40]!r}; wanted HTTP/1.1 and a status")
        if int(code) >= 200:
            named = (line.partition(":") for line in lines[1:] if ":" in line)
            return int(code), {n.strip().lower(): v.strip() for n, _, v in named}, first


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n")
    except asyncio.LimitOverrunError as error:
        raise BadReply(f"a line of a reply exceeds {MOST_HEAD} bytes") from error
