"""A client that hardly ever asks keeps its name against another process that wants it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers import Scripted
from small_broker import HANG, Game, until

from metabonk.cognition.agent.client import Client, ClientSettings
from metabonk.cognition.broker.broker import TICK, Broker
from metabonk.cognition.broker.door import Door
from metabonk.cognition.log.journal import Journal

LEASE = 0.2
RARE = ClientSettings(every=20.0, pictures=False, outcomes=False, linger=0.0)


@contextmanager
def broker(url: str, folder: Path) -> Iterator[None]:
    """A broker at its door, on a thread of its own; a lease passes in no time."""
    ready, stop, failed = threading.Event(), threading.Event(), list[BaseException]()

    async def serve() -> None:
        journal = Journal(folder, tell=asyncio.get_running_loop().call_soon_threadsafe)
        door = Door([url])
        made = Broker(Scripted(), journal, door, lease=LEASE)
        try:
            door.open(made.handle)
            ready.set()
            while not stop.is_set():
                made.tick()
                await asyncio.sleep(TICK)
        finally:
            door.close()
            made.close()
            await asyncio.to_thread(journal.close)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001  # raised below
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(HANG)
        yield
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def test_a_silent_client_keeps_its_name_and_a_rival_gets_it_afterwards(tmp_path: Path) -> None:
    url = f"ipc://{tmp_path}/c.sock"
    with broker(url, tmp_path / "j"):
        owner, rival = Client("omega-0", url, RARE), Client("omega-0", url, RARE)
        with owner, Game(owner, frames=False):
            until(lambda: owner.connected, "the name")
            time.sleep(3 * LEASE)  # nothing is said, as for most of the twenty seconds
            with rival:
                until(lambda: rival.why, "the refusal")
                assert rival.why.startswith("taken: omega-0")
                assert not rival.connected
                owner.wish()
                until(lambda: owner.counts()["ok"] >= 1, "an answer to who has the name")
                assert owner.why == ""
                owner.stop()
                until(lambda: rival.connected, "the name that was given back")
