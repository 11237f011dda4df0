"""The suites by name, and all their cases one after the other. Imports a suite when it is run.

To add a suite: a module with `cases() -> list[Case]`, a row here, and its goals in gates.toml.
"""

from __future__ import annotations

import difflib
import importlib
import math
import time
from collections.abc import Callable, Iterator, Sequence

from metabonk.errors import ConfigError

from .case import Case, Told, attempt, unmeasured
from .gates import Row, rows

SUITES = {
    "games": "stepping games: the arena and grid64 against EnvPool, Gymnasium and ViZDoom",
    "ppo": "training on CartPole: against a CleanRL-style loop over EnvPool, and Stable-Baselines3",
    "ops": "operations of networks on the processor: against torch and the libraries for each",
    "world": "whole updates of a world model, on processors and GPUs: against the same in torch",
    "policy": "decisions of compiled policies: against torch, torch.compile and ONNX Runtime",
    "link": "between a game and its agent: frames, BonkLink's bytes, the loop's time",
    "cognition": "the cognitive server: strips, throughput, overload, kills, latency by stage",
    "start": "time until the command line and the package are there",
}


def cases(suites: Sequence[str] = ()) -> list[Case]:
    """The cases of these suites, of all without names. Raises ConfigError for an unknown one."""
    found: list[Case] = []
    for name in suites or list(SUITES):
        if name not in SUITES:
            near = difflib.get_close_matches(name, SUITES, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"bench: no suite {name!r}: {hint}there are {', '.join(SUITES)}")
        module = importlib.import_module(f".{name}", __package__)
        found += module.cases()
    return found


def chosen(suites: Sequence[str] = (), only: Sequence[str] = ()) -> list[Case]:
    """Of the cases of these suites those of the groups that `only` names, and those whose name has
    any other word of it; all without. Raises ConfigError for a word that picks none."""
    found = cases(suites)
    groups = dict.fromkeys(case.group for case in found if case.group)

    def picks(word: str, case: Case) -> bool:
        return case.group == word if word in groups else word.lower() in case.name.lower()

    for word in only:
        if not any(picks(word, case) for case in found):
            known = f"groups are {', '.join(groups)}; " if groups else ""
            raise ConfigError(f"--only {word}: no case; {known}--list shows their names")
    return [case for case in found if not only or any(picks(word, case) for word in only)]


def each(
    suites: Sequence[str] = (),
    *,
    only: Sequence[str] = (),
    seconds: float = math.inf,
    told: Told = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[list[Row]]:
    """Measures one case after the other; the rows of each as soon as it is done.

    seconds: after which no further case begins; those that were not reached have rows that say so,
    as have those that broke. told: what goes on now, in words.
    """
    found = chosen(suites, only)
    ends = clock() + seconds
    for number, case in enumerate(found, 1):
        place = f"{number} of {len(found)}, {case.suite}: {case.name}"
        if clock() >= ends:
            yield rows(unmeasured(case, f"the {seconds / 60.0:g} minutes were over"))
        else:
            yield rows(attempt(case, told=lambda what, place=place: told(f"{place}: {what}")))
