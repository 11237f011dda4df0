"""How model servers want to be asked, and how they answer: bodies of HTTP and nothing else.

Knows three ways: SGLang's `/v1/decisions` and `/v1/systemone` (of transformers, and of SGLang's
decision models), which score options by prefill alone, and `/v1/chat/completions` held to a JSON
schema. Does not know games, directives, connections or which server speaks what (probe.py finds
out).

Sources: docs.sglang.io supported-models/decision_models and advanced_features/structured_outputs;
transformers 5, `transformers serve`; the OpenAI chat API; llama.cpp's server README. Replies are
untrusted: what lacks a field or holds numbers that are none raises CorruptError.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from metabonk.cognition.question import Frame
from metabonk.errors import CorruptError

MOST_OPTIONS = 26  # labels A to Z, of both scoring APIs
Route = Literal["", "decisions", "systemone", "systemone_images"]
SchemaForm = Literal["", "json_schema", "json_object"]
PATHS: Mapping[str, str] = {
    "decisions": "/v1/decisions",
    "systemone": "/v1/systemone",  # transformers: pictures as assets, in their places
    "systemone_images": "/v1/systemone",  # decision models under SGLang: pictures apart
    "chat": "/v1/chat/completions",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One question with a fixed set of answers. options: (name, description) of 2 to 26."""

    name: str
    question: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is shown to a model, in the order that keeps prefixes equal: rules (the same for
    everybody) → frames old to new → situation → the question.

    choices: for scoring. task, schema: for answers in JSON.
    """

    rules: str
    frames: tuple[Frame, ...]
    situation: str
    choices: tuple[Choice, ...] = ()
    task: str = ""
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one server was found to understand.

    server: `sglang`, `vllm`, `ollama`, `llama.cpp`, `transformers` or `openai` for any other.
    score: the scoring route, empty without. score_images, images: most pictures of a scoring and of
    a chat request. schema: how a chat is held to a schema. thinking: whether the server takes the
    template's switch that turns reasoning off. aborts: whether it has `/abort_request`.
    """

    server: str = "openai"
    model: str = ""
    version: str = ""
    score: Route = ""
    score_images: int = 0
    schema: SchemaForm = ""
    images: int = 0
    thinking: bool = False
    aborts: bool = False


@dataclass(frozen=True, slots=True)
class Scores:
    """probabilities: by question, then option; each sums to 1. mass: by question, the share of the
    vocabulary's probability that the options had; empty where the server does not say."""

    probabilities: Mapping[str, Mapping[str, float]]
    mass: Mapping[str, float]
    tokens: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """What a model wrote. ended: it came to an end, and was not cut off by the limit."""

    content: str
    ended: bool = True
    tokens: int = 0
    cached: int = 0


def caption(frame: Frame) -> str:
    """What stands before a picture."""
    if frame.predicted:
        return f"Predicted, {frame.time:.2f} s from now:"
    return "Now:" if abs(frame.time) < 0.005 else f"{-frame.time:.2f} s ago:"


def score_body(route: Route, prompt: Prompt, model: str) -> bytes:
    """The body of a scoring request by that route."""
    if route == "decisions":
        return _decisions(prompt, model)
    return _systemone(prompt, model, apart=route == "systemone_images")


def _told(prompt: Prompt) -> str:
    """Rules, what each picture is, situation: where pictures come first, their times follow."""
    shown = "\n".join(
        f"Picture {number}: {caption(frame).rstrip(':').lower()}."
        for number, frame in enumerate(prompt.frames, 1)
    )
    return "\n\n".join(part for part in (prompt.rules, shown, prompt.situation) if part)


def _decisions(prompt: Prompt, model: str) -> bytes:
    body: dict[str, Any] = {
        "model": model,
        "input": _told(prompt),
        "questions": [
            {
                "id": choice.name,
                "type": "choice",
                "question": choice.question,
                "options": [
                    {"name": name, "description": told} if told else {"name": name}
                    for name, told in choice.options
                ],
            }
            for choice in prompt.choices
        ],
    }
    if prompt.frames:  # older servers refuse the field
        body["images"] = [{"url": data_url(frame)} for frame in prompt.frames]
    return msgspec.json.encode(body)


def _systemone(prompt: Prompt, model: str, *, apart: bool) -> bytes:
    lines = [prompt.rules, ""]
    assets: dict[str, Any] = {}
    for number, frame in enumerate(() if apart else prompt.frames, 1):
        placeholder = f"<picture-{number}>"  # no foreign text has angle brackets (prompt.py)
        lines.append(f"{caption(frame)} {placeholder}")
        assets[placeholder] = {"type": "image", "format": "jpeg", "data_base64": coded(frame.jpeg)}
    lines += ["", prompt.situation]
    body: dict[str, Any] = {
        "model": model,
        "state": _told(prompt) if apart else "\n".join(lines),
        "questions": {
            choice.name: {
                "type": "choice",
                "instructions": choice.question,
                "criteria": {name: told or None for name, told in choice.options},
            }
            for choice in prompt.choices
        },
    }
    if assets:
        body["assets"] = assets
    elif prompt.frames:
        body["images"] = [data_url(frame) for frame in prompt.frames]
    return msgspec.json.encode(body)


