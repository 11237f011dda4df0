"""What dreams are worth: environment steps saved, by horizon, from recordings, and in Doom.

Knows learning curves and settings; does not know how studies are run. Arms of one seed play the
same games from the same weights: what differs is whether the policy is taught by who dreams. The
control dreams of a world model that learned from actions of other moments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metabonk.config import Config, load

from .curves import area, learn, level, shuffled, smooth, steps_to
from .study import SEEDS, Cell, Figure, Scale, mean_of, ratio_of

HORIZONS = (1, 3, 5, 10, 15, 30)
# Small enough for a core, and as many updates as a short run needs.
SMALL: dict[str, Any] = {
    "world.deter": 128,
    "world.hidden": 128,
    "world.groups": 8,
    "world.classes": 8,
    "world.sequence": 32,
    "world.learning_rate": 1e-3,
    "world.ratio": 4.0,
    "dream.hidden": 128,
    "dream.warm_up": 100,
    "dream.starts": 256,
    "dream.learning_rate": 1e-3,
}
STEPS = {
    "gym/CartPole-v1": 40_000,
    "gym/Acrobot-v1": 100_000,
    "grid64/ice_slide": 200_000,
    "doom/health_gathering": 60_000,
}
GAMES: dict[Scale, tuple[str, ...]] = {
    "full": ("gym/CartPole-v1", "gym/Acrobot-v1", "grid64/ice_slide"),
    "quick": ("grid64/ice_slide",),
}
QUICK = 0.1  # of the steps of a full run
SAVED = 2.0  # times fewer steps
DREAMS_SAVE = "times the steps that dreams save"
ONE = "gym/CartPole-v1"  # where horizons and recordings are studied


def config_of(game: str, seed: int, **more: Any) -> Config:
    """A run of that game, with what is known to work there; `more` by key, dots as __."""
    from metabonk.learn.presets import preset

    flags = {"game.name": game, "run.seed": seed, "run.torch_threads": 1}
    given = {key.replace("__", "."): value for key, value in more.items()}
    return load(environ={}, presets=preset, flags=flags | given)


def steps_of(game: str, scale: Scale) -> int:
    return int(STEPS[game] * (QUICK if scale == "quick" else 1.0))


def dreaming(game: str, seed: int, **more: Any) -> Config:
    """The same with dreams."""
    on = {key.replace(".", "__"): value for key, value in SMALL.items()}
    return config_of(game, seed, dream__enabled=True, **{**on, **more})


def plain(game: str, seed: int, **more: Any) -> Config:
    """The same with nothing beside the policy."""
    off = {"world__enabled": False, "dream__enabled": False, "efe__enabled": False}
    return config_of(game, seed, **{**off, **more})


class DreamStudy:
    """Steps to 80 % of the best return, dreams on against off."""

    name = "dreams"
    what = "environment steps to 80 % of the best return: dreams on, off and of shuffled actions"
    minutes: Mapping[Scale, float] = {"full": 60.0, "quick": 6.0}

    def cells(self, scale: Scale) -> Sequence[Cell]:
        arms = [f"{game} {kind}" for game in GAMES[scale] for kind in ("off", "on")]
        arms.append(f"{GAMES[scale][0]} shuffled")
        return [Cell(arm, seed) for seed in range(SEEDS[scale]) for arm in arms]

    def settings(self, scale: Scale) -> dict[str, Any]:
        steps = {game: steps_of(game, scale) for game in GAMES[scale]}
        return {**SMALL, "steps": steps}

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        game, kind = cell.arm.rsplit(" ", 1)
        steps = steps_of(game, scale)
        if kind == "off":
            return learn(plain(game, cell.seed), directory, steps)
        config = dreaming(game, cell.seed, efe__enabled=False)
        if kind == "shuffled":
            return learn(config, directory, steps, shuffled)
        return learn(config, directory, steps)

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        games = sorted({cell.arm.rsplit(" ", 1)[0] for cell in found})
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

        games = sorted({cell.arm.rsplit(" ", 1)[0] for cell in found})
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
    """How many times fewer steps a game takes, and what it earns on the way."""
    arms = _arms(found, game)
    wanted = level([*arms["off"], *arms["on"]])
    reached = {kind: [steps_to(c, wanted) for c in curves] for kind, curves in arms.items()}
    steps = {kind: [s for s, _ in pairs] for kind, pairs in reached.items()}
    never = {kind: sum(not ok for _, ok in pairs) for kind, pairs in reached.items()}
    value, ci95 = ratio_of(steps["off"], steps["on"])
    baselines = {"steps without": float(np.mean(steps["off"]))}
    if "shuffled" in steps:
        baselines["of shuffled actions"] = ratio_of(steps["off"], steps["shuffled"])[0]
    told = ", ".join(
        f"{count} of {kind} never came there" for kind, count in never.items() if count
    )
    rows = [
        Figure(
            name=f"{game}: {DREAMS_SAVE}", value=value, ci95=ci95,
            baselines=baselines, note=told or f"to a return of {wanted:.4g}",
        )
    ]  # fmt: skip
    gains = [area(a) - area(b) for a, b in zip(arms["on"], arms["off"], strict=True)]
    gain, interval = mean_of(gains)
    rows.append(
        Figure(
            name=f"{game}: return on the way, gained by dreams", value=gain, ci95=interval,
            baselines={"return without": float(np.mean([area(c) for c in arms["off"]]))},
        )
    )  # fmt: skip
    return rows


class HorizonStudy:
    """How long dreams should be: a sweep beside the measured trust horizon."""

    name = "horizon"
    what = "return on the way by horizon of the dreams, 1 to 30, beside the trust horizon and none"
    minutes: Mapping[Scale, float] = {"full": 45.0, "quick": 5.0}

    def cells(self, scale: Scale) -> Sequence[Cell]:
        arms = ["off", "trust", *(str(h) for h in self._horizons(scale))]
        return [Cell(arm, seed) for seed in range(SEEDS[scale]) for arm in arms]

    def _horizons(self, scale: Scale) -> Sequence[int]:
        return HORIZONS if scale == "full" else HORIZONS[::2]

    def settings(self, scale: Scale) -> dict[str, Any]:
        return {**SMALL, "steps": steps_of(ONE, scale), "horizons": list(self._horizons(scale))}

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        steps = steps_of(ONE, scale)
        if cell.arm == "off":
            return learn(plain(ONE, cell.seed), directory, steps)
        horizon = 0 if cell.arm == "trust" else int(cell.arm)
        longest = max(HORIZONS) if horizon else 15
        config = dreaming(
            ONE, cell.seed, efe__enabled=False, dream__horizon=horizon, dream__longest=longest
        )
        return learn(config, directory, steps)

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        off = [area(curve) for curve in _curves(found, "off")]
        rows = []
        for arm in sorted({c.arm for c in found} - {"off"}, key=lambda a: (len(a), a)):
            gains = [area(c) - o for c, o in zip(_curves(found, arm), off, strict=True)]
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

        off = [area(curve) for curve in _curves(found, "off")]
        gains = {
            arm: [area(c) - o for c, o in zip(_curves(found, arm), off, strict=True)]
            for arm in {cell.arm for cell in found} - {"off"}
        }
        sweep(path, {int(a): g for a, g in gains.items() if a != "trust"}, gains["trust"])


def _curves(found: Mapping[Cell, dict[str, Any]], arm: str) -> list[dict[str, Any]]:
    cells = sorted((c for c in found if c.arm == arm), key=lambda cell: cell.seed)
    return [found[cell] for cell in cells]


class PretrainStudy:
    """The head start of a run that begins with dreams learned from recordings."""

    name = "pretrain"
    what = "environment steps saved by a world model and a dreamer learned from recordings"
    minutes: Mapping[Scale, float] = {"full": 30.0, "quick": 5.0}
    arms = ("scratch", "pretrained", "shuffled")

    def cells(self, scale: Scale) -> Sequence[Cell]:
        return [Cell(arm, seed) for seed in range(SEEDS[scale]) for arm in self.arms]

    def settings(self, scale: Scale) -> dict[str, Any]:
        return {**SMALL, "steps": steps_of(ONE, scale), **self._amounts(scale)}

    def _amounts(self, scale: Scale) -> dict[str, int]:
        full = scale == "full"
        return {"recorded": 20_000 if full else 3_000, "updates": 1500 if full else 120}

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        from metabonk.learn.dreams.pretrain import pretrain_dream

        amounts = self._amounts(scale)
        config = dreaming(ONE, cell.seed, efe__enabled=False, dream__horizon=5)
        told: dict[str, Any] = {}
        if cell.arm != "scratch":
            source = directory / "recorded"
            record(config, source, amounts["recorded"], cell.seed, mixed=cell.arm == "shuffled")
            made = pretrain_dream(directory / "out", config, [source], updates=amounts["updates"])
            config.world.start = str(made.found.path)
            told = {"trust": made.foresight.trust, "auc": made.foresight.reward_auc}
        return learn(config, directory / "run", steps_of(ONE, scale)) | told

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        wanted = level([*_curves(found, "scratch"), *_curves(found, "pretrained")])
        steps = {a: [steps_to(c, wanted)[0] for c in _curves(found, a)] for a in self.arms}
        value, ci95 = ratio_of(steps["scratch"], steps["pretrained"])
        gains = [
            area(a) - area(b)
            for a, b in zip(_curves(found, "pretrained"), _curves(found, "scratch"), strict=True)
        ]
        gain, interval = mean_of(gains)
        return [
            Figure(
                name="times the steps that a head start saves", value=value, ci95=ci95, goal=1.0,
                sense=">", interval=True,
                baselines={
                    "from shuffled recordings": ratio_of(steps["scratch"], steps["shuffled"])[0],
                    "steps from scratch": float(np.mean(steps["scratch"])),
                },
            ),
            Figure(name="return on the way, gained by it", value=gain, ci95=interval),
        ]  # fmt: skip

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        from .study_pictures import curves

        curves(path, {ONE: {arm: _curves(found, arm) for arm in self.arms}})


def record(config: Config, directory: Path, steps: int, seed: int, *, mixed: bool) -> None:
    """Episodes of random play. mixed: with actions of other moments, the control."""
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


class DoomStudy:
    """PPO with a world model and dreams against PPO alone, in Doom from pixels."""

    name = "doom"
    what = "Doom's health gathering: PPO with dreams against PPO alone, the same steps"
    minutes: Mapping[Scale, float] = {"full": 60.0, "quick": 0.0}
    game = "doom/health_gathering"

    def cells(self, scale: Scale) -> Sequence[Cell]:
        if scale == "quick":  # an engine that draws every frame is not for smoke tests
            return []
        return [Cell(arm, seed) for seed in range(SEEDS[scale]) for arm in ("off", "on")]

    def settings(self, scale: Scale) -> dict[str, Any]:
        return {**SMALL, "steps": steps_of(self.game, scale)}

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        steps = steps_of(self.game, scale)
        if cell.arm == "off":
            return learn(plain(self.game, cell.seed), directory, steps)
        config = dreaming(
            self.game, cell.seed, efe__enabled=False, world__ratio=1.0, world__frames=64
        )
        return learn(config, directory, steps)

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        on, off = _curves(found, "on"), _curves(found, "off")
        gain, ci95 = mean_of([area(a) - area(b) for a, b in zip(on, off, strict=True)])
        last = [smooth(a)[1][-1] - smooth(b)[1][-1] for a, b in zip(on, off, strict=True)]
        end, interval = mean_of(last)
        mean = {"return without": float(np.mean([area(c) for c in off]))}
        return [
            Figure(
                name="return on the way, gained by dreams", value=gain, ci95=ci95, goal=0.0,
                sense=">", interval=True, baselines=mean,
            ),
            Figure(name="return at the end, gained by dreams", value=end, ci95=interval),
        ]  # fmt: skip

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        from .study_pictures import curves

        curves(path, {self.game: {arm: _curves(found, arm) for arm in ("off", "on")}})
