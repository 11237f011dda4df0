"""One typed configuration: defaults, then a TOML file, then METABONK_* variables, then flags.

Knows msgspec and the environment; the only file that reads the environment. Does not know what
the settings do.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0)]
Count = Annotated[int, Meta(ge=1)]


class GameConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which game is played, and how."""

    name: str = "arena"
    level: str = ""  # path of a level specification (JSON), empty for the default level
    envs: Count = 64
    threads: Annotated[int, Meta(ge=0)] = 0  # 0: as many as the machine runs at once
    pixels: tuple[int, int] = (0, 0)  # height, width; (0, 0) for none
    frame_skip: Annotated[int, Meta(ge=0)] = 0  # ticks per decision; 0: the game's own default


class ModelConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The network."""

    name: Literal["mlp", "conv", "pilot"] = "pilot"
    hidden: Count = 128
    layers: Count = 2


class PPOConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Proximal policy optimisation; every value can be changed between updates."""

    learning_rate: Positive = 1e-3
    anneal: bool = True  # learning rate to zero over the run's steps
    gamma: Fraction = 0.99
    gae_lambda: Fraction = 0.95
    clip: Positive = 0.2
    value_clip: Annotated[float, Meta(ge=0.0)] = 0.0  # 0: off
    value_coef: float = 0.5
    entropy_coef: float = 0.01
    max_grad_norm: Positive = 0.5
    horizon: Count = 64  # steps per environment and rollout
    epochs: Count = 3
    minibatches: Count = 4
    burn_in: Annotated[int, Meta(ge=0)] = 0  # steps that only warm the recurrent state up
    normalize_advantages: bool = True
    target_kl: Annotated[float, Meta(ge=0.0)] = 0.0  # 0: off


class RunConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One training run."""

    directory: str = ""  # empty: runs/<game>-<date>-<time>
    seed: Annotated[int, Meta(ge=0)] = 0
    minutes: Annotated[float, Meta(ge=0.0)] = 0.0  # 0: until `steps`
    steps: Annotated[int, Meta(ge=0)] = 0  # environment steps; 0 with minutes = 0: the default
    checkpoint_every: Positive = 60.0  # seconds
    keep_checkpoints: Annotated[int, Meta(ge=2)] = 3
    eval_every: Annotated[float, Meta(ge=0.0)] = 0.0  # seconds; 0: at the end only
    eval_episodes: Count = 64
    record: bool = False
    video: bool = True
    torch_threads: Annotated[int, Meta(ge=0)] = 0


class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set."""

    game: GameConfig = msgspec.field(default_factory=GameConfig)
    model: ModelConfig = msgspec.field(default_factory=ModelConfig)
    ppo: PPOConfig = msgspec.field(default_factory=PPOConfig)
    run: RunConfig = msgspec.field(default_factory=RunConfig)
