"""Version 1's decisions until it is told what came of them: by the timestamps of their replies.

Knows the one name that version 1 has for a decision, who asked for it, and what of an outcome can
be filled in from this side; does not know messages as bytes, connections or journals. A decision is
joined once, told by the connection and the key that asked for it, however long they were silent
meanwhile; only the last few of an agent are remembered, and none after a restart.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from metabonk.cognition.protocol.legacy import Came
from metabonk.cognition.protocol.wire import Outcome, Reply, RequestId, WireError

PER_AGENT = 8  # decisions: a quarter of a minute at one in two seconds
Asker = tuple[bytes, str]  # a connection's route, and its key where there are keys


class _Answered(NamedTuple):
    """arrived: seconds on the broker's clock. followed: the reply had a directive to follow."""

    id: RequestId
    arrived: float
    status: str
    followed: bool


class AnsweredV1:
    """The last decisions of version 1's agents. most: agents."""

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._told: OrderedDict[str, tuple[Asker, OrderedDict[float, _Answered]]] = OrderedDict()

    def add(
        self, reply: Reply, timestamp: float, arrived: float, *, directive: bool, asker: Asker
    ) -> None:
        """A reply was sent. timestamp: what it says. arrived: seconds when its request came.
        directive: whether it has one in version 1's words."""
        assert reply.id is not None
        told = self._of(reply.id.agent, asker)
        self._told[reply.id.agent] = asker, told  # what another one was told goes
        self._told.move_to_end(reply.id.agent)
        told[timestamp] = _Answered(reply.id, arrived, reply.status, directive)
        if len(told) > PER_AGENT:
            told.popitem(last=False)
        if len(self._told) > self._most:
            self._told.popitem(last=False)

    def outcome(self, agent: str, came: Came, asker: Asker, now: float) -> Outcome:
        """What came of a decision, with its id, which is then forgotten. now: seconds.

        Raises WireError (`unknown`) for a decision that is not remembered of who tells it.
        """
        told = self._of(agent, asker)
        at = next(reversed(told), None) if came.decision is None else came.decision
        answered = told.pop(at, None) if at is not None else None
        if answered is None:
            named = "no decision" if came.decision is None else f"decision {came.decision}"
            raise WireError(
                "unknown",
                f"outcome: {named} of {agent} waits for one; wanted the timestamp of one of its "
                f"last {PER_AGENT} replies, once",
            )
        return Outcome(
            id=answered.id,
            applied=answered.followed if came.applied is None else came.applied,
            seconds=min(max(now - answered.arrived, 0.0), 3600.0),
            reward=came.reward,
            health_change=came.health_change,
            kills=came.kills,
            xp=came.xp,
            alive=came.alive,
            status=answered.status,  # type: ignore[arg-type]  # one of the Outcome's own words
        )

    def _of(self, agent: str, asker: Asker) -> OrderedDict[float, _Answered]:
        """What this one was told; new where that is nothing."""
        whose, told = self._told.get(agent, (asker, OrderedDict[float, _Answered]()))
        return told if whose == asker else OrderedDict()
