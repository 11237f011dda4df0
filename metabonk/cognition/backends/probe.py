"""Finds out what a model server understands, by asking it: nothing is believed that can be tried.

Knows the requests of dialect.py and what a right answer to each looks like. Does not know games.
One server ignores `response_format`, another fails at `json_schema`, a third takes pictures and
never looks at them: each is told by a request whose right answer cannot be guessed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import secrets
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import simplejpeg  # type: ignore[import-untyped]

from metabonk.cognition.backends.dialect import (
    PATHS,
    Choice,
    Dialect,
    Prompt,
    Route,
    SchemaForm,
    Scores,
    chat_body,
    error_text,
    read_chat,
    read_json,
    read_scores,
    score_body,
)
from metabonk.cognition.backends.httpclient import BadReply, HttpClient, Reply, Unreachable
from metabonk.cognition.question import Frame
from metabonk.errors import BackendError, CorruptError

Mode = Literal["score", "schema"]
OLDEST_SGLANG = (0, 5, 10)
_OWNERS = {"sglang": "sglang", "vllm": "vllm", "llamacpp": "llama.cpp", "library": "ollama"}
_THINKING = ("sglang", "vllm", "llama.cpp")
_NOT_YET = (502, 503, 504)  # it loads, or what stands before it finds nobody yet
_CHOICE = Choice(
    "probe", "Which word fits the pictures better?", (("bright", "light"), ("dark", "shadow"))
)


@dataclass(frozen=True)
class Found:
    """A server's dialect, how it will be asked, and what was noticed on the way, for people."""

    dialect: Dialect
    mode: Mode
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What is wanted of a server. model: empty for the only one it has. mode: how it answers what
    can be scored; `auto` takes scores where they can be had with pictures. frames: pictures per
    question. timeout: seconds per request. wait: seconds until it has to be there."""

    model: str = ""
    mode: Literal["auto", "score", "schema"] = "auto"
    frames: int = 9
    timeout: float = 60.0
    wait: float = 0.0


class _Model(msgspec.Struct):
    id: str
    owned_by: str = ""


class _Models(msgspec.Struct):
    data: list[_Model]


async def probe(client: HttpClient, wish: Wish) -> Found:
    """Asks a server what it can. Raises BackendError with the remedy if it is not there, or cannot
    be held to answers that fit."""
    return await _Probe(client, wish).run()


class _Probe:
    def __init__(self, client: HttpClient, wish: Wish) -> None:
        self._client, self._wish = client, wish
        self._notes: list[str] = []
        self._why: list[tuple[str, str]] = []  # what was tried, and what came of it

    async def run(self) -> Found:
        models = await self._models()
        dialect = Dialect(model=self._pick(models))
        owner = next((m.owned_by for m in models if m.id == dialect.model), "")
        server = _OWNERS.get(owner, "openai")
        dialect = dataclasses.replace(
            dialect, server=server, thinking=server in _THINKING, aborts=server == "sglang"
        )
        if server == "sglang":
            dialect = dataclasses.replace(dialect, version=await self._version())
        if self._wish.mode != "schema":
            dialect = await self._score(dialect)
            if server == "sglang" and not dialect.score:
                self._notes.append("it has no /v1/decisions; newer versions score options by it")
        dialect = await self._written(dialect)
        return Found(dialect, self._mode(dialect), tuple(self._notes))

    async def _models(self) -> list[_Model]:
        reply = await self._listed()
        if reply.status in (401, 403):
            raise BackendError(
                f"{self._client.url} refuses the key ({reply.status}): put the right one into the "
                "file that backend.key_file names"
            )
        said = f"/v1/models answers {reply.status} {reply.text(80)!r}"
        if reply.status in _NOT_YET:
            raise BackendError(
                f"{self._client.url}{said}: the model is not there yet; raise backend.wait, the "
                "seconds that it may take to come"
            )
        try:
            if reply.status == 200:
                return msgspec.json.decode(reply.body, type=_Models).data
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # told below
        if self._wish.model and reply.status != 200:  # transformers, without a hub's cache
            self._notes.append(said)
            if self._client.url.endswith("/v1"):
                self._why.append(("/v1/models", f"{reply.status} (give its address without /v1)"))
            return []
        raise BackendError(
            f"{self._client.url}{said}: that is no OpenAI-compatible server (give its address "
            "without /v1), or one that cannot list its models (set backend.model)"
        )

    async def _listed(self) -> Reply:
        """What it says of its models, as soon as it can. Raises BackendError if it is not there."""
        ends = asyncio.get_running_loop().time() + self._wish.wait
        while True:
            try:
                reply = await self._client.get("/v1/models", min(self._wish.timeout, 10.0))
                if reply.status not in _NOT_YET or asyncio.get_running_loop().time() >= ends:
                    return reply
            except (Unreachable, TimeoutError) as error:
                if asyncio.get_running_loop().time() >= ends:
                    raise BackendError(
                        f"no model server at {self._client.url} ({error or 'no answer'}): start it "
                        "(`metabonk serve vlm`), or set backend.url, or take backend.chain=rules"
                    ) from error
            except BadReply as error:
                raise BackendError(
                    f"{self._client.url}: {error}; that is no model server"
                ) from None
            await asyncio.sleep(0.2)

    def _pick(self, models: list[_Model]) -> str:
        names = [model.id for model in models]
        if self._wish.model:
            if names and self._wish.model not in names:
                self._notes.append(f"it does not list {self._wish.model!r} among its models")
            return self._wish.model
        if len(names) != 1:
            listed = ", ".join(names[:10]) or "none"
            raise BackendError(
                f"{self._client.url} has the models {listed}: say which by backend.model"
            )
        return names[0]

    async def _version(self) -> str:
        for path in ("/server_info", "/get_server_info"):
            reply = await self._asked("GET", path)
            if reply is None or reply.status != 200:
                continue
            try:
                told = msgspec.json.decode(reply.body, type=dict[str, Any]).get("version", "")
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            version = str(told)[:40]
            numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:3])
            if len(numbers) == 3 and numbers != (0, 0, 0) and numbers < OLDEST_SGLANG:
                raise BackendError(
                    f"SGLang {version} at {self._client.url} runs what strangers send it "
                    "(CVE-2026-3059, CVE-2026-3060): install 0.5.10 or newer"
                )
            return version
        self._notes.append("it does not say its version; SGLang before 0.5.10 is not safe")
        return ""

    async def _score(self, dialect: Dialect) -> Dialect:
        """The route by which most pictures are seen; the first of equals."""
        routes: tuple[Route, ...] = ("decisions", "systemone", "systemone_images")
        best = dialect
        for route in routes:
            count = await self._seen(dialect, route)
            if count is not None and (not best.score or count > best.score_images):
                best = dataclasses.replace(dialect, score=route, score_images=count)
            if best.score and (best.score_images or not self._wish.frames):
                break
        if best.score and self._wish.frames and not best.score_images:
            self._notes.append(f"{PATHS[best.score]} looks at no pictures")
        if best.score == "systemone" and best.server == "openai":
            best = dataclasses.replace(best, server="transformers")
        return best

    async def _seen(self, dialect: Dialect, route: Route) -> int | None:
        """How many pictures a route looks at; None where it does not score."""
        for count in _counts(self._wish.frames):
            scores = await self._scores(dialect, route, _pictures(count, 0))
            if scores is None:
                return None  # no such route
            if isinstance(scores, str):
                self._why.append((f"{PATHS[route]} with {count} pictures", scores))
                continue
            # Some take whatever stands in a body, and leave out what they do not know.
            return count if count and await self._looks(dialect, route, count, scores) else 0
        return None

    async def _looks(self, dialect: Dialect, route: Route, count: int, first: Scores) -> bool:
        """Whether other pictures change the scores."""
        other = await self._scores(dialect, route, _pictures(count, 1))
        return isinstance(other, Scores) and other.probabilities != first.probabilities

    async def _scores(
        self, dialect: Dialect, route: Route, frames: tuple[Frame, ...]
    ) -> Scores | str | None:
        """Scores; why there are none; or None where there is no such route."""
        prompt = Prompt("Describe what you see.", frames, "Nothing else is known.", (_CHOICE,))
        body = score_body(route, prompt, dialect.model)
        reply = await self._asked("POST", PATHS[route], body)
        if reply is None:
            return "the connection broke"
        if reply.status in (404, 405, 501):
            return None
        if reply.status != 200:
            return f"{reply.status} {error_text(reply.body, 160)}"
        try:
            return read_scores(reply.body, (_CHOICE,))
        except CorruptError as error:
            return str(error)

    async def _written(self, dialect: Dialect) -> Dialect:
        """Also where scores decide: places on pictures and long menus cannot be scored."""
        try:
            return await self._schema(dialect)
        except BackendError as error:
            if self._wish.mode != "score" or not dialect.score:
                raise
            self._notes.append(f"it scores and does not chat: {error}")
            return dialect

    async def _schema(self, dialect: Dialect) -> Dialect:
        forms: tuple[SchemaForm, ...] = ("json_schema", "json_object")
        for form in forms:
            tried = dataclasses.replace(dialect, schema=form)
            for count in _counts(self._wish.frames):
                tokens = await self._held(tried, _pictures(count, 0))
                if isinstance(tokens, str):
                    self._why.append((f"{form} with {count} pictures", tokens))
                    if tokens.startswith("200"):
                        break  # it took the schema and did as it liked
                    continue
                if count:
                    bare = await self._held(tried, ())
                    if isinstance(bare, int) and tokens and bare == tokens:
                        self._notes.append("chat takes pictures and does not look at them")
                        count = 0
                return dataclasses.replace(tried, images=count)
        return await self._plain(dialect)

    async def _plain(self, dialect: Dialect) -> Dialect:
        """How many pictures a chat takes that is held to nothing: explanations are words."""
        for count in _counts(self._wish.frames):
            prompt = Prompt("You answer briefly.", _pictures(count, 0), "", task="What is this?")
            body = chat_body(prompt, dialect, most_tokens=4)
            reply = await self._asked("POST", PATHS["chat"], body)
            if reply is not None and reply.status == 200:
                return dataclasses.replace(dialect, images=count)
        return dialect

    async def _held(self, dialect: Dialect, frames: tuple[Frame, ...]) -> int | str:
        """Tokens of the prompt if the answer kept to a schema of words that nobody can guess, else
        why not; what begins with 200 was an answer of its own."""
        words = [f"w{secrets.token_hex(4)}" for _ in range(2)]
        schema = {
            "type": "object",
            "properties": {"word": {"type": "string", "enum": words}},
            "required": ["word"],
            "additionalProperties": False,
        }
        prompt = Prompt(
            "You answer in JSON.", frames, "", task="Answer with a JSON object.", schema=schema
        )
        body = chat_body(prompt, dialect, most_tokens=64)
        reply = await self._asked("POST", PATHS["chat"], body)
        if reply is None:
            return "the connection broke"
        if reply.status != 200:
            return f"{reply.status} {error_text(reply.body, 160)}"
        try:
            text = read_chat(reply.body)
            value = read_json(text.content)
        except CorruptError as error:
            return f"200 {error}"
        held = isinstance(value, dict) and value.get("word") in words and len(value) == 1
        return text.tokens if held else f"200 and {text.content[:60]!r}"

    def _mode(self, dialect: Dialect) -> Mode:
        if self._wish.mode == "score" and not dialect.score:
            raise BackendError(
                f"{self._client.url} has no /v1/decisions or /v1/systemone "
                f"({self._reasons()}): set backend.mode to auto or schema"
            )
        if self._wish.mode == "schema" and not dialect.schema:
            raise BackendError(
                f"{self._client.url} does not keep to JSON schemas "
                f"({self._reasons()}): set backend.mode to auto or score"
            )
        if not dialect.score and not dialect.schema:
            raise BackendError(
                f"{self._client.url} cannot be held to answers that fit: neither scores nor JSON "
                f"schemas work ({self._reasons()})"
            )
        blind = self._wish.frames > 0 and dialect.score_images == 0 and dialect.images > 0
        scored = dialect.score and not (self._wish.mode == "auto" and dialect.schema and blind)
        return "score" if scored and self._wish.mode != "schema" else "schema"

    def _reasons(self) -> str:
        """Why not, each reason once."""
        first = {reason: f"{what}: {reason}" for what, reason in reversed(self._why)}
        return "; ".join(reversed(first.values())) or "there is nothing of that kind"

    async def _asked(self, method: str, path: str, body: bytes = b"") -> Reply | None:
        """A reply, or None where the connection broke. Raises BackendError where it is late."""
        try:
            return await self._client.request(method, path, body, self._wish.timeout)
        except TimeoutError as error:
            raise BackendError(
                f"{self._client.url}{path} did not answer within {self._wish.timeout:g} s: it may "
                "still be loading (backend.wait), or backend.probe_timeout is too short"
            ) from error
        except (Unreachable, BadReply):
            return None


def _counts(frames: int) -> list[int]:
    return [frames, *(count for count in (8, 4, 1, 0) if count < frames)] if frames else [0]


def _pictures(count: int, variant: int) -> tuple[Frame, ...]:
    """Small pictures of noise, other ones for every variant."""
    random = np.random.default_rng(17 + variant)
    frames = []
    for index in range(count):
        level = 40 + 150 * ((index + variant) % 2)
        noise = random.integers(0, 60, (64, 64, 3), dtype=np.uint8)
        jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(noise + np.uint8(level)), quality=85)
        frames.append(Frame(bytes(jpeg), 0.1 * (index - count + 1)))
    return tuple(frames)
