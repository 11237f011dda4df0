"""play/live_games.py: the loop over BonkLink, against a real game process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sessions import session_at

from metabonk.errors import LinkError
from metabonk.play.ledger import Gate, read_ledger
from metabonk.play.live_games import BonkLinkLive
from metabonk.play.loop import CompiledDecider, Live, LoopSettings
from metabonk.play.retrace import retrace
from metabonk.play.session import Session

Policies = tuple[Path, Path]


@pytest.fixture(params=["v1", "v2"])
def game(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Address and protocol of an arena in a process of its own."""
    name = f"loop-test-{os.getpid()}-{request.param}"
    words = ["host", "--pipe", name, "--protocol", request.param, "--frames", "raw"]
    code = f"from metabonk.cli.main import run; run({[*words, '--size', '24x32']!r})"
    host = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        yield f"pipe://{name}", request.param
    finally:
        host.terminate()
        host.wait()


def play(address: str, protocol: str, policy: Path, session: Session, ticks: int) -> Live:
    decider = CompiledDecider(policy)
    session.keep_artifact(policy)
    played = BonkLinkLive([address], protocol, frames=decider.frame)
    settings = LoopSettings(hz=60.0, cpu=-1, spin=0.0, stale=30.0)
    live = Live(played, [decider], settings, session, ticks=ticks, record=True)
    played.start()
    try:
        played.await_connected(60.0)
        live.start()
        live.wait(seconds=60.0, look=0.01)
    finally:
        live.stop()
    return live


@pytest.mark.parametrize("reads", ["states", "frames"])
def test_a_game_in_another_process_is_played_and_retraced(
    tmp_path: Path, policies: Policies, pixel_policy: Path, game: tuple[str, str], reads: str
) -> None:
    made = session_at(tmp_path / "s")
    session = Session(made.directory, msgspec.structs.replace(made.setup, game="bonklink"))
    policy = policies[0] if reads == "states" else pixel_policy
    live = play(*game, policy, session, 90)
    counts = live.counts()
    assert counts["agents"][0]["decided"] > 5
    assert counts["agents"][0]["faults"] == 0
    assert counts["game"]["actions"] > 0
    assert counts["game"]["protocol_errors"] == 0
    ticks = read_ledger(session.directory).ticks
    decided = ticks[(ticks["gate"] & Gate.DECIDED) != 0]
    assert (decided["capture"] < decided["planned"] + decided["acted"]).all()
    for row in (decided[0], decided[-1]):
        retrace(session, int(row["tick"]))


def test_a_game_that_is_not_there_is_named() -> None:
    played = BonkLinkLive(["pipe://nobody-listens-here"])
    played.start()
    with pytest.raises(LinkError, match="pipe://nobody-listens-here: no game answers"):
        played.await_connected(0.2)
    played.stop()
