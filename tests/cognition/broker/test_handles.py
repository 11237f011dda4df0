"""Frames by handle, at the broker: read when a backend looks, encoded beside the loop, and believed
only where they can be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from peers import HANG, Scripted
from tables import Table, at_table, request

from metabonk.cognition.broker import ask
from metabonk.cognition.broker.pictures import ENCODERS
from metabonk.cognition.protocol import wire as w
from metabonk.cognition.question import Answer, Frame, Question
from metabonk.cognition.strips import shared
from metabonk.cognition.strips.shared import LEASES, SharedStrip, StripWriter
from metabonk.cognition.strips.strip import encode
from metabonk.protocols import Array

COUNT = 9


@pytest.fixture
def writer() -> Iterator[StripWriter]:
    made = StripWriter(COUNT)
    yield made
    made.close()


def strip(seed: int, count: int = COUNT) -> list[Array]:
    random = np.random.default_rng(seed)
    return [random.integers(0, 255, (36, 64, 3), np.uint8) for _ in range(count)]


def by_handle(sequence: int, handle: w.Handle, count: int = COUNT, **fields: Any) -> w.Request:
    made = request(sequence, **fields)
    made.frames = [
        w.FrameInfo(made.captured_ns + (n - count + 1) * 60_000_000) for n in range(count)
    ]
    made.handle = handle
    return made


class Looking(Scripted):
    """A backend that looks at the newest `most` frames of every question."""

    def __init__(self, most: int = COUNT, **how: Any) -> None:
        super().__init__(**how)
        self.most = most
        self.seen: list[tuple[Frame, ...]] = []

    async def decide(self, question: Question) -> Answer:
        if self.most:
            self.seen.append(await question.look(question.frames[-self.most :]))
        return await super().decide(question)


class Blind(Scripted):
    sees = False


def counted(t: Table) -> tuple[int, int, int]:
    events = t.broker.measures.events
    return events["handles"], events["frames_read"], events["frames_overwritten"]


def jpegs(frames: Sequence[Frame]) -> list[bytes]:
    return [frame.jpeg for frame in frames]


@pytest.mark.parametrize("most", [COUNT, 2, 0])
def test_what_a_backend_looks_at_is_read_and_nothing_else(
    tmp_path: Path, writer: StripWriter, most: int
) -> None:
    async def body(t: Table) -> None:
        assert t.hello(clock=w.boot_id()).handles
        pictures = strip(1)
        t.say(by_handle(0, writer.write(pictures, 5)))
        (reply,) = await t.replies()
        assert reply.status == "ok"
        wanted = [encode(p) for p in pictures[COUNT - most :]]
        seen = t.backend.seen[0] if most else ()
        assert jpegs(seen) == wanted
        assert [round(f.time, 2) for f in seen] == [-0.06 * n for n in reversed(range(most))]
        assert jpegs(t.backend.asked[0].frames) == [b""] * COUNT
        assert jpegs(t.backend.asked[0].seen()) == wanted, "which is what the log keeps"
        assert counted(t) == (1, most, 0)
        assert ("encode" in reply.stages) == bool(most)

    at_table(tmp_path, body, Looking(most))


def test_the_log_keeps_what_was_looked_at(tmp_path: Path, writer: StripWriter) -> None:
    rows: list[Any] = []

    async def body(t: Table) -> None:
        t.hello(clock=w.boot_id(), log=True)
        pictures = strip(1)
        t.journal._pack = lambda decision: (rows.append(list(decision.frames)) or b"", b"")
        t.say(by_handle(0, writer.write(pictures, 5)))
        await t.replies()
        assert [row[0] for row in rows[0]] == [encode(p) for p in pictures[-3:]]

    at_table(tmp_path, body, Looking(3))


def test_handles_are_offered_where_they_can_be_read(tmp_path: Path) -> None:
    async def seeing(t: Table) -> None:
        assert not t.hello(clock="").handles
        assert not t.hello(clock="another machine's").handles
        assert t.hello(clock=w.boot_id()).handles

    async def blind(t: Table) -> None:
        assert not t.hello(clock=w.boot_id(), log=True).handles

    at_table(tmp_path / "a", seeing, Looking())
    at_table(tmp_path / "b", blind, Blind())


def test_who_was_not_offered_it_is_refused(tmp_path: Path, writer: StripWriter) -> None:
    async def body(t: Table) -> None:
        t.hello(clock="another machine's")
        asked = by_handle(0, writer.write(strip(0), 5))
        t.say(asked)
        (refused,) = await t.replies()
        assert (refused.status, refused.code, refused.id) == ("error", "handle", asked.id)
        assert not t.backend.asked

    at_table(tmp_path, body, Looking())


def test_frames_that_were_overwritten_cost_no_request(tmp_path: Path, writer: StripWriter) -> None:
    async def body(t: Table) -> None:
        t.hello(clock=w.boot_id())
        late, newest = writer.write(strip(0), 5), writer.write(strip(1), 6)
        t.say(by_handle(0, late))
        (reply,) = await t.replies()
        assert reply.status == "ok"
        assert t.backend.asked[0].frames == ()
        assert counted(t) == (1, 0, COUNT)
        t.say(by_handle(1, newest))
        assert (await t.replies())[0].status == "ok"
        assert jpegs(t.backend.seen[1]) == [encode(p) for p in strip(1)]

    at_table(tmp_path, body, Looking())


def test_a_frame_that_went_while_it_was_read_is_left_out(
    tmp_path: Path, writer: StripWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a server that stood still for so long that its lease was taken from it."""
    whole = SharedStrip.jpeg
    monkeypatch.setattr(SharedStrip, "jpeg", lambda s, n: None if n == 4 else whole(s, n))

    async def body(t: Table) -> None:
        t.hello(clock=w.boot_id())
        pictures = strip(1)
        t.say(by_handle(0, writer.write(pictures, 5)))
        assert (await t.replies())[0].status == "ok"
        kept = [p for n, p in enumerate(pictures) if n != 4]
        assert jpegs(t.backend.seen[0]) == [encode(p) for p in kept]
        assert [f.number for f in t.backend.seen[0]] == [0, 1, 2, 3, 5, 6, 7, 8]
        assert counted(t) == (1, COUNT - 1, 1)

    at_table(tmp_path, body, Looking())


