"""StepGraph over a played device: what runs when, which weights a step has, what is refused.

The played runtime (played_device.py) keeps the work and runs it in every replay, on the processor;
its events are done when the test says so.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from played_device import Played

from kernels import ranges
from kernels.graph import StepGraph, Tensors


def body(inputs: Tensors, weights: Tensors) -> Tensors:
    y = inputs["x"] @ weights["w"]
    return {"y": y, "sum": y.sum(0)}


def make(runtime: Played, weight: float = 1.0) -> StepGraph:
    return StepGraph(
        body, {"x": torch.ones(2, 3)}, {"w": torch.full((3, 4), weight)}, runtime=runtime
    )


def y_of(graph: StepGraph, x: float = 1.0) -> float:
    graph.inputs["x"].fill_(x)
    graph.step()
    return float(graph.results["y"][0, 0])


def test_a_step_computes_what_the_inputs_hold() -> None:
    graph = make(Played())
    assert y_of(graph, 2.0) == 6.0
    assert y_of(graph, 5.0) == 15.0
    assert graph.results["sum"].tolist() == [30.0] * 4


def test_two_graphs_are_captured_and_steps_make_no_memory() -> None:
    runtime = Played()
    graph = make(runtime)
    assert runtime.captured == 2
    made, held = len(runtime.log), dict(graph.results)
    for _ in range(5):
        graph.step()
    graph.load({"w": torch.zeros(3, 4)})
    graph.step()
    assert len(runtime.log) == made
    assert all(graph.results[name] is held[name] for name in held)


def test_weights_change_over_between_two_steps() -> None:
    graph = make(Played())
    for weight in (2.0, 3.0, 4.0, 5.0):  # both sets, twice
        graph.load({"w": torch.full((3, 4), weight)})
        assert graph.pending
        assert y_of(graph) == 3.0 * weight
        assert not graph.pending


def test_a_step_does_not_wait_for_weights_under_way() -> None:
    runtime = Played()
    graph = make(runtime)
    runtime.slow = True
    graph.load({"w": torch.full((3, 4), 7.0)})
    assert y_of(graph) == 3.0
    assert graph.pending
    assert not [p for p in runtime.points if not p.done and p.waited]
    runtime.settle()
    assert y_of(graph) == 21.0


def test_the_last_of_several_loads_counts() -> None:
    graph = make(Played())
    for weight in (2.0, 3.0, 4.0):
        graph.load({"w": torch.full((3, 4), weight)})
    assert y_of(graph) == 12.0
    assert y_of(graph) == 12.0


def test_a_load_during_a_step_leaves_that_step_alone() -> None:
    graph = make(Played())
    graph.inputs["x"].fill_(1.0)
    graph.start()
    graph.load({"w": torch.full((3, 4), 9.0)})
    graph.finish()
    assert float(graph.results["y"][0, 0]) == 3.0
    assert y_of(graph) == 27.0


def test_loads_from_another_thread_are_whole() -> None:
    """Every step sees weights of one load only."""
    graph = make(Played(), 0.0)
    stop = threading.Event()

    def learner() -> None:
        weight = 0
        while not stop.is_set():
            weight += 1
            graph.load({"w": torch.full((3, 4), float(weight))})

    thread = threading.Thread(target=learner)
    thread.start()
    seen = []
    for _ in range(300):
        graph.inputs["x"].fill_(1.0)
        graph.step()
        values = set(graph.results["y"].flatten().tolist())
        assert len(values) == 1
        seen.append(values.pop())
    stop.set()
    thread.join()
    assert seen == sorted(seen)


def test_steps_do_not_overlap() -> None:
    graph = make(Played())
    graph.finish()  # nothing to wait for
    graph.start()
    with pytest.raises(RuntimeError, match="a step is under way"):
        graph.start()
    graph.finish()
    graph.start()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, r"weights differ in \['w'\]"),
        ({"w": torch.ones(3, 4), "b": torch.ones(1)}, r"weights differ in \['b'\]"),
        ({"w": torch.ones(3, 5)}, r"w is torch.float32 \[3, 5\]; wanted torch.float32 \[3, 4\]"),
        ({"w": torch.ones(3, 4).double()}, r"w is torch.float64"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: dict[str, Any], message: str) -> None:
    graph = make(Played())
    with pytest.raises(ValueError, match=message):
        graph.load(weights)
    assert not graph.pending
    assert y_of(graph) == 3.0


def test_resident_inputs_must_be_on_a_device() -> None:
    with pytest.raises(ValueError, match="frame is on cpu; wanted a CUDA device"):
        StepGraph(body, {}, {}, {"frame": torch.ones(2)}, Played())


class Recorded:
    """Where ranges go: a list of what was pushed, `pop` for every end."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def push(self, name: str) -> None:
        self.calls.append(name)

    def pop(self) -> None:
        self.calls.append("pop")


def test_ranges_stand_round_steps_only_when_on() -> None:
    graph, seen = make(Played()), Recorded()
    graph.step()
    assert not seen.calls
    ranges.enable(seen)
    try:
        graph.step()
    finally:
        ranges.enable(None)
    graph.step()
    assert seen.calls == [
        *("StepGraph.step", "StepGraph.start", "pop"),
        *("StepGraph.finish", "pop", "pop"),
    ]


def test_a_range_ends_where_its_step_raises() -> None:
    graph, seen = make(Played()), Recorded()
    graph.start()
    ranges.enable(seen)
    try:
        with pytest.raises(RuntimeError, match="a step is under way"):
            graph.step()
    finally:
        ranges.enable(None)
    assert seen.calls == ["StepGraph.step", "pop"]
