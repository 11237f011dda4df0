"""How far a world model sees: open-loop error by horizon, beside what needs no model.

Knows the world model and sequences; does not know how it was trained. A sequence is watched for
`context` steps and then dreamed on, several times, under the actions that were really taken; what
the dreams expect on average is judged, as one dream of a world with chance in it errs twice as far
as the mean does, however good the model. Errors are beside those of persistence (nothing changes
from the last frame seen) and of the mean of what was seen; the reward is judged by how well steps
that paid more than steps usually do are ranked above the others, dreamed and, beside that, seen:
much of what a step will pay is left to chance, and all of it can be told once it was seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metabonk.learn.dreams import measure
from metabonk.learn.dreams.stretches import spread
from metabonk.learn.dreams.world import Batch
from metabonk.models.decoder import Part
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel
from metabonk.protocols import BoolArray, FloatArray

Doubles = npt.NDArray[np.float64]
DRAWS = 8  # dreams of each sequence
CLEARLY = 0.9  # of the error of what needs no model
PICTURED = 32  # sequences whose pixels are compared; there are many in each, and much alike


@dataclass(frozen=True)
class Foresight:
    """By dreamed step 1..H: `error`, `persistence` and `mean` [H] of the observation, in the units
    of measure.py, every key by its elements. changed: wrong cells among those that changed since
    the last frame seen, NaN [H] without cells. reward_auc: of dreamed steps; seen_auc: of the same
    steps, had they been seen; NaN where all of them paid the same. sequences: without a reset, that
    were judged. tolerable: an error that is small whatever the others are. left_out: keys of the
    observation that did not count."""

    error: FloatArray
    persistence: FloatArray
    mean: FloatArray
    changed: FloatArray
    reward_auc: float
    seen_auc: float
    sequences: int
    tolerable: float = 0.0
    left_out: tuple[str, ...] = ()

    @property
    def trust(self) -> int:
        """The trust horizon: the furthest step whose error, and the mean of the errors up to it,
        are below those of persistence and of the mean by a tenth at least, or tolerable; 0 if there
        is none.

        Steps before it need not be: where a game hardly moves from one step to the next, nothing
        beats persistence there, and a dream is of what comes after. Nor can anything beat it where
        the game is kept still by who plays it well: there a small error has to do.
        """
        rows = np.stack([self.error, self.persistence, self.mean]).astype(np.float64)
        upto = rows.cumsum(1) / np.arange(1, rows.shape[1] + 1)
        trusted = np.flatnonzero(self._clear(*rows) & self._clear(*upto))
        return int(trusted[-1]) + 1 if len(trusted) else 0

    def _clear(self, error: FloatArray, still: FloatArray, mean: FloatArray) -> BoolArray:
        wanted = np.maximum(CLEARLY * np.minimum(still, mean), self.tolerable)
        return np.asarray(error < wanted)


@torch.no_grad()
def foresight(
    model: WorldModel,
    batch: Batch,
    context: int,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    pictured: int = PICTURED,
) -> Foresight:
    """Judges sequences of `context` + H steps. Those that hold a reset after the first watched step
    are left out, as no action explains it. pictured: of the others, how many at most have their
    pixels compared. Raises ValueError if no sequence is left, or nothing that counts was seen."""
    length = len(batch.is_first)
    if not 0 < context < length:
        raise ValueError(f"context: {context}; wanted 1 to {length - 1}, steps before the dream")
    whole = ~batch.is_first[1:].any(0)
    if not bool(whole.any()):
        raise ValueError("foresight: every sequence holds a reset: draw more or shorter ones")
    parts = measure.judged(model.decoder)
    if not parts:
        raise ValueError(
            f"foresight: nothing of the observation {sorted(model.decoder.parts)} is a number or "
            "a frame, so that no error can be told: set dream.horizon instead"
        )
    batch = Batch(
        {k: v[:, whole] for k, v in batch.observation.items()}, *(t[:, whole] for t in batch[1:])
    )
    seen, features = _seen_and_dreamed(model, batch, context, draws, seed)
    more = _paid_more(batch.reward[context:].flatten())
    auc = area_under_curve(_expected(model, features).mean(1).flatten(), more)
    seen_auc = area_under_curve(_expected(model, seen).flatten(), more)
    hidden = model.decoder_input(features.flatten(0, 2)).unflatten(0, features.shape[:3])
    hidden = hidden.transpose(1, 2)
    found, widths = [], []
    for key, part in parts.items():
        real = batch.observation[key]
        found.append(_judge(part, hidden, real, context, pictured))
        widths.append(real[0, 0].numel())
    error, still, mean = np.average([rows[:3] for rows in found], 0, widths).astype(np.float32)
    changed = next((rows[3] for rows in found if rows[3] is not None), np.full(len(error), np.nan))
    tolerated = float(np.average([measure.tolerable(part) for part in parts.values()], 0, widths))
    missed = measure.left_out(model.decoder)
    return Foresight(
        error,
        still,
        mean,
        changed.astype(np.float32),
        auc,
        seen_auc,
        features.shape[2],
        tolerated,
        missed,
    )


def _seen_and_dreamed(
    model: WorldModel, batch: Batch, context: int, draws: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Features of the H steps after `context`: as they were seen [H, B, F], and dreamed from what
    had been seen before them [H, draws, B, F]."""
    length, num = batch.is_first.shape
    generator = torch.Generator().manual_seed(seed)
    noise = model.rssm.noise(length, num, generator=generator)
    seen = model.sequence(model.init(num), batch.action, batch.observation, batch.is_first, noise)
    last = context - 1
    state = Latent(seen.deter[last].repeat(draws, 1), seen.stoch[last].repeat(draws, 1))
    action = model.actions(batch.action[context:]).repeat(1, draws, 1)
    noise = model.rssm.noise(length - context, draws * num, generator=generator)
    ahead = model.rssm.sequence(state, action, None, None, noise)
    dreamed = Latent(ahead.deter, ahead.stoch).features
    return (
        Latent(seen.deter, seen.stoch).features[context:],
        dreamed.view(length - context, draws, num, -1),
    )


