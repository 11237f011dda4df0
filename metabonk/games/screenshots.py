"""Screens of games with and without an open menu, each with the answer: what a classifier of menus
learns from and is judged by.

Knows how to bring the arena and Doom to screens of both kinds, and what is told apart for judging:
other levels, other seeds, scenarios and menus that were never shown. Does not know classifiers.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from metabonk.errors import MissingExtraError
from metabonk.games import arena, doom
from metabonk.games.menu_layouts import MenuLayout
from metabonk.games.scripted import RandomPolicy
from metabonk.observations import OBSERVATION_SPACE
from metabonk.protocols import Array
from metabonk.records import ACTION_LAYOUT, Action

SIZES = ((360, 640), (180, 320), (84, 84), (60, 80), (120, 160))  # heights and widths
PACE = 4  # decisions between two pictures of a run

# Doom's own menus by console command; those of JUDGE_MENUS are for judging only.
LEARN_MENUS = (
    "menu_main", "menu_options", "menu_game", "menu_save", "menu_keys", "menu_display",
    "menu_gameplay", "menu_mouse", "menu_sound", "menu_automap", "menu_endgame",
)  # fmt: skip
JUDGE_MENUS = ("menu_load", "menu_compatibility", "menu_player", "menu_video", "menu_messages")
LEARN_SCENARIOS = (
    "basic", "health_gathering", "defend_the_line", "my_way_home", "defend_the_center",
    "predict_position", "deathmatch",
)  # fmt: skip
JUDGE_SCENARIOS = ("deadly_corridor", "take_cover")
LEARN_LEVELS, JUDGE_LEVELS = ("default", "hard", "main_menu"), ("boss", "dropped_frames")


@dataclass(frozen=True, eq=False)
class Shot:
    """frame: uint8 [H, W, 3]. menu: whether a menu is open on it. source: where it is from, as
    `arena/hard` or `doom/basic`."""

    frame: Array
    menu: bool
    source: str


def arena_shots(level: str, count: int, seed: int) -> Iterator[Shot]:
    """`count` screens of runs that are played at random, in sizes that are drawn."""
    made = arena.level_of(level)
    chosen = {"tier": 1 + seed % 3} if level in ("default", "main_menu") else {}
    plain = {**msgspec.to_builtins(made), **chosen, "allow_pause": True}
    game = arena.make("", 1, level=plain, threads=1)
    random = np.random.default_rng([seed, 0x5C])
    policy = RandomPolicy(seed, ACTION_LAYOUT)
    observation = {k: np.zeros((1, *s.shape), s.dtype) for k, s in OBSERVATION_SPACE.items()}  # type: ignore[misc]
    reward = np.zeros(1, np.float32)
    terminated, truncated, is_reset = (np.zeros(1, np.bool_) for _ in range(3))
    game.reset_into(observation, [seed])
    state = policy.reset(1)
    try:
        for _ in range(count):
            for _ in range(PACE):
                row, state = policy.act(observation, state, is_reset)
                # A run at random stays in menus for long: choices are rare, so that both last.
                row[:, _CHOICE] *= random.random() < 0.3
                game.step_into(row, observation, reward, terminated, truncated, is_reset)
            height, width = SIZES[int(random.integers(len(SIZES)))]
            frame = np.array(game.batch.render(0, height, width))
            yield Shot(frame, game.game_state(0).menu != "None", f"arena/{level}")
    finally:
        game.close()


def layout_shots(count: int, seed: int) -> Iterator[Shot]:
    """`count` screens of menus of random layouts. Raises MissingExtraError without Pillow."""
    random = np.random.default_rng([seed, 0x5D])
    for number in range(count):
        layout = MenuLayout(int(random.integers(2**31)) if number else seed)
        try:
            for _ in range(int(random.integers(0, 6))):
                enabled = [i for i, w in enumerate(layout.state.widgets, 1) if w.enabled]
                if layout.running or layout.trapped or not enabled:
                    break
                layout.step(Action(choice=int(random.choice(enabled))))
                layout.step(Action())
            yield Shot(layout.frame(), not layout.running, "layout")
        finally:
            layout.close()


def doom_shots(
    scenario: str, menus: Sequence[str], count: int, seed: int, size: tuple[int, int] = (240, 320)
) -> Iterator[Shot]:
    """Up to `count` screens of a scenario played at random, every second one with one of `menus`
    open.

    Raises MissingExtraError without ViZDoom.
    """
    path = doom.scenario_path(scenario)
    try:
        import vizdoom
    except ImportError as error:
        raise MissingExtraError("vizdoom", "games", "Doom") from error
    random = np.random.default_rng([seed, 0x5E])
    # The engine leaves a folder where it is started.
    with tempfile.TemporaryDirectory(prefix="metabonk-doom-") as folder, contextlib.chdir(folder):
        game = vizdoom.DoomGame()
        game.load_config(str(path))
        game.set_doom_config_path(str(Path(folder, "doom.ini")))
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{size[1]}X{size[0]}"))
        game.set_seed(seed)
        game.init()
        try:
            for number in range(count):
                _wander(game, random)
                opened = menus[int(random.integers(len(menus)))] if number % 2 else ""
                game.send_game_command(opened or "closemenu")
                if not _tics(game, 2):
                    continue  # the episode ended under the menu
                frame = np.array(game.get_state().screen_buffer)
                yield Shot(frame, bool(opened), f"doom/{scenario}")
                game.send_game_command("closemenu")
                _tics(game, 2)
        finally:
            game.close()


def learn_shots(count: int, seed: int) -> list[Shot]:
    """About `count` screens to learn from: half of them the arena's, the rest Doom's and random
    layouts."""
    shots: list[Shot] = []
    for i in range(3 * len(LEARN_LEVELS)):
        level = LEARN_LEVELS[i % len(LEARN_LEVELS)]
        shots += arena_shots(level, count // 18 + 1, seed + i)
    for i, scenario in enumerate(LEARN_SCENARIOS):
        shots += doom_shots(scenario, LEARN_MENUS, count // 16 + 1, seed + i)
    return shots + list(layout_shots(count // 6 + 1, seed))


def judge_shots(count: int, seed: int) -> list[Shot]:
    """About `count` screens of levels, scenarios and menus that `learn_shots` never shows."""
    shots: list[Shot] = []
    for i in range(2 * len(JUDGE_LEVELS)):
        level = JUDGE_LEVELS[i % len(JUDGE_LEVELS)]
        shots += arena_shots(level, count // 8 + 1, seed + 1000 + i)
    for i, scenario in enumerate(JUDGE_SCENARIOS):
        shots += doom_shots(scenario, JUDGE_MENUS, count // 6 + 1, seed + 1000 + i)
    return shots + list(layout_shots(count // 6 + 1, seed + 1000))


_CHOICE = 9  # column of an arena's action row


def _wander(game: Any, random: np.random.Generator) -> None:
    """A few tics of random buttons, in a new episode where the last one is over."""
    for _ in range(int(random.integers(1, 6))):
        if game.is_episode_finished():
            game.new_episode()
        pressed = [float(x) for x in random.random(game.get_available_buttons_size()) < 0.4]
        game.make_action(pressed, 4)
    if game.is_episode_finished():
        game.new_episode()


def _tics(game: Any, count: int) -> bool:
    """Lets time pass; False if the episode ended meanwhile, and another has begun."""
    for _ in range(count):
        if game.is_episode_finished():
            break
        game.make_action([0.0] * game.get_available_buttons_size(), 1)
    if not game.is_episode_finished():
        return True
    game.new_episode()
    return False
