"""The door, with real sockets: who gets in, how much, and what a peer cannot do to another."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import time
from pathlib import Path

import pytest
import zmq
from peers import HANG
from rooms import HERE, Room, heard, in_room

from metabonk.cognition.broker.door import HIGH_WATER, MOST_PARTS, Door, check_endpoint
from metabonk.cognition.protocol import keys
from metabonk.cognition.protocol.address import is_loopback
from metabonk.errors import ConfigError, LinkError


def test_messages_go_both_ways(tmp_path: Path) -> None:
    endpoints = [HERE, f"ipc://{tmp_path}/door"]

    async def body(room: Room) -> None:
        assert stat.S_IMODE(os.stat(tmp_path / "door").st_mode) & 0o077 == 0
        for n, endpoint in enumerate(room.door.endpoints):
            dealer = room.dealer(endpoint=endpoint)
            room.connect()
            dealer.send_multipart([b"hi", b"there"])
            route, parts, key = (await room.messages(n + 1))[-1]
            assert (parts, key) == ([b"hi", b"there"], "")
            assert room.door.send(route, [b"yes"]) == "sent"
            assert await heard(dealer) == [b"yes"]

    in_room(body, Door(endpoints))


def test_long_parts_are_read_where_they_lie_and_stay(tmp_path: Path) -> None:
    """A strip's pictures are most of what comes: they are not copied, and what is kept of a message
    is good when others have come, and when the door is shut."""
    long = [os.urandom(100_000) for _ in range(3)]

    async def body(room: Room) -> None:
        dealer = room.dealer(endpoint=room.door.endpoints[0])
        room.connect()
        for part in long:
            dealer.send_multipart([b"head", part, part[:2000]])
        found = [parts for _, parts, _ in await room.messages(3)]
        assert found == [[b"head", part, part[:2000]] for part in long]
        kinds = [[type(part) for part in parts] for parts in found]
        assert kinds == [[bytes, memoryview, bytes]] * 3
        kept.extend(parts[1] for parts in found)

    kept: list[memoryview] = []
    in_room(body, Door([f"ipc://{tmp_path}/door"]))
    assert kept == long


@pytest.mark.parametrize("secured", [False, True])
def test_who_comes_before_it_is_open_is_heard_when_it_is(tmp_path: Path, secured: bool) -> None:
    """Agents of a server that starts anew say who they are while it still loads what reads it."""
    broker, agent = (keys.read_pair(keys.new(name, tmp_path)[0]) for name in ("broker", "a"))
    allowed = keys.Allowed({agent.public: ["a"]})
    door = Door([HERE], pair=broker, allowed=allowed) if secured else Door([HERE])
    door.listen()  # no loop runs yet
    context = zmq.Context(1)
    dealer = context.socket(zmq.DEALER)
    dealer.linger = 0
    if secured:
        dealer.curve_publickey = agent.public.encode()
        dealer.curve_secretkey = agent.secret.encode()
        dealer.curve_serverkey = broker.public.encode()
    dealer.connect(door.endpoints[0])
    dealer.send(b"hello")

    async def body(room: Room) -> None:
        route, parts, key = (await room.messages(1))[0]
        assert (parts, key) == ([b"hello"], agent.public if secured else "")
        assert room.door.send(route, [b"yes"]) == "sent"
        assert await heard(dealer) == [b"yes"]

    in_room(body, door)
    context.destroy(linger=0)


def test_a_door_that_only_listened_lets_go_of_its_address() -> None:
    door = Door([HERE])
    door.listen()
    endpoint = door.endpoints[0]
    with pytest.raises(LinkError, match="is another broker there"):
        Door([endpoint]).listen()
    door.close()
    again = Door([endpoint])
    again.listen()
    again.close()


def test_it_listens_at_localhost() -> None:
    """Which clients ask by default, and ZeroMQ does not listen at."""
    door = Door(["tcp://localhost:*"])
    door.listen()
    assert door.endpoints[0].startswith("tcp://127.0.0.1:")
    door.close()


def test_many_messages_at_once_all_arrive() -> None:
    """The descriptor tells of changes only: nothing may lie until the next message comes."""

    async def body(room: Room) -> None:
        dealers = []
        for _ in range(8):
            dealers.append(room.dealer(high_water=10_000))
            room.connect()
        for n in range(100):
            for dealer in dealers:
                dealer.send_multipart([b"%d" % n])
        await room.messages(800)
        for route, parts, _ in list(room.came):
            while room.door.send(route, parts) != "sent":
                await asyncio.sleep(0.002)
        for dealer in dealers:
            for n in range(100):
                assert await heard(dealer) == [b"%d" % n]

    in_room(body, Door([HERE]))


def test_a_fault_in_what_is_called_leaves_nobody_unheard() -> None:
    async def run() -> None:
        door, heard_, faults = Door([HERE]), [], []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))

        def handle(route: bytes, parts: list[bytes], key: str) -> None:
            heard_.append(parts[0])
            if parts[0] == b"1":
                raise ZeroDivisionError

        door.open(handle)
        context = zmq.Context(1)
        dealer = context.socket(zmq.DEALER)
        dealer.linger = 0
        dealer.connect(door.endpoints[0])
        for n in range(5):
            dealer.send(b"%d" % n)
        end = time.monotonic() + HANG
        while len(heard_) < 5:
            assert time.monotonic() < end, heard_
            await asyncio.sleep(0.002)
        assert [type(fault) for fault in faults] == [ZeroDivisionError]
        door.close(0)
        context.destroy(linger=0)

    asyncio.run(run())


def test_who_is_gone_and_who_does_not_read_is_told() -> None:
    async def body(room: Room) -> None:
        assert room.door.send(b"nobody", [b"x"]) == "gone"
        slow = room.dealer(high_water=1)
        room.connect()
        slow.send(b"hi")
        route = (await room.messages(1))[0][0]
        big = bytes(1 << 20)
        told = [room.door.send(route, [big]) for _ in range(HIGH_WATER * 4)]
        assert told[0] == "sent"
        assert told[-1] == "full"
        assert room.door.counts["full"] == told.count("full")
        quick = room.dealer()
        room.connect()
        quick.send(b"hi")
        assert room.door.send((await room.messages(2))[1][0], [b"x"]) == "sent"
        assert await heard(quick) == [b"x"]
        slow.close()
        end = time.monotonic() + HANG
        while room.door.send(route, [b"x"]) != "gone":
            assert time.monotonic() < end
            await asyncio.sleep(0.01)

    in_room(body, Door([HERE]))


def test_a_living_connections_routing_id_is_not_given_away() -> None:
    async def body(room: Room) -> None:
        mine = room.dealer(b"omega-0")
        room.connect()
        mine.send(b"mine")
        assert (await room.messages(1))[0][:2] == (b"omega-0", [b"mine"])
        thief = room.dealer(b"omega-0")
        room.connect()
        thief.send(b"theirs")
        assert await heard(thief, 0.3) is None
        assert len(room.came) == 1, "it is not even heard"
        room.door.send(b"omega-0", [b"secret"])
        assert await heard(mine) == [b"secret"]
        assert await heard(thief, 0.1) is None

    in_room(body, Door([HERE]))


def test_a_part_that_is_too_long_costs_its_sender_the_connection_alone() -> None:
    async def body(room: Room) -> None:
        other = room.dealer()
        room.connect()
        other.send(b"hi")
        await room.messages(1)
        greedy = room.dealer()
        room.connect()
        greedy.send(bytes(200_000))
        greedy.send(b"after")
        other.send(b"still here")
        await room.messages(2)
        end = time.monotonic() + HANG
        while not any(parts == [b"after"] for _, parts, _ in room.came):
            greedy.send(b"after")  # it connects again by itself
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        assert all(len(part) < 200_000 for _, parts, _ in room.came for part in parts)

    in_room(body, Door([HERE], part_bytes=100_000))


def test_of_too_many_parts_the_rest_is_dropped() -> None:
    async def body(room: Room) -> None:
        dealer = room.dealer()
        room.connect()
        dealer.send_multipart([b"x"] * 5000)
        dealer.send_multipart([b"after"])
        found = await room.messages(2)
        assert len(found[0][1]) == MOST_PARTS
        assert found[1][1] == [b"after"]

    in_room(body, Door([HERE]))


def test_bytes_that_are_no_zeromq_harm_nobody() -> None:
    async def body(room: Room) -> None:
        host, port = room.door.endpoints[0].removeprefix("tcp://").split(":")
        raw = []
        for data in (b"GET / HTTP/1.1\r\n\r\n", bytes(64), b"\xff" * 64, os.urandom(4096), b""):
            made = socket.create_connection((host, int(port)))
            made.sendall(data)
            raw.append(made)
        dealer = room.dealer()
        room.connect()
        dealer.send(b"hi")
        end = time.monotonic() + HANG
        while not any(parts == [b"hi"] for _, parts, _ in room.came):  # ZMTP 1 has no greeting:
            assert time.monotonic() < end  # random bytes may be a message of it, of one part
            await asyncio.sleep(0.002)
        for made in raw:
            made.close()

    in_room(body, Door([HERE]))


def test_a_key_gets_in_and_says_whose_a_message_is(tmp_path: Path) -> None:
    pairs = {name: keys.read_pair(keys.new(name, tmp_path)[0]) for name in ("broker", "a", "evil")}
    allowed = keys.Allowed({pairs["a"].public: ["a"]})

    async def body(room: Room) -> None:
        def dealer(name: str, server: str):  # type: ignore[no-untyped-def]
            made = room.dealer()
            pair = pairs[name]
            made.curve_publickey, made.curve_secretkey = pair.public.encode(), pair.secret.encode()
            made.curve_serverkey = pairs[server].public.encode()
            room.connect()
            made.send(b"hi", zmq.NOBLOCK)
            return made

        evil, plain = dealer("evil", "broker"), room.dealer()
        room.connect()
        plain.send(b"hi")
        deceived = dealer("a", "evil")  # who takes another for the broker talks to nobody
        mine = dealer("a", "broker")
        route, parts, key = (await room.messages(1))[0]
        assert (parts, key) == ([b"hi"], pairs["a"].public)
        assert room.door.send(route, [b"yes"]) == "sent"
        assert await heard(mine) == [b"yes"]
        for other in (evil, plain, deceived):
            assert await heard(other, 0.1) is None
        assert len(room.came) == 1
        assert room.door.counts["denied"] >= 1

    in_room(body, Door([HERE], pair=pairs["broker"], allowed=allowed))


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://192.168.1.2:5555", "tcp://[::]:5555",
     "tcp://eth0:5555", "tcp://example.org:5555"],
)  # fmt: skip
def test_other_machines_need_keys(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="metabonk keys new"):
        Door([endpoint])
    check_endpoint(endpoint, secured=True)


@pytest.mark.parametrize(
    "endpoint",
    ["", "5555", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "udp://127.0.0.1:1", "ipc://"],
)  # fmt: skip
def test_what_is_no_address_is_told(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="not an address"):
        check_endpoint(endpoint, secured=True)


def test_loopback_is_what_it_says() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.9.1", "[::1]", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "*", "10.0.0.1", "localhost.evil.org", "[::]")))
    with pytest.raises(ConfigError, match="none"):
        Door([])
    with pytest.raises(ConfigError, match="both the broker's key and the list"):
        Door([HERE], allowed=keys.Allowed({}))


def test_opening_anew_drops_everybody_and_they_come_back_by_themselves() -> None:
    async def body(room: Room) -> None:
        before = list(room.door.endpoints)
        dealer = room.dealer()
        dealer.reconnect_ivl = 20
        room.connect()
        dealer.send(b"one")
        old = (await room.messages(1))[0][0]
        room.door.reopen()
        assert room.door.endpoints == before
        assert room.door.send(old, [b"x"]) == "gone"
        dealer.send(b"two")
        route, parts, _ = (await room.messages(2))[1]
        assert parts == [b"two"]
        assert room.door.send(route, [b"yes"]) == "sent"
        assert await heard(dealer) == [b"yes"]

    in_room(body, Door([HERE]))
