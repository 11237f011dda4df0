"""Doors at addresses that somebody has, had or wants at the same time."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from peers import HANG
from rooms import HERE, Room, in_room

from metabonk.cognition.broker import door as door_module
from metabonk.cognition.broker.door import Door
from metabonk.errors import LinkError


def test_a_taken_address_is_told() -> None:
    async def body(room: Room) -> None:
        second = Door([room.door.endpoints[0]])
        with pytest.raises(LinkError, match=r"is another broker there, or a game.*5555 too"):
            second.open(lambda *_: None)
        second.close()
        with pytest.raises(LinkError, match="no such file"):
            Door(["ipc:///nowhere/at/all"]).open(lambda *_: None)

    in_room(body, Door([HERE]))


def ipc_in(folder: Path, kind: str) -> str:
    return f"ipc://{folder}/door" if kind == "file" else f"ipc://@metabonk-{os.getpid()}"


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_a_living_doors_socket_is_not_taken_away(tmp_path: Path, kind: str) -> None:
    """ZeroMQ deletes a socket's file and binds anew: the first would never see a new agent."""

    async def body(room: Room) -> None:
        endpoint = room.door.endpoints[0]
        for _ in range(2):
            with pytest.raises(LinkError, match=r"in use; is another broker there\?; .*--bind"):
                Door([endpoint]).listen()
            dealer = room.dealer()
            room.connect()
            dealer.send(b"hi")
            assert (await room.messages(1)).pop()[1] == [b"hi"]
        room.door.reopen()  # its own file is no other's

    in_room(body, Door([ipc_in(tmp_path, kind)]))
    again = Door([ipc_in(tmp_path, kind)])
    again.listen()
    again.close(0)


def test_a_dead_doors_socket_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    """One that was killed leaves its file behind; a file that is no socket is somebody's."""
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "dead"))
        killed.listen()
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(LinkError, match="file exists and is no socket; give another address"):
        Door([f"ipc://{notes}"]).listen()
    assert notes.read_text() == "mine"

    async def body(room: Room) -> None:
        dealer = room.dealer()
        room.connect()
        dealer.send(b"hi")
        assert (await room.messages(1))[0][1] == [b"hi"]
        assert sorted(p.name for p in tmp_path.iterdir()) == ["dead", "notes.txt"], "and no lock"

    in_room(body, Door([f"ipc://{tmp_path}/dead"]))


def test_a_door_that_has_no_time_is_alive(tmp_path: Path) -> None:
    """Nobody is let in while its queue is full, as when its process is stopped."""
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as other:
        busy.bind(str(tmp_path / "busy"))
        busy.listen(0)
        other.connect(str(tmp_path / "busy"))
        with pytest.raises(LinkError, match="is another broker there"):
            Door([f"ipc://{tmp_path}/busy"]).listen()


def test_of_many_that_start_at_once_one_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = door_module._refuse_living

    def slowly(path: str) -> None:
        look(path)
        time.sleep(0.02)  # in which another could bind

    monkeypatch.setattr(door_module, "_refuse_living", slowly)
    monkeypatch.setattr(door_module, "_FOLDER_WAIT", HANG)
    doors = [Door([f"ipc://{tmp_path}/door"]) for _ in range(6)]
    told: list[str] = []

    def start(door: Door) -> None:
        try:
            door.listen()
        except LinkError as error:
            told.append(str(error))

    threads = [threading.Thread(target=start, args=(door,)) for door in doors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for door in doors:
        door.close(0)
    assert len(told) == len(doors) - 1
    assert all("is another broker there" in one for one in told)


def test_who_locks_the_folder_for_other_ends_keeps_nobody_from_listening(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        door = Door([f"ipc://{tmp_path}/door"])
        door.listen()
        door.close(0)
    finally:
        os.close(folder)
