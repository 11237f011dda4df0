"""Suite `games`: steps per second of the native games, one core against one core.

A step is one decision of one environment with its observation written: for the arena one tick of
1/60 s, for Doom one tic of 1/35 s. Actions are random and drawn beforehand.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from metabonk.protocols import BatchGame, FloatArray

from .case import Case
from .meter import Meter, SpeedUp, Timed
from .peers import games as peers
from .versus import AbsentError, Contender

SNAPSHOT = "arena_200"  # tier 2, eight weapons, 200 live enemies held
FRAME = (84, 84)
ENVS = 64
ROWS = 64  # batches of random actions that are gone through in turn
SPIN_ROUNDS = 20_000  # of SHA-256 per call of the spin kernel and thread

SYNC = "Gymnasium SyncVectorEnv"
SCALAR = "plain scalar build"


def cases() -> list[Case]:
    return [
        _case(
            "arena",
            lambda: stepping("arena", ENVS, threads=1, frame_skip=1),
            {
                SYNC: lambda: peers.sync("metabonk/Arena-v0", ENVS, frame_skip=1),
                "EnvPool LunarLander-v3": lambda: peers.envpool("LunarLander-v3", ENVS),
            },
        ),
        _case(
            "arena, 84x84x3 frames",
            lambda: stepping("arena", ENVS, threads=1, frame_skip=1, pixels=FRAME),
            {
                SYNC: lambda: peers.sync("metabonk/Arena-v0", ENVS, frame_skip=1, pixels=FRAME),
                "EnvPool Doom, 84x84x3": lambda: peers.envpool_doom(*FRAME),
                "raw ViZDoom, 160x120x3": peers.vizdoom,
            },
        ),
        _case("arena_200", lambda: snapshot(), {SCALAR: lambda: snapshot(scalar=True)}),
        _case(
            "arena_200, 84x84x3 frames",
            lambda: snapshot(FRAME),
            {f"{SCALAR}, baseline drawing": lambda: snapshot(FRAME, scalar=True)},
        ),
        _case(
            "arena_200, two threads over one",
            lambda: SpeedUp(snapshot(), snapshot(threads=_two())),
            {"spin kernel": lambda: SpeedUp(spin(1), spin(_two()))},
            unit="x",
            rounds=15,
        ),
        _case(
            "grid64/key_door",
            lambda: stepping("grid64/key_door", ENVS, threads=1),
            {
                SYNC: lambda: peers.sync("metabonk/Grid64-KeyDoor-v0", ENVS),
                "EnvPool MiniGrid-DoorKey-16x16": lambda: peers.envpool(
                    "MiniGrid-DoorKey-16x16-v0", ENVS
                ),
            },
        ),
        _case(
            "gym/CartPole-v1, 1024 environments",
            lambda: stepping("gym/CartPole-v1", 1024),
            {
                SYNC: lambda: peers.sync("CartPole-v1", 1024),
                "EnvPool CartPole-v1": lambda: peers.envpool("CartPole-v1", 1024),
            },
        ),
    ]


def _case(
    name: str,
    ours: Callable[[], Meter],
    peers: dict[str, Callable[[], Meter]],
    unit: str = "steps/s",
    rounds: int = 9,
) -> Case:
    against = tuple(Contender(peer, make) for peer, make in peers.items())
    return Case("games", name, unit, Contender("metabonk", ours), against, rounds=rounds)


def stepping(name: str, num_envs: int, **settings: Any) -> Timed:
    """Environment steps per second of a game of ours, into the same arrays over and over."""
    from metabonk.games import make

    game = make(name, num_envs, **settings)
    return Timed(stepper(game), num_envs, close=game.close)


def stepper(game: BatchGame) -> Callable[[], None]:
    """One call, one step of every environment."""
    from metabonk.games.batch import allocate

    observation = allocate(game.observation_space, game.num_envs)
    reward = np.zeros(game.num_envs, np.float32)
    flags = [np.zeros(game.num_envs, np.bool_) for _ in range(3)]
    actions = random_actions(game)
    game.reset_into(observation, range(game.num_envs))
    at = 0

    def step() -> None:
        nonlocal at
        game.step_into(actions[at], observation, reward, *flags)
        at = (at + 1) % len(actions)

    return step


def random_actions(game: BatchGame) -> list[FloatArray]:
    """Uniformly random rows [N, columns], ROWS of them."""
    generator = np.random.default_rng(0)
    layout = game.action_layout
    batches = []
    for _ in range(ROWS):
        rows = np.zeros((game.num_envs, layout.columns), np.float32)
        for branch in layout.branches:
            columns = slice(branch.column, branch.column + branch.width)
            shape = (game.num_envs, branch.width)
            if branch.kind == "categorical":
                rows[:, columns] = generator.integers(0, branch.size, shape)
            else:
                rows[:, columns] = generator.uniform(branch.low, branch.high, shape)
        batches.append(rows)
    return batches


def snapshot(pixels: tuple[int, int] = (0, 0), *, threads: int = 1, scalar: bool = False) -> Timed:
    """The committed snapshot level. scalar: by the plain loops, drawn without vector kernels."""
    from metabonk import _core
    from metabonk.games import make

    game = make("arena", ENVS, level=SNAPSHOT, threads=threads, pixels=pixels)
    step = stepper(game)
    tier = _core.support.active_tier()

    def plain() -> None:
        _core.arena.use_scalar_kernels(True)
        _core.support.cap_tier("baseline")
        try:
            step()
        finally:
            _core.arena.use_scalar_kernels(False)
            _core.support.cap_tier(tier)

    return Timed(plain if scalar else step, ENVS, close=game.close)


def spin(threads: int) -> Timed:
    """A kernel that computes and touches no memory, on its own copy per thread: what two threads
    can gain on this machine at this moment. Work is counted in calls."""

    def work() -> None:
        hashlib.pbkdf2_hmac("sha256", b"spin", b"kernel", SPIN_ROUNDS)  # releases the GIL

    def all_threads() -> None:
        others = [threading.Thread(target=work) for _ in range(threads - 1)]
        for thread in others:
            thread.start()
        work()
        for thread in others:
            thread.join()

    return Timed(all_threads, threads)


def _two() -> int:
    if len(os.sched_getaffinity(0)) < 2:
        raise AbsentError("one processor: nothing to share work with")
    return 2
