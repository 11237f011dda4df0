"""Ways to bring a frame to another process as people do it. Knows multiprocessing, zmq, iceoryx2.

Each is written as its documentation shows it, with the copies that it cannot do without and no
others: what can hand out a view that nobody overwrites does. Slots of shared memory cannot, unless
readers may hold the writer up: there the reader copies its frame out.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Callable
from multiprocessing import shared_memory
from multiprocessing.context import SpawnContext
from typing import Any

import numpy as np

from ..exchange import PATIENCE, SHAPE, Exchange, Frame, own_name
from ..versus import AbsentError
from . import require

SIZE = int(np.prod(SHAPE))
SLOTS = 4


def queue() -> Exchange:
    """multiprocessing.Queue."""
    return Exchange(_Queue)


def semaphore(in_place: bool = False) -> Exchange:
    """Shared memory with slots, and a semaphore that counts them."""
    return Exchange(_Semaphore, in_place=in_place)


def spinning(in_place: bool = False) -> Exchange:
    """The same memory and a counter in it that the reader looks at until it changes."""
    return Exchange(_Spinning, in_place=in_place)


def zmq(scheme: str) -> Exchange:
    """pyzmq PUSH and PULL over `tcp` or `ipc`, without its copies on either side."""
    require("zmq")
    return Exchange(lambda context: _Zmq(scheme))


def iceoryx2(in_place: bool = False) -> Exchange:
    """iceoryx2's publisher and subscriber with an event to wait for."""
    require("iceoryx2")
    return Exchange(lambda context: _Iceoryx2(), in_place=in_place)


class Copying:
    """A channel whose memory nobody can draw into."""

    def open(self, sends: bool) -> None:
        """Nothing to do."""

    def place(self, frame: Frame) -> Frame:
        raise NotImplementedError

    def publish(self) -> None:
        raise NotImplementedError

    def leave(self) -> None:
        """Nothing to do: it goes with the process."""


class _Queue(Copying):
    def __init__(self, context: SpawnContext) -> None:
        self._queue = context.Queue(1)

    def send(self, frame: Frame) -> None:
        self._queue.put(frame)

    def receive(self) -> Frame:
        frame: Frame = self._queue.get(timeout=PATIENCE)
        return frame

    def close(self) -> None:
        self._queue.close()


