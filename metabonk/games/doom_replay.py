"""Replays `.lmp` recordings of Doom at any size. Knows ViZDoom; does not know who played.

A recording holds the seed and one command per tic (a few bytes each), so it must be replayed with
the scenario it was made with; the picture's size does not matter.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from metabonk.errors import ConfigError, GameError
from metabonk.games.doom import scenario_path

# Height and width -> name of ViZDoom's resolution.
RESOLUTIONS = {
    (120, 160): "RES_160X120",
    (240, 320): "RES_320X240",
    (480, 640): "RES_640X480",
    (360, 640): "RES_640X360",
    (720, 1280): "RES_1280X720",
}


class Tic(NamedTuple):
    """One tic (1/35 s): the frame uint8 [H, W, 3] and variables before it, and what was done.

    variables: the scenario's, by lower-case name. buttons: values pressed, in the scenario's order.
    reward: of this tic.
    """

    frame: npt.NDArray[np.uint8]
    variables: dict[str, float]
    buttons: tuple[float, ...]
    reward: float


def replay(path: str | Path, scenario: str, size: tuple[int, int] = (240, 320)) -> Iterator[Tic]:
    """The tics of a recording. Raises ConfigError for a size that Doom lacks or a missing file,
    GameError if the engine refuses the recording."""
    config = scenario_path(scenario)
    recording = Path(path).resolve()
    if size not in RESOLUTIONS:
        raise ConfigError(f"size: {size} is none of {', '.join(map(str, RESOLUTIONS))}")
    if not recording.is_file():
        raise ConfigError(f"path: no recording {recording}")
    import vizdoom

    game = vizdoom.DoomGame()
    game.load_config(str(config))
    with tempfile.TemporaryDirectory(prefix="metabonk-doom-") as folder:
        game.set_doom_config_path(str(Path(folder, "doom.ini")))
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_screen_resolution(getattr(vizdoom.ScreenResolution, RESOLUTIONS[size]))
        game.init()
        try:
            game.replay_episode(str(recording))
            yield from _tics(game)
        except vizdoom.ViZDoomErrorException as error:
            raise GameError(
                f"{recording.name} cannot be replayed in {scenario}: {error}"
            ) from error
        finally:
            game.close()


def _tics(game: Any) -> Iterator[Tic]:
    names = [v.name.lower() for v in game.get_available_game_variables()]
    while not game.is_episode_finished():
        state = game.get_state()
        values = [] if state.game_variables is None else state.game_variables.tolist()
        variables = dict(zip(names, values, strict=True))
        game.advance_action()
        buttons = tuple(float(b) for b in game.get_last_action())
        yield Tic(state.screen_buffer, variables, buttons, float(game.get_last_reward()))