def _expected(model: WorldModel, features: Tensor) -> Tensor:
    """The reward [...] that features [..., F] expect."""
    lead = features.shape[:-1]
    return model.values.mean(model.reward(features.flatten(0, -2))).view(lead)


def _judge(
    part: Part, hidden: Tensor, seen: Tensor, context: int, pictured: int
) -> tuple[Doubles, Doubles, Doubles, Doubles | None]:
    """error, persistence, mean and changed [H] of one key, averaged over its elements; hidden
    [H, B, draws, width] are the decoder's inputs, seen [context + H, B, ...]."""
    usual = _usual(part, seen[:context])
    if measure.is_pixels(part):
        some = torch.from_numpy(spread(seen.shape[1], pictured))
        hidden, seen = hidden[:, some], seen[:, some]
    last = measure.real(part, seen[context - 1])
    cells = measure.is_cells(part)
    rows = np.zeros((4, len(hidden)))
    for h, now in enumerate(seen[context:]):
        truth = measure.real(part, now)
        wrong = measure.apart(part, measure.shown(part, hidden[h]), truth)
        moved = measure.apart(part, last, truth)
        errors = (wrong, moved, measure.apart(part, usual, truth))
        rows[:3, h] = [float(error.mean()) for error in errors]
        if cells:
            rows[3, h] = float((wrong * moved).sum() / moved.sum())
    return rows[0], rows[1], rows[2], rows[3] if cells else None


def _usual(part: Part, seen: Tensor) -> Tensor:
    """What is expected of a key by whoever knows no more than the mean, of cells the most frequent
    colour, [...] in units; of pixels and cells that of what was watched, seen [context, B, ...], of
    numbers that of all that was ever seen."""
    if measure.is_cells(part):
        return seen.flatten(0, 1).mode(0).values
    if measure.is_pixels(part):  # step by step: as floats all of them take four times the memory
        return torch.stack([measure.real(part, one).mean(0) for one in seen]).mean(0)
    return torch.zeros(())


def _paid_more(paid: Tensor) -> Tensor:
    """Which steps paid more than the median one; where no step did, which paid no less than it."""
    usual = paid.median()
    more = paid > usual
    return more if bool(more.any()) else paid >= usual


def area_under_curve(score: Tensor, positive: Tensor) -> float:
    """Probability that a positive scores above a negative, ties counting half; NaN without both
    (Hanley and McNeil 1982)."""
    yes, no = score[positive], score[~positive]
    if not len(yes) or not len(no):
        return float("nan")
    ranked = torch.sort(no).values
    below = torch.searchsorted(ranked, yes, right=False).double()
    upto = torch.searchsorted(ranked, yes, right=True).double()
    return float((0.5 * (below + upto)).mean() / len(no))
