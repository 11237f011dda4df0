"""What the stand-in server reads and answers: SGLang's request rules, and answers from a hash.

Knows the documented fields and limits of `/v1/decisions` and `/v1/chat/completions`; does not know
connections. Every answer is a function of all that was shown.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import simplejpeg  # type: ignore[import-untyped]

Shown = list[tuple[int, ...]]  # prompts as tokens, for the prefix cache
_PICTURE_TOKENS = 64
_DECISION_FIELDS = {
    "input", "questions", "images", "temperature", "chat_template_kwargs", "prompt_format_version",
    "return_prompt_token_ids", "model",
}  # fmt: skip
CHAT_FIELDS = {
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed",
    "stream", "stop", "n", "response_format", "chat_template_kwargs", "rid", "frequency_penalty",
    "presence_penalty", "user",
}  # fmt: skip


class Refused(Exception):
    """A request that the documentation refuses."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def error(message: str) -> dict[str, Any]:
    """SGLang's error body."""
    return {"object": "error", "message": message, "type": "BadRequestError", "code": 400}


def lie(answer: Any) -> Any:
    """The same reply with an answer that nobody asked for."""
    if isinstance(answer, Mapping) and "answers" in answer:
        spoiled = {
            name: {**one, "probabilities": {"surrender": 1.0}, "choice": "surrender"}
            for name, one in answer["answers"].items()
        }
        return {**answer, "answers": spoiled}
    if isinstance(answer, Mapping) and "choices" in answer:
        message = {"role": "assistant", "content": '{"directive": "surrender"}'}
        return {**answer, "choices": [{"message": message, "finish_reason": "stop"}]}
    return answer


def decide(body: Mapping[str, Any], *, images: bool) -> dict[str, Any]:
    """The answer to `/v1/decisions`, with `shown` beside it. Raises Refused."""
    _only(body, _DECISION_FIELDS, "")
    text = _text(body.get("input"), "input")
    pictures = _decision_pictures(body.get("images", []), images)
    version = body.get("prompt_format_version")
    if version not in (None, 1):
        raise Refused(f"prompt_format_version {version} is not served, this server uses version 1")
    temperature = body.get("temperature", 1.0)
    if not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
        raise Refused("temperature: must be greater than 0")
    if not isinstance(body.get("chat_template_kwargs", {}), dict):
        raise Refused("chat_template_kwargs: must be an object")
    questions = body.get("questions")
    if not isinstance(questions, list) or not questions:
        raise Refused("questions: at least one is wanted")
    shown: Shown = []
    answered: dict[str, Any] = {}
    for question in questions:
        name, options, asked = _question(question)
        if name in answered:
            raise Refused(f"question id {name!r} repeats another question")
        seed = _digest(text, asked, *pictures, *options)
        answered[name] = _scores(options, seed, float(temperature))
        shown.append((*_tokens(pictures, [text]), *_tokens([], [asked, *options])))
    return {"object": "decisions", "prompt_format_version": 1, "answers": answered, "shown": shown}


