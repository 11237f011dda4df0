"""Distillation: a small policy that decides as a logged backend did, more so where that went well.

Knows torch, the rows of a decision log and the features that the policy is served with; does not
know games, servers or files (versions.py). Per row, weighted by w:

    KL(p(action) || q(action)) + CE(action) + CE(target | action) + (CE(seconds) + CE(priority)) / 4
    w = min(exp((r - V(s)) / (beta sd)), 20), scaled to a mean of 1

p are the backend's probabilities where it gave any, else the answer alone; q is the student's. The
answer itself counts beside p (soft and hard targets, Hinton et al. 2015): where p is nearly a tie,
a divergence that is nearly none may still have another action on top. r is
the reward of the seconds after, V its prediction from the situation, learned beside and kept out of
the policy (advantage-weighted regression, Peng et al. 2019). beta 0 weighs all alike, and so does a
row whose directive nobody followed: what came was not of its making.

What was tried at random (Row.explored) is not the backend's answer: it teaches by its outcome alone
and nothing where there is none to weigh it by, p weigh as usual, and nobody is judged by it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends import features
from metabonk.cognition.backends.features import PAIRS, SITUATION, TARGET, VERBS
from metabonk.cognition.backends.policy import PRIORITIES, StrategyNetwork
from metabonk.cognition.log.export import Plan
from metabonk.cognition.log.rows import Row
from metabonk.config import DistilConfig
from metabonk.errors import ConfigError, CorruptError, DivergedError
from metabonk.learn.replicas import one_thread
from metabonk.protocols import Array

MOST_WEIGHT = 20.0
MOST_BAD = 3  # updates in a row that may fail
_PART = 0.25  # weight of seconds and of priority
_SIZES = np.bincount(PAIRS[:, 0]).tolist()  # options of each action, which stand together
_COLUMNS = (
    "situation", "targets", "mask", "shares", "verb", "option", "seconds", "priority", "reward",
    "followed", "held", "explored",
)  # fmt: skip
_OPTION = _COLUMNS.index("option")
Progress = Callable[[int, int, dict[str, float]], None]


@dataclass(frozen=True, eq=False)
class Lessons:
    """Rows as arrays. situation [N, SITUATION], targets [N, TARGETS, TARGET] float16, mask
    [N, PAIRS]; shares [N, VERBS], the backend's probabilities; verb, option, seconds, priority [N]:
    what was answered, option -1 where its target is not kept; reward [N], followed [N], held [N]:
    whether it is for judging; explored [N]: whether the answer was tried at random and is not the
    backend's. left_out: rows that taught nothing, by reason. teachers: rows by backend."""

    situation: Array
    targets: Array
    mask: Array
    shares: Array
    verb: Array
    option: Array
    seconds: Array
    priority: Array
    reward: Array
    followed: Array
    held: Array
    explored: Array
    left_out: Counter[str]
    teachers: Counter[str]

    def __len__(self) -> int:
        return len(self.verb)


def lessons(rows: Iterable[Row], plan: Plan, most: int) -> Lessons:
    """What rows teach; the `most` that were decided last. Episodes that `plan` does not give to
    `train` are held out for judging.

    Raises ConfigError where nothing is left.
    """
    kept: list[tuple[float, int, str, tuple[Any, ...]]] = []  # a heap, the oldest at its top
    left_out: Counter[str] = Counter()
    for number, row in enumerate(rows):
        if row.directive is None or row.directive.action is v.Verb.CLICK:
            left_out["no directive"] += 1
            continue
        try:
            lesson = _lesson(row, row.directive, plan)
        except CorruptError:
            left_out["no state"] += 1
            continue
        left_out["target not kept"] += lesson[_OPTION] < 0
        one = (row.at, number, row.backend, lesson)
        if len(kept) < most:
            heapq.heappush(kept, one)
        else:
            heapq.heappushpop(kept, one)
    if not kept:
        raise ConfigError(
            "the log holds no directive with an outcome: play with a cognitive server first, or "
            "`metabonk cognition rehearse`"
        )
    kept.sort(key=lambda one: one[1])  # as they came: how they are drawn follows from it
    told = (lesson for *_, lesson in kept)
    columns = dict(zip(_COLUMNS, map(np.array, zip(*told, strict=True)), strict=True))
    columns["reward"] = columns["reward"].astype(np.float32)
    teachers = Counter(backend for _, _, backend, _ in kept)
    return Lessons(**columns, left_out=+left_out, teachers=teachers)


