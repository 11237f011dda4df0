"""play/reload.py: a policy's directory that changes while it plays."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sessions import play, reach, session_at

from metabonk import artifact
from metabonk.errors import ConfigError
from metabonk.play.ledger import Gate, read_ledger
from metabonk.play.loop import CompiledDecider, Live
from metabonk.play.reload import Reloader
from metabonk.play.retrace import retrace

Policies = tuple[Path, Path]


def replace(path: Path, by: Path) -> None:
    shutil.rmtree(path)
    shutil.copytree(by, path)


def compiled(live: Live) -> list[CompiledDecider]:
    return [decider for decider in live.deciders if isinstance(decider, CompiledDecider)]


def test_new_weights_are_taken_up_while_it_plays(tmp_path: Path, policies: Policies) -> None:
    path = tmp_path / "policy"
    shutil.copytree(policies[0], path)
    session = session_at(tmp_path / "s", agents=2)
    said: list[str] = []

    def meanwhile(live: Live) -> None:
        watch = Reloader(path, compiled(live), session)
        said.append(watch.look())
        artifact.certify(artifact.load(path), {"note": "the same weights"})
        said.append(watch.look())
        reach(live, 40)
        replace(path, policies[1])
        said.append(watch.look())
        said.append(watch.look())
        assert watch.taken == 1
        reach(live, max(seat["decided"] for seat in live.counts()["agents"]) + 20)

    play(session, path, 0, meanwhile)
    second = CompiledDecider(policies[1]).hash
    assert said[0] == said[1] == said[3] == ""
    assert second[:12] in said[2]
    ticks = read_ledger(session.directory).ticks
    for agent in (0, 1):
        rows = ticks[(ticks["agent"] == agent) & ((ticks["gate"] & Gate.DECIDED) != 0)]
        assert bytes(rows["artifact"][-1]).hex() == second
        assert retrace(session, int(rows["tick"][-1]), agent).artifact == second


def test_what_does_not_fit_is_left_alone(tmp_path: Path, policies: Policies) -> None:
    from networks import arena_pilot

    from metabonk.play.compiled import compile

    path = tmp_path / "policy"
    shutil.copytree(policies[0], path)
    decider = CompiledDecider(path)
    watch = Reloader(path, [decider], session_at(tmp_path / "s"))
    shutil.rmtree(path)
    assert watch.look() == ""  # gone for the moment
    compile(arena_pilot(), batch=1, sampled=False).save(path)
    assert "another program" in watch.look()
    assert watch.look() == ""  # said once
    assert watch.taken == 0
    assert decider.native.swaps == 0


def test_what_is_not_allowed_is_left_alone(tmp_path: Path, policies: Policies) -> None:
    path = tmp_path / "policy"
    shutil.copytree(policies[0], path)

    def refuse() -> None:
        raise ConfigError("it has no certificate")

    watch = Reloader(path, [CompiledDecider(path)], session_at(tmp_path / "s"), refuse)
    replace(path, policies[1])
    assert "it has no certificate" in watch.look()
    assert watch.taken == 0


def test_a_policy_that_is_not_there_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        CompiledDecider(tmp_path / "none")
