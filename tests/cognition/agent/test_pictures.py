"""agent/pictures.py and what the dialogue makes of it: JPEGs where handles cannot be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from metabonk.cognition.agent import pictures as module
from metabonk.cognition.agent.decision import ClientCounts
from metabonk.cognition.agent.dialogue import Dialogue
from metabonk.cognition.agent.pictures import Pictures
from metabonk.cognition.agent.settings import ClientSettings
from metabonk.cognition.protocol import wire
from metabonk.cognition.strips.shared import StripReader, StripWriter
from metabonk.cognition.strips.strip import encode
from metabonk.errors import LinkError
from metabonk.protocols import Array

S = 1_000_000_000
JPEG = b"\xff\xd8\xff\xd9"


def frame(number: int) -> Array:
    return np.random.default_rng(number).integers(0, 255, (24, 32, 3), np.uint8)


def filled(**settings: Any) -> Pictures:
    predictor = settings.pop("predictor", None)
    made = Pictures(ClientSettings(**settings), predictor, ClientCounts())
    for number in range(20):
        made.ring.add(frame(number), number * S // 33 + 1)
    return made


class Doubled:
    """A predictor that draws twice as large as what it is shown."""

    name = "doubled"

    def predict(
        self, frames: Sequence[Array], times: Sequence[float], at: Sequence[float]
    ) -> list[Array]:
        return [np.repeat(np.repeat(frames[-1], 2, 0), 2, 1) for _ in at]


def show(pictures: Pictures, *, handles: bool, most: int = 16) -> module.Shown:
    return pictures.show(most, predict=True, handles=handles)


def test_a_handle_names_what_the_jpegs_would_have_shown() -> None:
    coded, shared = filled(quality=70), filled(quality=70)
    plain, named = show(coded, handles=False), show(shared, handles=True)
    assert named.infos == plain.infos
    assert plain.handle is None
    assert (named.jpegs, shared.ring.counts.encoded) == ([], 0), "nothing was coded for it"
    assert named.handle is not None
    reader = StripReader()
    taken = reader.take(named.handle, len(named.infos))
    assert taken is not None
    assert [taken.jpeg(n) for n in range(len(plain.jpegs))] == plain.jpegs
    assert shared.jpegs(named.strip) == plain.jpegs
    reader.close()
    shared.close()
    assert not [name for name in os.listdir("/dev/shm") if named.handle.ring in name]


def test_the_newest_are_kept_and_none_where_nobody_looks() -> None:
    pictures = filled()
    assert show(pictures, handles=True, most=0) == module.Shown()
    two = show(pictures, handles=True, most=2)
    assert [info.at_ns for info in two.infos] == [p.at_ns for p in two.strip.pictures]
    assert two.infos[-1].at_ns == pictures.ring.newest_ns
    assert len(two.infos) == 2
    pictures.close()


def test_who_shares_encodes_nothing_ahead() -> None:
    pictures = filled()
    pictures.prepare(handles=True)
    assert pictures.ring.counts.encoded == 0
    pictures.prepare(handles=False)
    assert pictures.ring.counts.encoded > 0


def test_it_can_be_turned_off() -> None:
    pictures = filled(handles=False)
    shown = show(pictures, handles=True)
    assert shown.handle is None
    assert len(shown.jpegs) == len(shown.infos) > 1


@pytest.mark.parametrize("fault", ["memory", "sizes"])
def test_what_cannot_be_shared_goes_as_jpegs_and_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    pictures = filled(predictor=Doubled() if fault == "sizes" else None)
    whole = StripWriter.write

    def full(writer: StripWriter, *_: Any) -> wire.Handle:
        raise LinkError("folder: has no memory left for the ring's frames")

    if fault == "memory":
        monkeypatch.setattr(StripWriter, "write", full)
    for _ in range(3):
        shown = show(pictures, handles=True)
        assert shown.handle is None
        assert len(shown.jpegs) == len(shown.infos) > 1
    assert pictures._counts.not_shared == 1, "it is not tried at every request"
    monkeypatch.setattr(StripWriter, "write", whole)
    pictures.ring.predictor = None
    monkeypatch.setattr(module, "AGAIN", 0.0)
    pictures._not_before = 0.0
    assert show(pictures, handles=True).handle is not None
    assert pictures._counts.by_handle == 1
    pictures.close()


# What the dialogue does ---------------------------------------------------------------------


def bound(*, handles: bool = True) -> Dialogue:
    dialogue = Dialogue("omega-0", 7, b"s" * 16, patience=4.0)
    dialogue.connected(S)
    dialogue.due(S)
    welcome(dialogue, handles=handles)
    return dialogue


def welcome(dialogue: Dialogue, *, handles: bool) -> None:
    told = wire.Welcome(agent="omega-0", epoch=7, session="s", phase=0.0, handles=handles)
    dialogue.take(wire.encode(told), S)


def ask(dialogue: Dialogue, spare: Any) -> tuple[wire.RequestId, wire.Request]:
    dialogue.wishes.add("boss")
    assert dialogue.wanted(S) == "boss"
    handle = wire.Handle("strips-1", b"12345678", 1)
    id, parts = dialogue.request(S, S, b"", [wire.FrameInfo(S)] * 2, [], handle=handle, spare=spare)
    made = wire._read(parts[0], wire._TO_BROKER)
    assert isinstance(made, wire.Request)
    assert (len(parts), made.handle) == (1, handle)
    return id, made


def refused(id: wire.RequestId) -> list[wire.Buffer]:
    return wire.encode(wire.Reply(id=id, status="error", code="handle", reason="send JPEGs"))


def test_a_refused_handle_becomes_jpegs_under_the_same_id() -> None:
    dialogue = bound()
    assert dialogue.handles
    made: list[int] = []
    spare = lambda: made.append(1) or [JPEG, JPEG]  # noqa: E731
    id, first = ask(dialogue, spare)
    assert made == [], "no JPEG is made in advance"
    assert dialogue.take(refused(id), S + 1) == [], "and the request is not over"
    assert not dialogue.handles
    ((header, *jpegs),) = dialogue.due(S + 2)
    again = wire._read(header, wire._TO_BROKER)
    assert isinstance(again, wire.Request)
    assert jpegs == [JPEG, JPEG]
    assert (again.id, again.handle) == (id, msgspec.UNSET)
    assert (again.frames, again.trigger) == (first.frames, first.trigger)
    assert (dialogue.counts.requests, dialogue.counts.handles_refused) == (1, 1)
    # A server that says it once more is believed: that is the request's end.
    (over,) = dialogue.take(refused(id), S + 3)
    assert (over.status, over.code) == ("error", "handle")
    assert made == [1]
    welcome(dialogue, handles=True)
    assert dialogue.handles, "another Welcome, another try"


def test_servers_of_before_are_sent_jpegs() -> None:
    assert not bound(handles=False).handles
    told = wire.encode(wire.Welcome(agent="omega-0", epoch=7, session="s", phase=0.0))[0]
    words = msgspec.msgpack.decode(told)
    del words["handles"]
    dialogue = Dialogue("omega-0", 7, b"s" * 16)
    dialogue.take([msgspec.msgpack.encode(words)], S)
    assert dialogue.bound
    assert not dialogue.handles


def test_coding_is_that_of_strips() -> None:
    pictures = filled(quality=60)
    shown = show(pictures, handles=False)
    assert shown.jpegs[-1] == encode(frame(19), 60)
