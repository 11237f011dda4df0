"""The BonkLink on which `metabonk host` shows a game.

Knows the game's end of BonkLink and how moments become states, frames and trailers; does not know
games nor when they step.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
import simplejpeg  # type: ignore[import-untyped]

from metabonk.errors import ConfigError, LinkError
from metabonk.games.bonklink_line import Address, stranger
from metabonk.games.host import Answer
from metabonk.games.hosted import Moment
from metabonk.link.bonklink import Reset, Server
from metabonk.link.wire import Capability, ProtocolName, StepResult
from metabonk.protocols import Array, FloatArray

_SENDS = (
    Capability.JPEG | Capability.RGB | Capability.RGBA | Capability.BOTTOM_UP
    | Capability.EXTRA | Capability.STEP | Capability.RESETS
)  # fmt: skip
_FRAME_BYTES = 64 << 20
_CLICK = slice(10, 12)  # columns of an Action's row
_IDLE_SECONDS = 120.0  # without a word from an agent: learners are silent while they learn


@dataclass(frozen=True)
class Offer:
    """Where a game listens and what it shows. pipe: instead of host and port, empty for none.
    frames: jpeg, raw or none; quality: of JPEGs. ring: frames also through shared memory. size:
    height and width. rate: states per second. locked: each state waits for its answer."""

    host: str = "127.0.0.1"
    port: int = 0
    pipe: str = ""
    protocol: ProtocolName = "auto"
    frames: str = "raw"
    quality: int = 90
    ring: bool = True
    size: tuple[int, int] = (180, 320)
    rate: float = 60.0
    locked: bool = False
    token: str = ""

    def __post_init__(self) -> None:
        if self.protocol not in get_args(ProtocolName):
            raise ConfigError(f"protocol: {self.protocol!r}, give v1, v2 or auto")
        if self.frames not in ("jpeg", "raw", "none"):
            raise ConfigError(f"frames: {self.frames!r}, give jpeg, raw or none")

    @property
    def address(self) -> str:
        if self.pipe:
            return f"pipe://{self.pipe}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"


class BonkLinkLink:
    """Moments as BonkLink's states. With protocol v1 they are what a v1 plugin sends and no more,
    in Unity's axes."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        height, width = offer.size
        ringed = offer.ring and offer.frames != "none" and offer.protocol != "v1"
        stepped = Capability.STEPPED if offer.locked else Capability(0)
        try:
            self._server = Server(
                offer.address,
                protocol=offer.protocol,
                token=offer.token,
                name=f"metabonk host {os.getpid()}",
                capabilities=_SENDS | stepped,
                frame_bytes=_FRAME_BYTES,
                axes="unity" if offer.protocol == "v1" else "ours",
                extra_in_v1=offer.protocol != "v1",
                size=(width, height),
                rate=round(offer.rate),
                idle=_IDLE_SECONDS,
                ring=f"metabonk-host-{os.getpid()}-{id(self):x}" if ringed else "",
            )
        except ValueError as error:
            raise ConfigError(f"host, port, pipe: {error}") from error
        except LinkError as error:
            raise LinkError(_complaint(offer, str(error))) from error
        self.address = self._server.address

    def publish(self, moment: Moment, capture_ns: int, taken: int) -> int:
        step = StepResult(
            moment.reward, moment.first, moment.terminated, moment.truncated,
            taken, moment.episode, moment.returned,
        )  # fmt: skip
        state = np.frombuffer(moment.state, np.uint8)
        return self._server.send(
            state, self._frame(moment.pixels), capture_ns=capture_ns, step=step
        )

    def wait(self, timeout: float) -> Answer | None:
        got = self._server.poll(timeout)
        if got is None:
            return None
        if isinstance(got, Reset):
            return Answer(None, seed=got.seed)
        return Answer(_usable(got.row), got.answers, sequence=got.sequence)

    def visitor(self) -> int:
        return self._server.connection if self._server.connected else 0

    def status(self) -> str:
        if not self._server.connected:
            return f"{self.address}, BonkLink {self._offer.protocol}, nobody is there"
        way = " with the frame ring" if self._server.uses_ring else ""
        who = self._server.peer or "an agent"
        return f"{self.address}, v{self._server.version}{way}, {who} plays"

    def counters(self) -> Mapping[str, int]:
        return self._server.counters()

    def close(self) -> None:
        self._server.close()

    def _frame(self, pixels: Array) -> Array | bytes | None:
        if self._offer.frames == "none":
            return None
        if self._offer.frames == "raw" or self._server.uses_ring:
            return pixels
        return bytes(simplejpeg.encode_jpeg(pixels, self._offer.quality, "RGB", "444"))


def _complaint(offer: Offer, error: str) -> str:
    """Why nothing listens, in the words that were typed. What is wrong with the frame ring, which
    names itself, is left as it is."""
    if not error.startswith(offer.address):
        return error
    given = f"--pipe {offer.pipe}" if offer.pipe else f"--host {offer.host} --port {offer.port}"
    who = stranger(Address(offer.host, offer.port, offer.pipe, offer.protocol))
    told = f"{given}: {error}"
    return f"{told}; {who}" if who else told


def _usable(row: FloatArray) -> FloatArray:
    """A row without what is no number, as the plugin takes it (`Sane` of plugins/Core): a stick, a
    button or a choice that is none is let go, and a click at none is no click, where a zero would
    be one in the corner."""
    made = np.nan_to_num(row, nan=0.0, posinf=0.0, neginf=0.0)
    if not np.isfinite(row[_CLICK]).all():
        made[_CLICK] = -1.0
    return made