def chat_body(
    prompt: Prompt,
    dialect: Dialect,
    *,
    most_tokens: int,
    temperature: float = 0.0,
    rid: str = "",
) -> bytes:
    """For `/v1/chat/completions`, held to the prompt's schema if it has one."""
    content: Any = "\n\n".join(part for part in (prompt.situation, prompt.task) if part)
    if prompt.frames:
        parts: list[dict[str, Any]] = []
        for frame in prompt.frames:
            parts.append({"type": "text", "text": caption(frame)})
            parts.append({"type": "image_url", "image_url": {"url": data_url(frame)}})
        content = [*parts, {"type": "text", "text": content}]
    body: dict[str, Any] = {
        "model": dialect.model,
        "messages": [
            {"role": "system", "content": prompt.rules},
            {"role": "user", "content": content},
        ],
        "max_tokens": most_tokens,
        "temperature": temperature,
        "stream": False,
    }
    if prompt.schema is not None and dialect.schema == "json_schema":
        described = {"name": "answer", "schema": prompt.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": described}
    elif prompt.schema is not None and dialect.schema == "json_object":
        body["response_format"] = {"type": "json_object", "schema": prompt.schema}
    if dialect.thinking:
        body["chat_template_kwargs"] = {"enable_thinking": False}
    if rid and dialect.aborts:
        body["rid"] = rid
    return msgspec.json.encode(body)


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    input_tokens: int = 0
    prompt_tokens_details: dict[str, Any] | None = None

    def counts(self) -> tuple[int, int]:
        cached = (self.prompt_tokens_details or {}).get("cached_tokens")
        return self.prompt_tokens or self.input_tokens, cached if isinstance(cached, int) else 0


class _Scored(msgspec.Struct):
    probabilities: dict[str, float]
    label_mass: float | None = None
    x_label_mass: float | None = None


class _Decisions(msgspec.Struct):
    answers: dict[str, _Scored]
    usage: _Usage | None = None


class _ChatMessage(msgspec.Struct):
    content: str | None = None


class _ChatChoice(msgspec.Struct):
    message: _ChatMessage
    finish_reason: str | None = None


class _Chat(msgspec.Struct):
    choices: list[_ChatChoice]
    usage: _Usage | None = None


_DECISIONS = msgspec.json.Decoder(_Decisions)
_CHAT = msgspec.json.Decoder(_Chat)


def read_scores(body: bytes, choices: Sequence[Choice]) -> Scores:
    """The answer to `score_body`: every question, every option, numbers
    that are probabilities. Raises CorruptError."""
    try:
        reply = _DECISIONS.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CorruptError(f"scores: {error}") from error
    found: dict[str, dict[str, float]] = {}
    mass: dict[str, float] = {}
    for choice in choices:
        answer = reply.answers.get(choice.name)
        if answer is None:
            raise CorruptError(f"scores: no answer to {choice.name!r}")
        names = [name for name, _ in choice.options]
        if set(answer.probabilities) != set(names):
            got = ", ".join(map(repr, sorted(answer.probabilities)))[:200]
            raise CorruptError(f"scores.{choice.name}: probabilities of {got}; wanted the options")
        values = [answer.probabilities[name] for name in names]
        total = math.fsum(values) if all(map(math.isfinite, values)) else math.nan
        if min(values) < 0.0 or not 0.98 <= total <= 1.02:
            raise CorruptError(f"scores.{choice.name}: probabilities that sum to {total:g}")
        found[choice.name] = {n: v / total for n, v in zip(names, values, strict=True)}
        told = answer.label_mass if answer.label_mass is not None else answer.x_label_mass
        if told is not None and math.isfinite(told):
            mass[choice.name] = told
    tokens, cached = reply.usage.counts() if reply.usage else (0, 0)
    return Scores(found, mass, tokens, cached)


def read_chat(body: bytes) -> Text:
    """The answer to `chat_body`. Raises CorruptError."""
    try:
        reply = _CHAT.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CorruptError(f"chat: {error}") from error
    if not reply.choices:
        raise CorruptError("chat: no choices in the reply")
    first = reply.choices[0]
    tokens, cached = reply.usage.counts() if reply.usage else (0, 0)
    return Text(first.message.content or "", first.finish_reason != "length", tokens, cached)


def read_json(text: str, most: int = 4096) -> Any:
    """The JSON value that a model wrote, and nothing around it. Raises CorruptError."""
    if len(text) > most:
        raise CorruptError(f"answer: {len(text)} characters; wanted at most {most}")
    try:
        return msgspec.json.decode(text.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError) as error:
        raise CorruptError(f"answer: {text[:60]!r} is not JSON ({error})") from error


def error_text(body: bytes, most: int = 300) -> str:
    """What a server says is wrong, from the shapes that servers use."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        value = body.decode("utf-8", "replace")
    for key in ("error", "message", "detail"):
        if isinstance(value, dict) and value.get(key):
            value = value[key]
    return " ".join(str(value).split())[:most]


def coded(jpeg: bytes) -> str:
    """base64, as text."""
    return base64.b64encode(jpeg).decode("ascii")


def data_url(frame: Frame) -> str:
    """A picture inside a body: nothing is ever fetched by the server."""
    return "data:image/jpeg;base64," + coded(frame.jpeg)
