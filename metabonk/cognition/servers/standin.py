"""A model server without a model: SGLang's documented API, strict, for tests and soaks.

Knows `/v1/chat/completions` with a JSON schema, `/v1/decisions`, `/v1/models`, `/ready`,
`/server_info`, `/abort_request` and `/metrics`, and refuses what their documentation refuses:
unknown fields, options out of range, repeated ids, pictures that are none. Its answers are drawn
from a hash of everything that it was shown, pictures too, so that the same words with another
picture have another answer. What it counts as cached is what a prefix cache would have. Does not
know games: its answers are well-formed and mean nothing.

`python -m metabonk.cognition.servers.standin --port 30000 --latency 0.05` serves until it is
stopped.
Sources: docs.sglang.io decision_models, openai_api_vision, structured_outputs, production_metrics.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from metabonk.cognition.servers import standin_answers as answers
from metabonk.cognition.servers.standin_answers import Refused, Shown
from metabonk.errors import ConfigError

MOST_BODY = 16 << 20
MOST_HEAD = 32 << 10
_BLOCK = 16  # tokens that a prefix cache keeps together
Fault = Literal["", "hang", "error", "busy", "garbage", "lie", "cut", "huge"]


@dataclass
class Behaviour:
    """What goes wrong, changed while it runs. latency: seconds per request. loading: seconds until
    it is ready. fault: of every request, or of each `every`-th. without: features that it lacks:
    `decisions`, `json_schema`, `images`. ignores: likewise, but without saying so. fails: features
    at which it breaks down (500)."""

    latency: float = 0.0
    loading: float = 0.0
    fault: Fault = ""
    every: int = 1
    without: frozenset[str] = frozenset()
    ignores: frozenset[str] = frozenset()
    fails: frozenset[str] = frozenset()


@dataclass
class Counts:
    """What happened, for tests and `/metrics`."""

    requests: int = 0
    decisions: int = 0
    chats: int = 0
    refused: int = 0
    aborted: int = 0
    abandoned: int = 0
    running: int = 0
    most_running: int = 0
    tokens: int = 0
    cached: int = 0
    connections: int = 0


@dataclass
class StandIn:
    """One server on one asyncio loop.

    owner: `sglang`, or another that `/v1/models` names (vllm, llamacpp, library), which then has no
    decisions and no aborts; llamacpp takes its schema in a `json_object`. decider: it serves a
    decision model, which answers by `/v1/systemone` alone. key: that requests must bear; empty:
    none. most_running: requests at the same time, others wait.
    """

    model: str = "stand-in"
    owner: str = "sglang"
    decider: bool = False
    key: str = ""
    most_running: int = 64
    version: str = "0.5.10"
    behaviour: Behaviour = field(default_factory=Behaviour)
    counts: Counts = field(default_factory=Counts)
    bodies: list[dict[str, Any]] | None = None  # a list given here collects what was asked

    def __post_init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._prefixes: OrderedDict[int, None] = OrderedDict()
        self._by_rid: dict[str, asyncio.Task[Any]] = {}
        self._open: dict[asyncio.StreamWriter, asyncio.Task[Any]] = {}
        self._room = asyncio.Semaphore(self.most_running)
        self._ready_at = 0.0
        self.url = ""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens; the url to ask at."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=MOST_HEAD)
        bound = self._server.sockets[0].getsockname()[1]
        self.url = f"http://{host}:{bound}"
        self._ready_at = asyncio.get_running_loop().time() + self.behaviour.loading
        return self.url

    async def stop(self) -> None:
        """Breaks every connection, as a killed process does; safe to call twice."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._open.values())
        for writer in list(self._open):
            writer.transport.abort()
        if tasks:
            await asyncio.wait(tasks)
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[writer] = task
        self.counts.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away, or never spoke HTTP
        finally:
            self._open.pop(writer, None)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, *_ = [*head[0].split(" "), "", ""]
        headers = {n.lower(): v.strip() for n, _, v in (h.partition(":") for h in head[1:])}
        length = headers.get("content-length", "0")
        if not length.isdigit() or len(length) > 9 or int(length) > MOST_BODY:
            _send(writer, 413, answers.error("the body is too large"))
            await writer.drain()
            return False
        body = await reader.readexactly(int(length))
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            _send(writer, 401, {"error": "Unauthorized"})
        elif method == "GET":
            _send(writer, *self._get(path))
        else:
            return await self._post(path, body, reader, writer)
        await writer.drain()
        return True

    def _get(self, path: str) -> tuple[int, Any]:
        ready = asyncio.get_running_loop().time() >= self._ready_at
        if path in ("/ready", "/health"):
            return (200, {}) if ready else (503, answers.error("loading"))
        if path == "/v1/models":
            listed = {"id": self.model, "object": "model", "owned_by": self.owner}
            return 200, {"object": "list", "data": [listed]}
        if path == "/server_info" and self.owner == "sglang":
            return 200, {"version": self.version, "model_path": self.model}
        if path == "/metrics":
            return 200, self._metrics()
        return 404, {"detail": "Not Found"}

    async def _post(
        self, path: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        self.counts.requests += 1
        fault = self.behaviour.fault
        if path == "/abort_request" or self.counts.requests % self.behaviour.every:
            fault = ""
        work = asyncio.create_task(self._answer(path, body, hang=fault == "hang"))
        gone = asyncio.create_task(reader.read(1))  # a client that went away
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            self.counts.abandoned += 1
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await gone
        try:
            status, content = await work
        except asyncio.CancelledError:
            return False
        if fault:
            return await self._spoil(fault, writer, status, content)
        _send(writer, status, content)
        await writer.drain()
        return True

    async def _spoil(
        self, fault: Fault, writer: asyncio.StreamWriter, status: int, content: Any
    ) -> bool:
        if fault == "cut":
            whole = _reply(status, content)
            writer.write(whole[: len(whole) // 2])
        elif fault == "huge":
            _send(writer, 200, "x" * (4 << 20))
        elif fault == "garbage":
            _send(writer, 200, "<html>it works</html>")
        elif fault == "busy":
            _send(writer, 503, answers.error("overloaded"))
        elif fault == "lie":
            _send(writer, 200, answers.lie(content))
        else:
            _send(writer, 500, answers.error("internal error"))
        await writer.drain()
        return fault in ("error", "busy", "lie")

    async def _answer(self, path: str, raw: bytes, *, hang: bool) -> tuple[int, Any]:
        try:
            body = msgspec.json.decode(raw, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            return 400, answers.error(f"the body is not JSON ({error})")
        if self.bodies is not None:
            self.bodies.append({"path": path, **body})
        if path == "/abort_request" and self.owner == "sglang":
            return self._abort(body)
        rid = body.get("rid")
        task = asyncio.current_task()
        if isinstance(rid, str) and task is not None:
            self._by_rid[rid] = task
        try:
            await asyncio.sleep(3600.0 if hang else 0.0)
            return await self._scored_or_written(path, body)
        except Refused as error:
            self.counts.refused += 1
            return error.status, answers.error(str(error))
        finally:
            if isinstance(rid, str):
                self._by_rid.pop(rid, None)

    async def _scored_or_written(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        lacks = self.behaviour.without
        if "json_schema" in self.behaviour.fails and "response_format" in body:
            raise Refused("internal error", 500)
        sglang = self.owner == "sglang"
        if self.decider and path == "/v1/systemone":
            answer = answers.systemone(body)
            self.counts.decisions += 1
        elif self.decider:
            raise Refused(f"{path} does not serve decision checkpoints, use /v1/systemone")
        elif path == "/v1/decisions" and sglang and "decisions" not in lacks:
            answer = answers.decide(body, images="images" not in lacks)
            self.counts.decisions += 1
        elif path == "/v1/chat/completions":
            form = "json_object" if self.owner == "llamacpp" else "json_schema"
            answer = answers.write(
                body,
                images="images" not in lacks,
                form="" if "json_schema" in lacks else form,
                fields=answers.CHAT_FIELDS if sglang else answers.CHAT_FIELDS - {"rid"},
                obeys="json_schema" not in self.behaviour.ignores,
            )
            self.counts.chats += 1
        else:
            return 404, {"detail": "Not Found"}
        shown = answer.pop("shown")
        tokens, cached = self._seen(shown)
        async with self._room:
            self.counts.running += 1
            self.counts.most_running = max(self.counts.most_running, self.counts.running)
            try:
                await asyncio.sleep(self.behaviour.latency)
            finally:
                self.counts.running -= 1
        answer["usage"] = {
            "prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens,
            "prompt_tokens_details": {"cached_tokens": cached},
        }  # fmt: skip
        return 200, {"model": self.model, **answer}

    def _abort(self, body: dict[str, Any]) -> tuple[int, Any]:
        task = self._by_rid.get(str(body.get("rid", "")))
        if task is not None:
            self.counts.aborted += 1
            task.cancel()
        return 200, {}

    def _seen(self, shown: Shown) -> tuple[int, int]:
        """Tokens of the prompts and how many of them a prefix cache would have had."""
        total = cached = 0
        for prompt in shown:
            rolling, hits, whole = 0, 0, True
            for start in range(0, len(prompt) - _BLOCK + 1, _BLOCK):
                rolling = hash((rolling, prompt[start : start + _BLOCK]))
                whole = whole and rolling in self._prefixes
                hits += whole
                self._prefixes[rolling] = None
            total += len(prompt)
            cached += hits * _BLOCK
        while len(self._prefixes) > 200_000:
            self._prefixes.popitem(last=False)
        self.counts.tokens += total
        self.counts.cached += cached
        return total, cached

    def _metrics(self) -> str:
        counts = self.counts
        label = f'{{model_name="{self.model}"}}'
        rate = counts.cached / counts.tokens if counts.tokens else 0.0
        lines = [
            "# TYPE sglang:num_requests_total counter",
            f"sglang:num_requests_total{label} {counts.requests}",
            "# TYPE sglang:num_running_reqs gauge",
            f"sglang:num_running_reqs{label} {counts.running}",
            "# TYPE sglang:prompt_tokens_total counter",
            f"sglang:prompt_tokens_total{label} {counts.tokens}",
            "# TYPE sglang:cached_tokens_total counter",
            f"sglang:cached_tokens_total{label} {counts.cached}",
            "# TYPE sglang:cache_hit_rate gauge",
            f"sglang:cache_hit_rate{label} {rate:.6f}",
            "# TYPE sglang:token_usage gauge",
            f"sglang:token_usage{label} {min(1.0, len(self._prefixes) / 200_000):.6f}",
            "# TYPE sglang:num_aborted_requests_total counter",
            f"sglang:num_aborted_requests_total{label} {counts.aborted + counts.abandoned}",
        ]
        return "\n".join(lines) + "\n"


_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


def _reply(status: int, content: Any) -> bytes:
    plain = isinstance(content, str)
    body = content.encode() if plain else msgspec.json.encode(content)
    kind = "text/plain" if plain else "application/json"
    head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _send(writer: asyncio.StreamWriter, status: int, content: Any) -> None:
    writer.write(_reply(status, content))


async def _forever(server: StandIn, host: str, port: int) -> None:
    await server.start(host, port)
    await asyncio.Event().wait()


def _key(file: str) -> str:
    """The key in a file, empty without one. Raises ConfigError."""
    if not file:
        return ""  # and nothing of the backends is loaded: a soak waits for who starts anew
    from metabonk.cognition.backends.choice import read_key

    return read_key(file, "--key-file")


def main(arguments: list[str] | None = None) -> None:
    """Serves until a signal ends it."""
    parser = argparse.ArgumentParser(description="A model server without a model.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=30000)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds per request")
    parser.add_argument("--loading", type=float, default=0.0, help="seconds until it is ready")
    parser.add_argument("--model", default="stand-in")
    parser.add_argument("--most-running", type=int, default=64, help="requests at the same time")
    parser.add_argument("--key-file", default="", help="the key that requests must bear stands in")
    given = parser.parse_args(arguments)
    try:
        key = _key(given.key_file)
    except ConfigError as error:
        parser.error(str(error))
    behaviour = Behaviour(latency=given.latency, loading=given.loading)

    async def run() -> None:
        server = StandIn(
            model=given.model, key=key, most_running=given.most_running, behaviour=behaviour
        )
        await _forever(server, given.host, given.port)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main()
