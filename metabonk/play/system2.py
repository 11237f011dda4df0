"""System 2 beside the live loop: one client per agent, which looks at a seat and directs it.

Knows seats, frame rings and clients; does not know what is said on the wire, or who decides there.
The loop meets none of this: a seat shows its newest moment now and then after its action has left
(csrc/play/watch.h), and takes directives from a mailbox between ticks.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from metabonk import _core
from metabonk.cognition.agent.client import Client, ClientSettings, Ending, Press, Sight
from metabonk.cognition.vocabulary import Directive, Priority, Verb, Widget
from metabonk.errors import LinkError
from metabonk.games.derived import Derived, End, end_of, in_run
from metabonk.games.level import Reward
from metabonk.link.ring import RingReader
from metabonk.play.loop import Live
from metabonk.protocols import Array, Predictor
from metabonk.records import GAME_STATE

LOOKS = 0.03  # seconds between two moments that a seat shows unasked
_MOST = 16 << 20  # the largest frame that a seat can copy
_AHEAD = 4  # pictures that are kept until their states have been seen
COPIED = 256 << 10  # bytes of a frame that a seat copies; larger ones come from a frame ring
# Seconds that a press of the navigator may take to reach the game: one that comes later may find
# another screen, and is made anew instead.
_PRESS = 0.15

Local = Callable[[Sight], Directive | None]
Told = Callable[[int, Directive], None]
_Pixels = tuple[Array | None, int]  # a picture and when it was taken, monotonic nanoseconds

_ENDINGS: Mapping[End, Ending] = {
    End.NO: "", End.DIED: "died", End.WON: "won", End.LEFT: "left",
}  # fmt: skip


class Eyes:
    """What a client sees of one seat: the newest state, its frame and the rewards so far.

    frames: height and width of the game's frames, zeros for none. ring: name of the game's frame
    ring, empty without one: then the seat copies frames of up to 16 MiB. reward: the weights of
    what states show, for games that do not say theirs. run: number of the newest sight's run. One
    thread.
    """

    def __init__(self, frames: tuple[int, int], ring: str, reward: Reward) -> None:
        size = frames[0] * frames[1] * 4
        of_ring = bool(ring) and size > COPIED
        self.watch: Any = _core.play.Watch(LOOKS, 0 if of_ring else min(size, _MOST))
        self._ring = RingReader(ring) if of_ring else None
        # Pictures whose states have not been seen yet.
        self._ahead: deque[tuple[Array, int]] = deque(maxlen=_AHEAD)
        self._derived = Derived(reward)
        self._reward = 0.0
        self.run = 0
        self._last: np.void | None = None
        self._seen_ns = 0
        self._over = End.NO

    def __call__(self) -> Sight | None:
        """The newest sight; None if there is none that was not seen. Never waits."""
        looked = self.watch.look()
        if looked is None:
            return None
        packed, _, capture, run, frame, began, ended = looked
        before = self._before(ended, run)
        self._earn(np.frombuffer(packed, GAME_STATE)[0], run)
        self._seen_ns = capture
        pixels, pixels_ns = self._pixels(frame, began, capture)
        return Sight(
            packed, capture, pixels, self._reward, run, pixels_ns=pixels_ns,
            end=_ENDINGS[self._over], before=before,
        )  # fmt: skip

    def close(self) -> None:
        if self._ring is not None:
            self._ring.close()

    def _pixels(self, frame: Array | None, began: int, capture: int) -> _Pixels:
        """The picture of a state that was captured then, in a run that began then."""
        at = capture
        if self._ring is not None:
            frame, at = self._of_ring(began, capture)
        if frame is not None and frame.shape[2] != 3:
            frame = np.ascontiguousarray(frame[..., :3]) if frame.shape[2] == 4 else None
        return frame, at

    def _of_ring(self, began: int, capture: int) -> _Pixels:
        """The newest picture of the ring that is of the run and not newer than the state. The ring
        is ahead of the states that a seat shows: what is newer waits for the next ones."""
        assert self._ring is not None
        with contextlib.suppress(LinkError):  # no room for one more reader: no pictures
            taken = self._ring.latest()
            if taken is not None:
                self._ahead.append((taken.copy(), taken.capture_ns))
                taken.release()
        found: _Pixels = (None, 0)
        while self._ahead and self._ahead[0][1] <= capture:
            picture = self._ahead.popleft()
            found = picture if picture[1] >= began else found
        return found

    def _before(self, ended: tuple[bytes, int] | None, run: int) -> Sight | None:
        """The last sight of the run before, if another one began since and it was not seen. Where
        that does not show how the run ended, it was left: nobody died that nobody saw."""
        if self._last is None or ended is None or ended[1] <= self._seen_ns:
            return None
        self._earn(np.frombuffer(ended[0], GAME_STATE)[0], run - 1)
        end = _ENDINGS[self._over or End.LEFT]
        return Sight(ended[0], ended[1], None, self._reward, run - 1, end=end)

    def _earn(self, now: np.void, run: int) -> None:
        """Adds the reward since the last sight. What is first seen of a run earns nothing, and
        neither do menus before and after it."""
        if self._last is None or run != self.run:
            self._over = End.NO if in_run(now) else End.LEFT
        elif self._over and in_run(now):
            self._over = End.NO  # out of the menus: from here on it counts
        elif not self._over:
            self._over = end_of(self._last, now)
            self._reward += self._derived.reward(self._last, now, self._over)
        self._last, self.run = now, run


class System2:
    """The clients of a loop's agents.

    url: of the cognitive server. names: one per agent. frames: of the game. rings: names of the
    agents' frame rings, empty texts without. predictors: one per agent, None for strips of real
    frames. local: gives directives while the server gives none. told: called in a client's thread
    with the agent and every other directive that comes into force. Made before the loop starts.

    Raises ConfigError for what cannot be a client.
    """

    name = "system2"

    def __init__(
        self,
        live: Live,
        url: str,
        names: Sequence[str],
        settings: ClientSettings,
        *,
        reward: Reward,
        frames: tuple[int, int] = (0, 0),
        rings: Sequence[str] = (),
        predictors: Sequence[Predictor | None] = (),
        local: Local | None = None,
        told: Told | None = None,
    ) -> None:
        self._live, self._told = live, told
        self._directing = threading.Lock()  # clients give ids to directives, one at a time
        self.eyes, self.clients = [], []
        for agent, name in enumerate(names):
            ring = rings[agent] if agent < len(rings) else ""
            eyes = Eyes(frames, ring, reward)
            eyes.watch.put_on(live.seats[agent])
            self.eyes.append(eyes)
            self.clients.append(
                Client(
                    name, url, settings, look=eyes, moments=eyes.watch,
                    apply=self._follow(agent), press=self._press(agent),
                    mute=live.seats[agent].mute, local=local,
                    predictor=predictors[agent] if agent < len(predictors) else None,
                )
            )  # fmt: skip

    def start(self) -> None:
        for client in self.clients:
            client.start()

    def stop(self) -> None:
        """Ends every client; raises what broke the first one that did. Safe to call twice."""
        broken: list[BaseException] = []
        for client in self.clients:
            client.end()
        for client in self.clients:
            try:
                client.stop()
            except BaseException as error:  # noqa: BLE001  # raised below, when all have ended
                broken.append(error)
        for eyes in self.eyes:
            eyes.close()
        if len(broken) > 1:
            raise BaseExceptionGroup("clients of System 2 broke", broken)
        if broken:
            raise broken[0]

    def check(self) -> None:
        """Raises what broke a client, if something did."""
        for client in self.clients:
            client.check()

    def counts(self) -> list[dict[str, Any]]:
        """Of every agent's client, with what its seat showed."""
        return [
            {**client.counts(), "connected": client.connected, "why": client.why,
             "shown": eyes.watch.shown, "too_large": eyes.watch.too_large}
            for client, eyes in zip(self.clients, self.eyes, strict=True)
        ]  # fmt: skip

    def _apply(self, agent: int) -> Callable[[Directive, int], bool]:
        def apply(directive: Directive, until_ns: int) -> bool:
            with self._directing:
                return self._live.direct(directive, agent, until_ns, self.eyes[agent].run) > 0

        return apply

    def _follow(self, agent: int) -> Callable[[Directive, int], bool]:
        apply, told = self._apply(agent), self._told
        last: Directive | None = None

        def follow(directive: Directive, until_ns: int) -> bool:
            nonlocal last
            taken = apply(directive, until_ns)
            if taken and told is not None and directive != last:
                told(agent, directive)
            last = directive if taken else last
            return taken

        return follow

    def _press(self, agent: int) -> Callable[[Press], bool]:
        apply = self._apply(agent)

        def press(press: Press) -> bool:
            until = int(_core.play.now()) + round(_PRESS * 1e9)
            if press.kind == "click":
                click = Directive(Verb.CLICK, Widget(press.choice), 0.5, Priority.CRITICAL)
                return apply(click, until)
            with self._directing:  # a place, of games that show no widgets
                run = self.eyes[agent].run
                return self._live.click_at(press.x, press.y, agent, until, run) > 0

        return press


def total(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over agents of what can be added; the smoothed latency as its mean."""
    sums: dict[str, Any] = {}
    for one in counts:
        for name, value in one.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                sums[name] = sums.get(name, 0) + value
    if counts:
        sums["latency_ms"] = sums.get("latency_ms", 0.0) / len(counts)
    return sums
