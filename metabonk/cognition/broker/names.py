"""Which connection is which agent: names bound to routes, and nobody gets another's.

Knows names, epochs and secrets; does not know sockets (it is told whether a route still lives),
messages or journals. A name belongs to the connection that said Hello until it says Bye, is gone,
or shows the same secret on another route, as the same process does after its link broke. A new
process (a later epoch, another secret) gets the name once the old connection is gone: as long as it
lives nobody can talk over it, however long it has nothing to say (`cognition.every` may be an hour,
and a planner of games that wait asks when they do). Whose other end vanished without a word is
found by TCP and by ZeroMQ's heartbeats (door.py).
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from metabonk.cognition.protocol.wire import Hello, RequestId, WireError

MOST_AGENTS = 256
PAST = 4  # names, as many as agents, of which it is known what they asked last
LEASE = 15.0  # seconds of silence after which it is looked whether a connection still lives


@dataclass(eq=False, slots=True)
class Binding:
    """One agent's connection. newest: the largest sequence seen of this epoch, -1 before the first.
    seat: a small number of its own. shared_clock: its monotonic clock is ours. log: its frames are
    kept. handles: its frames may lie in shared memory. protocol: 1 or 2. points: of version 1, its
    health is in points, as it once was above 1. key: the public key of who said Hello, empty
    without keys."""

    agent: str
    epoch: int
    route: bytes
    seen: float
    seat: int
    secret: bytes = b""
    newest: int = -1
    shared_clock: bool = False
    log: bool = False
    handles: bool = False
    protocol: int = 2
    points: bool = False
    key: str = ""
    looked: float = 0.0  # when it was last found alive though silent


class Names:
    """most: agents at once. alive: asks whether a binding's route is still connected."""

    def __init__(
        self,
        alive: Callable[[Binding], bool],
        *,
        most: int = MOST_AGENTS,
        lease: float = LEASE,
    ) -> None:
        self._alive, self._most, self._lease = alive, most, lease
        self._by_agent: dict[str, Binding] = {}
        self._by_route: dict[bytes, Binding] = {}
        self._past: OrderedDict[str, tuple[int, int]] = OrderedDict()  # of names that were freed

    def __len__(self) -> int:
        return len(self._by_agent)

    def agents(self) -> list[Binding]:
        """All bindings, in no order."""
        return list(self._by_agent.values())

    def of(self, route: bytes) -> Binding | None:
        """Who a route is."""
        return self._by_route.get(route)

    def agent(self, name: str) -> Binding | None:
        """Where an agent is."""
        return self._by_agent.get(name)

    def bind(
        self,
        route: bytes,
        hello: Hello,
        newest: tuple[int, int],
        now: float,
        clock: str = "",
        key: str = "",
    ) -> tuple[Binding, list[Binding]]:
        """The name for this route, and who lost another one by it: this connection under the name
        that it had before, and those who were gone when room was made. newest: epoch and sequence
        that were recorded of the agent.

        Raises WireError: `epoch` for an earlier start than was seen, `taken` while another living
        connection has the name, `full` for one agent too many.
        """
        old = self._by_agent.get(hello.agent)
        latest, sequence = self.latest(hello.agent, newest)
        if hello.epoch < latest:
            raise WireError(
                "epoch",
                f"{hello.agent}: epoch {hello.epoch}, a later start, {latest}, had this name: "
                "start the agent anew; if that is refused, too, set its machine's clock, or give "
                "it another name",
            )
        if old is not None and not self._may_take(old, route, hello):
            raise WireError(
                "taken",
                f"{hello.agent}: another connection has this name: end that one, or give each "
                "agent its own",
            )
        left: list[Binding] = []
        if old is None and len(self._by_agent) >= self._most:
            left = self.expire(now)
            if len(self._by_agent) >= self._most:
                raise WireError(
                    "full",
                    f"{self._most} agents are here already: end one, or give the server a larger "
                    "broker.agents",
                )
        if hello.epoch > latest:
            sequence = -1
        seat = old.seat if old else self._free_seat()
        self._drop(old)
        renamed = self._by_route.get(route)
        if renamed is not None:
            self._drop(renamed)
            left.append(renamed)
        made = Binding(
            hello.agent, hello.epoch, route, now, seat, hello.secret, sequence,
            bool(clock) and hello.clock == clock, hello.log, key=key,
        )  # fmt: skip
        self._by_agent[made.agent] = self._by_route[route] = made
        return made, left

    def latest(self, agent: str, newest: tuple[int, int]) -> tuple[int, int]:
        """The latest epoch that was seen of an agent and the largest sequence in it, -1 for none.
        newest: those that were recorded. What was asked and is not written down yet counts too, or
        it would be decided again."""
        here = self._by_agent.get(agent)
        held = (here.epoch, here.newest) if here else newest
        return max(newest, self._past.get(agent, newest), held)

    def check(self, route: bytes, id: RequestId, now: float) -> Binding:
        """Whose a request is. Raises WireError (`unbound`, `epoch`) unless it is this route's."""
        found = self._by_route.get(route)
        if found is None or found.agent != id.agent:
            raise WireError("unbound", f"{id.agent}: say Hello with this name first", id)
        found.seen = now
        if found.epoch != id.epoch:
            raise WireError(
                "epoch",
                f"{id.agent}: epoch {id.epoch}, this connection's Hello said {found.epoch}: ask "
                "with that one, or say Hello anew",
                id,
            )
        return found

    def release(self, binding: Binding) -> None:
        """Frees a name."""
        if self._by_agent.get(binding.agent) is binding:
            self._drop(binding)

    def expire(self, now: float) -> list[Binding]:
        """Frees the names of those who were silent for a lease and are gone."""
        gone = []
        for binding in list(self._by_agent.values()):
            if now - max(binding.seen, binding.looked) > self._lease:
                binding.looked = now
                if not self._alive(binding):
                    gone.append(binding)
                    self._drop(binding)
        return gone

    def _may_take(self, old: Binding, route: bytes, hello: Hello) -> bool:
        if old.route == route or (
            old.secret
            and old.epoch == hello.epoch
            and hmac.compare_digest(old.secret, hello.secret)
        ):
            return True
        return not self._alive(old)

    def _drop(self, binding: Binding | None) -> None:
        if binding is not None:
            self._by_agent.pop(binding.agent, None)
            self._by_route.pop(binding.route, None)
            if binding.newest < 0:
                return  # it asked nothing: a visitor's epoch must not lock the name's owner out
            self._past[binding.agent] = binding.epoch, binding.newest
            self._past.move_to_end(binding.agent)
            if len(self._past) > PAST * self._most:
                self._past.popitem(last=False)

    def _free_seat(self) -> int:
        taken = {b.seat for b in self._by_agent.values()}
        return next(n for n in range(len(taken) + 1) if n not in taken)


def phase(seat: int) -> float:
    """0..1, spread evenly however many there are: van der Corput's sequence in base 2."""
    value, share = 0.0, 0.5
    while seat:
        value += share * (seat & 1)
        seat >>= 1
        share /= 2
    return value
