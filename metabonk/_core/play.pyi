from collections.abc import Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray


class Journal:
    """An append-only file of records, written by a thread of its own."""

    def __init__(self, path: str, name: str, record_bytes: int, capacity: int) -> None:
        """Raises OSError where the file exists or cannot be made."""

    def push(self, record: bytes) -> bool:
        """False if the queue is full."""

    def flush(self) -> None:
        """Returns once everything that was pushed before is on the disk."""

    def counts(self) -> dict:
        """pushed, dropped, written and the error that ended writing."""

class Port:
    """One agent's side of a game: a source and a sink."""

class Arena:
    """Arenas that run in real time on a native thread."""

    def __init__(self, level: bytes, seeds: Sequence[int], hz: float, height: int, width: int, ring: str, inputs: Journal | None, cpu: int, priority: int) -> None:
        """
        level: packed. height, width: of frames, 0 for none. ring: name of the frames' ring. inputs: a Journal of records of 64 bytes, or None.
        """

    def port(self, index: int) -> Port: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def ring_name(self, index: int) -> str: ...

    def lateness(self) -> dict: ...

    @property
    def steps(self) -> int:
        """Ticks of the game so far."""

    @property
    def skipped(self) -> int:
        """Ticks that it came too late for."""

    @property
    def unwritten(self) -> int:
        """Inputs that the journal refused."""

    @property
    def unshown(self) -> int:
        """Captures whose frame the ring refused."""

    @property
    def overtaken(self) -> int:
        """Actions that a newer one overtook before the game took them."""

class Link:
    """A game at the other end of a BonkLink."""

    def __init__(self, address: str, pipe_folder: str, protocol: str, token: str, axes: str, height: int, width: int, decodes: bool, offer_places: Sequence[Sequence[float]], priority: int) -> None:
        """
        height, width: of the frames that the policy reads, 0 for none. decodes: somebody answers next_jpeg. offer_places: x and y of offers that come without widgets. priority: of the thread that sends, of SCHED_FIFO; 0 for ordinary scheduling.
        """

    def port(self) -> Port: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def counts(self) -> dict: ...

    def granted(self) -> dict:
        """
        What the thread that sends was granted, as Loop.granted says it; once stopped.
        """

    def next_jpeg(self, seconds: float) -> object:
        """
        The newest frame that came as JPEG, or None if none did for `seconds`. One thread.
        """

    def answer_jpeg(self, pixels: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, 3), order='C', device='cpu', writable=False)] | None) -> None:
        """
        What it shows, uint8 [height, width, 3] from the top down; None: it cannot be read.
        """

    @property
    def connected(self) -> bool: ...

    @property
    def framed(self) -> bool:
        """Whether there has been a picture."""

    @property
    def failed(self) -> bool:
        """Whether the link is given up for good."""

    @property
    def why(self) -> str:
        """Why it was given up, or was lost last."""

class Shm:
    """A game behind ResearchPlugin's shared memory."""

    def __init__(self, path: str, bottom_up: bool, height: int, width: int, priority: int) -> None:
        """
        path: of its file. bottom_up: the order of rows there. height, width: of the frames that the policy reads, 0 for none. priority: of the thread that sends, of SCHED_FIFO; 0 for ordinary scheduling.
        """

    def port(self) -> Port: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def counts(self) -> dict: ...

    def granted(self) -> dict:
        """
        What the thread that sends was granted, as Loop.granted says it; once stopped.
        """

    @property
    def connected(self) -> bool:
        """It has shown an observation."""

    @property
    def why(self) -> str:
        """Why there is no game, or why it was lost last."""

class Executor:
    """
    Carries directives out in states that are given to it one after the other.
    """

    def __init__(self, level: object | None) -> None:
        """
        level: of the arena, packed, from which the ground of every run follows; None: no ground is known.
        """

    def apply(self, id: int, action: int, kind: int, target: int, priority: int, until: int, state: bytes, now: int, row: Annotated[NDArray[numpy.float32], dict(shape=(12), order='C', device='cpu', writable=False)]) -> object:
        """
        (row, 0 nothing, 1 changed, 2 expired, 3 ungrounded): what the directive makes of what was decided in a state at `now`, nanoseconds. To be called for every decision, with action 0 where no directive is in force.
        """

class Decider:
    @property
    def seen_record_bytes(self) -> int:
        """Of a record of what it observed; 0 if that cannot be recorded."""

