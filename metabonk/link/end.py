"""What both ends of a BonkLink share: one call at a time, closing from any thread, counters, clock.

Knows the native end behind each; what either sends and takes is bonklink.py's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from metabonk import _core
from metabonk.errors import LinkError
from metabonk.link.clock import Reading
from metabonk.link.wire import Capability

SLICE = 0.1  # seconds of one native wait, after which Python sees signals


class End:
    """One end. `_native` is made by the class that derives from it; calls of other threads wait for
    their turn."""

    _native: Any

    def __init__(self) -> None:
        self._turn = threading.Lock()

    @property
    def last_error(self) -> str:
        """Why the last connection ended or was not made; empty before any did."""
        return str(self._native.last_error)

    @property
    def version(self) -> int:
        """Spoken now: 1, 2, or 0 while nothing is."""
        return int(self._native.version)

    @property
    def capabilities(self) -> Capability:
        """Agreed upon in HELLO; none in v1."""
        return Capability(self._native.capabilities)

    @property
    def connected(self) -> bool:
        return bool(self._native.connected)

    def counters(self) -> dict[str, int]:
        """Everything that came, went or was dropped since this end began; `meanings` explains."""
        return dict(self._native.counters())

    @property
    def peer(self) -> str:
        """What the other end calls itself in HELLO; empty in v1."""
        with self._turn:
            return str(self._native.peer)

    def clock(self) -> Reading:
        """The other end's clock against ours, by PING and PONG (v2)."""
        with self._turn:
            return Reading(*self._native.clock(time.monotonic_ns()))

    def close(self) -> None:
        """Ends the connection with BYE; safe to call twice and from any thread."""
        if self._native.closed:
            return
        self._native.wake()
        with self._turn:
            self._native.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def meanings() -> Mapping[str, str]:
    """What each counter of an end counts."""
    found: Mapping[str, str] = _core.link.counter_meanings()
    return found


def refused(address: str, error: RuntimeError) -> LinkError:
    """What the core cannot do now, with the address."""
    return LinkError(f"{address}: {error}")
