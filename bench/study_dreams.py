"""What dreams are worth: environment steps saved, and by which horizon.

Knows learning curves and settings; does not know how studies are run. Arms of one seed play the
same games from the same weights: what differs is whether somebody dreams beside the policy, who
plays a share of the games, teaches while he leads, and serves then. All steps count, also those
that he plays. The control dreams of a world model that learned from actions of other moments; it
has the same schedules, and three eighths of the budget. What it returns more than PPO alone on the
way there must be clearly less than half of what dreams of the right actions return more: steps
alone would not tell, where neither comes to the return in time. It has to have dreamed at least
half as often: who never does is PPO alone.

A game counts as learned at a return that was fixed before the runs: 80 % of the way from where
training begins to the best that is known of it. Trainings end there, which is all that they are
asked for; one that does not come there counts as its whole budget.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metabonk.config import Config, load
from metabonk.errors import MissingExtraError

from .curves import EPISODES, LOOKS, WINDOW, area, learn, shuffled, steps_to
from .study import SEEDS, Cell, Figure, Scale, deciding, mean_of, ratio_of

HORIZONS = (1, 3, 5, 10, 15, 30)
# Of both arms. In rollouts of few games and steps PPO alone needs two to four times fewer of them
# than in the presets', which are quick: so it is not handicapped; and 32 steps are the least by
# which a world model can be judged 15 ahead.
PLAY: dict[str, dict[str, Any]] = {"gym": {"game.envs": 16, "ppo.horizon": 32}}
# Of who dreams, where no preset says it: in cells an update takes several times as long.
OWN: dict[str, dict[str, Any]] = {
    "grid64/ice_slide": {
        "world.deter": 64,
        "world.groups": 16,
        "world.classes": 0,
        "world.hidden": 64,
        "world.learning_rate": 1e-3,
        "world.batch": 8,
        "world.sequence": 32,
        "world.frames": 64,
        "world.ratio": 7.0,
        "dream.hidden": 64,
        "dream.learning_rate": 1e-3,
        "dream.starts": 256,
        "dream.distill_coef": 1.0,
        "efe.enabled": False,
    }
}
STEPS = {
    "gym/Pendulum-v1": 32_768,
    "gym/InvertedDoublePendulum-v5": 131_072,  # in half of it none of five came there by PPO alone
    "gym/CartPole-v1": 20_480,
    "grid64/ice_slide": 40_960,
    "doom/health_gathering": 60_000,
}
# Looks where they would cost more than what is looked at: episodes last a thousand steps.
LOOKED: dict[str, dict[str, Any]] = {
    "gym/InvertedDoublePendulum-v5": {"looks": 64, "episodes": 16, "alone": False}
}
CONTROLLED = 0.375  # of the budget: more than dreams of the right actions take, in an hour
# The return at which a game counts as learned; see the module.
LEARNED = {
    "gym/Pendulum-v1": -360.0,  # from -1,200 to -150
    "gym/InvertedDoublePendulum-v5": 7_490.0,  # from 51 to 9,350
    "gym/CartPole-v1": 404.0,  # from 22 to 500, which is the most there is
    "grid64/ice_slide": 4.15,  # from 0.75 to 5, which is the most there is
}
# Three count. The arena and grid64 do not fit into an hour: by their frames and crowds a world
# model of this size is not ahead of persistence after a thousand updates, so that nothing is
# dreamed yet; how far larger ones see there is what study_world.py shows. Doom has its own study.
GAMES: dict[Scale, tuple[str, ...]] = {
    "full": ("gym/Pendulum-v1", "gym/InvertedDoublePendulum-v5", "gym/CartPole-v1"),
    "quick": ("grid64/ice_slide",),
}
ENGINES = {"gym/InvertedDoublePendulum-v5": "mujoco"}  # that Gymnasium needs for them
QUICK = 0.1  # of the steps of a full run
SAVED = 2.0  # times fewer steps
KEPT = 0.5  # of the gain at the most, by dreams of other actions
DREAMED_TOO = 0.5  # at least, of the rollouts after which the right actions are dreamed of
ARMS = ("off", "on", "shuffled")
SAID = dict(zip(ARMS, ("alone", "with dreams", "with dreams of other actions"), strict=True))
DREAMS_SAVE = "times the steps that dreams save"
ONE = "gym/Pendulum-v1"  # where horizons and recordings are studied
SWEPT = 10_240  # steps of each of these runs: dreams come there, PPO alone does not
# Smoke: six rollouts with few updates after each, and a dreamer that is awake after the second.
SWEPT_QUICK = 3_072
AWAKE: dict[str, Any] = {"world__ratio": 16.0, "dream__warm_up": 20}


def config_of(game: str, seed: int, **more: Any) -> Config:
    """A run of that game, with what is known to work there; `more` by key, dots as __."""
    from metabonk.learn.presets import preset

    flags = {"game.name": game, "run.seed": seed, "run.torch_threads": 1, **playing(game)}
    given = {key.replace("__", "."): value for key, value in more.items()}
    return load(environ={}, presets=preset, flags=flags | given)


def steps_of(game: str, scale: Scale) -> int:
    return int(STEPS[game] * (QUICK if scale == "quick" else 1.0))


def swept(scale: Scale) -> int:
    """Steps of a run where horizons and recordings are studied."""
    return SWEPT if scale == "full" else SWEPT_QUICK


def awake(scale: Scale) -> dict[str, Any]:
    """Settings by which those runs dream before they end."""
    return {} if scale == "full" else AWAKE


def playing(game: str) -> dict[str, Any]:
    """Settings of everybody who plays there."""
    return PLAY.get(game.partition("/")[0], {})


def dreaming(game: str, seed: int, **more: Any) -> Config:
    """The same with dreams, as whoever asks for them gets them there."""
    own = {key.replace(".", "__"): value for key, value in OWN.get(game, {}).items()}
    return config_of(game, seed, dream__enabled=True, **{**own, **more})


def plain(game: str, seed: int, **more: Any) -> Config:
    """The same with nothing beside the policy."""
    off = {"world__enabled": False, "dream__enabled": False, "efe__enabled": False}
    return config_of(game, seed, **{**off, **more})


def written(game: str, **more: Any) -> list[Any]:
    """Both arms' settings, as plain data; `more` of the one that dreams."""
    return [deciding(config) for config in (plain(game, 0), dreaming(game, 0, **more))]


class DreamStudy:
    """Steps until a game is learned, by PPO alone and with dreams."""

    name = "dreams"
    what = "environment steps until a return: PPO alone, with dreams, with dreams of other actions"
    minutes: Mapping[Scale, float] = {"full": 60.0, "quick": 4.0}

    def cells(self, scale: Scale) -> Sequence[Cell]:
        arms = [f"{game} {kind}" for game in GAMES[scale] for kind in ARMS]
        return [Cell(arm, seed) for seed in range(SEEDS[scale]) for arm in arms]

    def settings(self, scale: Scale) -> dict[str, Any]:
        games = {g: [steps_of(g, scale), LEARNED[g], *written(g)] for g in GAMES[scale]}
        looks = {"looks": [LOOKS, EPISODES, WINDOW], "looked": LOOKED, "controlled": CONTROLLED}
        return {"games": games, **looks}

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        game, kind = cell.arm.rsplit(" ", 1)
        if game in ENGINES and importlib.util.find_spec(ENGINES[game]) is None:
            raise MissingExtraError(ENGINES[game], "bench", game)
        steps, looks = steps_of(game, scale), LOOKED.get(game, {})
        asked: dict[str, Any] = {**looks, "until": LEARNED[game], "planned": steps}
        if kind == "off":
            return learn(plain(game, cell.seed), directory, steps, **asked)
        config = dreaming(game, cell.seed)
        if kind == "shuffled":
            asked["looks"] = round(looks.get("looks", LOOKS) * CONTROLLED)
            return learn(config, directory, round(steps * CONTROLLED), shuffled, **asked)
        return learn(config, directory, steps, **asked)

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        games = [game for game in LEARNED if any(c.arm.startswith(f"{game} ") for c in found)]
        rows = [row for game in games for row in _saved(found, game)]
        saved = [r for r in rows if r.name.endswith(DREAMS_SAVE)]
        clear = sum(r.value >= SAVED and r.ci95 is not None and r.ci95[0] > 1.0 for r in saved)
        if len(games) > 1:
            rows.append(
                Figure(
                    name=f"games in which dreams save {SAVED:g} times the steps, and clearly some",
                    value=float(clear), goal=2.0, baselines={"of": float(len(games))},
                )
            )  # fmt: skip
        return rows

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        from .study_pictures import curves

        games = [game for game in LEARNED if any(c.arm.startswith(f"{game} ") for c in found)]
        curves(path, {g: _arms(found, g) for g in games})


