"""Names: one connection each, nobody gets another's, and a broken link comes back at once."""

from __future__ import annotations

import pytest

from metabonk.cognition.broker.names import LEASE, Binding, Names, phase
from metabonk.cognition.protocol.wire import Hello, RequestId, WireError

OURS, THEIRS = b"o" * 16, b"t" * 16


def hello(agent: str = "a", epoch: int = 5, secret: bytes = OURS, clock: str = "") -> Hello:
    return Hello(agent=agent, epoch=epoch, secret=secret, clock=clock)


class World:
    """Names over routes that live until they are said to be dead."""

    def __init__(self, most: int = 4) -> None:
        self.dead: set[bytes] = set()
        self.looks = 0
        self.names = Names(self.alive, most=most)
        self.now = 0.0
        self.left: list[Binding] = []  # who lost a name by the last binding

    def alive(self, binding: Binding) -> bool:
        self.looks += 1
        return binding.route not in self.dead

    def bind(self, route: bytes, said: Hello, newest: tuple[int, int] = (-1, -1)) -> Binding:
        made, self.left = self.names.bind(route, said, newest, self.now, "boot")
        return made

    def refused(self, route: bytes, said: Hello, newest: tuple[int, int] = (-1, -1)) -> str:
        with pytest.raises(WireError) as caught:
            self.bind(route, said, newest)
        return caught.value.code


def test_a_living_connections_name_cannot_be_taken() -> None:
    world = World()
    mine = world.bind(b"1", hello())
    for epoch in (5, 6, 2**62):
        assert world.refused(b"2", hello(epoch=epoch, secret=THEIRS)) == "taken"
    assert world.names.agent("a") is mine
    with pytest.raises(WireError) as caught:
        world.names.check(b"2", RequestId("a", 5, 1), 0.0)
    assert caught.value.code == "unbound"
    assert world.names.check(b"1", RequestId("a", 5, 1), 0.0) is mine


def test_the_same_process_comes_back_on_another_route_at_once() -> None:
    world = World()
    world.bind(b"1", hello()).newest = 7
    back = world.bind(b"2", hello())
    assert back.newest == 7
    assert back.route == b"2"
    assert world.names.of(b"1") is None
    assert len(world.names) == 1


def test_a_restarted_agent_gets_its_name_when_the_old_one_is_gone() -> None:
    world = World()
    world.bind(b"1", hello())
    assert world.refused(b"2", hello(epoch=6, secret=THEIRS)) == "taken"
    world.dead.add(b"1")
    assert world.bind(b"2", hello(epoch=6, secret=THEIRS)).newest == -1


def test_who_lives_keeps_its_name_however_long_it_is_silent() -> None:
    """An agent that asks every hour, or a planner whose games wait, has nothing to say meanwhile;
    given to another, the name would be lost to it for good, as its epoch is the earlier one."""
    world = World()
    mine = world.bind(b"1", hello())
    for _ in range(3):
        world.now += 10 * LEASE
        assert world.names.expire(world.now) == []
        assert world.refused(b"2", hello(epoch=6, secret=THEIRS)) == "taken"
    assert world.names.check(b"1", RequestId("a", 5, 1), world.now) is mine


def test_refusals_say_what_to_do() -> None:
    world = World(most=1)
    world.bind(b"1", hello())
    for agent, epoch, remedies in (
        ("a", 4, ("epoch 4", "start the agent anew", "clock")),
        ("a", 6, ("end that one", "give each agent its own")),
        ("b", 6, ("1 agents", "end one", "broker.agents")),
    ):
        with pytest.raises(WireError) as caught:
            world.bind(b"2", hello(agent, epoch, THEIRS))
        assert all(words in str(caught.value) for words in remedies), caught.value
    with pytest.raises(WireError, match=r"epoch 6, this connection's Hello said 5: ask with that"):
        world.names.check(b"1", RequestId("a", 6, 1), 0.0)


def test_an_empty_secret_opens_nothing() -> None:
    world = World()
    world.bind(b"1", hello(secret=b""))
    assert world.refused(b"2", hello(secret=b"")) == "taken"


