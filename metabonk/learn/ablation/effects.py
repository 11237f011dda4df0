"""What taking something away did: paired differences, their intervals, and what is inert.

Knows numbers of trials and who served; does not know runs, networks or games. A trial is one
training under one seed; trials of one seed are pairs. Two things are asked of a part: whether
behaviour changes at all without it, and whether that costs return. The first needs no statistics:
trainings repeat bit for bit, so that who comes out the same has not heard of the part;
how far it moves is told in what another seed moves it by. The second is an interval over seeds
(Student 1908), and may be undecided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from metabonk.learn.student import quantile

Mode = Literal["zero", "freeze", "shuffle", "again"]
Serves = Literal["policy", "dreamer"]  # players.Who, which to import takes Torch
Verdict = Literal["inert", "helps", "hurts", "undecided"]
INTACT, CONTROL = "intact", "control"
# Of the divergence between policies of two seeds, what counts as none: it grows with the square of
# the distance, so that such policies are a thousandth as far apart.
SAME = 1e-6
LEAST_SEEDS = 5  # from which an interval is believed


DONE: dict[Mode, str] = {
    "zero": "taken away",
    "freeze": "frozen",
    "shuffle": "shuffled",
    "again": "left alone",
}


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One training. mode: what was done to the part; a part called `intact` had nothing done to it.

    return_mean: of the evaluation episodes, which whoever serves in the end plays. moved: mean
    KL(intact || this) in nats of these, on what the intact training saw; of an intact one, from
    that of the seed before, 0 for the first. serves: who they were.
    """

    seed: int
    part: str
    mode: Mode
    return_mean: float
    moved: float
    serves: Serves = "policy"


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What one thing done to a part changed. difference: of the return from the intact training's,
    mean over seeds, with its 95 % interval. moved: of the behaviour, mean in nats."""

    part: str
    mode: Mode
    seeds: int
    difference: float
    ci95: tuple[float, float]
    moved: float
    least_moved: float
    most_moved: float


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a part. why: in words."""

    part: str
    verdict: Verdict
    why: str


class Ablation(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found of a run.

    chance: mean KL in nats between intact trainings of different seeds, which is how far policies
    come apart by chance. repeats: whether the control, the intact training once more, came out the
    same; where it did not, what moved no further counts as inert. unit: of how far behaviour moved;
    of a motor, which is not trained (steps 0), the share of its decisions that are others.
    """

    run: str
    checkpoint: str
    game: str
    step: int
    steps: int
    episodes: int
    from_start: bool
    seeds: list[int]
    intact: list[float]
    chance: float
    repeats: bool
    effects: list[Effect]
    findings: list[Finding]
    trials: list[Trial] = []
    unit: str = "nats"

    @property
    def inert(self) -> list[str]:
        """Parts without effect."""
        return [found.part for found in self.findings if found.verdict == "inert"]


def interval95(values: Sequence[float]) -> tuple[float, float]:
    """Of the mean of independent values; NaN for fewer than two."""
    count = len(values)
    if count < 2:
        return math.nan, math.nan
    mean = math.fsum(values) / count
    variance = math.fsum((v - mean) ** 2 for v in values) / (count - 1)
    half = quantile(count - 1) * math.sqrt(variance / count)
    return mean - half, mean + half


def effects_of(trials: Sequence[Trial]) -> list[Effect]:
    """Every part and mode against the intact training of the same seed, in the order of their first
    trials. Raises ValueError for a seed without an intact training."""
    intact = {t.seed: t.return_mean for t in trials if t.part == INTACT}
    kinds = dict.fromkeys((t.part, t.mode) for t in trials if t.part != INTACT)
    found = []
    for part, mode in kinds:
        own = [t for t in trials if (t.part, t.mode) == (part, mode)]
        if lost := [t.seed for t in own if t.seed not in intact]:
            raise ValueError(f"seed {lost[0]}: there is no intact training to compare with")
        differences = [t.return_mean - intact[t.seed] for t in own]
        moved = [t.moved for t in own]
        found.append(
            Effect(
                part=part,
                mode=mode,
                seeds=len(own),
                difference=math.fsum(differences) / len(own),
                ci95=interval95(differences),
                moved=math.fsum(moved) / len(own),
                least_moved=min(moved),
                most_moved=max(moved),
            )
        )
    return found


def chance_of(trials: Sequence[Trial]) -> float:
    """How far apart intact policies of different seeds are, mean KL in nats."""
    found = [t.moved for t in trials if t.part == INTACT and t.moved > 0.0]
    return math.fsum(found) / len(found) if found else 0.0


def findings_of(effects: Sequence[Effect], chance: float) -> list[Finding]:
    """One for each part; the control is none. chance: see `chance_of`."""
    floor = max([SAME * chance, *(e.most_moved for e in effects if e.part == CONTROL)])
    found = []
    for part in dict.fromkeys(e.part for e in effects if e.part != CONTROL):
        verdict, why = _judged([e for e in effects if e.part == part], floor, chance)
        found.append(Finding(part=part, verdict=verdict, why=why))
    return found


def _judged(effects: Sequence[Effect], floor: float, chance: float) -> tuple[Verdict, str]:
    if all(e.most_moved <= floor for e in effects):
        modes = ", ".join(DONE[e.mode] for e in effects)
        return "inert", f"whoever plays comes out the same with it {modes}"
    most = max(e.moved for e in effects)
    share = f", by {math.sqrt(most / chance):.2g} of what another seed does" if chance else ""
    changes = f"behaviour changes{share}"
    if min(e.seeds for e in effects) < LEAST_SEEDS:
        return "undecided", f"{changes}; {LEAST_SEEDS} seeds at least say what that is worth"
    costs = [e for e in effects if e.ci95[1] < 0.0]
    gains = [e for e in effects if e.ci95[0] > 0.0]
    if costs and not gains:
        return "helps", f"{DONE[costs[0].mode]} it costs {-costs[0].difference:,.3g} of the return"
    if gains and not costs:
        return "hurts", f"{DONE[gains[0].mode]} it adds {gains[0].difference:,.3g} to the return"
    if gains and costs:
        return "undecided", "one thing done to it costs return and another adds to it"
    return "undecided", f"{changes}; the return's interval holds 0"
