"""Acknowledgements of outcomes that wait for a reply to go with.

Knows which agents are owed a reply and what is written down for them; does not know sockets,
messages or journals. An agent sends an outcome together with its next request. Acknowledged at
once, it would be woken twice, by that and by its reply; each time costs it more than what it is
told. What no reply comes for goes by itself, long before the agent would send the outcome again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from metabonk.cognition.protocol.wire import RequestId

PATIENCE = 0.2  # seconds; agents send an outcome again after half a second


class Acks:
    """What is held back, by agent. Times are seconds, given by the caller."""

    def __init__(self) -> None:
        self._owed: Counter[str] = Counter()  # replies
        self._held: dict[str, list[RequestId]] = {}
        self._since: dict[str, float] = {}

    def asked(self, agent: str) -> None:
        """An agent is owed one more reply."""
        self._owed[agent] += 1

    def answered(self, agent: str) -> list[RequestId]:
        """It gets one now; what goes with it."""
        self._owed[agent] -= 1
        if self._owed[agent] <= 0:
            del self._owed[agent]
        return self._take(agent)

    def hold(self, id: RequestId, now: float) -> bool:
        """Whether the acknowledgement of an outcome waits for a reply; False: it is to be sent."""
        if not self._owed[id.agent]:
            return False
        self._held.setdefault(id.agent, []).append(id)
        self._since.setdefault(id.agent, now)
        return True

    def due(self, now: float) -> Iterator[RequestId]:
        """Those that have waited long enough."""
        for agent in [a for a, since in self._since.items() if now - since >= PATIENCE]:
            yield from self._take(agent)

    def forget(self, agent: str) -> None:
        """An agent is gone, or came anew: it sends again what was not acknowledged."""
        self._owed.pop(agent, None)
        self._take(agent)

    def _take(self, agent: str) -> list[RequestId]:
        self._since.pop(agent, None)
        return self._held.pop(agent, [])
