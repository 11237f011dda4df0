"""Games that run by themselves, as the live loop plays them: arenas in this process, and games
behind BonkLink.

Knows the native sources and sinks and what they count; does not know loops or policies.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from metabonk import _core
from metabonk.errors import LinkError
from metabonk.play import ledger as ledgers
from metabonk.play.session import Session


class LiveGame(Protocol):
    """A game that runs by itself, on threads or in processes of its own."""

    name: str

    def port(self, index: int) -> Any:
        """Agent `index`'s native source and sink."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

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

    def counts(self) -> dict[str, Any]:
        late = self.native.lateness()
        found: dict[str, Any] = {
            "steps": self.native.steps,
            "skipped": self.native.skipped,
            "late_p99": late["p99"] / 1e9,
            "late_max": late["max"] / 1e9,
        }
        if self.inputs is not None:
            found["inputs"] = self.inputs.counts()
        return found


class BonkLinkLive:
    """Games behind BonkLink, one agent each, each spoken with by a native thread of its own.

    addresses: `tcp://HOST:PORT` or `pipe://NAME`. protocol: auto, v1 or v2. axes: of v1's states,
    ours or unity. frames: height and width that the policy reads, zeros for none.
    """

    name = "bonklink"

    def __init__(
        self,
        addresses: Sequence[str],
        protocol: str = "auto",
        token: str = "",
        frames: tuple[int, int] = (0, 0),
        axes: str = "ours",
    ) -> None:
        self.addresses = list(addresses)
        folder = tempfile.gettempdir()
        self.native = [
            _core.play.Link(address, folder, protocol, token, axes, *frames)
            for address in self.addresses
        ]

    def port(self, index: int) -> Any:
        return self.native[index].port()

    def start(self) -> None:
        for link in self.native:
            link.start()

    def stop(self) -> None:
        for link in self.native:
            link.stop()

    def await_connected(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Returns once every game has been read from, or `until()` is true. Raises LinkError that
        names the one that was not there within `seconds`."""
        end = time.monotonic() + seconds
        for link, address in zip(self.native, self.addresses, strict=True):
            while not link.connected and not (until is not None and until()):
                if link.failed or time.monotonic() > end:
                    raise LinkError(
                        f"{address}: no game answers ({link.why or 'nothing was heard'}): start "
                        "it, or `metabonk host --port` one"
                    )
                time.sleep(0.02)

    def counts(self) -> dict[str, Any]:
        each = [dict(link.counts()) for link in self.native]
        return {name: sum(int(counts[name]) for counts in each) for name in each[0]}
