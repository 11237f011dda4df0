"""Weights that change while a game is played: a policy's directory, watched.

Knows when an artifact was replaced and what must hold before its weights may decide; the swap is
the loop's. A policy that does not fit is told of and left alone: what plays goes on playing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from metabonk import artifact
from metabonk.errors import MetabonkError
from metabonk.play.loop import CompiledDecider
from metabonk.play.session import Session


class Reloader:
    """Watches the policy at `path` for deciders that play it.

    allowed: raises a MetabonkError if the policy that is there now must not decide. The session
    gets a copy of every policy that is taken up.
    """

    def __init__(
        self,
        path: Path,
        deciders: Sequence[CompiledDecider],
        session: Session,
        allowed: Callable[[], None] | None = None,
    ) -> None:
        self.path = path
        self.taken = 0
        self._deciders, self._session, self._allowed = list(deciders), session, allowed
        self._hash = deciders[0].hash
        self._stamp = self._look_at()

    def look(self) -> str:
        """Takes up what is there if it is new; returns what happened, empty for nothing."""
        stamp = self._look_at()
        if stamp is None or stamp == self._stamp:  # None: it is just being replaced
            return ""
        self._stamp = stamp
        try:
            digest = artifact.load(self.path).hash
            if digest == self._hash:  # a certificate was added
                return ""
            if self._allowed is not None:
                self._allowed()
            self._session.keep_artifact(self.path)
            for decider in self._deciders:
                decider.swap(self.path)
        except (MetabonkError, TimeoutError, OSError) as error:
            return f"{self.path} was replaced, and is not taken up: {error}"
        self._hash = digest
        self.taken += 1
        return f"{self.path} was replaced: {digest[:12]} decides from now on"

    def _look_at(self) -> tuple[int, int] | None:
        try:
            found = (self.path / artifact.CARD).stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino
