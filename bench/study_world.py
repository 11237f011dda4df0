"""How far a world model sees, on cells and on the arena's state, beside what needs no model.

Knows games, replay and the world model's learner; does not know how studies are run. The model
learns from what a policy that learned nothing does; it is judged on the play of another such. The
arena's episodes are of other seeds then. Cells are of one layout, in both the same: most of what
changes within AHEAD steps is that a level was finished, and which one follows can be known by heart
alone. Of the arena much more is played, as next to nothing of an episode's belongings is in
another: from few of them they are learned by heart instead of read. Whether a state holds what was
seen is told by watching the wrong thing: who expects as much after having seen another sequence did
not look.
Steps of Adam become shorter, down to nothing: what is judged is not where the last one led. What is
expected is the mean of many dreams, as few err by their chance, too. Of the arena its vector of
numbers is judged, and not the crowds, whose rows trade places. What a step pays is to be told of
dreamed steps in cells, where little is left to chance, and in the arena of steps that are seen; the
other figure stands beside it. The control learns as long from actions that belong to other moments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from metabonk.config import Config, load

from . import curves
from .study import SEEDS, Cell, Figure, Scale, by_seed, deciding, mean_of, ratio_of

CONTEXT, AHEAD = 8, 15
OF_PERSISTENCE, OF_MEAN = 0.5, 0.9  # most of their errors; who expects the mean may have the former
OF_OTHERS = 0.9  # most of the error of who watched another sequence
CELLS, STATE = "grid64/ice_slide", "arena"
CONTROLS = (CELLS,)
# Of a game's settings. Where next to nothing is left to chance next to nothing is free: with none
# at all a state can stay unused, at the default of 1 nat it may be off by as much in every step.
OWN: dict[str, dict[str, Any]] = {
    CELLS: {
        "game.layouts": 1,
        "world.batch": 8,
        "world.free_nats": 0.1,
        "world.learning_rate": 1e-3,
    },
    STATE: {"world.learning_rate": 3e-3, "world.reward": 5.0},
}
SIZE: dict[Scale, dict[str, int]] = {
    "full": {
        "deter": 256,
        "hidden": 256,
        "groups": 16,
        "dreams": 200,
    },
    "quick": {
        "deter": 64,
        "hidden": 64,
        "groups": 8,
        "dreams": 30,
    },
}
# Sequences that are judged, and dreams of each. What is rare in cells takes many sequences, chance
# in numbers many dreams; frames cost several times what numbers do.
JUDGED: dict[Scale, dict[str, tuple[int, int]]] = {
    "full": {CELLS: (512, 4), STATE: (256, 64)},
    "quick": {CELLS: (16, 4)},
}
STEPS: dict[Scale, dict[str, int]] = {
    "full": {CELLS: 50_000, STATE: 400_000},
    "quick": {CELLS: 12_000},
}
UPDATES: dict[Scale, dict[str, int]] = {
    "full": {CELLS: 3000, STATE: 8500},
    "quick": {CELLS: 120},
}
SEQUENCE, FRAMES = 32, 64
DREAMS, DREAMED = 31, 5  # of random numbers; steps that a dream lasts
HELD = 7_919  # between the seeds of what is learned from and of what is judged


class WorldStudy:
    """How far a world model of one game sees; see the module."""

    def __init__(self, name: str, game: str, minutes: Mapping[Scale, float]) -> None:
        self.name, self.game, self.minutes = name, game, minutes
        controls = ", shuffled actions" if game in CONTROLS else ""
        self.what = f"{game}: open-loop error 15 steps ahead, against persistence{controls}"

    def cells(self, scale: Scale) -> Sequence[Cell]:
        if self.game not in UPDATES[scale]:
            return []
        arms = [f"{self.game} {kind}" for kind in _kinds(self.game)]
        return [Cell(arm, seed) for seed in range(SEEDS[scale]) for arm in arms]

    def settings(self, scale: Scale) -> dict[str, Any]:
        if self.game not in UPDATES[scale]:
            return {}
        return {
            "dreams": SIZE[scale]["dreams"],
            "config": deciding(_config(self.game, scale, 0)),
            "ahead": [CONTEXT, AHEAD],
            "judged": JUDGED[scale][self.game],
            "steps": STEPS[scale][self.game],
            "updates": UPDATES[scale][self.game],
        }

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        import torch

        from metabonk.learn.dreams.foresight import foresight
        from metabonk.learn.dreams.world import Batch, WorldLearner
        from metabonk.models.world import build

        torch.set_num_threads(1)
        name, kind = cell.arm.rsplit(" ", 1)
        config, size, steps = _config(name, scale, cell.seed), SIZE[scale], STEPS[scale][name]
        replay, game = played(config, directory / "learned", steps, cell.seed)
        held, other = played(config, directory / "held", steps // 5, cell.seed + HELD)
        other.close()
        model = build(game.observation_space, game.action_layout, config.world, seed=cell.seed)
        game.close()
        if kind == "shuffled":
            curves.shuffled(SimpleNamespace(world=SimpleNamespace(replay=replay)))
        learner = WorldLearner(model, config.world, seed=cell.seed)
        told: dict[str, float] = {}
        judged, draws = JUDGED[scale][name]
        for update in range(UPDATES[scale][name]):
            generator = np.random.default_rng([cell.seed, update])
            left = 1.0 - update / UPDATES[scale][name]
            rate = left * config.world.learning_rate
            learner.config = msgspec.structs.replace(config.world, learning_rate=rate)
            told = learner.update(
                replay.draw(config.world.batch, config.world.sequence, generator)
            )[0]
        generator = np.random.default_rng([cell.seed, HELD])
        batch = Batch.of(held.draw(judged, CONTEXT + AHEAD, generator))
        seen = foresight(learner.model, batch, CONTEXT, seed=cell.seed, draws=draws)
        more: dict[str, float] = {}
        if kind == "honest":
            blind = foresight(learner.model, _swapped(batch), CONTEXT, seed=cell.seed, draws=draws)
            more = _by_format(learner, replay, batch, config, size["dreams"], cell.seed)
            more["to_others"] = float(seen.error[-1] / blind.error[-1])
        return {
            **more,
            "ratio": float(seen.error[-1] / seen.persistence[-1]),
            "to_mean": float(seen.error[-1] / seen.mean[-1]),
            "error": seen.error.tolist(),
            "persistence": seen.persistence.tolist(),
            "mean": seen.mean.tolist(),
            "seen_auc": seen.seen_auc,
            "dreamed_auc": seen.reward_auc,
            "trust": seen.trust,
            "sequences": seen.sequences,
            "left_out": list(seen.left_out),
            **{key: told.get(key, math.nan) for key in ("wm_recon", "wm_kl", "wm_reward")},
        }

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        rows: list[Figure] = []
        for arm in sorted({c.arm for c in found if c.arm.endswith("honest")}):
            game = arm.rsplit(" ", 1)[0]
            rows += _ahead(found, arm, game)
            rows.append(_paying(found, arm, game))
            rows += _formats(found, arm, game)
            value, ci95 = mean_of(by_seed(found, arm, "trust"))
            rows.append(
                Figure(
                    name=f"{game}: steps for which it can be dreamed of (the trust horizon)",
                    value=value, ci95=ci95, unit="steps", baselines={"judged": float(AHEAD)},
                )
            )  # fmt: skip
            value, ci95 = mean_of(by_seed(found, arm, "to_others"))
            nats = float(np.mean(by_seed(found, arm, "wm_kl")))
            rows.append(
                Figure(
                    name=f"{game}: the same error, of that after another sequence was watched",
                    value=value, ci95=ci95, goal=OF_OTHERS, sense="<=", interval=True,
                    baselines={"a state that ignores what is seen": 1.0},
                    note=f"{nats:.2g} nats are seen beyond what was expected",
                )
            )  # fmt: skip
        return rows

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        return None


def _ahead(found: Mapping[Cell, dict[str, Any]], arm: str, game: str) -> list[Figure]:
    """How far off it is AHEAD steps ahead: of persistence, of the mean, and by knowing actions."""
    rows: list[Figure] = []
    value, ci95 = mean_of(by_seed(found, arm, "ratio"))
    control = by_seed(found, f"{game} shuffled", "ratio")
    shuffled = {"shuffled actions": float(np.mean(control))} if control else {}
    rows.append(
        Figure(
            name=f"{game}: error {AHEAD} steps ahead, of persistence's",
            value=value, ci95=ci95, goal=OF_PERSISTENCE, sense="<=", interval=True,
            baselines={"persistence": 1.0, **shuffled}, note=_left_out(found, arm),
        )
    )  # fmt: skip
    value, ci95 = mean_of(by_seed(found, arm, "to_mean"))
    rows.append(
        Figure(
            name=f"{game}: the same error, of that of the mean of what was seen",
            value=value, ci95=ci95, goal=OF_MEAN, sense="<=", interval=True,
            baselines={"the mean": 1.0},
        )
    )  # fmt: skip
    if control:
        pairs = zip(control, by_seed(found, arm, "ratio"), strict=True)
        value, ci95 = mean_of([theirs - ours for theirs, ours in pairs])
        rows.append(
            Figure(
                name=f"{game}: what shuffled actions add to that error", value=value,
                ci95=ci95, goal=0.0, sense=">", interval=True,
            )
        )  # fmt: skip
    return rows


def _paying(found: Mapping[Cell, dict[str, Any]], arm: str, game: str) -> Figure:
    """How well steps that pay are told from others: dreamed ones where next to nothing of what
    comes is left to chance, else those that are seen."""
    auc = {key: mean_of(by_seed(found, arm, f"{key}_auc")) for key in ("seen", "dreamed")}
    judged, other = ("dreamed", "seen") if game == CELLS else ("seen", "dreamed")
    value, ci95 = auc[judged]
    return Figure(
        name=f"{game}: {judged} steps that pay told from others, area under the curve",
        value=value, ci95=ci95, goal=0.95,
        baselines={"chance": 0.5, f"of steps that are {other}": auc[other][0]},
    )  # fmt: skip


def _left_out(found: Mapping[Cell, dict[str, Any]], arm: str) -> str:
    """Which keys of the observation the errors are not of, in words."""
    keys = {key for cell in found if cell.arm == arm for key in found[cell].get("left_out", ())}
    return f"not judged: {', '.join(sorted(keys))}" if keys else ""


def _kinds(game: str) -> tuple[str, ...]:
    return ("honest", "shuffled") if game in CONTROLS else ("honest",)


def _config(name: str, scale: Scale, seed: int) -> Config:
    from metabonk.learn.presets import preset

    size = SIZE[scale]
    flags: dict[str, Any] = {"game.name": name, "run.seed": seed, "game.envs": 16}
    flags |= OWN.get(name, {})
    flags |= {f"world.{key}": size[key] for key in ("deter", "hidden", "groups")}
    flags |= {"world.classes": size["groups"], "world.sequence": SEQUENCE, "world.frames": FRAMES}
    return load(environ={}, presets=preset, flags=flags)


def _swapped(batch: Any) -> Any:
    """The same sequences, of which the first CONTEXT steps show what was seen in another."""
    observation = {}
    for key, value in batch.observation.items():
        observation[key] = value.clone()
        observation[key][:CONTEXT] = value[:CONTEXT].roll(1, 1)
    return batch._replace(observation=observation)


def played(config: Config, directory: Path, steps: int, seed: int) -> tuple[Any, Any]:
    """Replay of `steps` steps that a policy without any learning took, and the game."""
    from metabonk.games import from_config
    from metabonk.learn.collector import Collector
    from metabonk.learn.replay import Replay
    from metabonk.learn.trainer import game_seeds, parse_fixed
    from metabonk.models.policy import build

    game = from_config(config.game)
    fixed = parse_fixed(config.model.fixed)
    model = build(game.observation_space, game.action_layout, config.model, seed=seed, fixed=fixed)
    collector = Collector(game, model, horizon=64, seed=seed)
    collector.start(game_seeds(seed, 0, game.num_envs))
    replay = Replay(directory, 1 << 40, game.num_envs)
    while len(replay) < steps:
        replay.add(collector.collect())
    return replay, game


def _by_format(
    learner: Any, replay: Any, batch: Any, config: Config, updates: int, seed: int
) -> dict[str, float]:
    """By weight format, of a few of the sequences: open-loop error of persistence's, and what a
    dreamer that learned in float32 dreams to earn from the same starts with the same random
    numbers. rounded: the share of the weights that are in the format."""
    import torch

    from metabonk.learn.dreams import versions as dreams
    from metabonk.learn.dreams.dreamer import DreamLearner
    from metabonk.learn.dreams.foresight import foresight
    from metabonk.learn.dreams.world import Batch
    from metabonk.learn.rounded import FORMATS, rounded, share
    from metabonk.learn.trainer import parse_fixed
    from metabonk.models.dreamer import dream
    from metabonk.models.rssm import Latent

    world = learner.model
    fixed = parse_fixed(config.model.fixed)
    dreamer = dreams.make_dreamer(world, config.dream, config.model, fixed, seed)
    dreaming = DreamLearner(world, dreamer, config.dream, seed=seed)
    seen = world.init(0)
    found: dict[str, float] = {"rounded": share(world)}
    for update in range(updates):
        generator = np.random.default_rng([seed, DREAMS, update])
        drawn = Batch.of(replay.draw(config.world.batch, config.world.sequence, generator))
        with torch.no_grad():
            states = learner.states(drawn)
        seen = Latent(states.deter.flatten(0, 1), states.stoch.flatten(0, 1))
        dreaming.update(seen, DREAMED)
    few = slice(0, min(32, batch.is_first.shape[1]))  # all of it is dreamed anew for every format
    seen_few = {key: value[:, few] for key, value in batch.observation.items()}
    batch = Batch(seen_few, *(tensor[:, few] for tensor in batch[1:]))
    for name in ("fp32", *FORMATS):
        one, other = world, dreamer
        if name != "fp32":
            one, other = rounded(world, name), rounded(dreamer, name)  # type: ignore[arg-type]
        ahead = foresight(one, batch, CONTEXT, seed=seed)
        found[f"ratio {name}"] = float(ahead.error[-1] / ahead.persistence[-1])
        with torch.no_grad():
            dreamed = dream(one, other, seen, DREAMED, torch.Generator().manual_seed(seed))
            reward, going = one.outcome(dreamed.features[1:])
            weight = torch.cat([torch.ones_like(going[:1]), going[:-1]]).cumprod(0)
        found[f"dreamed {name}"] = float((weight * reward).sum(0).mean())
    return found


def _formats(found: Mapping[Cell, dict[str, Any]], arm: str, game: str) -> list[Figure]:
    """Shown, not judged: what a format costs is for whoever compiles to weigh."""
    one = next(values for cell, values in found.items() if cell.arm == arm)
    names = [key.split(" ", 1)[1] for key in one if key.startswith("ratio ")]
    exact = by_seed(found, arm, "ratio fp32")
    returns = float(np.mean(by_seed(found, arm, "dreamed fp32")))
    rounded = float(np.mean(by_seed(found, arm, "rounded")))
    rows = []
    for name in (n for n in names if n != "fp32"):
        value, ci95 = ratio_of(by_seed(found, arm, f"ratio {name}"), exact)
        dreamed = float(np.mean(by_seed(found, arm, f"dreamed {name}")))
        rows.append(
            Figure(
                name=f"{game}, weights in {name}: that error, of float32's", value=value, ci95=ci95,
                baselines={"float32": 1.0, "dreamed return": dreamed, "in float32": returns},
                note=f"{rounded:.0%} of the weights are in it",
            )
        )  # fmt: skip
    return rows