def systemone(body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to `/v1/systemone` of a decision model under SGLang, with `shown` beside it. What
    it does not know is left out and not refused, as its documentation has it. Raises Refused."""
    if "state" not in body:
        raise Refused("state: Field required", 422)
    questions = body.get("questions")
    if not isinstance(questions, dict) or not 1 <= len(questions) <= 16 or "" in questions:
        raise Refused("questions: 1 to 16 by name", 422)
    listed = body.get("images") or []
    if not isinstance(listed, list) or len(listed) > 8:
        raise Refused("images: at most 8", 422)
    text, pictures = json.dumps(body["state"]), [_picture(image) for image in listed]
    shown: Shown = []
    answered: dict[str, Any] = {}
    for name, question in questions.items():
        criteria = question.get("criteria") if isinstance(question, dict) else None
        if not isinstance(criteria, dict) or not criteria or question.get("type") != "choice":
            raise Refused(f"questions.{name}: type choice, with criteria", 422)
        options, asked = list(criteria), json.dumps(question)
        scores = _scores(options, _digest(text, asked, *pictures), 1.0)
        mass = scores.pop("label_mass")
        confidence = max(scores["probabilities"].values())
        answered[name] = {**scores, "decision": scores["choice"], "confidence": confidence}
        answered[name]["x_label_mass"] = mass
        shown.append((*_tokens(pictures, [text]), *_tokens([], [asked])))
    return {"answers": answered, "shown": shown}


def write(
    body: Mapping[str, Any],
    *,
    images: bool,
    form: str,
    fields: set[str],
    obeys: bool = True,
) -> dict[str, Any]:
    """The answer to `/v1/chat/completions`, with `shown` beside it. Raises Refused.

    form: of `response_format` that is taken, empty for none. fields: of a request. obeys: False for
    servers that take a schema and do as they like.
    """
    _only(body, fields, "")
    if body.get("stream"):
        raise Refused("stream: not served here")
    limit = body.get("max_tokens", 128)
    if not isinstance(limit, int) or limit < 1:
        raise Refused("max_tokens: must be at least 1")
    texts, pictures, tokens = _messages(body.get("messages"), images)
    wanted = _schema_of(body.get("response_format"), form)
    stream = _numbers(_digest(*texts, *pictures))
    if wanted is not None and obeys:
        content = json.dumps(_conforming(wanted, stream))
    else:
        content = "Stay away from what is close and gather what is left behind."
    cut = len(content) // 4 > limit
    message = {"role": "assistant", "content": content[: 4 * limit]}
    choice = {"index": 0, "message": message, "finish_reason": "length" if cut else "stop"}
    return {"object": "chat.completion", "choices": [choice], "shown": [tuple(tokens)]}


def _only(value: Mapping[str, Any], fields: set[str], where: str) -> None:
    for name in value:
        if name not in fields:
            raise Refused(f"{where}{name}: Extra inputs are not permitted")


def _text(value: Any, where: str) -> str:
    text = value if isinstance(value, str) else json.dumps(value) if value else ""
    if not text.strip() or not isinstance(value, str | dict | list):
        raise Refused(f"{where} must not be blank")
    return text


def _question(question: Any) -> tuple[str, list[str], str]:
    if not isinstance(question, dict):
        raise Refused("questions: each is an object")
    kind = question.get("type")
    if kind != "choice":
        raise Refused(f"questions: type {kind!r}; this server has choice")
    _only(question, {"id", "type", "question", "options"}, "questions.")
    name = _text(question.get("id"), "question id")
    asked = _text(question.get("question"), f"question {name!r}: question")
    options = question.get("options")
    if not isinstance(options, list) or not 2 <= len(options) <= 26:
        raise Refused(f"question {name!r}: 2 to 26 options are wanted")
    names: list[str] = []
    for option in options:
        if not isinstance(option, dict) or not isinstance(option.get("name"), str):
            raise Refused(f"question {name!r}: an option is an object with a name")
        _only(option, {"name", "description"}, f"question {name!r}: options.")
        names.append(option["name"])
    folded = [one.strip().casefold() for one in names]
    if not all(folded) or len(set(folded)) != len(folded):
        raise Refused(f"question {name!r}: option names must be distinct and not blank")
    if any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for one in names for c in one):
        raise Refused(f"question {name!r}: option names must not contain control characters")
    described = [str(option.get("description", "")) for option in options]
    return name, names, asked + "\n" + "\n".join(described)


def _scores(options: list[str], seed: bytes, temperature: float) -> dict[str, Any]:
    numbers = _numbers(seed)
    logits = [4.0 * next(numbers) for _ in options]
    most = max(logits)
    weights = [math.exp((logit - most) / temperature) for logit in logits]
    total = math.fsum(weights)
    shares = [weight / total for weight in weights]
    return {
        "type": "choice",
        "choice": options[shares.index(max(shares))],
        "probabilities": dict(zip(options, shares, strict=True)),
        "label_mass": 0.5 + 0.5 * next(numbers),
    }


def _decision_pictures(listed: Any, served: bool) -> list[bytes]:
    if not isinstance(listed, list):
        raise Refused("images: must be a list")
    if listed and not served:
        raise Refused("images: Extra inputs are not permitted")
    pictures = []
    for image in listed:
        if not isinstance(image, dict):
            raise Refused("images: each is an object with a url")
        _only(image, {"url", "detail"}, "images.")
        pictures.append(_picture(image.get("url")))
    return pictures


def _messages(messages: Any, served: bool) -> tuple[list[str], list[bytes], list[int]]:
    if not isinstance(messages, list) or not messages:
        raise Refused("messages: at least one is wanted")
    texts: list[str] = []
    pictures: list[bytes] = []
    tokens: list[int] = []
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ("system", "user"):
            raise Refused("messages: each has a role, system or user, and content")
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(parts, list):
            raise Refused("messages: content is text or a list of parts")
        texts.append(message["role"])
        for part in parts:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind == "text" and isinstance(part.get("text"), str):
                texts.append(part["text"])
                tokens += _tokens([], [part["text"]])
            elif kind == "image_url" and isinstance(part.get("image_url"), dict):
                if not served:
                    raise Refused("images require a model served with multimodal input")
                pictures.append(_picture(part["image_url"].get("url")))
                tokens += _tokens(pictures[-1:], [])
            else:
                raise Refused(f"messages: a part of type {kind!r}")
    return texts, pictures, tokens


def _picture(url: Any) -> bytes:
    """A data URL's JPEG, decoded: nothing is fetched."""
    head, _, coded = url.partition(",") if isinstance(url, str) else ("", "", "")
    if head != "data:image/jpeg;base64":
        raise Refused("images: wanted a data URL of a JPEG")
    try:
        data = base64.b64decode(coded, validate=True)
        simplejpeg.decode_jpeg(data)
    except (binascii.Error, ValueError) as problem:
        raise Refused(f"images: a picture cannot be decoded ({problem})") from problem
    return data


def _schema_of(form: Any, taken: str) -> Mapping[str, Any] | None:
    if form is None or form == {"type": "text"}:
        return None
    if not isinstance(form, dict) or form.get("type") != taken:
        raise Refused("response_format: not supported")
    if taken == "json_object":
        plain = form.get("schema")
        return plain if isinstance(plain, dict) else None
    described = form.get("json_schema")
    if not isinstance(described, dict) or not isinstance(described.get("schema"), dict):
        raise Refused("response_format: json_schema needs a name and a schema")
    _only(described, {"name", "schema", "strict", "description"}, "json_schema.")
    if not isinstance(described.get("name"), str):
        raise Refused("response_format: json_schema needs a name")
    schema: Mapping[str, Any] = described["schema"]
    return schema


def _conforming(schema: Mapping[str, Any], numbers: Iterator[float]) -> Any:
    """A value of a schema, drawn by `numbers`. Raises Refused for what no grammar here makes."""
    if "enum" in schema:
        return schema["enum"][int(next(numbers) * len(schema["enum"]))]
    kind = schema.get("type")
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _conforming(part, numbers) for name, part in properties.items()}
    if kind in ("number", "integer"):
        low, high = schema.get("minimum", 0), schema.get("maximum", 1)
        value = low + next(numbers) * (high - low)
        return round(value) if kind == "integer" else value
    if kind == "boolean":
        return next(numbers) < 0.5
    if kind == "string" and "pattern" not in schema:
        return f"word {int(next(numbers) * 1000)}"[: schema.get("maxLength", 20)]
    raise Refused(f"response_format: a schema of type {kind!r} is not served")


def _digest(*parts: str | bytes) -> bytes:
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(struct.pack("<Q", len(data)) + data)
    return total.digest()


def _numbers(seed: bytes) -> Iterator[float]:
    """Numbers in [0, 1), the same for the same seed."""
    while True:
        seed = hashlib.sha256(seed).digest()
        for (word,) in struct.iter_unpack("<Q", seed):
            yield (word >> 11) / (1 << 53)


def _tokens(pictures: list[bytes], texts: list[str]) -> list[int]:
    found: list[int] = []
    for picture in pictures:
        found += [hash(picture)] * _PICTURE_TOKENS
    for text in texts:
        found += [hash(text[at : at + 4]) for at in range(0, len(text), 4)]
    return found