def _lesson(row: Row, directive: v.Directive, plan: Plan) -> tuple[Any, ...]:
    """A row's entries of _COLUMNS. Raises CorruptError for a state that is none."""
    seen = features.of(row.packed, row.in_force, row.outlook)
    option = seen.option(directive)
    return (
        seen.situation, seen.targets.astype(np.float16), seen.mask, _shares(row),
        VERBS.index(directive.action), -1 if option is None else option,
        v.SECONDS.index(directive.seconds), PRIORITIES.index(directive.priority),
        row.came.reward, row.came.applied, plan.split_of(row.story) != "train", row.explored,
    )  # fmt: skip


def _shares(row: Row) -> Array:
    """The backend's probabilities by verb, or the answer alone."""
    found = np.zeros(len(VERBS), np.float32)
    for index, verb in enumerate(VERBS):
        found[index] = max(0.0, float(row.probabilities.get(verb.value, 0.0)))
    assert row.directive is not None
    if not 0.5 <= found.sum() <= 1.5 or not np.isfinite(found).all():
        found[:] = 0.0
        found[VERBS.index(row.directive.action)] = 1.0
    shares: Array = found / found.sum()
    return shares


class StrategyModule(nn.Module):
    """cognition.policy.StrategyNetwork as a module, with a critic that stays behind."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(SITUATION, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.situation = nn.Linear(hidden, hidden)
        self.verbs = nn.Embedding(len(VERBS), hidden)
        self.targets = nn.Linear(TARGET, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(len(VERBS)))
        self.seconds = nn.Linear(hidden, len(v.SECONDS))
        self.priority = nn.Linear(hidden, len(PRIORITIES))
        self.critic = nn.Sequential(nn.Linear(SITUATION, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        nn.init.normal_(self.verbs.weight, std=0.1)
        self._pairs = torch.from_numpy(PAIRS)

    def forward(self, situation: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of options [B, PAIRS], and what they come to [B, PAIRS, hidden], of
        which `seconds` and `priority` make logits."""
        hidden = torch.relu(self.second(torch.relu(self.first(situation))))
        base = self.situation(hidden)
        verb, slot = self._pairs[:, 0], self._pairs[:, 1]
        # index_select: the backward pass of indexing sorts, this one's adds up.
        # In place: these, [B, PAIRS, hidden], are most of what an update moves.
        units = (self.targets(targets) + base[:, None]).index_select(1, slot)
        units = units.add_(self.verbs.weight.index_select(0, verb)).relu_()
        logits = self.score(units)[..., 0] + self.bias.index_select(0, verb)
        logits = torch.where(mask, logits, torch.full_like(logits, -1e9))
        return torch.log_softmax(logits, 1), units

    def network(self) -> StrategyNetwork:
        """What is served."""
        weights = {
            name: value.detach().numpy().astype(np.float32).copy()
            for name, value in self.state_dict().items()
            if not name.startswith("critic.")
        }
        return StrategyNetwork(weights)


def verb_log_shares(options: Tensor) -> Tensor:
    """Log-probabilities of the actions [B, VERBS] from those of their options [B, PAIRS]."""
    return torch.stack([part.logsumexp(1) for part in torch.split(options, _SIZES, 1)], 1)


@dataclass(frozen=True)
class Judged:
    """On rows of episodes that were held out. agreement: share of rows with the same action as the
    backend; majority: of who always says the most frequent one; divergence: mean KL of the actions,
    nats; target: share of the rows with the same action that name the same target."""

    rows: int
    agreement: float
    majority: float
    divergence: float
    target: float


