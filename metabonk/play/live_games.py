"""Games that run by themselves, as the live loop plays them: arenas in this process, games behind
BonkLink, and games behind ResearchPlugin's shared memory.

Knows the native sources and sinks and what they count; does not know loops or policies.
"""

from __future__ import annotations

import contextlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from metabonk import _core
from metabonk.environment import pipes
from metabonk.errors import LinkError
from metabonk.games.bonklink_line import Address, stranger
from metabonk.games.offer_places import ARENA
from metabonk.play import ledger as ledgers
from metabonk.play.decoding import JpegDecoding
from metabonk.play.session import Session
from metabonk.records import Point


class LiveGame(Protocol):
    """A game that runs by itself, on threads or in processes of its own."""

    name: str

    def port(self, index: int) -> Any:
        """Agent `index`'s native source and sink."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def check(self) -> None:
        """Raises what broke it, if something did."""

    def counts(self) -> dict[str, Any]:
        """What it counted and how late it was itself."""


class ArenaLive:
    """Arenas in this process, in real time on a native thread, frames over the frame ring.

    level: packed. frames: height and width, zeros for none and no ring. session: where the inputs
    go, from which the game can be played again; None keeps none.
    """

    name = "arena"

    def __init__(
        self,
        level: bytes,
        seeds: Sequence[int],
        frames: tuple[int, int],
        session: Session | None = None,
        hz: float = 60.0,
    ) -> None:
        self.inputs = None
        if session is not None:
            self.inputs = ledgers.create(
                session.directory, ledgers.INPUTS, ledgers.INPUT.itemsize, ledgers.CAPACITY
            )
        ring = f"arena-{os.getpid()}-{id(self) & 0xFFFFFF:x}"
        numbers = [int(seed) % 2**64 for seed in seeds]
        self.native = _core.play.Arena(level, numbers, hz, *frames, ring, self.inputs, -1, 0)

    def port(self, index: int) -> Any:
        return self.native.port(index)

    def ring_name(self, index: int = 0) -> str:
        """Name of an arena's frame ring, empty without frames."""
        return str(self.native.ring_name(index))

    def start(self) -> None:
        self.native.start()

    def stop(self) -> None:
        self.native.stop()
        if self.inputs is not None:
            self.inputs.flush()

    def check(self) -> None:
        """Nothing of it runs in Python."""

    def counts(self) -> dict[str, Any]:
        late = self.native.lateness()
        found: dict[str, Any] = {
            "steps": self.native.steps,
            "skipped": self.native.skipped,
            "unshown": self.native.unshown,
            "actions_skipped": self.native.overtaken,
            "late_p99": late["p99"] / 1e9,
            "late_max": late["max"] / 1e9,
        }
        if self.inputs is not None:
            found["inputs"] = self.inputs.counts()
        return found


