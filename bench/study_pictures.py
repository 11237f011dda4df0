"""Pictures of studies: learning curves by arm, and a sweep over horizons. Knows matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metabonk.errors import MissingExtraError
from metabonk.files import replacing

from .curves import smooth
from .study import mean_of

COLOURS = {
    "on": "#1f6feb",
    "pretrained": "#1f6feb",
    "off": "#8a94a0",
    "scratch": "#8a94a0",
    "shuffled": "#b7791f",
}


def curves(path: Path, games: Mapping[str, Mapping[str, Sequence[dict[str, Any]]]]) -> None:
    """A panel a game: every seed as a thin line, the mean of an arm as a thick one."""
    figure, axes = _figure(len(games))
    for panel, (game, arms) in zip(axes, games.items(), strict=True):
        for arm, found in arms.items():
            colour = COLOURS.get(arm, "#69727c")
            rows = [smooth(curve) for curve in found]
            for places, means in rows:
                panel.plot(places, means, color=colour, alpha=0.25, linewidth=0.8)
            known = np.nanmean(np.stack([means for _, means in rows]), 0)
            panel.plot(rows[0][0], known, color=colour, linewidth=2.0, label=arm)
        panel.set_title(game, fontsize=10)
        panel.set_xlabel("environment steps")
        panel.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("mean return")
    _save(figure, path)


def sweep(path: Path, gains: Mapping[int, Sequence[float]], trust: Sequence[float]) -> None:
    """Return gained by horizon with its interval, and by the trust horizon as a band."""
    figure, (panel,) = _figure(1)
    horizons = sorted(gains)
    for at, horizon in enumerate(horizons):
        value, ci95 = mean_of(gains[horizon])
        low, high = ci95 or (value, value)
        panel.plot([at, at], [low, high], color="#1f6feb", linewidth=2.0)
        panel.plot([at], [value], "o", color="#1f6feb")
    value, ci95 = mean_of(trust)
    low, high = ci95 or (value, value)
    panel.axhspan(low, high, color="#2f9e44", alpha=0.15)
    panel.axhline(value, color="#2f9e44", linewidth=1.5, label="trust horizon")
    panel.axhline(0.0, color="#8a94a0", linewidth=1.0, label="no dreams")
    panel.set_xticks(range(len(horizons)), [str(h) for h in horizons])
    panel.set_xlabel("steps that dreams last")
    panel.set_ylabel("return on the way, gained")
    panel.legend(frameon=False, fontsize=8)
    _save(figure, path)


def _figure(panels: int) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "train", "a study's picture") from error
    figure = Figure(figsize=(4.2 * panels, 3.2), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=130)
