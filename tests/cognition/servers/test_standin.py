"""standin.py: what SGLang's documentation says of its API holds here, refusals too."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from asked import jpeg

from metabonk.cognition.backends.httpclient import HttpClient, Reply
from metabonk.cognition.servers.standin import Behaviour, StandIn, main

T = TypeVar("T")
HANG = 20.0
URL = "data:image/jpeg;base64," + base64.b64encode(jpeg(1)).decode()


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 60.0))


def choice(**changes: Any) -> dict[str, Any]:
    options = [{"name": "billing", "description": "Money"}, {"name": "technical"}]
    asked = {"id": "team", "type": "choice", "question": "Which team?", "options": options}
    return {**asked, **changes}


def decisions(**changes: Any) -> dict[str, Any]:
    return {"input": "The integration keeps failing.", "questions": [choice()], **changes}


def chat(**changes: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Say it."}], **changes}


def asked(path: str, *bodies: dict[str, Any], server: StandIn | None = None) -> list[Reply]:
    async def go() -> list[Reply]:
        standing = server or StandIn()
        client = HttpClient(await standing.start())
        replies = [await client.post(path, json.dumps(body).encode(), HANG) for body in bodies]
        await client.close()
        await standing.stop()
        return replies

    return run(go())


def test_a_decision_has_what_the_reference_lists() -> None:
    first, again, cold = asked(
        "/v1/decisions", decisions(), decisions(), decisions(temperature=0.25)
    )
    assert first.status == 200
    body = json.loads(first.body)
    assert body["object"] == "decisions"
    assert body["prompt_format_version"] == 1
    assert body["usage"]["completion_tokens"] == 0
    answer = body["answers"]["team"]
    assert set(answer) == {"type", "choice", "probabilities", "label_mass"}
    assert abs(sum(answer["probabilities"].values()) - 1.0) < 1e-9
    assert answer["choice"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert json.loads(again.body)["answers"] == body["answers"], (
        "the same question, the same answer"
    )
    sharp = json.loads(cold.body)["answers"]["team"]
    assert sharp["label_mass"] == answer["label_mass"], "temperature does not change it"
    assert max(sharp["probabilities"].values()) > max(answer["probabilities"].values())


def test_questions_are_answered_independently() -> None:
    both = decisions(questions=[choice(), choice(id="other", question="And now?")])
    alone, together = asked("/v1/decisions", decisions(), both)
    answers = json.loads(together.body)["answers"]
    assert answers["team"] == json.loads(alone.body)["answers"]["team"]
    assert answers["other"] != answers["team"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (decisions(input=" "), "input must not be blank"),
        (decisions(input=None), "input must not be blank"),
        (decisions(rid="r"), "rid: Extra inputs"),
        (decisions(questions=[]), "at least one"),
        (decisions(questions=[choice(type="rank")]), "type 'rank'"),
        (decisions(questions=[choice(), choice()]), "repeats another question"),
        (decisions(questions=[choice(id=" ")]), "must not be blank"),
        (decisions(questions=[choice(question="")]), "must not be blank"),
        (decisions(questions=[choice(weight=1)]), "weight: Extra inputs"),
        (decisions(questions=[choice(options=[{"name": "one"}])]), "2 to 26"),
        (decisions(questions=[choice(options=[{"name": str(i)} for i in range(27)])]), "2 to 26"),
        (decisions(questions=[choice(options=[{"name": "A"}, {"name": " a "}])]), "distinct"),
        (decisions(questions=[choice(options=[{"name": "a"}, {"name": "b\n"}])]), "control"),
        (decisions(questions=[choice(options=[{"name": "a"}, {"name": "b", "x": 1}])]), "Extra"),
        (decisions(temperature=0), "temperature"),
        (decisions(prompt_format_version=2), "not served"),
        (decisions(images=[{"url": "http://example.org/x.jpg"}]), "data URL"),
        (decisions(images=[{"url": URL[:200]}]), "cannot be decoded"),
        (decisions(images=[{"url": URL, "size": 1}]), "size: Extra inputs"),
    ],
)
def test_decisions_that_are_refused(body: dict[str, Any], told: str) -> None:
    (reply,) = asked("/v1/decisions", body)
    assert reply.status == 400
    assert told in json.loads(reply.body)["message"]


SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string", "enum": ["a", "b"]}, "share": {"type": "number"}},
    "required": ["word", "share"],
}
FORM = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}


def test_a_chat_keeps_to_its_schema() -> None:
    free, held = asked("/v1/chat/completions", chat(), chat(response_format=FORM))
    said = json.loads(free.body)["choices"][0]
    assert (said["message"]["role"], said["finish_reason"]) == ("assistant", "stop")
    value = json.loads(json.loads(held.body)["choices"][0]["message"]["content"])
    assert set(value) == {"word", "share"}
    assert value["word"] in ("a", "b")
    (short,) = asked("/v1/chat/completions", chat(max_tokens=2))
    assert json.loads(short.body)["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (chat(messages=[]), "at least one"),
        (chat(messages=[{"role": "wizard", "content": "x"}]), "role"),
        (chat(temprature=1), "temprature: Extra inputs"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(stream=True), "stream"),
        (chat(response_format={"type": "json_object"}), "response_format"),
        (chat(response_format={"type": "json_schema", "json_schema": {"schema": {}}}), "a name"),
        (chat(messages=[{"role": "user", "content": [{"type": "audio"}]}]), "audio"),
    ],
)
def test_chats_that_are_refused(body: dict[str, Any], told: str) -> None:
    (reply,) = asked("/v1/chat/completions", body)
    assert reply.status == 400
    assert told in json.loads(reply.body)["message"]


def test_what_is_no_json_and_no_route() -> None:
    async def go() -> None:
        server = StandIn()
        client = HttpClient(await server.start())
        for body in (b"", b"{", b"[1]", b"[" * 5000):
            assert (await client.post("/v1/decisions", body, HANG)).status == 400
        assert (await client.get("/v2/models", HANG)).status == 404
        assert (await client.post("/v1/embeddings", b"{}", HANG)).status == 404
        await client.close()
        await server.stop()

    run(go())


def test_ready_is_not_before_it_is_loaded() -> None:
    async def go() -> None:
        server = StandIn(behaviour=Behaviour(loading=3600.0))
        client = HttpClient(await server.start())
        assert (await client.get("/ready", HANG)).status == 503
        server._ready_at = 0.0
        assert (await client.get("/ready", HANG)).status == 200
        await client.close()
        await server.stop()

    run(go())


def test_an_abort_ends_that_request_alone() -> None:
    async def go() -> None:
        server = StandIn(behaviour=Behaviour(latency=0.5))
        url = await server.start()
        first, second, third = (HttpClient(url) for _ in range(3))
        bodies = [json.dumps(chat(rid=rid)).encode() for rid in ("one", "two")]
        path = "/v1/chat/completions"
        aborted = asyncio.create_task(first.post(path, bodies[0], HANG))
        kept = asyncio.create_task(second.post(path, bodies[1], HANG))
        while server.counts.running < 2:
            await asyncio.sleep(0.001)
        await third.post("/abort_request", b'{"rid": "one"}', HANG)
        assert (await kept).status == 200
        results = await asyncio.gather(aborted, return_exceptions=True)
        assert isinstance(results[0], Exception)
        assert server.counts.aborted == 1
        for client in (first, second, third):
            await client.close()
        await server.stop()

    run(go())


def test_metrics_are_those_that_sglang_publishes() -> None:
    async def go() -> str:
        server = StandIn()
        client = HttpClient(await server.start())
        body = json.dumps(chat(messages=[{"role": "user", "content": "word " * 200}])).encode()
        for _ in range(2):
            await client.post("/v1/chat/completions", body, HANG)
        text = (await client.get("/metrics", HANG)).body.decode()
        await client.close()
        await server.stop()
        return text

    lines = dict(line.rsplit(" ", 1) for line in run(go()).splitlines() if line[0] != "#")
    found = {name.split("{")[0]: float(value) for name, value in lines.items()}
    assert found["sglang:num_requests_total"] == 2.0
    assert 0.4 < found["sglang:cache_hit_rate"] < 0.51, "the second one was there already"
    assert 0.0 < found["sglang:token_usage"] < 1.0


@pytest.mark.parametrize("text", [None, "", "two words"])
def test_a_key_that_cannot_be_read_ends_it_before_it_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    file = tmp_path / "key"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["--port", "0", "--key-file", str(file)])
    assert ended.value.code == 2
    assert f"--key-file = {file}: " in capsys.readouterr().err
