"""A host whose agents are killed at any moment goes on, and is played by the next one."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from metabonk import machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

from link_hosts import SIZE, hosting

from metabonk.games.host import Pace

AGENT = """
import sys
import numpy as np
from metabonk import games
from metabonk.games.batch import allocate
from metabonk.games.source import Flags
game = games.make("bonklink", 1, port=int(sys.argv[1]), pixels=(36, 64))
observation, flags = allocate(game.observation_space, 1), Flags(1)
game.reset_into(observation, [int(sys.argv[2])])
print("plays", game.game_state(0).run_seed, flush=True)
while True:
    game.step_into(np.zeros((1, 12), np.float32), observation, *flags.arrays())
"""


@pytest.mark.parametrize("locked", [True, False])
def test_agents_that_are_killed_leave_a_game_that_goes_on(locked: bool) -> None:
    rng = np.random.default_rng(0)
    with hosting(hz=60.0, pace=Pace(locked=locked)) as (host, port):
        for number in range(3):
            agent = subprocess.Popen(
                [sys.executable, "-c", AGENT, str(port), str(number)],
                stdout=subprocess.PIPE,
                text=True,
            )
            try:
                assert agent.stdout is not None
                assert agent.stdout.readline() == f"plays {number}\n"
                before, deadline = host.counts.actions, time.monotonic() + 60.0
                while host.counts.actions < before + 5 and time.monotonic() < deadline:
                    time.sleep(0.01)
                assert host.counts.actions >= before + 5
                time.sleep(float(rng.uniform(0.0, 0.05)))
            finally:
                agent.kill()
                agent.wait()
        assert host.counts.visitors == 3
        counts = host.link.counters()
        assert counts["connections"] == 3
        assert counts["protocol_errors"] == 0
        assert host.now.pixels.shape == (*SIZE, 3)
