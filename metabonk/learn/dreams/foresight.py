"""How far a world model sees: open-loop error by horizon, beside what needs no model.

Knows the world model and sequences; does not know how it was trained. A sequence is watched for
`context` steps and then dreamed on, several times, under the actions that were really taken; what
the dreams expect on average is judged, as one dream of a world with chance in it errs twice as far
as the mean does, however good the model. Errors are beside those of persistence (nothing changes
from the last frame seen) and of the mean of what was seen; the reward is judged by how well it
ranks steps that brought some above those that did not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metabonk.learn.dreams.world import Batch
from metabonk.models.decoder import Frame, Numbers
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel
from metabonk.protocols import BoolArray, FloatArray

DRAWS = 8  # dreams of each sequence
CLEARLY = 0.9  # of the error of what needs no model
TOLERABLE = 0.05  # squared deviations of all that was ever seen, a fifth of one deviation


@dataclass(frozen=True)
class Foresight:
    """By dreamed step 1..H: `error`, `persistence` and `mean` [H] of the observation, numbers in
    squared deviations, cells as the share that is wrong. changed: wrong cells among those that
    changed since the last frame seen, NaN [H] without cells. reward_auc: NaN if there was no
    reward, or nothing else. sequences: without a reset, that were judged. tolerable: an error that
    is small whatever the others are."""

    error: FloatArray
    persistence: FloatArray
    mean: FloatArray
    changed: FloatArray
    reward_auc: float
    sequences: int
    tolerable: float = 0.0

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
    model: WorldModel, batch: Batch, context: int, *, seed: int = 0, draws: int = DRAWS
) -> Foresight:
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
    features = _dreamed(model, batch, context, draws, seed)
    expected = model.values.mean(model.reward(features.flatten(0, 2))).view(features.shape[:3])
    auc = area_under_curve(expected.mean(1).flatten(), batch.reward[context:].flatten() > 0.0)
    hidden = model.decoder_input(features.flatten(0, 2)).unflatten(0, features.shape[:3])
    steps = [
        _judge(model, hidden[h], batch.observation, context, context + h)
        for h in range(length - context)
    ]
    error, still, mean, changed, tolerable = torch.tensor(steps).T.numpy()
    tolerated = float(tolerable[0])
    return Foresight(error, still, mean, changed, auc, features.shape[2], tolerated)


def _dreamed(model: WorldModel, batch: Batch, context: int, draws: int, seed: int) -> Tensor:
    """Features [H, draws, B, F] of every dreamed step."""
    length, num = batch.is_first.shape
    generator = torch.Generator().manual_seed(seed)
    watched = {key: value[:context] for key, value in batch.observation.items()}
    seen = model.sequence(
        model.init(num),
        batch.action[:context],
        watched,
        batch.is_first[:context],
        model.rssm.noise(context, num, generator=generator),
    )
    state = Latent(seen.deter[-1].repeat(draws, 1), seen.stoch[-1].repeat(draws, 1))
    action = model.actions(batch.action[context:]).repeat(1, draws, 1)
    noise = model.rssm.noise(length - context, draws * num, generator=generator)
    ahead = model.rssm.sequence(state, action, None, None, noise)
    features = Latent(ahead.deter, ahead.stoch).features
    return features.view(length - context, draws, num, -1)


def _judge(
    model: WorldModel, hidden: Tensor, observation: dict[str, Tensor], context: int, at: int
) -> tuple[float, float, float, float, float]:
    """error, persistence, mean, changed and what is tolerable at step `at`, averaged over elements
    of all keys; hidden [draws, B, width] are the decoder's inputs."""
    sums, elements, changed = np.zeros(4), 0, float("nan")
    for key in model.decoder.parts:
        part = model.decoder.part(key)
        seen, truth = observation[key][:context], observation[key][at]
        if isinstance(part, Frame) and part.cells:
            raw = part(hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2])
            wrong = raw.softmax(2).mean(0).argmax(1).to(truth.dtype) != truth
            moved = seen[-1] != truth
            common = seen.flatten(0, 1).mode(0).values
            errors = [wrong, moved, common != truth, torch.zeros(1)]
            changed = float((wrong & moved).sum() / moved.sum())
        elif isinstance(part, Numbers) and not part.rows:
            raw = part(hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2]).mean(0)
            real, kept = part.scale(truth.float()), part.scale(seen[-1].float())
            errors = [(raw - real).square(), (kept - real).square(), real.square()]
            errors.append(torch.full((1,), TOLERABLE))
        else:
            continue
        width = truth[0].numel()
        sums += [width * float(error.float().mean()) for error in errors]
        elements += width
    if not elements:
        raise ValueError("foresight: the observation has neither numbers nor cells")
    error, still, mean, tolerable = (sums / elements).tolist()
    return error, still, mean, changed, tolerable


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