def _arms(found: Mapping[Cell, dict[str, Any]], game: str) -> dict[str, list[dict[str, Any]]]:
    """Curves by kind, in the order of their seeds."""
    arms: dict[str, list[dict[str, Any]]] = {}
    for cell in sorted(found, key=lambda cell: cell.seed):
        name, kind = cell.arm.rsplit(" ", 1)
        if name == game:
            arms.setdefault(kind, []).append(found[cell])
    return arms


def _saved(found: Mapping[Cell, dict[str, Any]], game: str) -> list[Figure]:
    """The steps that a game takes with dreams, and how many times as many without."""
    arms, wanted = _arms(found, game), LEARNED[game]
    reached = {kind: [steps_to(c, wanted) for c in curves] for kind, curves in arms.items()}
    steps = {kind: [s for s, _ in pairs] for kind, pairs in reached.items()}
    told = [
        f"{sum(not ok for _, ok in pairs)} of {len(pairs)} {SAID[kind]} never came there"
        for kind, pairs in reached.items()
        if not all(ok for _, ok in pairs)
    ]
    ended = [curve["served"][-1] for curve in arms["on"]]
    told.append(f"in the end the dreamer served in {ended.count('dreamer')} of {len(ended)}")
    value, ci95 = mean_of(steps["on"])
    rows = [
        Figure(
            name=f"{game}: environment steps until it returns {wanted:g}, with dreams",
            value=value, ci95=ci95, unit="steps", note="; ".join(told),
            baselines={"PPO alone": float(np.mean(steps["off"]))},
        )
    ]  # fmt: skip
    value, ci95 = ratio_of(steps["off"], steps["on"])
    rows.append(
        Figure(name=f"{game}: {DREAMS_SAVE}", value=value, ci95=ci95, baselines={"PPO alone": 1.0})
    )
    if "shuffled" in arms:
        saves = ci95 is not None and ci95[0] > 1.0
        rows += _controlled(arms, steps, game, saves)
    return rows


