"""A cognitive server as a planner that is waited for: for games that wait for their next action.

Knows the client and who stands in for the server; does not know games or controllers. In a live
loop nobody waits (play/system2.py); in evaluation, recording and watching the game stands still
meanwhile, so a state can be asked about and its own answer used. Outcomes are not reported: their
seconds would be the server's, and the game's go by at another pace.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable
from dataclasses import replace

from metabonk.cognition.agent.client import Client, ClientSettings, Sight
from metabonk.cognition.vocabulary import Directive

_LOOK = 0.001  # seconds between two looks for the answer
_NEVER = 3600.0  # seconds between requests that nobody wished for

Local = Callable[[bytes, Directive | None], Directive | None]


class ServedPlanner:
    """Asks the server at `url` about every state; `play.dual.Planner`.

    local: plans where the server gives nothing; None: there is no directive then. counts: asked,
    answered by the server, local. Raises ConfigError for what cannot be a client.
    """

    def __init__(
        self, agent: str, url: str, settings: ClientSettings, local: Local | None = None
    ) -> None:
        chosen = replace(settings, every=_NEVER, outcomes=False, menus=False, pictures=False)
        self._client = Client(agent, url, chosen)
        self._patience, self._local = settings.patience, local
        self.counts = {"asked": 0, "answered": 0, "local": 0}
        self._client.start()
        atexit.register(self.close)

    def plan(self, packed: bytes, in_force: Directive | None) -> Directive | None:
        """A directive for a packed state, in whose game `in_force` is followed; at once where no
        server is. Raises what broke the client."""
        self.counts["asked"] += 1
        directive = self._ask(packed, in_force) if self._there() else None
        if directive is not None:
            self.counts["answered"] += 1
        elif self._local is not None:
            self.counts["local"] += 1
            directive = self._local(packed, in_force)
        return directive

    def close(self) -> None:
        """Ends the client; safe to call twice."""
        atexit.unregister(self.close)
        self._client.stop()

    def _there(self) -> bool:
        """Whether the server knows us; the first time it gets a second to."""
        self._client.check()
        end = time.monotonic() + (1.0 if self.counts["asked"] == 1 else 0.0)
        while not self._client.connected and time.monotonic() < end:
            time.sleep(_LOOK)
        return self._client.connected

    def _ask(self, packed: bytes, in_force: Directive | None) -> Directive | None:
        captured = time.monotonic_ns()
        # The game's own: many games may share a client, and none goes by the clock's seconds.
        self._client.show(Sight(packed, captured, in_force=in_force))
        self._client.wish()
        end = time.monotonic() + self._patience
        while time.monotonic() < end and self._client.connected:
            for decision in reversed(list(self._client.decisions)):
                if decision.captured_ns == captured:
                    return decision.directive
                if decision.captured_ns < captured:
                    break
            time.sleep(_LOOK)
        self._client.check()
        return None
