"""Settings that are known to work, by game. Knows configuration keys only; imports no network.

Used as the lowest layer of the configuration: whatever a file, a variable or a flag says wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from metabonk.config import Config, load

# Of who dreams, with `world.enabled`, where a game is a few numbers: networks that are small enough
# for a core, and awake after 800 steps. What saves steps pays in updates (Hafner et al. 2023 replay
# every step up to 512 times). `metabonk validate learning dreams` says what these are worth; that
# active inference helps there was not seen.
_DREAMS: dict[str, Any] = {
    "world.deter": 64,
    "world.groups": 16,
    "world.classes": 0,
    "world.hidden": 64,
    "world.learning_rate": 1e-3,
    "world.batch": 8,
    "world.sequence": 32,
    "world.frames": 64,
    "world.ratio": 64.0,
    "dream.hidden": 64,
    "dream.learning_rate": 1e-3,
    "dream.warm_up": 200,
    "dream.starts": 256,
    "dream.distill_coef": 1.0,
    "efe.enabled": False,
}
# Of pictures: larger, awake sooner as updates are few.
_DREAMS_OF_PICTURES: dict[str, Any] = _DREAMS | {
    "world.deter": 128,
    "world.groups": 8,
    "world.classes": 8,
    "world.hidden": 128,
    "world.batch": 16,
    "world.ratio": 10.0,
    "dream.hidden": 128,
    "dream.warm_up": 100,
}

# The first pattern that fits a game's name. Figures beside an entry are what it was seen to reach.
PRESETS: dict[str, dict[str, Any]] = {
    # Four decisions a second are enough to play by, and each of them then matters enough to be
    # told from chance. Menus wait for ever, so passing there is not the policy's to choose; a click
    # does nothing that a choice does not; nothing is lost by reaching for whatever is near. What
    # pays off within a minute is learned first, what keeps alive for three rests on it: with a
    # discount that stays at 0.995 the return ends at 23.5 after 15 minutes, so at 26.1 (seed 0).
    "arena": {
        "game.envs": 64,
        "game.frame_skip": 16,
        "model.hidden": 64,
        "model.steer": "move",
        "model.press": 0.1,
        "model.fixed": "click=-1,look=0,interact=1",
        "model.decisive": "choice",
        "ppo.learning_rate": 1.5e-3,
        "ppo.gamma": 0.995,
        "ppo.gamma_end": 0.998,
        "ppo.gae_lambda": 0.95,
        "ppo.sequence": 16,
        "ppo.epochs": 3,
        "ppo.minibatches": 2,
        "ppo.entropy_coef": 0.003,
        "run.eval_episodes": 256,
    },
    # One game in real time: what a policy of the arena is like, from few decisions a second.
    "bonklink": {
        "game.envs": 1,
        "game.frame_skip": 4,
        "model.hidden": 64,
        "model.steer": "move",
        "model.press": 0.1,
        "model.fixed": "click=-1,look=0,interact=1",
        "model.decisive": "choice",
        "ppo.horizon": 256,
        "ppo.sequence": 16,
        "ppo.gamma": 0.995,
        "ppo.gae_lambda": 0.9,
        "ppo.minibatches": 2,
        "ppo.entropy_coef": 0.003,
        "run.eval_episodes": 4,
    },
    "research_shm": {"game.envs": 1, "ppo.horizon": 256, "run.eval_episodes": 4},
    # Every environment is an engine in a process of its own. Health gathering reaches the longest
    # life there is, 2,100 tics, in ten minutes; random play lives for 406.
    "doom/*": {"game.envs": 4, "ppo.horizon": 128, **_DREAMS_OF_PICTURES},
    # Mean 500 of 500 over 100 episodes within 59,392 steps, 5 of 5 seeds.
    "gym/CartPole-v1": {
        "game.envs": 16,
        "model.name": "mlp",
        "model.hidden": 64,
        "ppo.learning_rate": 1e-3,
        "ppo.horizon": 64,
        "ppo.epochs": 10,
        "ppo.minibatches": 8,
        "ppo.gamma": 0.99,
        "ppo.gae_lambda": 0.95,
        "ppo.entropy_coef": 0.005,
        "run.eval_sampled": False,
        **_DREAMS,
    },
    # Alone the policy returns -172 in 16 episodes after 108,544 steps (seed 0).
    "gym/Pendulum-v1": {
        "game.envs": 32,
        "model.name": "mlp",
        "model.hidden": 64,
        "ppo.learning_rate": 1e-3,
        "ppo.horizon": 64,
        "ppo.epochs": 10,
        "ppo.gamma": 0.95,
        **_DREAMS,
    },
    "gym/*": {
        "game.envs": 32,
        "model.name": "mlp",
        "model.hidden": 64,
        "ppo.horizon": 64,
        "ppo.epochs": 8,
        **_DREAMS,
    },
}

# What was done before there was a setting, where this is not what its default does now. A resumed
# run takes what its own file lacks from here, then from the defaults, so that it goes on as it was
# begun. Whoever gives a setting another default writes here what runs from before the setting did:
# they would take the new default, while runs that have the setting in their file keep it.
BEFORE: dict[str, Any] = {
    "ppo.discount_time": False,  # every step was discounted alike
    "dream.passes": 0,  # a policy learned from its dreamer in its own passes only
}

# Steps and minutes of a run that was given neither.
BUDGETS: dict[str, tuple[int, float]] = {"gym/CartPole-v1": (59_392, 0.0)}
DEFAULT_BUDGET = (0, 3.0)


def preset(game: str) -> Mapping[str, Any]:
    """Values by configuration key for a game's name; empty where nothing is known."""
    for pattern, values in PRESETS.items():
        if fnmatchcase(game, pattern):
            return values
    return {}


def budget(game: str, steps: int, minutes: float) -> tuple[int, float]:
    """Steps and minutes that end a run, 0 for no bound; the game's default if both are 0."""
    return (steps, minutes) if steps or minutes else BUDGETS.get(game, DEFAULT_BUDGET)


def begun(
    run: Path,
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Config:
    """A run's own settings, what its file lacks as it was when the run began: whoever reads them
    otherwise goes on with another algorithm. The rest as in `config.load`; `{}` for `environ` takes
    nothing but the run's. Raises ConfigError for a file that cannot be read."""
    file = run / "config.toml"
    # The first is for the notice of variables alone: beside presets it would also be of settings
    # that nothing reads in training.
    load(file, flags=flags, environ=environ, notice=notice)
    return load(file, presets=_before, flags=flags, environ=environ, notice=lambda _: None)


def _before(game: str) -> Mapping[str, Any]:
    return BEFORE
