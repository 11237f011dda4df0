"""What a real client costs in suite `cognition`: processor time of an agent's side per strip.

A process of its own has one client and nothing else. It asks a real broker, journal and rules
included, ten times a second about a stretch of the arena at 60 frames a second; its strips have
nine pictures, the last three of them the newest one again, as drawing them is not the client's.
Values are CPU milliseconds per request, of the whole process: ZeroMQ's thread, outcomes and their
acknowledgements are in it. Two things are not, and are told in the note: coding JPEGs, or copying
pixels into shared memory; and looking at the game thirty times a second, which the same client does
that asks nothing, measured beside it. The peer is a client that speaks version 1: one JSON document
with base64.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import time
from typing import Any, Literal

import msgspec

from metabonk.errors import LinkError

from .case import Case, Evidence
from .cognition_playing import Moments, Scene
from .cognition_server import Served
from .cognition_wire import clip
from .meter import Reading
from .versus import Contender

CLIENT_MS = 0.35  # the goal
EVERY, NEVER = 0.1, 3600.0  # seconds between requests
ROUND_SECONDS = 3.0  # of a client that asks, and of one that looks
ROUNDS = 5
FRAME_RATE = 60.0
FULL_SECONDS = 0.5  # until strips reach back as far as they do
START_SECONDS = 60.0  # for the process, and for its first strip
LEAVE_SECONDS = 5.0
PATIENCE = 2.0

Form = Literal["JPEGs", "shared memory", "version 1"]


def cases() -> list[Case]:
    goal = Contender(f"{CLIENT_MS:g} ms", lambda: Reading(lambda: CLIENT_MS))
    old = Contender("JSON + base64 (version 1)", functools.partial(Spending, "version 1"))
    forms: dict[Form, tuple[Contender, ...]] = {"JPEGs": (old, goal), "shared memory": (goal,)}
    return [
        Case(
            "cognition",
            f"processor time of the whole client per strip, {form}, without coding",
            "ms",
            Contender("metabonk", functools.partial(Spending, form)),
            peers,
            better="lower",
            rounds=ROUNDS,
            evidence=lambda ours, peer: Evidence(True, ours.note),  # type: ignore[attr-defined]
        )
        for form, peers in forms.items()
    ]


class Spent(msgspec.Struct):
    """What a client has used and done so far. cpu: seconds of its process. coding: of them, those
    for JPEGs or copies; drawing: for predicted pictures. strips: requests. decided: answers in time
    that said something. by_handle: strips that lay in shared memory."""

    cpu: float = 0.0
    coding: float = 0.0
    drawing: float = 0.0
    strips: int = 0
    decided: int = 0
    by_handle: int = 0

    def since(self, before: Spent) -> Spent:
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(before)
        return Spent(*(a - b for a, b in zip(mine, theirs, strict=True)))


def per_strip_ms(asking: Spent, looking: Spent) -> float:
    """What a strip costs without coding and drawing: what one client spent that asked, less what
    one did in the same time that only looked. Raises LinkError where nothing was asked or answered,
    or the one that looks asked."""
    if not asking.strips or not asking.decided or looking.strips:
        raise LinkError(
            f"client: {asking.strips} strips asked about, {asking.decided} answers; "
            f"{looking.strips} by the client that should only look"
        )
    own = asking.cpu - asking.coding - asking.drawing - (looking.cpu - looking.coding)
    return max(own, 1e-9) / asking.strips * 1e3


class Spending(Served):
    """A meter of one client's processor time per strip. note: the last round's other figures."""

    def __init__(self, form: Form) -> None:
        # Shared memory is offered by servers whose backend looks at pictures.
        super().__init__(latency=0.0 if form == "shared memory" else None)
        self._form = form
        self.last, self.looking = Spent(), Spent()
        context = multiprocessing.get_context("spawn")  # nothing of this process's threads
        self._pipe, other = context.Pipe()
        self._process = context.Process(
            target=_play, args=(self.swarm.url, form, other), daemon=True
        )
        self._process.start()
        other.close()
        try:
            self._hear(START_SECONDS)
        except BaseException:
            self.close()
            raise

    @property
    def note(self) -> str:
        """What was taken out of the value, and what it is of."""
        strips = max(self.last.strips, 1)
        coding = self.last.coding / strips * 1e3
        what = "copying" if self._form == "shared memory" else "coding"
        looks = self.looking.cpu / ROUND_SECONDS * 1e3
        return (
            f"{what} takes {coding:.2f} ms a strip, looking {looks:.1f} ms a second; {strips} "
            "strips in the last round"
        )

    def prepare(self) -> None:
        self.measure()

    def measure(self) -> float:
        self._pipe.send(ROUND_SECONDS)
        told = self._hear(2 * (ROUND_SECONDS + START_SECONDS))
        self.looking, self.last = (msgspec.convert(one, Spent) for one in told)
        if self._form == "shared memory" and self.last.by_handle != self.last.strips:
            raise LinkError(
                f"client: {self.last.by_handle} of {self.last.strips} strips in shared memory"
            )
        return per_strip_ms(self.last, self.looking)

    def close(self) -> None:
        if not self._pipe.closed:
            with contextlib.suppress(OSError):
                self._pipe.send(None)
            self._process.join(LEAVE_SECONDS)
            if self._process.is_alive():
                self._process.terminate()
                self._process.join()
            self._pipe.close()
        super().close()

    def _hear(self, patience: float) -> Any:
        if not self._pipe.poll(patience):
            raise LinkError("client: its process says nothing")
        try:
            return self._pipe.recv()
        except EOFError as error:
            raise LinkError("client: its process ended") from error


def _play(url: str, form: Form, pipe: Any) -> None:
    """The other process: for every round a client that looks, and then one that asks."""
    scene = Scene(clip(), FRAME_RATE)
    pipe.send(None)
    with contextlib.suppress(EOFError):
        while (seconds := pipe.recv()) is not None:
            pipe.send([_round(url, form, scene, every, seconds) for every in (NEVER, EVERY)])


def _round(url: str, form: Form, scene: Scene, every: float, seconds: float) -> Any:
    """What a client spends in so many seconds, once it is known, or was answered if it asks."""
    from metabonk.cognition.agent.client import Client, ClientSettings
    from metabonk.cognition.strips.predictors import CopyLast

    settings = ClientSettings(
        every=every, patience=PATIENCE, outcome_seconds=1.0, handles=form == "shared memory",
        protocol="v1" if form == "version 1" else "v2", linger=0.2,
    )  # fmt: skip
    with (
        contextlib.closing(Moments(scene)) as moments,  # whose thread is counted as the client's
        Client(
            "bench-0", url, settings, look=scene.look, moments=moments, predictor=CopyLast()
        ) as client,
    ):
        end = time.monotonic() + START_SECONDS
        while not (client.decisions if every == EVERY else client.connected):
            if time.monotonic() > end:
                break  # what comes of it is refused as no measurement
            time.sleep(0.01)
        time.sleep(FULL_SECONDS)
        before = _spent(client)
        time.sleep(seconds)
        return msgspec.to_builtins(_spent(client).since(before))


def _spent(client: Any) -> Spent:
    counts = client.counts()
    return Spent(
        time.process_time(), counts["encode_s"], counts["predict_s"], counts["requests"],
        counts["ok"] + counts["fallback"], counts["by_handle"],
    )  # fmt: skip