class Slowly:
    """Encoding that waits until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.go = threading.Event(), threading.Event()
        self.threads: set[str] = set()
        whole = SharedStrip.jpeg

        def slow(strip: SharedStrip, number: int) -> bytes | None:
            self.threads.add(threading.current_thread().name)
            self.began.set()
            assert self.go.wait(HANG)
            return whole(strip, number)

        monkeypatch.setattr(SharedStrip, "jpeg", slow)


def test_the_loop_goes_on_while_frames_are_encoded(
    tmp_path: Path, writer: StripWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly = Slowly(monkeypatch)

    async def body(t: Table) -> None:
        t.hello(clock=w.boot_id())
        t.hello("b", route=b"2")
        t.say(by_handle(0, writer.write(strip(0), 5)))
        await t.until(slowly.began.is_set)
        for n in range(5):
            t.say(request(n, "b"), route=b"2")
            assert (await t.replies(1, b"2"))[0].status == "ok"
        assert not t.door.take(b"1")
        slowly.go.set()
        assert (await t.replies(1, b"1"))[0].status == "ok"
        assert all(name.startswith("pictures") for name in slowly.threads)

    at_table(tmp_path, body, Looking(limit=0))


def test_one_strips_frames_are_encoded_side_by_side(
    tmp_path: Path, writer: StripWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first that each thread encodes waits for that of the other one."""
    all_there, come = threading.Barrier(ENCODERS), set[int]()

    def meeting(pixels: Array, quality: int) -> bytes:
        if threading.get_ident() not in come:
            come.add(threading.get_ident())
            all_there.wait(HANG)
        return encode(pixels, quality)

    monkeypatch.setattr(shared, "encode", meeting)

    async def body(t: Table) -> None:
        t.hello(clock=w.boot_id())
        pictures = strip(1)
        t.say(by_handle(0, writer.write(pictures, 5)))
        assert (await t.replies())[0].status == "ok"
        assert jpegs(t.backend.seen[0]) == [encode(p) for p in pictures]
        assert len(come) == ENCODERS

    at_table(tmp_path, body, Looking())


