"""The ledger's candidate and score: what the policy told of its decision, and of no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import motor_of
from sessions import play, session_at

from metabonk.cli.why import explain
from metabonk.games import make
from metabonk.models.motor import MotorPolicy
from metabonk.play.compiled import OWN, load
from metabonk.play.compiler.motors import compile_motor
from metabonk.play.ledger import SEEN, Gate, path_of, read_journal, read_ledger, seen_record
from metabonk.play.retrace import retrace
from metabonk.play.session import Session
from metabonk.protocols import Array
from metabonk.records import ACTION_LAYOUT

Policies = tuple[Path, Path]


@pytest.fixture(scope="module")
def motor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled motor of the arena: six candidates and what it thinks of the one it takes."""
    game = make("arena", 1)
    space = game.observation_space
    game.close()
    path = tmp_path_factory.mktemp("motor") / "policy"
    compile_motor(MotorPolicy(motor_of(space, ACTION_LAYOUT), seed=3)).save(path)
    return path


def decide_again(session: Session, policy: Path, outputs: dict[str, Array]) -> Array:
    """TICK [D], the decided ticks; after each the outputs are compared with what the ledger has.

    outputs: what the policy is to tell beside its action, one number each, by name.
    """
    compiled = load(policy)
    observation = {
        name: np.zeros(sizes, dtype)
        for name, (dtype, sizes) in compiled.inputs.items()
        if name not in OWN
    }
    action = np.zeros((1, ACTION_LAYOUT.columns), np.float32)
    bound = compiled.bind_all(observation, {"action": action, **outputs})
    record = seen_record(sum(array.nbytes for array in observation.values()))
    seen, _ = read_journal(path_of(session.directory, SEEN), SEEN, record)
    ticks = read_ledger(session.directory).ticks
    decided: Array = ticks[(ticks["gate"] & Gate.DECIDED) != 0]
    assert np.array_equal(seen["tick"], decided["tick"])
    for row, one in zip(decided, seen, strict=True):
        data, at = one["observation"].tobytes(), 0
        for array in observation.values():
            array[...] = np.frombuffer(data, array.dtype, array.size, at).reshape(array.shape)
            at += array.nbytes
        if int(row["gate"]) & Gate.BEGINS:
            compiled.reset()
        bound.step()
        told = {"candidate": row["candidate"], "score": row["score"], "value": row["score"]}
        for name, array in outputs.items():
            assert told[name].tobytes() == array.tobytes()
    return decided


def test_of_a_motor_they_are_its_choice_and_the_bound_of_it(tmp_path: Path, motor: Path) -> None:
    session = session_at(tmp_path / "s")
    live = play(session, motor, 150, record=True)
    assert live.counts()["agents"][0]["faults"] == 0
    outputs: dict[str, Array] = {
        "candidate": np.zeros(1, np.int32),
        "score": np.zeros(1, np.float32),
    }
    decided = decide_again(session, motor, outputs)
    assert len(decided) > 10
    chosen = set(decided["candidate"].tolist())
    assert 1 < len(chosen) <= 6
    assert chosen <= set(range(6))
    assert len(set(decided["score"].tolist())) > 10
    last = decided[-1]
    told = explain(session, int(last["tick"]), 0)["decided by"]
    assert told["chosen candidate"] == last["candidate"]
    assert told["its score"] == last["score"]
    assert retrace(session, int(last["tick"])).decisions == len(decided)


def test_of_another_policy_they_are_the_first_and_the_critics_value(
    tmp_path: Path, policies: Policies
) -> None:
    session = session_at(tmp_path / "s")
    play(session, policies[0], 100, record=True)
    decided = decide_again(session, policies[0], {"value": np.zeros(1, np.float32)})
    assert len(set(decided["score"].tolist())) > 10
    assert (decided["candidate"] == 0).all()  # it has no other


def test_a_policy_that_tells_neither_has_no_score(tmp_path: Path, pixel_policy: Path) -> None:
    session = session_at(tmp_path / "s", frames=(24, 32))
    play(session, pixel_policy, 60)
    ticks = read_ledger(session.directory).ticks
    decided = ticks[(ticks["gate"] & Gate.DECIDED) != 0]
    assert len(decided) > 5
    assert np.isnan(decided["score"]).all()
    told = explain(session, int(decided[-1]["tick"]), 0)["decided by"]
    assert told["its score"].startswith("none")