def test_an_earlier_start_never_comes_back() -> None:
    world = World()
    assert world.refused(b"1", hello(epoch=4), newest=(5, 100)) == "epoch"
    assert world.bind(b"1", hello(epoch=5), newest=(5, 100)).newest == 100
    assert world.refused(b"1", hello(epoch=4)) == "epoch"
    assert world.bind(b"1", hello(epoch=6), newest=(5, 100)).newest == -1
    with pytest.raises(WireError) as caught:
        world.names.check(b"1", RequestId("a", 5, 101), 0.0)
    assert caught.value.code == "epoch"


def test_a_connection_has_one_name() -> None:
    world = World()
    first = world.bind(b"1", hello("a"))
    assert world.left == []
    second = world.bind(b"1", hello("b"))
    assert world.names.agent("a") is None
    assert len(world.names) == 1
    assert world.left == [first]
    assert world.bind(b"1", hello("b")) is not second
    assert world.left == [], "the same name again is nobody's loss"


def test_agents_are_bounded_and_the_dead_make_room() -> None:
    world = World(most=3)
    for n in range(3):
        world.bind(b"%d" % n, hello(f"a{n}"))
    assert world.refused(b"9", hello("z")) == "full"
    world.dead.add(b"1")
    assert world.refused(b"9", hello("z")) == "full", "not silent for long enough"
    world.now = LEASE + 1
    assert world.bind(b"9", hello("z")).seat == 1
    assert [one.agent for one in world.left] == ["a1"]
    assert {b.agent for b in world.names.agents()} == {"a0", "a2", "z"}


def test_the_silent_are_looked_at_once_per_lease() -> None:
    world = World()
    mine = world.bind(b"1", hello())
    for tick in range(1000):
        world.names.expire(LEASE + 0.1 + tick * 0.01)
    assert world.looks == 1
    assert mine in world.names.agents()
    world.dead.add(b"1")
    assert world.names.expire(2 * LEASE + 1) == [mine]
    world.names.release(mine)
    assert len(world.names) == 0


def test_release_frees_only_what_is_held() -> None:
    world = World()
    old = world.bind(b"1", hello())
    new = world.bind(b"2", hello())
    world.names.release(old)
    assert world.names.agent("a") is new


def test_what_was_asked_before_a_name_was_freed_is_not_forgotten() -> None:
    world = World(most=2)
    mine = world.bind(b"1", hello())
    mine.newest = 12
    world.names.release(mine)
    assert world.refused(b"2", hello(epoch=4)) == "epoch"
    assert world.bind(b"2", hello(), newest=(5, 10)).newest == 12
    for n in range(100):
        world.names.release(world.bind(b"3", hello(f"other-{n}")))
    assert len(world.names._past) <= 8


def test_clocks_are_shared_by_their_boot() -> None:
    world = World()
    assert world.bind(b"1", hello("a", clock="boot")).shared_clock
    assert not world.bind(b"2", hello("b", clock="another")).shared_clock
    assert not world.bind(b"3", hello("c")).shared_clock


def test_phases_are_spread_however_many_there_are() -> None:
    assert [phase(n) for n in range(8)] == [0.0, 0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]
    for count in (2, 4, 8, 16, 32):
        found = sorted(phase(n) for n in range(count))
        gaps = [b - a for a, b in zip(found, [*found[1:], 1.0], strict=True)]
        assert max(gaps) == min(gaps) == 1 / count


def test_a_visitor_who_asked_nothing_does_not_lock_the_owner_out() -> None:
    """Somebody takes the name while its owner is away, asks nothing and leaves: the owner, whose
    epoch is the earlier one, comes back. One that asked something is a later start."""
    world = World()
    world.bind(b"1", hello(epoch=5)).newest = 3
    world.dead.add(b"1")
    world.names.release(world.bind(b"2", hello(epoch=9, secret=THEIRS)))
    assert world.bind(b"3", hello(epoch=5), newest=(5, 3)).newest == 3
    world.dead.add(b"3")
    later = world.bind(b"4", hello(epoch=9, secret=THEIRS))
    later.newest = 0
    world.names.release(later)
    assert world.refused(b"5", hello(epoch=5), newest=(5, 3)) == "epoch"
