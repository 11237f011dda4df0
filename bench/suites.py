"""The suites by name, and all their cases one after the other. Imports a suite when it is run.

To add a suite: a module with `cases() -> list[Case]`, a row here, and its goals in gates.toml.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Sequence

from metabonk.errors import ConfigError

from .case import Case, measure
from .gates import Row, rows

SUITES = {
    "games": "stepping games: the arena and grid64 against EnvPool, Gymnasium and ViZDoom",
    "ppo": "training on CartPole: against a CleanRL-style loop over EnvPool, and Stable-Baselines3",
    "ops": "operations of networks on the processor: against torch and the libraries for each",
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


def run(
    suites: Sequence[str] = (), progress: Callable[[list[Row]], None] | None = None
) -> list[Row]:
    """Measures the suites; one row per case and peer.

    progress: called with the rows of each case as soon as it is done.
    """
    done: list[Row] = []
    for case in cases(suites):
        judged = rows(measure(case))
        done += judged
        if progress is not None:
            progress(judged)
    return done
