"""A cognitive server from its settings: everything opened in order, run, and ended in order.

Knows which parts there are and who closes what when; does not know what they do, nor signals and
terminals (the verb's). Killing it loses nothing that was told to anybody; asked to end, it answers
what it has, refuses what is new, writes everything down and says good-bye to nobody.

Agents are let in before the backend is open. After a kill they wait for answers, and what a model
server can takes seconds to find out, minutes where it is loading itself: until then the end of the
chain answers, as a counted fallback.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from metabonk import machine
from metabonk.cognition import situation
from metabonk.cognition.broker.broker import TICK, Broker
from metabonk.cognition.broker.door import Door
from metabonk.cognition.log.journal import Decision, Journal
from metabonk.cognition.log.retention import Keep
from metabonk.cognition.log.store import FrameStore
from metabonk.cognition.monitor.exposition import CONTENT_TYPE
from metabonk.cognition.monitor.pages import Answer, HttpServer
from metabonk.cognition.protocol.address import is_loopback
from metabonk.cognition.question import Backend, sees
from metabonk.errors import ConfigError
from metabonk.schema import BrokerConfig

LOOK = 0.25  # seconds between looks at the memory
FRAMES = "frames"  # the folder of the frames, beside the journal


@dataclass
class Running:
    """A server that runs. endpoints: where agents connect. url: of its pages, empty for none.
    opening: done once the backend is open; raises what kept it from that. keeping: what runs as
    long as the server does; an end of one is a fault."""

    broker: Broker
    door: Door
    journal: Journal
    store: FrameStore
    url: str
    opening: asyncio.Future[None]
    keeping: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def endpoints(self) -> list[str]:
        return self.door.endpoints

    def check(self) -> None:
        """Raises what ended a part of the server that should run as long as it does."""
        for task in self.keeping:
            if task.done() and not task.cancelled():
                task.result()

    def health(self) -> Answer:
        """Whether it lives: the loop answers, the journal's thread runs, and so does all else."""
        ended = [task.get_name() for task in self.keeping if task.done()]
        ended += [] if self.journal.alive else ["the journal's thread"]
        return Answer(503, f"{', '.join(ended)} ended\n") if ended else Answer(200, "ok\n")

    def ready(self) -> Answer:
        """Whether agents should come here. A full disk is said and keeps nobody away."""
        if self.broker.answering.draining:
            return Answer(503, "draining\n")
        if not self.opening.done():
            return Answer(503, "what the model server can is still being found out\n")
        return Answer(200, f"ready\n{self.trouble()}".strip() + "\n")

    def trouble(self) -> str:
        """What does not work though everything goes on; empty for nothing."""
        return "\n".join(line for line in (self.journal.problem, self.store.problem) if line)

    def metrics(self) -> Answer:
        """The page for Prometheus."""
        text = self.broker.metrics()
        found: dict[str, float] = {f"frames_{k}_total": v for k, v in self.store.counts.items()}
        found |= {"frames": len(self.store), "frames_bytes": self.store.bytes}
        found |= {f"door_{k}_total": v for k, v in self.door.counts.items()}
        found |= {f"journal_{name}": value for name, value in self.journal.figures().items()}
        lines = [f"metabonk_cognition_{name} {value}" for name, value in found.items()]
        return Answer(200, text + "\n".join(lines) + "\n", CONTENT_TYPE)


@contextlib.asynccontextmanager
async def serving(
    backend: Backend, config: BrokerConfig, *, explain: bool = False, door: Door | None = None
) -> AsyncIterator[Running]:
    """A server as long as the block runs. It opens `backend`, which the caller closes.

    explain: ask it for reasons in words too, which control never reads. door: of these settings,
    which may listen already; it is closed at the end. Whoever runs the block has to await
    `Running.opening`: a backend that is not there is an error at the start, and to call
    `Running.check` now and then.

    Raises ConfigError for settings that cannot be, LinkError for an address or a folder that is in
    use, CorruptError for a journal that is none, OSError.
    """
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        door = door or Door.of(config)
        stack.callback(door.close)
        running = _built(backend, config, explain, door, stack)
        await _publish(running, config, stack)
        stack.callback(running.broker.close)
        door.open(running.broker.handle)
        stack.callback(door.close)  # before everything that it hands messages to
        running.opening = loop.create_task(_open(running.broker))
        guarding = _guard(running, config.memory_mb << 20)
        running.keeping += [
            loop.create_task(_tick(running.broker), name="what ends late requests"),
            loop.create_task(guarding, name="what bounds the memory"),
        ]
        try:
            yield running
        finally:
            await _end(running, config.drain)