class GamesElsewhere(ABC):
    """Games in other processes, one agent each, each read by a native thread of its own.

    places: where they are, for people. native: what reads each and sends to it. frames: height and
    width that the policy reads, zeros for none.
    """

    name = ""

    def __init__(self, places: Sequence[str], native: list[Any], frames: tuple[int, int]) -> None:
        self.places, self.native, self.frames = list(places), native, frames

    def port(self, index: int) -> Any:
        return self.native[index].port()

    def start(self) -> None:
        for one in self.native:
            one.start()

    def stop(self) -> None:
        for one in self.native:
            one.stop()

    @abstractmethod
    def check(self) -> None:
        """Raises what broke beside the loop, if something did."""

    @abstractmethod
    def lacks(self, index: int) -> str:
        """What of game `index` is not there yet, and the remedy; empty once it can be played."""

    def stranger(self, index: int) -> str:
        """Who else is where game `index` should be, and the remedy; empty where nobody is, or that
        cannot be told. To be asked last: who looks is a visitor there."""
        return ""

    def hopeless(self, index: int) -> bool:
        """Whether waiting for game `index` mends nothing."""
        return False

    def ended(self) -> list[str]:
        """The games that will not come back, and why."""
        return []

    def await_connected(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Returns once every game can be played, or `until()` is true. Raises LinkError that names
        the one that could not within `seconds`, and why."""
        end = time.monotonic() + seconds
        for index, place in enumerate(self.places):
            while (missing := self.lacks(index)) and not (until is not None and until()):
                if self.hopeless(index) or time.monotonic() > end:
                    raise LinkError(f"{place}: {self.stranger(index) or missing}")
                self.check()
                time.sleep(0.02)

    def refused(self) -> str:
        """Why the threads that send were refused their priority, empty if they were not; after
        `stop`."""
        errors = [str(one.granted()["priority_error"]) for one in self.native]
        return next((error for error in errors if error), "")

    def counts(self) -> dict[str, Any]:
        each = [dict(one.counts()) for one in self.native]
        return {name: sum(int(counts[name]) for counts in each) for name in each[0]}


class BonkLinkLive(GamesElsewhere):
    """Games behind BonkLink. Frames that come as JPEG are decoded on a thread of Python each.

    addresses: `tcp://HOST:PORT` or `pipe://NAME`. protocol: auto, v1 or v2. axes: of positions in
    pure v1, which does not say: unity, as plugins have them and training takes them, or ours.
    frames: height and width that the policy reads, zeros for none. offer_places: of games that tell
    offers and no widgets (v1), as in training: they are shown with widgets there, and choices of
    them become clicks. priority: of the threads that send, of SCHED_FIFO; 0 for ordinary
    scheduling.
    """

    name = "bonklink"

    def __init__(
        self,
        addresses: Sequence[str],
        protocol: str = "auto",
        token: str = "",
        frames: tuple[int, int] = (0, 0),
        axes: str = "unity",
        offer_places: Sequence[Point] = ARENA,
        priority: int = 0,
    ) -> None:
        folder, reads = pipes(), min(frames) > 0
        native = [
            _core.play.Link(
                address,
                folder,
                protocol,
                token,
                axes,
                *frames,
                reads,
                list(offer_places),
                priority,
            )
            for address in addresses
        ]
        super().__init__(addresses, native, frames)
        pairs = zip(native, addresses, strict=True)
        self._decoding = [JpegDecoding(link, address) for link, address in pairs if reads]

    def start(self) -> None:
        for decoding in self._decoding:
            decoding.start()
        super().start()

    def stop(self) -> None:
        """Raises what broke a decoder's thread, if something did."""
        with contextlib.ExitStack() as stack:
            for decoding in self._decoding:
                stack.callback(decoding.stop)
            super().stop()

    def check(self) -> None:
        """Raises what broke a decoder's thread; LinkError once every link has ended for good."""
        for decoding in self._decoding:
            decoding.check()
        ended = self.ended()
        if len(ended) == len(self.places):
            raise LinkError(f"{ended[0]}; nobody is left to play with")

    def ended(self) -> list[str]:
        """The games whose link has ended for good, and why: another agent took the game, a token
        that is not its own."""
        pairs = zip(self.places, self.native, strict=True)
        return [f"{place}: {link.why}" for place, link in pairs if link.failed]

    def lacks(self, index: int) -> str:
        link = self.native[index]
        if not link.connected:
            return (
                f"no game answers ({link.why or 'nothing was heard'}): start it, or `metabonk host "
                "--port` one"
            )
        if min(self.frames) == 0 or link.framed:
            return ""
        height, width = self.frames
        unusable = int(link.counts()["frames_unusable"])
        return (
            f"the game shows no frames ({unusable} could not be read), and the policy reads "
            f"{height}x{width}: have it send them, by [Capture] FrameHz of its plugin or `metabonk "
            "host --frames`"
        )

    def stranger(self, index: int) -> str:
        kind, _, place = self.places[index].partition("://")
        if kind != "tcp" or self.native[index].connected:
            return ""
        host, _, port = place.rpartition(":")
        return stranger(Address(host.strip("[]"), int(port), "", "auto"))

    def hopeless(self, index: int) -> bool:
        return bool(self.native[index].failed)


class ResearchLive(GamesElsewhere):
    """Games behind ResearchPlugin's shared memory. It carries frames and a clock, no states: what
    else a policy reads is masked (metabonk/transports.py).

    paths: of the games' files (`link.research_shm.path_of`). bottom_up: the order of rows there.
    frames: height and width that the policy reads, zeros for none. priority: of the threads that
    write to the memory, of SCHED_FIFO; 0 for ordinary scheduling.
    """

    name = "research_shm"

    def __init__(
        self,
        paths: Sequence[Path],
        frames: tuple[int, int] = (0, 0),
        bottom_up: bool = True,
        priority: int = 0,
    ) -> None:
        native = [_core.play.Shm(str(path), bottom_up, *frames, priority) for path in paths]
        super().__init__([str(path) for path in paths], native, frames)

    def check(self) -> None:
        """Nothing of it runs in Python."""

    def lacks(self, index: int) -> str:
        game = self.native[index]
        if game.connected:
            return ""
        why = str(game.why).removeprefix("path: ") or "nobody has looked yet"
        return (
            f"no game is played there ({why}); start it with "
            "ResearchPlugin, or `metabonk host --research`"
        )