class Compiled(Decider):
    """A compiled policy of batch 1 in the loop."""

    def __init__(self, program: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], tensors: Sequence[int], seed: int, artifact: bytes) -> None:
        """
        program: its words. tensors: address of each; they are copied. artifact: its SHA-256.
        """

    def swap(self, tensors: Sequence[int], artifact: bytes) -> bool:
        """
        Weights of the same program from the next tick on. False while the swap before has not been taken up.
        """

    @property
    def swaps(self) -> int: ...

    @property
    def frame(self) -> tuple[int, int]: ...

class Remote(Decider):
    """A decider on a thread of Python."""

    def __init__(self) -> None: ...

    def ask(self, seconds: float) -> object:
        """
        (state, sequence, capture, begins) of the newest moment, or None after `seconds`.
        """

    def answer(self, row: Annotated[NDArray[numpy.float32], dict(shape=(12), order='C', device='cpu', writable=False)], sequence: int) -> None: ...

    @property
    def unseen(self) -> int: ...

class Seat:
    """One agent at the controls."""

    def __init__(self, port: Port, decider: Decider, ledger: Journal | None, seen: Journal | None, agent: int, patience: float, stale: float, safe: Annotated[NDArray[numpy.float32], dict(shape=(12), order='C', device='cpu', writable=False)]) -> None:
        """
        ledger, seen: Journals, or None. patience, stale: seconds. safe: the row that is sent when the game falls silent.
        """

    def direct(self, id: int, action: int, kind: int, target: int, priority: int, until: int, run: int = 0) -> bool:
        """
        False if one of higher priority is in force, or the run that it is for is over. until: nanoseconds. run: number of that run, as a watch shows it; 0 for the present one.
        """

    def mute(self, muted: bool) -> None:
        """
        Keeps the policy's choices and clicks from the game, or lets them through again.
        """

    def counts(self) -> dict: ...

    def latency(self) -> dict: ...

class Watch:
    """What a thread beside the loop may see of a seat."""

    def __init__(self, every: float, frame_bytes: int) -> None:
        """
        every: seconds between moments at least, but for one that is wanted. frame_bytes: room for frames, 0 for none.
        """

    def look(self) -> object:
        """
        (state, sequence, capture, run, frame uint8 [H, W, C] or None, began, ended) of the newest moment, or None if it was looked at before. began: when the moment that began the run was captured. ended: (state, capture) of the last one before it, when another run is looked at for the first time; else None.
        """

    def want(self) -> None:
        """
        Has the first moment captured from now on shown, however new the one before it is.
        """

    @property
    def wanted(self) -> bool:
        """
        Whether the moment that `want` asked for is still to be shown; takes what `fileno` has.
        """

    def fileno(self) -> int:
        """
        A descriptor that can be read from once that moment is shown, until `wanted` is asked.
        """

    @property
    def shown(self) -> int: ...

    @property
    def too_large(self) -> int:
        """Frames that found no room."""

    def put_on(self, seat: Seat) -> None:
        """Before the loop starts."""

class Loop:
    """The control thread; see csrc/play/loop.h."""

    def __init__(self, hz: float, spin: float, cpu: int, priority: int, follow: bool, margin: float, ticks: int, remembered: int, reference: bool) -> None:
        """spin, margin: seconds."""

    def add(self, seat: Seat) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def times(self, seat: int) -> object:
        """
        uint8 [ticks, bytes of a TickTimes]; once the games are stopped, too, for all that is known of when actions were sent.
        """

    def reference(self, first: int, count: int) -> object:
        """
        Lateness of the reference thread, and after each of `count` ticks, and what it was granted, as `granted` says it of the loop; None without one.
        """

    def lateness(self) -> dict: ...

    def granted(self) -> dict: ...

    @property
    def running(self) -> bool: ...

    @property
    def ticks(self) -> int: ...

    @property
    def skipped(self) -> int: ...

TICK_BYTES: int = 120

LEDGER_BYTES: int = 192

INPUT_BYTES: int = 64

def pace(hz: float, spin: float, ticks: int, cpu: int, priority: int) -> object:
    """How late each of `ticks` wakes was, nanoseconds."""

def grant(cpu: int, priority: int) -> dict:
    """
    What a loop that asks for these will be granted, as Loop.granted says it.
    """

def digest(arrays: Sequence[Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)]]) -> tuple:
    """128 bits of arrays of bytes: (low, high)."""

def crc32c(arg: bytes, /) -> int: ...

def whole_records(records: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)]) -> int:
    """
    How many records of a journal, uint8 [n, bytes], are whole from the first on.
    """

def last_cpu() -> int:
    """The last processor that this process may use."""

def now() -> int:
    """Monotonic nanoseconds."""