def _built(
    backend: Backend,
    config: BrokerConfig,
    explain: bool,
    door: Door,
    stack: contextlib.AsyncExitStack,
) -> Running:
    """The parts of a server, none of which runs yet but the journal; `stack` closes what is open.
    Raises as `serving`."""
    folder = Path(config.directory)
    loop = asyncio.get_running_loop()
    store = FrameStore(
        folder / FRAMES, quota=config.frames_mb << 20, days=config.frames_days, started=False
    )
    stack.callback(store.close)
    journal = Journal(
        folder, pack=_packer(store), tell=loop.call_soon_threadsafe,
        power_safe=config.power_safe, keep=Keep(config.journal_mb << 20, config.journal_days),
    )  # fmt: skip
    stack.callback(journal.close)
    store.start()  # the journal's lock says whose the folder is: another's frames are not ours
    broker = Broker(
        backend, journal, door, most=config.concurrency, agents=config.agents,
        allowed=door.allowed, explain=explain,
    )  # fmt: skip
    return Running(broker, door, journal, store, "", loop.create_future())


async def _publish(
    running: Running, config: BrokerConfig, stack: contextlib.AsyncExitStack
) -> None:
    """Opens the pages, from before agents are let in; nothing for an empty address. Raises
    ConfigError for one that other machines reach, unless that is said to be wanted: CURVE guards
    the agents' socket, and no key is asked for here."""
    if not config.http:
        return
    pages = {"/healthz": running.health, "/readyz": running.ready, "/metrics": running.metrics}
    server = HttpServer(config.http, pages)
    if not config.http_open and not is_loopback(server.host):
        raise ConfigError(
            f"--http {config.http}: other machines could read agents' names and figures there, "
            "and keys do not guard these pages: give --http 127.0.0.1:PORT, or say that it is "
            "meant (--set broker.http_open=true)"
        )
    await server.open()
    stack.push_async_callback(server.close)
    running.url = server.url


async def _end(running: Running, patience: float) -> None:
    """Answers what is there, refuses what is new, writes everything down. Raises what ended a part
    of the server before."""
    await running.broker.drain(patience)
    await asyncio.to_thread(running.journal.close)  # the loop goes on: outcomes are acknowledged
    await asyncio.sleep(0)
    tasks = [*running.keeping, running.opening]
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if ended is not None and not isinstance(ended, asyncio.CancelledError):
            raise ended


async def _open(broker: Broker) -> None:
    """Opens the backend; agents that came meanwhile hear of it if it wants other things of them."""
    thought = sees(broker.backend)
    await broker.backend.open()
    if sees(broker.backend) != thought:
        broker.welcome_all()


async def _tick(broker: Broker) -> None:
    while True:
        await asyncio.sleep(TICK)
        broker.tick()


async def _guard(running: Running, most: int) -> None:
    """Keeps the memory bounded against a peer that never ends a message.

    ZeroMQ holds the parts of a message until the last one is there, however many come. Who does it
    cannot be told, so all connections are dropped: agents connect again by themselves at once, and
    nothing is lost by it. Memory that the allocator then keeps is not counted again.
    """
    limit = most
    while True:
        await asyncio.sleep(LOOK)
        if machine.own_bytes() > limit:
            running.door.reopen()
            await asyncio.sleep(LOOK)
            limit = max(most, machine.own_bytes() + most // 4)


def _packer(store: FrameStore) -> Callable[[Decision], tuple[bytes, bytes]]:
    """Makes the journal's columns `state` and `frames`; the frames themselves go to the store."""

    def pack(decision: Decision) -> tuple[bytes, bytes]:
        state = situation.shrink(decision.state, decision.crowd)
        if not store.quota or not decision.frames:
            return state, b""
        rows: list[Any] = [
            [store.put(jpeg), round(seconds, 4), predicted]
            for jpeg, seconds, predicted in decision.frames
        ]
        return state, msgspec.msgpack.encode(rows)

    return pack
