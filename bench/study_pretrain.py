"""What a head start from recordings is worth: environment steps saved by `pretrain dream`.

Knows recordings, learning curves and settings; does not know how studies are run. The control
begins with what was learned from recordings whose actions belong to other moments. The return that
counts as learned is that of study_dreams.py, fixed before the runs. What was recorded was played,
too: what a head start saves is told with and without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metabonk.config import Config

from .curves import EPISODES, LOOKS, area, learn, steps_to
from .study import SEEDS, Cell, Figure, Scale, mean_of, ratio_of
from .study_dreams import LEARNED, ONE, awake, curves_of, dreaming, swept, written


class PretrainStudy:
    """The head start of a run that begins with dreams learned from recordings."""

    name = "pretrain"
    what = "environment steps saved by a world model and a dreamer learned from recordings"
    minutes: Mapping[Scale, float] = {"full": 30.0, "quick": 2.0}
    arms = ("scratch", "pretrained", "shuffled")

    def cells(self, scale: Scale) -> Sequence[Cell]:
        return [Cell(arm, seed) for seed in range(SEEDS[scale]) for arm in self.arms]

    def settings(self, scale: Scale) -> dict[str, Any]:
        own = {"steps": swept(scale), "looks": [LOOKS, EPISODES], "learned": LEARNED[ONE]}
        arms = written(ONE, efe__enabled=False, **awake(scale))
        return {"arms": arms, **own, **self._amounts(scale)}

    def _amounts(self, scale: Scale) -> dict[str, int]:
        full = scale == "full"
        return {"recorded": 20_000 if full else 3_000, "updates": 1500 if full else 120}

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        import torch

        from metabonk.learn.dreams.pretrain import pretrain_dream

        torch.set_num_threads(1)
        amounts = self._amounts(scale)
        config = dreaming(ONE, cell.seed, efe__enabled=False, **awake(scale))
        told: dict[str, Any] = {}
        if cell.arm != "scratch":
            source = directory / "recorded"
            mixed = cell.arm == "shuffled"
            recorded = record(config, source, amounts["recorded"], cell.seed, mixed=mixed)
            made = pretrain_dream(directory / "out", config, [source], updates=amounts["updates"])
            config.world.start = str(made.found.path)
            told = {"trust": made.foresight.trust, "auc": made.foresight.reward_auc}
            told["recorded"] = recorded
        return learn(config, directory / "run", swept(scale)) | told

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        curves = {arm: curves_of(found, arm) for arm in self.arms}
        steps = {arm: [steps_to(c, LEARNED[ONE])[0] for c in of] for arm, of in curves.items()}
        value, ci95 = ratio_of(steps["scratch"], steps["pretrained"])
        lost, lost95 = ratio_of(steps["shuffled"], steps["pretrained"])
        recorded = [curve["recorded"] for curve in curves["pretrained"]]
        played = [s + more for s, more in zip(steps["pretrained"], recorded, strict=True)]
        whole, whole95 = ratio_of(steps["scratch"], played)
        pairs = zip(curves["pretrained"], curves["scratch"], strict=True)
        gains = [area(ours) - area(theirs) for ours, theirs in pairs]
        gain, interval = mean_of(gains)
        return [
            Figure(
                name="times the steps that a head start saves", value=value, ci95=ci95, goal=1.0,
                sense=">", interval=True,
                baselines={
                    "from shuffled recordings": ratio_of(steps["scratch"], steps["shuffled"])[0],
                    "steps from scratch": float(np.mean(steps["scratch"])),
                },
                note="those that were recorded are not counted",
            ),
            Figure(
                name="the same, those that were recorded counted as well",
                value=whole, ci95=whole95,
                baselines={
                    "steps recorded": float(np.mean(recorded)),
                    "steps with both": float(np.mean(played)),
                },
                note="below 1 a head start pays only where recordings are there anyway",
            ),
            Figure(
                name="times the steps that it takes from recordings of other actions",
                value=lost, ci95=lost95, goal=1.0, sense=">", interval=True,
            ),
            Figure(name="return on the way, gained by it", value=gain, ci95=interval),
        ]  # fmt: skip

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        from .study_pictures import curves

        curves(path, {ONE: {arm: curves_of(found, arm) for arm in self.arms}})


def record(config: Config, directory: Path, steps: int, seed: int, *, mixed: bool) -> int:
    """Episodes of random play, of about `steps` steps of all games together; returns how many.
    mixed: with actions of other moments, the control."""
    from metabonk.data.episode import EpisodeWriter, Header
    from metabonk.games import from_config
    from metabonk.learn.trainer import game_seeds
    from metabonk.models.actor import Uniform

    game = from_config(config.game)
    num, generator = game.num_envs, np.random.default_rng(seed)
    header = Header.of(
        game.action_layout, source=game.name, seed=seed, actor="random", num_envs=num
    )
    seen = {
        key: np.zeros((num, *(sub.shape or ())), sub.dtype)
        for key, sub in game.observation_space.spaces.items()
    }
    reward = np.zeros(num, np.float32)
    terminated, truncated, is_reset = (np.zeros(num, np.bool_) for _ in range(3))
    policy = Uniform(game.action_layout, seed=seed)
    state, first = policy.reset(num), np.ones(num, np.bool_)
    nothing = np.zeros((num, len(game.action_layout.branches)), np.float32)
    game.reset_into(seen, game_seeds(seed, 0, num))
    with EpisodeWriter(directory, header) as writer:
        for _ in range(steps // num):
            rows, state = policy.act(seen, state, first)
            before = {key: value.copy() for key, value in seen.items()}
            game.step_into(rows, seen, reward, terminated, truncated, is_reset)
            told = generator.permutation(rows) if mixed else rows
            writer.append_step(before, told, nothing, reward, terminated, truncated, is_reset)
            first[:] = is_reset
    game.close()
    return steps // num * num
