"""dialect.py: bodies as the documentation has them, replies that are believed only when whole."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from metabonk.cognition.backends.dialect import (
    Choice,
    Dialect,
    Prompt,
    chat_body,
    error_text,
    read_chat,
    read_json,
    read_scores,
    score_body,
)
from metabonk.cognition.question import Frame
from metabonk.errors import CorruptError

ACTION = Choice("action", "What now?", (("attack", "fight"), ("retreat", "run"), ("hold", "")))
FRAMES = (Frame(b"old", -0.3), Frame(b"now", 0.0), Frame(b"soon", 0.1, predicted=True))
PROMPT = Prompt(
    "RULES", FRAMES, "SITUATION", (ACTION,), "TASK", {"type": "object", "properties": {}}
)


def decoded(body: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(body)
    return value


def test_decisions_are_asked_as_sglang_documents_it() -> None:
    body = decoded(score_body("decisions", PROMPT, "m"))
    assert set(body) == {"model", "input", "questions", "images"}
    assert body["questions"] == [
        {
            "id": "action",
            "type": "choice",
            "question": "What now?",
            "options": [
                {"name": "attack", "description": "fight"},
                {"name": "retreat", "description": "run"},
                {"name": "hold"},
            ],
        }
    ]
    wanted = [base64.b64encode(frame.jpeg).decode() for frame in FRAMES]
    assert [image["url"].split(",")[1] for image in body["images"]] == wanted
    text = body["input"]
    assert text.index("RULES") < text.index("Picture 1: 0.30 s ago") < text.index("SITUATION")
    assert "Picture 3: predicted, 0.10 s from now" in text
    assert "images" not in decoded(score_body("decisions", Prompt("r", (), "s", (ACTION,)), "m"))


def test_systemone_has_pictures_where_their_placeholders_stand() -> None:
    body = decoded(score_body("systemone", PROMPT, "m"))
    assert set(body) == {"model", "state", "questions", "assets"}
    state = body["state"]
    for number, placeholder in enumerate(body["assets"]):
        assert state.count(placeholder) == 1
        coded = body["assets"][placeholder]["data_base64"]
        assert base64.b64decode(coded) == FRAMES[number].jpeg
    order = [state.index("RULES"), *map(state.index, body["assets"]), state.index("SITUATION")]
    assert order == sorted(order)
    assert body["questions"]["action"]["criteria"] == {
        "attack": "fight", "retreat": "run", "hold": None,
    }  # fmt: skip


def test_decision_models_have_pictures_apart() -> None:
    body = decoded(score_body("systemone_images", PROMPT, "m"))
    assert set(body) == {"model", "state", "questions", "images"}
    assert [base64.b64decode(image.split(",")[1]) for image in body["images"]] == [
        frame.jpeg for frame in FRAMES
    ]
    assert "Picture 3: predicted, 0.10 s from now" in body["state"]


def test_a_chat_keeps_what_all_agents_share_in_front() -> None:
    body = decoded(chat_body(PROMPT, Dialect(model="m", schema="json_schema"), most_tokens=9))
    system, user = body["messages"]
    assert system == {"role": "system", "content": "RULES"}
    kinds = [part["type"] for part in user["content"]]
    assert kinds == ["text", "image_url"] * 3 + ["text"]
    assert [p["text"] for p in user["content"][:6:2]] == [
        "0.30 s ago:", "Now:", "Predicted, 0.10 s from now:",
    ]  # fmt: skip
    assert user["content"][-1]["text"].index("SITUATION") < user["content"][-1]["text"].index(
        "TASK"
    )
    assert body["response_format"]["json_schema"]["schema"] == PROMPT.schema
    assert "rid" not in body
    assert "chat_template_kwargs" not in body


def test_a_chat_says_only_what_the_server_takes() -> None:
    sglang = Dialect(model="m", schema="json_schema", thinking=True, aborts=True)
    body = decoded(chat_body(PROMPT, sglang, most_tokens=9, rid="r1"))
    assert body["rid"] == "r1"
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    llama = Dialect(model="m", schema="json_object")
    form = decoded(chat_body(PROMPT, llama, most_tokens=9))["response_format"]
    assert form == {"type": "json_object", "schema": PROMPT.schema}
    bare = Prompt("RULES", (), "SITUATION", task="TASK")
    body = decoded(chat_body(bare, Dialect(model="m"), most_tokens=9))
    assert body["messages"][1]["content"] == "SITUATION\n\nTASK"
    assert "response_format" not in body


def scored(**probabilities: Any) -> dict[str, Any]:
    return {"answers": {"action": {"type": "choice", "probabilities": probabilities}}}


def test_scores_are_read_and_normalised() -> None:
    reply = scored(attack=0.2, retreat=0.7, hold=0.099)
    reply["answers"]["action"]["label_mass"] = 0.5
    reply["usage"] = {"prompt_tokens": 40, "prompt_tokens_details": {"cached_tokens": 30}}
    found = read_scores(json.dumps(reply).encode(), (ACTION,))
    assert abs(sum(found.probabilities["action"].values()) - 1.0) < 1e-9
    assert list(found.probabilities["action"]) == ["attack", "retreat", "hold"]
    assert (found.mass, found.tokens, found.cached) == ({"action": 0.5}, 40, 30)
    reply["usage"] = {"input_tokens": 7, "output_tokens": 0}  # transformers says it so
    assert read_scores(json.dumps(reply).encode(), (ACTION,)).tokens == 7


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b"<html>", "malformed"),
        (b"[" * 100_000, "scores"),
        (b"{}", "answers"),
        (json.dumps({"answers": {}}).encode(), "no answer to 'action'"),
        (json.dumps(scored(attack=1.0)).encode(), "wanted the options"),
        (json.dumps(scored(attack=1.0, retreat=0.0, hold=0.0, flee=0.0)).encode(), "wanted the"),
        (json.dumps(scored(attack=0.9, retreat=0.9, hold=0.9)).encode(), "sum to"),
        (json.dumps(scored(attack=-1.0, retreat=1.0, hold=1.0)).encode(), "sum to"),
        (json.dumps(scored(attack="1", retreat=0.0, hold=0.0)).encode(), "float"),
        (b'{"answers": {"action": {"probabilities": {"attack": 1e999}}}}', "scores"),
        (b'{"answers": {"action": {"probabilities": {"attack": NaN}}}}', "malformed"),
    ],
)
def test_scores_that_are_none(reply: bytes, told: str) -> None:
    with pytest.raises(CorruptError, match=told):
        read_scores(reply, (ACTION,))


def test_what_a_model_wrote() -> None:
    def reply(content: Any, reason: str = "stop") -> bytes:
        choice = {"message": {"role": "assistant", "content": content}, "finish_reason": reason}
        return msgspec.json.encode({"choices": [choice], "usage": {"prompt_tokens": 5}})

    text = read_chat(reply('{"a": 1}'))
    assert (text.content, text.ended, text.tokens) == ('{"a": 1}', True, 5)
    assert not read_chat(reply("cut", "length")).ended
    assert read_chat(reply(None)).content == ""
    for bad in (b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": 3}}]}', b"\xff"):
        with pytest.raises(CorruptError, match="chat"):
            read_chat(bad)


def test_json_and_nothing_around_it() -> None:
    """The seeds' regular expression took any text with braces in it."""
    assert read_json('{"action": "hold"}') == {"action": "hold"}
    for garbage in ('Sure! {"action": "hold"}', '{"action": "hold"', "", "[" * 4000, "x" * 9999):
        with pytest.raises(CorruptError, match="answer"):
            read_json(garbage)


@pytest.mark.parametrize(
    "body",
    [
        b'{"object": "error", "message": "too many options", "code": 400}',
        b'{"error": {"message": "too many options", "type": "BadRequestError"}}',
        b'{"error": "too many options"}',
        b'{"detail": "too many options"}',
        b"too many options",
    ],
)
def test_errors_of_every_server_are_shown(body: bytes) -> None:
    assert error_text(body) == "too many options"


def test_a_long_error_is_cut() -> None:
    assert len(error_text(b"x" * 100_000)) == 300
