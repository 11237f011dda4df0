"""JPEG frames of a game behind BonkLink, decoded on a thread of Python beside the loop.

Knows the mailbox of a native link (csrc/play/jpeg_mailbox.h) and the decoder that every reader of
BonkLink has here: libjpeg-turbo, which base installs have through simplejpeg and which lets other
threads run while it works. The native core links no decoder. Does not know policies or the loop,
which waits for no picture: a frame that is not decoded in time is overtaken by a newer one, and
counted.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from metabonk.errors import CorruptError
from metabonk.link.wire import Pixels, decode_jpeg

_SLICE = 0.05  # seconds of one wait, after which the thread looks whether it is to stop


class JpegDecoding:
    """The thread of one link. name: of its game, for people. Start and stop are safe to call twice.

    A damaged frame, or one of more than 2^24 pixels, is counted by the link as unusable and passed
    over; anything else that goes wrong ends the thread and is raised by `check` and `stop`.
    """

    def __init__(self, link: Any, name: str) -> None:
        self._link = link
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1, f"frames of {name}")
        self._serving: Future[None] | None = None

    def start(self) -> None:
        if self._serving is None:
            self._serving = self._thread.submit(self._serve)

    def check(self) -> None:
        """Raises what ended the thread, if something did."""
        if self._serving is not None and self._serving.done():
            self._serving.result()

    def stop(self) -> None:
        """Ends the thread. Raises what had ended it before, if something did."""
        self._stop.set()
        self._thread.shutdown()
        self.check()

    def _serve(self) -> None:
        while not self._stop.is_set():
            jpeg: bytes | None = self._link.next_jpeg(_SLICE)
            if jpeg is None:
                continue
            pixels: Pixels | None
            try:
                pixels = decode_jpeg(jpeg)
            except CorruptError:
                pixels = None
            self._link.answer_jpeg(pixels)