class Distiller:
    """Trains a student from lessons. skipped: updates without effect, because something was not
    finite."""

    def __init__(self, data: Lessons, config: DistilConfig, *, seed: int = 0) -> None:
        self.config, self.seed, self.skipped = config, seed, 0
        self._random = np.random.default_rng([seed, 0x61])
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.module = StrategyModule(config.hidden)
        taught = np.flatnonzero(~data.held)
        self._held = np.flatnonzero(data.held & ~data.explored)
        if not len(taught):  # a log of few episodes: all of it teaches, and nothing can be judged
            taught, self._held = np.arange(len(data)), np.empty(0, np.intp)
        self._rows = taught
        self.data = data
        reward = data.reward[self._rows]
        self._unit = max(float(reward.std()), 1e-6)
        self._mean = float(reward.mean())

    def train(self, progress: Progress | None = None) -> dict[str, float]:
        """All updates; returns the last metrics. Raises DivergedError after three updates in a row
        that were not finite."""
        with one_thread():  # several are slower with so small a network
            return self._train(progress)

    def _train(self, progress: Progress | None) -> dict[str, float]:
        config = self.config
        optimizer = torch.optim.AdamW(
            self.module.parameters(), config.learning_rate, weight_decay=1e-4
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.updates)
        found: dict[str, float] = {}
        bad = 0
        for update in range(config.updates):
            rows = self._random.choice(self._rows, min(config.batch, len(self._rows)))
            loss, metrics = self._loss(rows)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), 10.0)
            if not bool(torch.isfinite(norm)):
                bad += 1
                self.skipped += 1
                if bad >= MOST_BAD:
                    raise DivergedError(
                        f"distil: {bad} updates in a row were not finite; lower "
                        "distil.learning_rate, or look for a reward that is none"
                    )
                continue
            bad = 0
            optimizer.step()
            schedule.step()
            found = metrics
            if progress is not None:
                progress(update + 1, config.updates, found)
        return found

    def judge(self) -> Judged | None:
        """How near the student is to the backend; None where no episode was held out, also because
        none was left to learn from."""
        if len(self._held) == 0:
            return None
        data, rows = self.data, self._held
        with torch.no_grad():
            options, _ = self._forward(rows)
            verbs = verb_log_shares(options)
        shares = torch.from_numpy(data.shares[rows])
        said, wanted = verbs.argmax(1).numpy(), data.verb[rows]
        divergence = (shares * (torch.log(shares.clamp_min(1e-12)) - verbs)).sum(1)
        named = (data.option[rows] >= 0) & (said == wanted)
        best = options.argmax(1).numpy()
        return Judged(
            rows=len(rows),
            agreement=float((said == wanted).mean()),
            majority=float(np.bincount(wanted).max() / len(rows)),
            divergence=float(divergence.mean()),
            target=float((best == data.option[rows])[named].mean()) if named.any() else 0.0,
        )

    def _forward(self, rows: Array) -> tuple[Tensor, Tensor]:
        data = self.data
        found: tuple[Tensor, Tensor] = self.module(
            torch.from_numpy(data.situation[rows]),
            torch.from_numpy(data.targets[rows].astype(np.float32)),
            torch.from_numpy(data.mask[rows]),
        )
        return found

    def _loss(self, rows: Array) -> tuple[Tensor, dict[str, float]]:
        data = self.data
        options, units = self._forward(rows)
        verbs = verb_log_shares(options)
        shares = torch.from_numpy(data.shares[rows])
        verb = torch.from_numpy(data.verb[rows])
        option = torch.from_numpy(data.option[rows])
        kl = (shares * (torch.log(shares.clamp_min(1e-12)) - verbs)).sum(1)
        within = _at(options, option.clamp_min(0)) - _at(verbs, verb)
        known = option >= 0
        target = torch.where(known, -within, torch.zeros_like(within))
        hard = -_at(verbs, verb)
        chosen = _of_option(units, option.clamp_min(0))
        parts = [
            known * cross_entropy(head(chosen), torch.from_numpy(answer[rows]), reduction="none")
            for head, answer in (
                (self.module.seconds, data.seconds), (self.module.priority, data.priority),
            )
        ]  # fmt: skip
        reward = torch.from_numpy((data.reward[rows] - self._mean) / self._unit)
        value = self.module.critic(torch.from_numpy(data.situation[rows]))[:, 0]
        explored = torch.from_numpy(data.explored[rows])
        followed = torch.from_numpy(data.followed[rows])
        soft, own = self._weights(reward - value.detach(), followed, explored)
        loss = (soft * kl + own * (hard + target + _PART * (parts[0] + parts[1]))).mean()
        error = (value - reward).square().mean()
        agreed = (verbs.detach().argmax(1) == verb) & ~explored
        agreement = float(agreed.sum() / (~explored).sum().clamp_min(1))
        told = {
            "loss": float(loss.detach()), "divergence": float(kl.detach().mean()),
            "agreement": agreement, "value_error": float(error.detach()),
        }  # fmt: skip
        return loss + error, told

    def _weights(
        self, advantage: Tensor, followed: Tensor, explored: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Of the backend's probabilities, and of what was answered, [B] each."""
        beta, even = self.config.beta, torch.ones_like(advantage)
        if beta == 0.0:
            return even, torch.where(explored, 0.0, even)
        weight = torch.exp(advantage / beta).clamp_max(MOST_WEIGHT)
        weight = torch.where(followed, weight, even)
        soft = torch.where(explored, even, weight)
        own = torch.where(explored & ~followed, 0.0, weight)
        return soft / weight.mean(), own / weight.mean()


def _at(table: Tensor, columns: Tensor) -> Tensor:
    """One entry of each row."""
    return table.gather(1, columns[:, None])[:, 0]


def _of_option(units: Tensor, option: Tensor) -> Tensor:
    """Of [B, PAIRS, hidden] one option's each, [B, hidden]."""
    return units.gather(1, option[:, None, None].expand(-1, 1, units.shape[2]))[:, 0]
