"""T steps of a recurrent state-space model: its layers, launched one behind the other.

What waits for no step is one product over all of them: the actions' and embeddings' parts of sums
before the loop, and, where there are observations, the prior behind it. A step is five launches:
input layer (a gather where the state is one of classes), GRU, two layers of a head, sample.
Formula, names and shapes: `metabonk.ops.rssm_scan`. Knows the launches of rssm.py and sample.py;
checks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .rssm import gru, layer
from .sample import categorical, gaussian


def scan(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: Sequence[Tensor],
    classes: int,
    unimix: float,
    min_std: float,
) -> tuple[Tensor, ...]:
    """deter, stoch, prior, posterior, index, x, gates and both heads' hidden units, all [T, B, ..];
    what is not there has no elements. Everything float32 and contiguous but stoch and index, int32
    where they are classes."""
    w_in, b_in, w_ih, w_hh, b_ih, b_hh, *heads = weights
    steps, rows = action.shape[:2]
    groups, width = noise.shape[-1], deter.shape[1]
    state = groups * (classes or 1)
    out = _Results(action, (steps, rows), width, len(b_in), groups, classes, embed is not None)
    forget = None if keep is None else keep.view(steps, rows)
    beside = layer(
        action.flatten(0, 1), w_in[:, state:], None, None, b_in, "",
        None if forget is None else forget.view(-1),
    ).view(steps, rows, -1)  # fmt: skip
    head = heads[4:] if embed is not None else heads[:4]
    seen = None
    if embed is not None:
        seen = layer(embed.flatten(0, 1), head[0][:, width:], None, None, head[1], "")
        seen = seen.view(steps, rows, -1)
    table = w_in[:, :state].t().contiguous().view(groups, classes, -1) if classes else None
    for t in range(steps):
        forgets = None if forget is None else forget[t]
        if stoch.is_floating_point():
            x = layer(stoch, w_in[:, :state], None, None, beside[t], "elu", forgets)
        else:
            x = layer(None, None, stoch, table, beside[t], "elu", forgets)
        deter = gru(x, deter, w_ih, w_hh, b_ih, b_hh, forgets, out.deter[t], out.gates[t])
        added = head[1] if seen is None else seen[t]
        hidden = layer(deter, head[0][:, :width], None, None, added, "elu")
        found = layer(hidden, head[2], None, None, head[3], "")
        out.draw(t, found, noise[t], unimix, min_std)
        stoch = out.index[t] if classes else out.stoch[t]
        out.x[t], out.hidden[t] = x, hidden
    if embed is not None:
        hidden = layer(out.deter.flatten(0, 1), heads[0], None, None, heads[1], "elu")
        found = layer(hidden, heads[2], None, None, heads[3], "")
        out.prior_hidden = hidden.view(steps, rows, -1)
        out.describe(found, unimix, min_std)
    return out.columns()


def draw(
    found: Tensor,
    noise: Tensor,
    classes: int,
    unimix: float,
    min_std: float,
    parameters: Tensor,
    index: Tensor | None,
    stoch: Tensor,
) -> None:
    """Parameters, classes (index, of categoricals) and sample of what a head put out, by rows."""
    if index is None:
        gaussian(found, min_std, parameters, noise, stoch)
        return
    rows = found.view(-1, classes)
    categorical(
        rows, unimix, parameters.view_as(rows), noise.reshape(-1), index.view(-1),
        stoch.view_as(rows),
    )  # fmt: skip


class _Results:
    """The memory of what a scan returns. Heads' hidden units and parameters of the loop are the
    posterior's with observations, else the prior's."""

    def __init__(
        self,
        like: Tensor,
        lead: tuple[int, int],
        width: int,
        units: int,
        groups: int,
        classes: int,
        observed: bool,
    ) -> None:
        self.classes, self.observed = classes, observed
        self.deter = like.new_empty(*lead, width)
        self.stoch = like.new_empty(*lead, groups * (classes or 1))
        self.drawn = like.new_empty(*lead, groups * (classes or 2))
        self.prior = torch.empty_like(self.drawn) if observed else self.drawn
        self.index = like.new_empty(*lead, groups, dtype=torch.int32)
        self.x = like.new_empty(*lead, units)
        self.gates = like.new_empty(*lead, 4 * width)
        self.hidden = like.new_empty(*lead, units)
        self.prior_hidden = self.hidden

    def draw(self, t: int, found: Tensor, noise: Tensor, unimix: float, min_std: float) -> None:
        """Parameters and sample of step t from what the head put out."""
        index = self.index[t] if self.classes else None
        draw(found, noise, self.classes, unimix, min_std, self.drawn[t], index, self.stoch[t])

    def describe(self, found: Tensor, unimix: float, min_std: float) -> None:
        """The prior of all steps, of which nothing is drawn."""
        if self.classes:
            rows = found.view(-1, self.classes)
            categorical(rows, unimix, self.prior.view_as(rows))
        else:
            gaussian(found, min_std, self.prior.view_as(found))

    def columns(self) -> tuple[Tensor, ...]:
        none = self.deter.new_empty(0)
        posterior = self.drawn if self.observed else none
        index = self.index if self.classes else self.index.new_empty(0)
        own = self.hidden if self.observed else none
        states = self.deter, self.stoch, self.prior, posterior, index
        return *states, self.x, self.gates, self.prior_hidden, own