def _controlled(
    arms: dict[str, list[dict[str, Any]]], steps: dict[str, list[float]], game: str, saves: bool
) -> list[Figure]:
    """What dreams of other actions are worth within their budget, and that there were any. saves:
    whether dreams clearly save steps; where they gain nothing that is clear there is nothing that
    a control could take away, and it is only shown."""
    budget = arms["shuffled"][0]["budget"]
    within = [min(float(taken), float(budget)) for taken in steps["on"]]
    value, ci95 = ratio_of(steps["shuffled"], within)
    on, off, other = (
        np.array([area(c, budget) for c in arms[k]]) for k in ("on", "off", "shuffled")
    )
    gained, on_the_way = mean_of((on - off).tolist())
    judged = saves or (on_the_way is not None and on_the_way[0] > 0.0)
    nothing = "" if judged else "; dreams gain nothing here that is clear: nothing to take away"
    share = (other - off) / gained if gained > 0.0 else np.full(len(off), np.nan)
    kept, kept95 = mean_of(share.tolist())
    late = sum(taken >= budget for taken in steps["shuffled"])
    dreamt = {k: float(np.mean([c["dreamt"] for c in arms[k]])) for k in ("on", "shuffled")}
    return [
        Figure(
            name=f"{game}: times the steps that it takes without knowing what actions do",
            value=value, ci95=ci95, goal=1.0 if judged else None, sense=">", interval=True,
            note=f"within {budget:,} steps{nothing}",
        ),
        Figure(
            name=f"{game}: of the return on the way that dreams gain, what those of others gain",
            value=kept, ci95=kept95, goal=KEPT if judged else None, sense="<=",
            interval=True, baselines={"dreams": 1.0, "PPO alone": 0.0},
            note=f"within {budget:,} steps; {late} of {len(other)} never came there{nothing}",
        ),
        Figure(
            name=f"{game}: how often other actions were dreamed of, of how often the right ones",
            value=dreamt["shuffled"] / dreamt["on"] if dreamt["on"] > 0.0 else math.nan,
            goal=DREAMED_TOO if judged else None, baselines={"PPO alone": 0.0},
            note=f"after {dreamt['shuffled']:.0%} and {dreamt['on']:.0%} of the rollouts",
        ),
    ]  # fmt: skip


class HorizonStudy:
    """How long dreams should be: a sweep beside the measured trust horizon."""

    name = "horizon"
    what = "return on the way by horizon of the dreams, 1 to 30, beside the trust horizon and none"
    minutes: Mapping[Scale, float] = {"full": 45.0, "quick": 2.0}

    def cells(self, scale: Scale) -> Sequence[Cell]:
        arms = ["off", "trust", *(str(h) for h in self._horizons(scale))]
        return [Cell(arm, seed) for seed in range(SEEDS[scale]) for arm in arms]

    def _horizons(self, scale: Scale) -> Sequence[int]:
        return HORIZONS if scale == "full" else (1, 15)

    def settings(self, scale: Scale) -> dict[str, Any]:
        horizons = list(self._horizons(scale))
        steps = swept(scale)
        return {
            "arms": written(ONE, **awake(scale)),
            "steps": steps,
            "horizons": horizons,
            "looks": [LOOKS, EPISODES],
        }

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        steps = swept(scale)
        if cell.arm == "off":
            return learn(plain(ONE, cell.seed), directory, steps)
        horizon = 0 if cell.arm == "trust" else int(cell.arm)
        config = dreaming(ONE, cell.seed, dream__horizon=horizon, **awake(scale))
        return learn(config, directory, steps)

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        off = [area(curve) for curve in curves_of(found, "off")]
        rows = []
        for arm in sorted({c.arm for c in found} - {"off"}, key=lambda a: (len(a), a)):
            gains = [area(c) - o for c, o in zip(curves_of(found, arm), off, strict=True)]
            value, ci95 = mean_of(gains)
            shown = "the trust horizon" if arm == "trust" else f"{arm} steps"
            rows.append(
                Figure(
                    name=f"return on the way, gained by dreams of {shown}", value=value, ci95=ci95,
                    baselines={"return without": float(np.mean(off))},
                )
            )  # fmt: skip
        return rows

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        from .study_pictures import sweep

        off = [area(curve) for curve in curves_of(found, "off")]
        gains = {
            arm: [area(c) - o for c, o in zip(curves_of(found, arm), off, strict=True)]
            for arm in {cell.arm for cell in found} - {"off"}
        }
        sweep(path, {int(a): g for a, g in gains.items() if a != "trust"}, gains["trust"])


def curves_of(found: Mapping[Cell, dict[str, Any]], arm: str) -> list[dict[str, Any]]:
    """An arm's, in the order of their seeds."""
    cells = sorted((c for c in found if c.arm == arm), key=lambda cell: cell.seed)
    return [found[cell] for cell in cells]
