"""The backend `openai`: asks any compatible model server, in the way that server was found to take.

Knows prompts, dialects and HTTP; does not know who asks. Nothing here blocks its loop: what is late
or cancelled is aborted at the server, by closing the connection and, where there is one, by
`/abort_request`. Every failure is an `Undecided` with its reason; nothing is made up.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends import scene as scenes
from metabonk.cognition.backends.dialect import (
    MOST_OPTIONS,
    PATHS,
    Prompt,
    Scores,
    chat_body,
    error_text,
    read_chat,
    read_json,
    read_scores,
    score_body,
)
from metabonk.cognition.backends.httpclient import BadReply, HttpClient, Reply, Unreachable
from metabonk.cognition.backends.probe import Found, Wish, probe
from metabonk.cognition.backends.prompt import MenuPrompt, StrategyPrompt, frames_for
from metabonk.cognition.question import Answer, Failure, Frame, Press, Question, Undecided
from metabonk.errors import BackendError, CorruptError

ANSWER_TOKENS = 96  # of a schema's longest answer, with some room
EXPLAIN_TOKENS = 80
_ABORT_SECONDS = 2.0
_ITS_OWN = (401, 403, 404, 405, 408)  # no question is to blame for these


@dataclass(frozen=True)
class Server:
    """One model server and how it is to be asked.

    key: bearer token; empty: none. limit: questions in flight. temperature: of chat answers; scores
    are always exact. explain_seconds: that an answer waits for its reasons at most.
    """

    url: str
    key: str = ""
    wish: Wish = field(default_factory=Wish)
    limit: int = 16
    temperature: float = 0.0
    explain_seconds: float = 0.5


class OpenAIBackend:
    """A model server as a backend; see the module's docstring. Belongs to one asyncio loop."""

    def __init__(self, server: Server, name: str = "openai") -> None:
        self.name, self.limit = name, server.limit
        self._server = server
        names = ("backend.url", "backend.key_file")
        self._client = HttpClient(server.url, key=server.key, names=names)
        self.found: Found | None = None
        self._aborts: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()
        self._tokens = self._cached = 0
        self._mass = 1.0

    @property
    def url(self) -> str:
        """Where the server is, without any key."""
        return self._client.url

    @property
    def sees(self) -> bool:
        """Whether the server looks at pictures in any way that it is asked here. Menus without
        buttons are answered under a schema also where scores decide."""
        if self.found is None:
            return self._server.wish.frames > 0
        dialect = self.found.dialect
        written = bool(dialect.schema) or self._server.explain_seconds > 0.0
        return dialect.score_images > 0 or (written and dialect.images > 0)

    async def open(self) -> None:
        """Finds out what the server can. Raises BackendError with the remedy."""
        self.found = await probe(self._client, self._server.wish)

    async def close(self) -> None:
        """Aborts what is in flight; safe to call twice."""
        aborts = list(self._aborts)
        for task in aborts:
            task.cancel()
        await asyncio.gather(*aborts, return_exceptions=True)
        await self._client.close()

    async def decide(self, question: Question) -> Answer:
        """See `question.Backend`. Raises Undecided."""
        if self.found is None:
            raise Undecided(Failure.UNREACHABLE, "asked before it was opened", self.name)
        started = time.perf_counter()
        try:
            scene = scenes.read(question.packed, question.crowd)
        except CorruptError as error:
            raise Undecided(Failure.REFUSED, str(error), self.name) from error
        prompt: StrategyPrompt | MenuPrompt
        prompt = (MenuPrompt if question.kind == "menu" else StrategyPrompt)(question, scene)
        words = self._explanation(question, prompt)
        try:
            answer = await self._decided(question, prompt, started)
            return await self._with_words(answer, words, question)
        finally:
            if words is not None:
                words.cancel()

    def metrics(self) -> dict[str, float]:
        """Counters and gauges by name, without the backend's."""
        values = {
            f"{name}_total": float(self._counts[name])
            for name in ("scored", "written", "explained", "aborts", "abort_failures", "cut_off")
        }
        values["prompt_tokens_total"] = float(self._tokens)
        values["cached_tokens_total"] = float(self._cached)
        values["connects_total"] = float(self._client.connects)
        values["label_mass"] = self._mass
        return values

    async def _decided(
        self, question: Question, prompt: StrategyPrompt | MenuPrompt, started: float
    ) -> Answer:
        found = self._needs()
        scorable = isinstance(prompt, StrategyPrompt) or prompt.scorable
        if found.mode == "score" and scorable:
            return await self._scored(question, prompt, started)
        if found.dialect.schema:
            return await self._written(question, prompt, started)
        many = isinstance(prompt, MenuPrompt) and prompt.widgets
        what = "a place on a picture takes"
        if many:
            what = f"{len(many)} buttons, more than the {MOST_OPTIONS - 1} that can be scored, take"
        why = f"{what} a server that keeps to JSON schemas"
        raise Undecided(Failure.UNSUPPORTED, why, self.name)

    async def _scored(
        self, question: Question, prompt: StrategyPrompt | MenuPrompt, started: float
    ) -> Answer:
        dialect = self._needs().dialect
        frames, read = await _shown(question, dialect.score_images)
        asked = prompt.scored(frames)
        beside = prompt.timed() if isinstance(prompt, StrategyPrompt) else None
        built = time.perf_counter()
        work = [
            asyncio.ensure_future(self._scores(one, question)) for one in (asked, beside) if one
        ]
        try:
            (scores, stages), *others = await asyncio.gather(*work)
        finally:
            for task in work:  # where one failed, nobody waits for the other
                task.cancel()
        shares = dict(scores.probabilities)
        for other, _ in others:
            shares |= other.probabilities
        try:
            chosen, actions = prompt.from_scores(shares)
        except (CorruptError, ValueError) as error:
            raise Undecided(Failure.GARBAGE, str(error), self.name) from error
        self._counts["scored"] += 1
        return self._answer(
            chosen,
            mode="score",
            confidence=_confidence(chosen, actions),
            probabilities=actions,
            stages={**stages, "prompt": stages.get("prompt", 0.0) + built - started - read},
            tokens=scores.tokens,
            cached_tokens=scores.cached,
        )

    async def _scores(
        self, asked: Prompt, question: Question
    ) -> tuple[Scores, Mapping[str, float]]:
        """The scores of one prompt, and the seconds of its exchange."""
        if not asked.choices:
            return Scores({}, {}), {}
        dialect = self._needs().dialect
        encoding = time.perf_counter()
        body = score_body(dialect.score, asked, dialect.model)
        built = time.perf_counter()
        reply = await self._post(PATHS[dialect.score], body, question)
        parsed = time.perf_counter()
        try:
            scores = read_scores(reply.body, asked.choices)
        except CorruptError as error:
            raise Undecided(Failure.GARBAGE, str(error), self.name) from error
        self._count_tokens(scores.tokens, scores.cached)
        if scores.mass:
            self._mass += 0.05 * (min(scores.mass.values()) - self._mass)
        return scores, _stages(encoding, built, reply, parsed)

    async def _written(
        self, question: Question, prompt: StrategyPrompt | MenuPrompt, started: float
    ) -> Answer:
        dialect = self._needs().dialect
        frames, read = await _shown(question, dialect.images)
        if isinstance(prompt, MenuPrompt) and not prompt.widgets and not frames:
            # It would make up a place, which would be pressed.
            raise Undecided(Failure.UNSUPPORTED, "no picture to find a place on", self.name)
        asked = prompt.asked(frames)
        rid = uuid.uuid4().hex
        body = chat_body(
            asked,
            dialect,
            most_tokens=ANSWER_TOKENS,
            temperature=self._server.temperature,
            rid=rid,
        )
        built = time.perf_counter()
        reply = await self._post(PATHS["chat"], body, question, rid)
        parsed = time.perf_counter()
        try:
            text = read_chat(reply.body)
            if not text.ended:
                self._counts["cut_off"] += 1
            chosen = prompt.from_json(read_json(text.content))
        except (CorruptError, ValueError) as error:
            raise Undecided(Failure.GARBAGE, str(error), self.name) from error
        self._counts["written"] += 1
        self._count_tokens(text.tokens, text.cached)
        return self._answer(
            chosen,
            mode="schema",
            stages=_stages(started + read, built, reply, parsed),
            tokens=text.tokens,
            cached_tokens=text.cached,
        )

    def _answer(self, chosen: Any, **told: Any) -> Answer:
        field_name = "press" if isinstance(chosen, Press) else "directive"
        model = self._needs().dialect.model
        return Answer(self.name, model=model, **{field_name: chosen}, **told)

    def _explanation(
        self, question: Question, prompt: StrategyPrompt | MenuPrompt
    ) -> asyncio.Task[str] | None:
        """Reasons in words, asked for beside the decision, which never reads them."""
        if not question.explain or self._server.explain_seconds <= 0.0:
            return None
        return asyncio.create_task(self._words(question, prompt))

    async def _words(self, question: Question, prompt: StrategyPrompt | MenuPrompt) -> str:
        dialect = self._needs().dialect
        asked = prompt.explained((await _shown(question, dialect.images))[0])
        rid = uuid.uuid4().hex
        body = chat_body(asked, dialect, most_tokens=EXPLAIN_TOKENS, rid=rid)
        try:
            reply = await self._post(PATHS["chat"], body, question, rid)
            text = read_chat(reply.body).content
        except (Undecided, CorruptError):
            return ""  # counted as asked and not as explained
        self._counts["explained"] += 1
        return " ".join(text.split())[:500]

    async def _with_words(
        self, answer: Answer, words: asyncio.Task[str] | None, question: Question
    ) -> Answer:
        if words is None:
            return answer
        patience = min(self._server.explain_seconds, 0.5 * max(question.left(), 0.0))
        done, _ = await asyncio.wait({words}, timeout=patience)
        if not done:
            return answer
        return dataclasses.replace(answer, reasoning=words.result())

    async def _post(self, path: str, body: bytes, question: Question, rid: str = "") -> Reply:
        """A reply of status 200. Raises Undecided; aborts what is late or cancelled."""
        left = min(question.left(), 600.0)
        try:
            reply = await self._client.post(path, body, left)
        except TimeoutError as error:
            self._abort(rid)
            raise Undecided(Failure.LATE, f"no answer within {left:.2f} s", self.name) from error
        except asyncio.CancelledError:
            self._abort(rid)
            raise
        except Unreachable as error:
            raise Undecided(Failure.UNREACHABLE, str(error), self.name) from error
        except BadReply as error:
            raise Undecided(Failure.GARBAGE, str(error), self.name) from error
        if reply.status == 200:
            return reply
        raise Undecided(_why(reply.status), f"{reply.status} {error_text(reply.body)}", self.name)

    def _abort(self, rid: str) -> None:
        self._counts["aborts"] += 1
        if rid and self._needs().dialect.aborts:
            self._keep(self._ask_to_abort(rid))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._aborts.add(task)
        task.add_done_callback(self._aborts.discard)

    async def _ask_to_abort(self, rid: str) -> None:
        body = msgspec.json.encode({"rid": rid})
        try:
            await self._client.post("/abort_request", body, _ABORT_SECONDS)
        except (TimeoutError, Unreachable, BadReply):
            self._counts["abort_failures"] += 1  # it was told already by the closed connection

    def _count_tokens(self, tokens: int, cached: int) -> None:
        self._tokens += tokens
        self._cached += cached

    def _needs(self) -> Found:
        if self.found is None:
            raise BackendError(f"{self.name}: open it before it is asked")
        return self.found


async def _shown(question: Question, most: int) -> tuple[tuple[Frame, ...], float]:
    """At most so many of the frames, to be shown, and the seconds that reading them took: those of
    a strip in shared memory are coded now, which is no part of making a prompt."""
    began = time.perf_counter()
    frames = await question.look(frames_for(question.frames, most))
    return frames, time.perf_counter() - began


def _confidence(chosen: v.Directive | Press, shares: Mapping[str, float]) -> float:
    """The probability of the chosen action, or press."""
    return max(shares.values()) if isinstance(chosen, Press) else shares[chosen.action.value]


def _why(status: int) -> Failure:
    if status in (429, 503):
        return Failure.OVERLOADED
    return Failure.REFUSED if 400 <= status < 500 and status not in _ITS_OWN else Failure.BROKEN


def _stages(started: float, built: float, reply: Reply, parsed: float) -> Mapping[str, float]:
    """Seconds of making the prompt, of the exchange's parts, and of reading the answer."""
    parse = time.perf_counter() - parsed
    return {"prompt": built - started, **reply.stages, "parse": parse}
