"""How far a world model sees: open-loop error by horizon, beside what needs no model.

Knows the world model and sequences; does not know how it was trained. A sequence is watched for
`context` steps and then dreamed on under the actions that were really taken. Errors are beside
those of persistence (nothing changes from the last frame seen) and of the mean of what was seen;
the reward is judged by how well it ranks steps that brought some above those that did not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metabonk.learn.world import Batch
from metabonk.models.decoder import Frame, Numbers
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel
from metabonk.protocols import FloatArray


@dataclass(frozen=True)
class Foresight:
    """By dreamed step 1..H: `error`, `persistence` and `mean` [H] of the observation, numbers in
    squared deviations, cells as the share that is wrong. changed: wrong cells among those that
    changed since the last frame seen, NaN [H] without cells. reward_auc: NaN if there was no
    reward, or nothing else. sequences: without a reset, that were judged."""

    error: FloatArray
    persistence: FloatArray
    mean: FloatArray
    changed: FloatArray
    reward_auc: float
    sequences: int

    @property
    def trust(self) -> int:
        """The trust horizon: how many steps ahead, without a gap, its error is below those of
        persistence and of the mean by a tenth at least."""
        worse = np.flatnonzero(~(self.error < 0.9 * np.minimum(self.persistence, self.mean)))
        return int(worse[0]) if len(worse) else len(self.error)


@torch.no_grad()
def foresight(model: WorldModel, batch: Batch, context: int, *, seed: int = 0) -> Foresight:
    """Judges sequences of `context` + H steps. Those that hold a reset after the first watched step
    are left out, as no action explains it. Raises ValueError if none is left."""
    length = len(batch.is_first)
    if not 0 < context < length:
        raise ValueError(f"context: {context}; wanted 1 to {length - 1}, steps before the dream")
    whole = ~batch.is_first[1:].any(0)
    if not bool(whole.any()):
        raise ValueError("foresight: every sequence holds a reset: draw more or shorter ones")
    batch = Batch(
        {k: v[:, whole] for k, v in batch.observation.items()}, *(t[:, whole] for t in batch[1:])
    )
    generator = torch.Generator().manual_seed(seed)
    num = batch.is_first.shape[1]
    noise = model.rssm.noise(length, num, generator=generator)
    watched = {key: value[:context] for key, value in batch.observation.items()}
    seen = model.sequence(
        model.init(num), batch.action[:context], watched, batch.is_first[:context], noise[:context]
    )
    state = Latent(seen.deter[-1], seen.stoch[-1])
    ahead = model.rssm.sequence(
        state, model.actions(batch.action[context:]), None, None, noise[context:]
    )
    features = Latent(ahead.deter, ahead.stoch).features.flatten(0, 1)
    expected = model.values.mean(model.reward(features))
    auc = area_under_curve(expected, batch.reward[context:].flatten() > 0.0)
    judged = _judge(model, features, batch.observation, context)
    error, still, mean, changed = (v.numpy() for v in judged)
    return Foresight(error, still, mean, changed, auc, num)


def _judge(
    model: WorldModel, features: Tensor, observation: dict[str, Tensor], context: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """error, persistence, mean, changed: [H] each, averaged over elements of all keys."""
    hidden = model.decoder_input(features)
    sums = [torch.zeros(len(next(iter(observation.values()))) - context) for _ in range(3)]
    elements = 0
    changed = torch.full_like(sums[0], float("nan"))
    for key in model.decoder.parts:
        part = model.decoder.part(key)
        truth = observation[key][context:]
        last = observation[key][context - 1].expand_as(truth)
        if isinstance(part, Frame) and part.cells:
            guess = part.expect(part(hidden)).view_as(truth)
            wrong = guess != truth
            moved = last != truth
            common = _mode(observation[key][:context].flatten(0, 1)).expand_as(truth)
            errors = [wrong, moved, common != truth]
            changed = (wrong & moved).flatten(1).sum(1) / moved.flatten(1).sum(1)
        elif isinstance(part, Numbers) and not part.rows:
            raw = part(hidden).view_as(truth)
            real, kept = part.scale(truth.float()), part.scale(last.float())
            errors = [(raw - real).square(), (kept - real).square(), real.square()]
        else:
            continue
        width = truth[0, 0].numel()
        for total, error in zip(sums, errors, strict=True):
            total += error.float().flatten(1).mean(1) * width
        elements += width
    if not elements:
        raise ValueError("foresight: the observation has neither numbers nor cells")
    error, still, mean = (total / elements for total in sums)
    return error, still, mean, changed


def _mode(cells: Tensor) -> Tensor:
    return cells.mode(0).values


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