class _Memory:
    """Slots of shared memory behind a word of 64 bits."""

    def __init__(self) -> None:
        self._memory = shared_memory.SharedMemory(create=True, size=4096 + SLOTS * SIZE)
        self._map()
        self._number = 0

    def _map(self) -> None:
        data: Any = self._memory.buf
        self._word: Any = np.frombuffer(data, np.int64, 1)
        self._slots: Any = np.frombuffer(data, np.uint8, SLOTS * SIZE, 4096).reshape(SLOTS, *SHAPE)

    def __getstate__(self) -> dict[str, Any]:
        hidden = ("_memory", "_word", "_slots")
        kept = {k: v for k, v in self.__dict__.items() if k not in hidden}
        return {**kept, "_name": self._memory.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        name = state.pop("_name")
        self.__dict__.update(state)
        self._memory = shared_memory.SharedMemory(name=name)
        self._map()

    def open(self, sends: bool) -> None:
        """Nothing to do: it is mapped."""

    def place(self, frame: Frame) -> Frame:
        self._number += 1
        slot = self._slot()
        slot[...] = frame
        return slot

    def _slot(self) -> Frame:
        view: Frame = self._slots[self._number % SLOTS]
        return view

    def _read(self) -> Frame:
        self._number += 1
        return self._slot().copy()

    def leave(self) -> None:
        self._word = self._slots = None  # views would keep the memory mapped
        self._memory.close()

    def close(self) -> None:
        self.leave()
        self._memory.unlink()


class _Semaphore(_Memory):
    def __init__(self, context: SpawnContext) -> None:
        super().__init__()
        self._full = context.Semaphore(0)

    def send(self, frame: Frame) -> None:
        self.place(frame)
        self.publish()

    def publish(self) -> None:
        self._full.release()

    def receive(self) -> Frame:
        if not self._full.acquire(timeout=PATIENCE):
            raise TimeoutError("no frame")
        return self._read()


class _Spinning(_Memory):
    def __init__(self, context: SpawnContext) -> None:
        super().__init__()
        self._word[0] = 0

    def send(self, frame: Frame) -> None:
        self.place(frame)
        self.publish()

    def publish(self) -> None:
        self._word[0] = self._number

    def receive(self) -> Frame:
        word, number = self._word, self._number
        while word[0] == number:
            pass
        return self._read()


class _Zmq(Copying):
    def __init__(self, scheme: str) -> None:
        # A port that the system picks is known only after binding: the receiver writes it down.
        self._folder = tempfile.mkdtemp(prefix="metabonk-bench-")
        self._file = os.path.join(self._folder, "address")
        self._bind = "tcp://127.0.0.1:*" if scheme == "tcp" else f"ipc://{self._folder}/socket"

    def open(self, sends: bool) -> None:
        import zmq

        self._context: Any = zmq.Context()
        self._socket: Any = self._context.socket(zmq.PUSH if sends else zmq.PULL)
        self._socket.setsockopt(zmq.LINGER, 0)
        if sends:
            with open(self._file, encoding="utf-8") as file:
                self._socket.connect(file.read())
            return
        self._socket.setsockopt(zmq.RCVTIMEO, round(PATIENCE * 1e3))
        self._socket.bind(self._bind)
        with open(self._file, "w", encoding="utf-8") as file:
            file.write(self._socket.getsockopt_string(zmq.LAST_ENDPOINT))

    def send(self, frame: Frame) -> None:
        self._socket.send(frame, copy=False)

    def receive(self) -> Frame:
        message = self._socket.recv(copy=False)
        return np.frombuffer(message.buffer, np.uint8).reshape(SHAPE)

    def close(self) -> None:
        if hasattr(self, "_socket"):
            self._socket.close()
            self._context.term()
        for name in ("address", "socket"):
            if os.path.exists(os.path.join(self._folder, name)):
                os.unlink(os.path.join(self._folder, name))
        os.rmdir(self._folder)


class _Iceoryx2:
    def __init__(self) -> None:
        self._name = own_name("metabonk/bench/")

    def open(self, sends: bool) -> None:
        import iceoryx2 as iox2

        iox2.set_log_level(iox2.LogLevel.Fatal)
        try:
            self._node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)
        except iox2.NodeCreationFailure as error:
            raise AbsentError(f"iceoryx2 makes no node here: {error}") from error
        frames = (
            self._node.service_builder(iox2.ServiceName.new(f"{self._name}/frames"))
            .publish_subscribe(iox2.Slice[ctypes.c_uint8])
            .subscriber_max_buffer_size(SLOTS)
            .subscriber_max_borrowed_samples(2)
            .open_or_create()
        )
        event = (
            self._node.service_builder(iox2.ServiceName.new(f"{self._name}/event"))
            .event()
            .open_or_create()
        )
        self._patience = iox2.Duration.from_secs(round(PATIENCE))
        self._sample: Any = None
        self._loan: Any = None
        if sends:
            self._publisher = frames.publisher_builder().initial_max_slice_len(SIZE).create()
            self._notifier = event.notifier_builder().create()
        else:
            self._subscriber = frames.subscriber_builder().create()
            self._listener = event.listener_builder().create()

    def send(self, frame: Frame) -> None:
        self.place(frame)
        self.publish()

    def place(self, frame: Frame) -> Frame:
        self._loan = self._publisher.loan_slice_uninit(SIZE)
        ctypes.memmove(self._loan.payload_ptr, frame.ctypes.data, SIZE)
        return _view(self._loan.payload_ptr)

    def publish(self) -> None:
        self._loan.assume_init().send()
        self._notifier.notify()

    def receive(self) -> Frame:
        self._sample = None
        while True:
            sample = self._subscriber.receive()
            if sample is not None:
                break
            self._listener.timed_wait(self._patience)
        self._sample = sample  # the view is good as long as this is held
        return _view(sample.payload_ptr)

    def leave(self) -> None:
        self.close()

    def close(self) -> None:
        for name in ("_sample", "_loan", "_publisher", "_subscriber", "_notifier", "_listener"):
            self.__dict__.pop(name, None)
        self.__dict__.pop("_node", None)


def _view(address: int) -> Frame:
    memory: Any = (ctypes.c_uint8 * SIZE).from_address(address)
    view: Frame = np.frombuffer(memory, np.uint8).reshape(SHAPE)
    return view


CHANNELS: dict[str, Callable[[], Exchange]] = {
    "multiprocessing.Queue": queue,
    "shared memory and semaphore": semaphore,
    "pyzmq, TCP": lambda: zmq("tcp"),
    "pyzmq, Unix socket": lambda: zmq("ipc"),
    "iceoryx2": iceoryx2,
}
