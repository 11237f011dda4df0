"""The backend `policy`: a small network, distilled from a model's decisions, that answers at once.

Knows the network, its weights on disk and how its scores become a directive; runs on numpy. Does
not know how it was learned (learn/system2/distil.py) or who asks. Weights are an artifact:
nothing in them can run code.

The network scores every option of `features.PAIRS` (an action with a target):

    h = relu(W2 relu(W1 s))            the situation s
    u = relu(Q h + V[action] + T t)    per option, t the target's features
    score = w u + b[action]            masked softmax over the options that there are

and of the option that is chosen, how long and how important: linear in its u, for one flees longer
to a heart than to nowhere in particular. An action's probability is that of all its options. It is
made of what was logged, so it knows strategy only; menus are the navigator's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk import artifact
from metabonk.artifact import Artifact
from metabonk.cognition import situation
from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends import features
from metabonk.cognition.backends.features import PAIRS, SITUATION, TARGET, VERBS, Featured
from metabonk.cognition.backends.rules import Menus
from metabonk.cognition.question import Answer, Failure, Question, Undecided
from metabonk.errors import CorruptError

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

KIND = "strategy"
WEIGHTS = "weights.safetensors"
MOST_HIDDEN = 1024
PRIORITIES = tuple(v.Priority)
_OF_VERB = [np.flatnonzero(PAIRS[:, 0] == i) for i in range(len(VERBS))]


def shapes(hidden: int) -> dict[str, tuple[int, ...]]:
    """The tensors of a network by name."""
    verbs = len(VERBS)
    return {
        "first.weight": (hidden, SITUATION), "first.bias": (hidden,),
        "second.weight": (hidden, hidden), "second.bias": (hidden,),
        "situation.weight": (hidden, hidden), "situation.bias": (hidden,),
        "verbs.weight": (verbs, hidden), "targets.weight": (hidden, TARGET),
        "score.weight": (1, hidden), "bias": (verbs,),
        "seconds.weight": (len(v.SECONDS), hidden), "seconds.bias": (len(v.SECONDS),),
        "priority.weight": (len(PRIORITIES), hidden), "priority.bias": (len(PRIORITIES),),
    }  # fmt: skip


class StrategyNetwork:
    """The network on numpy; one situation at a time."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        """Raises CorruptError for tensors that are not a network's, or not finite."""
        first = weights.get("first.bias")
        hidden = len(first) if first is not None and first.ndim == 1 else 0
        if not 1 <= hidden <= MOST_HIDDEN:
            raise CorruptError(f"strategy: {hidden} hidden units; wanted 1 to {MOST_HIDDEN}")
        for name, shape in shapes(hidden).items():
            found = weights.get(name)
            if found is None or found.shape != shape or found.dtype != np.float32:
                got = "nothing" if found is None else f"{found.dtype} {list(found.shape)}"
                raise CorruptError(f"strategy: {name} is {got}; wanted float32 {list(shape)}")
            if not np.isfinite(found).all():
                raise CorruptError(f"strategy: {name} holds numbers that are not finite")
        self.weights = {name: np.array(weights[name]) for name in shapes(hidden)}

    def scores(self, seen: Featured) -> tuple[FloatArray, FloatArray]:
        """Logits of the options [len(PAIRS)], -inf where there is none, and u [len(PAIRS),
        hidden]."""
        w = self.weights
        hidden = np.maximum(w["first.weight"] @ seen.situation + w["first.bias"], 0.0)
        hidden = np.maximum(w["second.weight"] @ hidden + w["second.bias"], 0.0)
        base = w["situation.weight"] @ hidden + w["situation.bias"]
        verbs = w["verbs.weight"] + base
        targets = seen.targets @ w["targets.weight"].T
        units = np.maximum(verbs[PAIRS[:, 0]] + targets[PAIRS[:, 1]], 0.0)
        logits = units @ w["score.weight"][0] + w["bias"][PAIRS[:, 0]]
        return np.where(seen.mask, logits, -np.inf).astype(np.float32), units

    def decide(self, seen: Featured) -> tuple[v.Directive, dict[str, float]]:
        """The best target of the likeliest action, and the actions' probabilities."""
        logits, units = self.scores(seen)
        shares = np.exp(logits - logits.max())
        sums = np.array([shares[options].sum() for options in _OF_VERB])
        sums /= sums.sum()
        verb = int(sums.argmax())
        options = _OF_VERB[verb]
        option = int(options[logits[options].argmax()])
        seconds = v.SECONDS[self._part("seconds", units[option])]
        priority = PRIORITIES[self._part("priority", units[option])]
        named = {VERBS[i].value: float(p) for i, p in enumerate(sums) if p > 0.0}
        return v.Directive(VERBS[verb], seen.target(option), seconds, priority), named

    def _part(self, name: str, units: FloatArray) -> int:
        return int((self.weights[f"{name}.weight"] @ units + self.weights[f"{name}.bias"]).argmax())


def load(path: Path | str) -> tuple[StrategyNetwork, Artifact]:
    """The network of an artifact. Raises CorruptError for a damaged one, of another kind or of
    other features, FileNotFoundError if there is none."""
    found = artifact.load(path, kind=KIND)
    version = found.card.details.get("features")
    if version != features.VERSION:
        raise CorruptError(
            f"{path}: made for features {version!r}, this program has {features.VERSION}; learn it "
            "anew with `metabonk cognition distil`"
        )
    return StrategyNetwork(found.tensors(WEIGHTS)), found


class PolicyBackend:
    """A distilled policy as a backend; see `question.Backend`.

    menus: who answers questions of the kind `menu`; without it they are Undecided(UNSUPPORTED).
    """

    name = "policy"
    limit = 0
    sees = False

    def __init__(self, path: Path | str, menus: Menus | None = None) -> None:
        """Raises as `load` does."""
        self.network, self.artifact = load(path)
        self._menus = menus
        self._answered = 0
        self._seconds = 0.0

    async def open(self) -> None:
        """Nothing to find out: it is here already."""

    async def close(self) -> None:
        """Nothing is in flight."""

    async def decide(self, question: Question) -> Answer:
        """The answer, at once. Raises Undecided for a state that is none."""
        if question.kind == "menu":
            if self._menus is None:
                raise Undecided(Failure.UNSUPPORTED, "knows strategy, no menus", self.name)
            return await self._menus(question)
        started = time.perf_counter()
        try:
            outlook = situation.outlook(question.packed, question.crowd)
            seen = features.of(question.packed, question.in_force, outlook)
        except CorruptError as error:
            raise Undecided(Failure.GARBAGE, str(error), self.name) from error
        directive, shares = self.network.decide(seen)
        took = time.perf_counter() - started
        self._answered += 1
        self._seconds += took
        return Answer(
            self.name, directive=directive, mode="policy", model=self.artifact.hash[:12],
            confidence=shares[directive.action.value], probabilities=shares,
            stages={"policy": took},
        )  # fmt: skip

    def metrics(self) -> dict[str, float]:
        """Counters by name, without the backend's."""
        return {"answered_total": float(self._answered), "seconds_total": self._seconds}
