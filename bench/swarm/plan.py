"""What happens to a swarm during a soak, and when: drawn from a seed before anything starts.

Knows times and kinds of faults; does not know how they are carried out.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from metabonk.errors import ConfigError

Kind = Literal["kill_broker", "kill_model", "impostor"]
QUIET = 0.05  # share of the time at either end in which nothing is killed


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A soak.

    agents: client processes. seconds: that they ask, from when all are there until all is done and
    everybody was answered since. period: seconds between an agent's requests.
    deadline: seconds from capture until an answer is of no more use. broker_kills, model_kills:
    kill -9 without notice. impostors: processes that come with a living agent's name. churn: share
    of an agent's requests after which its connection, or its whole client, is made anew. slow:
    agents that do not look at their replies for a second now and then. latency: seconds that the
    model server takes. model: whether there is one; else the embedded rules answer.
    """

    agents: int = 16
    seconds: float = 600.0
    period: float = 0.5
    deadline: float = 1.0
    broker_kills: int = 20
    model_kills: int = 10
    impostors: int = 5
    churn: float = 0.02
    slow: int = 1
    latency: float = 0.05
    model: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            "agents": self.agents >= 1,
            "seconds": self.seconds > 0.0,
            "period": self.period > 0.0,
            "deadline": self.deadline > 0.0,
            "churn": 0.0 <= self.churn <= 1.0,
            "latency": self.latency >= 0.0,
            "broker-kills": self.broker_kills >= 0,
            "model-kills": self.model_kills >= 0,
            "impostors": self.impostors >= 0,
            "slow": 0 <= self.slow <= self.agents,
        }
        for name, fine in checks.items():
            if not fine:
                value = getattr(self, name.replace("-", "_"))
                raise ConfigError(f"--{name} {value:g}: out of range for {self.agents} agents")
        if self.model_kills and not self.model:
            raise ConfigError("--model-kills: without a model server there is none to kill")


class Event(msgspec.Struct, frozen=True, order=True):
    """at: seconds since agents were there. agent: whose name an impostor takes; -1: nobody's."""

    at: float
    kind: Kind
    agent: int = -1


def events(plan: Plan) -> list[Event]:
    """The faults of a plan, in order: each kind spread over the time, each moment drawn inside its
    part of it, so that kinds meet at random and none comes in a heap."""
    drawn = np.random.default_rng(plan.seed)
    found: list[Event] = []
    begin, span = QUIET * plan.seconds, (1.0 - 2.0 * QUIET) * plan.seconds
    counts: dict[Kind, int] = {
        "kill_broker": plan.broker_kills,
        "kill_model": plan.model_kills,
        "impostor": plan.impostors,
    }
    for kind, count in counts.items():
        for index in range(count):
            at = begin + span * (index + float(drawn.random())) / count
            agent = int(drawn.integers(plan.agents)) if kind == "impostor" else -1
            found.append(Event(at, kind, agent))
    return sorted(found)
