"""BonkLink, as it is shipped, behind the Gymnasium environment that trains on the real game."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rehearsal import Rehearsal

from metabonk import games
from metabonk.games.batch import allocate


def test_a_batch_game_begins_in_the_main_menu(bonklink: Callable[..., Rehearsal]) -> None:
    running = bonklink()
    running.do("mainmenu")
    game = games.make("bonklink", 1, port=running.port, patience=20.0)
    seen = allocate(game.observation_space, 1)
    game.reset_into(seen, [7])
    shown = running.show()
    assert (shown["restarts"], shown["seeded"]) == (1, 7)  # once there was a run to begin anew
    assert shown["pressed"] > 0
    reward, flags = np.zeros(1, np.float32), np.zeros((3, 1), np.bool_)
    idle = np.zeros((1, 12), np.float32)
    idle[0, 10:] = -1
    game.step_into(idle, seen, reward, *flags)
    assert not flags[:2].any()
    game.close()
    running.stop()


def test_a_batch_game_over_the_plugin(bonklink: Callable[..., Rehearsal]) -> None:
    running = bonklink("[Capture]\nFrameFormat = raw_rgb\n")
    game = games.make("bonklink", 1, port=running.port, pixels=(24, 32), patience=10.0)
    seen = allocate(game.observation_space, 1)
    reward, flags = np.zeros(1, np.float32), np.zeros((3, 1), np.bool_)
    game.reset_into(seen, range(1))
    assert running.show()["restarts"] == 1  # a reset begins a run
    running.do("spawn 3")
    assert seen["pixels"].shape == (1, 24, 32, 3)
    action = np.zeros((1, 12), np.float32)
    action[0, 0] = 1  # to the right
    action[0, 10:] = -1
    before = seen["state"].copy()
    pictures = set()
    for _ in range(60):
        game.step_into(action, seen, reward, *flags)
        assert not flags[:2].any()
        pictures.add(seen["pixels"].tobytes())
    assert (seen["state"] != before).any()
    assert int(seen["entities_mask"].sum()) == 3
    assert len(pictures) > 10
    running.do("die")
    for _ in range(200):
        game.step_into(action, seen, reward, *flags)
        if flags.any():
            break
    assert flags[0, 0] or flags[1, 0]  # the run's end is an episode's
    game.close()
    running.stop()
