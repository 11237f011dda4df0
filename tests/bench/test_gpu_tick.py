"""bench.gpu's ticks over a played device: the graph, the reference and the same work launched piece
by piece come to one result; other weights and other frames do not."""

from __future__ import annotations

import pytest
import torch
from metabonk.bench.gpu import peers, tick
from metabonk.kernels.cases import Case
from played_device import Played

CASES = tick.cases(lambda device: Played())


@pytest.fixture(params=CASES, ids=lambda case: case.name.replace(" ", "-"))
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def test_a_graph_of_the_tick_is_right(case: Case) -> None:
    given = case.make("cpu", 3)
    assert given["runtime"].captured == 2
    assert case.error(given, case.run(given)) < 0.01
    assert case.waits


def test_newer_weights_are_those_of_the_second_graph() -> None:
    """What the case calls its weights is what the step took, and not what it was made with."""
    size = tick.SIZES[1]
    assert size.swapped
    given = CASES[1].make("cpu", 3)
    older = {**given, "weights": tick._weights(3)}
    found = CASES[1].run(given)
    assert CASES[1].error(given, found) < 0.01
    assert CASES[1].error(older, found) > 1.0


def test_wrong_results_are_seen(case: Case) -> None:
    given = case.make("cpu", 3)
    logits, actions = (t.clone() for t in case.run(given))
    assert case.error(given, (logits * 1.01, actions)) > 1.0
    assert case.error(given, (logits, logits.argmin(-1))) > 1.0
    assert case.error(given, (logits, actions + tick.ACTIONS)) == float("inf")
    assert case.error(given, (logits * float("nan"), actions)) == float("inf")
    assert case.error({**given, "frames": 255 - given["frames"]}, (logits, actions)) > 1.0


def test_launched_piece_by_piece_it_is_the_same(case: Case) -> None:
    given = case.make("cpu", 3)
    plain = peers.eager(case, given)
    assert plain is not None
    assert case.error(given, plain.run()) < 0.01
    traced = peers.compiled(case, given)
    assert traced is not None
    assert case.error(given, traced.compiled(backend="aot_eager").run()) < 0.01


def test_every_step_takes_the_frames_of_its_own() -> None:
    case = CASES[0]
    given = case.make("cpu", 3)
    first = case.run(given)[0].clone()
    given["frames"].copy_(255 - given["frames"])
    assert not torch.equal(case.run(given)[0], first)
    assert case.error(given, case.run(given)) < 0.01
