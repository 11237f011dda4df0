"""Recording a game behind BonkLink that others play: nothing is sent, everything is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metabonk import machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

from link_hosts import SIZE, hosting

from metabonk.data.episode import EpisodeStore
from metabonk.data.record import Plan, Session, Watching, header_of, open_recorders, run
from metabonk.games import make
from metabonk.games.host import Pace
from metabonk.protocols import Captured


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_a_game_that_runs_is_recorded_and_left_alone(tmp_path: Path, protocol: Any) -> None:
    # Nobody plays: the hero stands still, dies of the crowd within seconds, and begins anew.
    with hosting(pace=Pace(speed=4.0), hz=30.0, protocol=protocol) as (host, port):
        game = make("bonklink", port=port, protocol=protocol, visible=True, watch=True)
        assert isinstance(game, Captured)
        plan = Plan(hz=20.0, seconds=4.0, frames=True, watched=True)
        header = header_of(game, plan, seed=0, actor="human")
        recorders = open_recorders(
            tmp_path, header, 1, formats=("episodes",), live=True, full="auto"
        )
        player = Watching(game.action_layout.columns)
        result = run(Session(game, player, recorders, plan, [0]), lambda: False)
        game.close()
        said = host.counts
    assert said.actions == 0
    assert said.resets == 0
    assert result.counts.dropped == 0
    # Twenty a second and no more; a machine that others use as well may let some of them be.
    assert 10 <= result.rows <= 20 * result.seconds + 1
    store = EpisodeStore(tmp_path / "episodes")
    episodes = [store.read(*key) for key in store.entries(complete=False)]
    frames = np.concatenate([e.extra["frame"] for e in episodes])
    assert frames.shape[1:] == (*SIZE, 3)
    assert (
        len(np.unique(frames.reshape(len(frames), -1), axis=0)) > 5
    )  # until a menu waits for somebody
    times = np.concatenate([e.extra["capture_ns"] for e in episodes])
    assert (np.diff(times) > 0).all()
