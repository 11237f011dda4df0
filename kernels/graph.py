"""StepGraph: the GPU part of a tick as one CUDA graph over memory that never moves.

    graph = StepGraph(body, inputs={"frame": torch.empty(16, 84, 84, 3, dtype=torch.uint8)},
                      weights=policy.state_dict())
    graph.inputs["frame"][...] = ...      # pinned main memory
    graph.step()                          # copies in, body, copies out: one launch
    graph.results["action"]               # pinned main memory, of this step
    graph.load(newer_weights)             # from any thread; a later step has them, none waits

Weights stand twice on the device and the graph is captured once for each: `load` fills the set that
no step reads, on a stream of its own, and the first step that finds the copy done changes over.
Knows torch; of CUDA only what `Runtime` names, so that tests can play a device.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from .arrays import as_tensor
from .ranges import named

Tensors = Mapping[str, Tensor]
Body = Callable[[Tensors, Tensors], Tensors]
WARM_UPS = 3  # runs before capturing: libraries set themselves up in them


class Event(Protocol):
    """A point in a stream's work."""

    def query(self) -> bool: ...
    def synchronize(self) -> None: ...


class Runtime(Protocol):
    """What a device must do for a graph."""

    def pinned(self, like: Tensor) -> Tensor: ...
    def resident(self, like: Tensor) -> Tensor: ...
    def capture(self, work: Callable[[], None]) -> Callable[[], None]: ...
    def mark(self) -> Event: ...
    def aside(self, work: Callable[[], None]) -> Event: ...


class TorchRuntime:
    """A CUDA device by torch's own calls. All graphs share one pool of memory."""

    def __init__(self, device: torch.device | str = "cuda") -> None:
        self.device = torch.device(device)
        self._stream = torch.cuda.Stream(self.device)
        self._copies = torch.cuda.Stream(self.device)
        self._pool = torch.cuda.graph_pool_handle()

    def pinned(self, like: Tensor) -> Tensor:
        return torch.empty(like.shape, dtype=like.dtype, pin_memory=True)

    def resident(self, like: Tensor) -> Tensor:
        return torch.empty(like.shape, dtype=like.dtype, device=self.device)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                work()
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            work()

        def replay() -> None:
            with torch.cuda.stream(self._stream):
                graph.replay()

        return replay

    def mark(self) -> Event:
        event = torch.cuda.Event()
        event.record(self._stream)
        return event  # type: ignore[no-any-return]

    def aside(self, work: Callable[[], None]) -> Event:
        self._copies.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._copies):
            work()
            event = torch.cuda.Event()
            event.record(self._copies)
        return event  # type: ignore[no-any-return]


class StepGraph:
    """A body bound to its memory. One thread steps; any thread loads.

    body(inputs, weights): its results, all on the device, by torch calls that a CUDA graph can hold
    (no waiting, no shapes that depend on numbers); it is run some times at the start. inputs: what
    it takes, numbers do not count. resident: further inputs that already lie on the device (torch,
    CuPy, anything with DLPack or `__cuda_array_interface__`); read where they are in every step.

    inputs: pinned memory to write before a step. results: pinned memory, valid after `finish` until
    the next `start`.
    """

    def __init__(
        self,
        body: Body,
        inputs: Tensors,
        weights: Tensors,
        resident: Mapping[str, Any] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self._runtime = runtime or TorchRuntime()
        self._body = body
        taken = {name: as_tensor(name, value) for name, value in (resident or {}).items()}
        if shared := set(taken) & set(inputs):
            raise ValueError(f"StepGraph: {sorted(shared)} are inputs and resident both")
        self.inputs = {name: self._runtime.pinned(t).zero_() for name, t in inputs.items()}
        self.results: dict[str, Tensor] = {}
        self._on_device = {n: self._runtime.resident(t).zero_() for n, t in self.inputs.items()}
        self._seen = {**self._on_device, **taken}
        self._weights = [_copies(self._runtime, weights) for _ in range(2)]
        self._replays = [self._runtime.capture(self._work(i)) for i in range(2)]
        self._active = 0
        self._loaded: Event | None = None  # the idle set holds newer weights once this is done
        self._running: Event | None = None
        self._loading, self._turn = threading.Lock(), threading.Lock()

    def _work(self, index: int) -> Callable[[], None]:
        def work() -> None:
            for name, pinned in self.inputs.items():
                self._on_device[name].copy_(pinned, non_blocking=True)
            for name, result in self._body(self._seen, self._weights[index]).items():
                if name not in self.results:
                    self.results[name] = self._runtime.pinned(result)
                self.results[name].copy_(result, non_blocking=True)

        return work

    def start(self) -> None:
        """Begins a step with what `inputs` hold; they must not change until `finish`.

        Raises RuntimeError if one is under way.
        """
        if self._running is not None:
            raise RuntimeError("StepGraph: a step is under way; finish it before the next")
        with self._turn:
            if self._loaded is not None and self._loaded.query():
                self._active, self._loaded = 1 - self._active, None
        with named("StepGraph.start"):
            self._replays[self._active]()
        self._running = self._runtime.mark()

    def finish(self) -> None:
        """Waits for the step that was begun; then `results` are its. Nothing to do without one."""
        if self._running is not None:
            with named("StepGraph.finish"):
                self._running.synchronize()
            self._running = None

    def step(self) -> None:
        """`start` and `finish`."""
        with named("StepGraph.step"):
            self.start()
            self.finish()

    def load(self, weights: Tensors) -> None:
        """Newer weights, of the same names, shapes and dtypes, from this device or main memory.

        Returns when their copy has begun; they must not change until a step has used them. Several
        loads between two steps: the last one counts. Raises ValueError before anything is copied.
        """
        _same(self._weights[0], weights)
        with self._loading:
            with self._turn:
                self._loaded = None  # from here on no step changes over: the idle set is ours
            idle = self._weights[1 - self._active]

            def copy() -> None:
                for name, weight in weights.items():
                    idle[name].copy_(weight.detach(), non_blocking=True)

            done = self._runtime.aside(copy)
            with self._turn:
                self._loaded = done

    @property
    def pending(self) -> bool:
        """Whether weights were loaded that no step has used yet."""
        return self._loaded is not None


def _copies(runtime: Runtime, weights: Tensors) -> dict[str, Tensor]:
    return {name: runtime.resident(w).copy_(w.detach()) for name, w in weights.items()}


def _same(held: Tensors, given: Tensors) -> None:
    if missing := sorted(set(held) ^ set(given)):
        raise ValueError(f"StepGraph: weights differ in {missing}; wanted {sorted(held)}")
    for name, weight in given.items():
        want = held[name]
        if weight.shape != want.shape or weight.dtype != want.dtype:
            raise ValueError(
                f"StepGraph: {name} is {weight.dtype} {list(weight.shape)}; wanted {want.dtype} "
                f"{list(want.shape)}"
            )