def test_what_is_late_while_it_is_encoded_ends_in_time_and_lets_go(
    tmp_path: Path, writer: StripWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly = Slowly(monkeypatch)

    async def body(t: Table) -> None:
        t.hello(clock=w.boot_id())
        t.say(by_handle(0, writer.write(strip(0), 5), seconds=1.5))
        await t.until(slowly.began.is_set)
        (reply,) = await t.replies()
        assert (reply.status, reply.code) == ("stale", "late")
        slowly.go.set()
        for n in range(1, 2 * LEASES + 2):  # more than can be held at once
            t.say(by_handle(n, writer.write(strip(n), 5)))
            assert (await t.replies())[0].status == "ok"
            assert jpegs(t.backend.seen[-1]) == [encode(p) for p in strip(n)]

    at_table(tmp_path, body, Looking(limit=0))


def test_requests_that_never_reach_the_backend_let_go_too(
    tmp_path: Path, writer: StripWriter
) -> None:
    async def body(t: Table) -> None:
        t.hello(clock=w.boot_id())
        t.backend.held = True
        for n in range(4 * LEASES):
            t.say(by_handle(n, writer.write(strip(n), 5)))
        superseded = await t.replies(4 * LEASES - 2)
        assert {r.code for r in superseded} == {"superseded"}
        await t.until(lambda: t.backend.running == 1)
        t.backend.release()
        await t.replies()
        await t.until(lambda: t.backend.running == 1)
        t.backend.release()
        assert (await t.replies())[0].id.sequence == 4 * LEASES - 1
        assert jpegs(t.backend.seen[-1]) == [encode(p) for p in strip(4 * LEASES - 1)]
        assert counted(t)[2] == 0, "nothing was given up for want of a lease"

    at_table(tmp_path, body, Looking())


def test_a_handle_that_cannot_be_believed_is_told_and_jpegs_are_taken(
    tmp_path: Path, writer: StripWriter
) -> None:
    async def body(t: Table) -> None:
        t.hello(clock=w.boot_id())
        good = writer.write(strip(0), 5)
        for n, wrong in enumerate(({"ring": "nobody"}, {"session": b"12345678"}, {"number": 7})):
            asked = by_handle(n, msgspec.structs.replace(good, **wrong))
            t.say(asked)
            (refused,) = await t.replies()
            assert (refused.status, refused.code, refused.id) == ("error", "handle", asked.id)
            assert "send JPEGs" in refused.reason
            asked.handle = msgspec.UNSET
            t.say(asked, frames=COUNT)
            (reply,) = await t.replies()
            assert (reply.status, reply.id, reply.replayed) == ("ok", asked.id, False)
        assert t.rows("SELECT count(*) FROM decisions") == [(3,)], "a refusal is no decision"
        t.say(by_handle(3, good))
        assert (await t.replies())[0].status == "ok"
        assert jpegs(t.backend.seen[-1]) == [encode(p) for p in strip(0)]
        assert t.broker.measures.refused[("handle",)] == 3

    at_table(tmp_path, body, Looking())


def test_paths_are_no_names(tmp_path: Path, writer: StripWriter) -> None:
    async def body(t: Table) -> None:
        t.hello(clock=w.boot_id())
        good = writer.write(strip(0), 5)
        for name in ("../../etc/passwd", "/dev/shm/x", ".hidden", "a" * 65, "", "a\n"):
            asked = by_handle(0, msgspec.structs.replace(good, ring=name))
            t.say(asked)
            (refused,) = await t.replies()
            assert (refused.status, refused.code, refused.id) == ("error", "malformed", asked.id)
            assert "handle" in refused.reason

    at_table(tmp_path, body, Looking())


def test_an_agents_ring_is_let_go_with_it(tmp_path: Path, writer: StripWriter) -> None:
    def readers() -> int:
        assert writer._ring is not None
        return writer._ring.counts()["readers"]

    async def body(t: Table) -> None:
        t.hello(clock=w.boot_id())
        t.say(by_handle(0, writer.write(strip(0), 5)))
        await t.replies()
        await t.until(lambda: readers() == 1)
        t.say(w.Bye(agent="a", epoch=5))
        await t.until(lambda: readers() == 0)

    at_table(tmp_path, body, Looking())


def test_frames_keep_their_places_and_times() -> None:
    asked = request(0)
    asked.frames = [w.FrameInfo(asked.captured_ns - 10**9), w.FrameInfo(asked.captured_ns, True)]
    question = ask.question_of(asked, [b"1", b"2"], 0.0, False)
    assert question.frames == (Frame(b"1", -1.0, False, 0), Frame(b"2", 0.0, True, 1))
    assert question.seen() == question.frames
    assert asyncio.run(question.look(question.frames[1:])) == question.frames[1:]
