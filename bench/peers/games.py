"""Other ways to step games, on one core each. Knows Gymnasium, EnvPool and ViZDoom."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from ..meter import Timed
from . import require

ACTIONS = 64  # batches of random actions that are gone through in turn


def sync(env_id: str, num_envs: int, **settings: Any) -> Timed:
    """Gymnasium's SyncVectorEnv over single environments, its own copies switched off."""
    gymnasium = require("gymnasium")
    if env_id.startswith("metabonk/"):
        require("metabonk.games.registration").register()
    vector = require("gymnasium.vector")

    def make() -> Any:
        return gymnasium.make(env_id, disable_env_checker=True, **settings)

    envs = vector.SyncVectorEnv([make] * num_envs, copy=False)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(ACTIONS)]
    return Timed(_turns(envs.step, actions), num_envs, close=envs.close)


def envpool(env_id: str, num_envs: int) -> Timed:
    """EnvPool in synchronous mode."""
    envs = require("envpool").make(
        env_id, env_type="gymnasium", num_envs=num_envs, num_threads=1, seed=0
    )
    envs.reset()
    generator = np.random.default_rng(0)
    choices = int(envs.action_space.n)
    actions = [generator.integers(0, choices, num_envs) for _ in range(ACTIONS)]
    return Timed(_turns(envs.step, actions), num_envs, close=envs.close)


def envpool_doom(height: int, width: int, num_envs: int = 4) -> Timed:
    """EnvPool's Doom: one tic a step, one frame [3, H, W] an observation."""
    pool = require("envpool")
    # Its engines write a settings file into the folder they start in, when the process ends.
    with contextlib.chdir(tempfile.gettempdir()):
        envs = pool.make(
            "HealthGathering-v1",
            env_type="gymnasium",
            num_envs=num_envs,
            num_threads=1,
            seed=0,
            frame_skip=1,
            stack_num=1,
            img_height=height,
            img_width=width,
        )
        envs.reset()
    generator = np.random.default_rng(0)
    buttons = envs.action_space.shape[-1]
    actions = [
        generator.integers(0, 2, (num_envs, buttons)).astype(np.float64) for _ in range(ACTIONS)
    ]
    return Timed(_turns(envs.step, actions), num_envs, close=envs.close)


def vizdoom() -> Timed:
    """One ViZDoom at its smallest picture, which is larger than ours; the frame is not resized."""
    doom = require("vizdoom", "games")
    game = doom.DoomGame()
    game.load_config(f"{doom.scenarios_path}/health_gathering.cfg")
    settings = tempfile.TemporaryDirectory()  # the engine writes its settings file somewhere
    game.set_doom_config_path(f"{settings.name}/doom.ini")
    game.set_window_visible(False)
    game.set_screen_resolution(doom.ScreenResolution.RES_160X120)
    game.set_screen_format(doom.ScreenFormat.RGB24)
    game.set_mode(doom.Mode.PLAYER)
    game.set_seed(0)
    game.init()
    generator = np.random.default_rng(0)
    buttons = game.get_available_buttons_size()
    actions = [generator.integers(0, 2, buttons).tolist() for _ in range(ACTIONS)]

    def step(action: list[int]) -> Any:
        if game.is_episode_finished():
            game.new_episode()
        game.make_action(action)
        state = game.get_state()
        return None if state is None else state.screen_buffer

    def close() -> None:
        game.close()
        settings.cleanup()

    return Timed(_turns(step, actions), 1, close=close)


def _turns(step: Callable[[Any], Any], actions: list[Any]) -> Callable[[], None]:
    at = 0

    def run() -> None:
        nonlocal at
        step(actions[at])
        at = (at + 1) % len(actions)

    return run
