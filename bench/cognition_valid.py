"""Whether what a real model server answers can be carried out, in suite `cognition`.

A server with a small random model is asked about a thousand moments of the arena, each with a strip
of nine pictures, by the adapter that the broker uses. Its answers mean nothing, and every one has
to be a directive of the vocabulary about things that are there. How long it takes is not compared.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from metabonk.errors import LinkError

from .case import Case, Evidence
from .cognition_model import real
from .cognition_wire import clip
from .meter import Reading
from .versus import Contender

COUNT = 1000
AT_ONCE = 4
PATIENCE = 600.0  # seconds for one answer: late is not invalid
STRIP = 9


def cases() -> list[Case]:
    return [
        Case(
            "cognition",
            f"valid directives among {COUNT:,} of a real model server, random weights",
            "",
            Contender("metabonk", Valid),
            (Contender(f"{COUNT:,} of {COUNT:,}", lambda: Reading(lambda: float(COUNT))),),
            rounds=1,
            evidence=lambda ours, peer: Evidence(True, ours.note),  # type: ignore[attr-defined]
        )
    ]


class Valid:
    """How many of `count` answers are valid. faults: the others, by what was wrong. asker: makes
    what is asked; by default the adapter of the broker at a real server."""

    def __init__(self, count: int = COUNT, asker: Any = None) -> None:
        self._count, self._asker = count, asker or _adapter()
        self.faults: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()

    @property
    def note(self) -> str:
        """What was said, and what was wrong."""
        said = ", ".join(f"{n} {action}" for action, n in self.actions.most_common())
        wrong = ", ".join(f"{n} {why}" for why, n in self.faults.items())
        return f"{said}; {wrong or 'nothing else'}"

    def prepare(self) -> None:
        """Nothing is timed."""

    def measure(self) -> float:
        return float(asyncio.run(self._ask()))

    def close(self) -> None:
        """Holds nothing; the server is the process's."""

    async def _ask(self) -> int:
        from metabonk.cognition.backends.fits import check
        from metabonk.cognition.question import Undecided

        await self._asker.open()
        numbers = iter(range(self._count))
        make = questions()
        valid = 0

        async def work() -> None:
            nonlocal valid
            for number in numbers:
                question = make(number)
                try:
                    answer = check(await self._asker.decide(question), question)
                except Undecided as error:
                    self.faults[f"{error.failure.value}: {error}"[:120]] += 1
                else:
                    valid += 1
                    assert answer.directive is not None
                    self.actions[answer.directive.action.value] += 1

        try:
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        finally:
            await self._asker.close()
        if not valid:
            raise LinkError(f"the model server gave no valid directive: {dict(self.faults)}")
        return valid


def _adapter() -> Any:
    from metabonk.cognition.backends.openai import OpenAIBackend, Server
    from metabonk.cognition.backends.probe import Wish

    served = real()
    return OpenAIBackend(Server(served.url, wish=Wish(model=served.model, timeout=120.0)), "openai")


def questions() -> Any:
    """Makes a question by its number: another moment of the clip, another strip."""
    from metabonk.cognition.question import Frame, Question
    from metabonk.cognition.strips.strip import encode

    made = clip()
    moments = len(made.states)
    jpegs = [encode(frame) for frame in made.frames]
    states = [state.tobytes() for state in made.states]
    times = [0.06 * (k - 5) if k < 6 else 0.05 * (k - 5) for k in range(STRIP)]

    def make(number: int) -> Question:
        # Every round through the states has its strips shifted: no two questions are the same.
        first = (number + number // moments) % moments
        shown = [jpegs[(first + k) % moments] for k in range(STRIP)]
        return Question(
            agent=f"bench-{number % AT_ONCE}", packed=states[number % moments],
            deadline=time.monotonic() + PATIENCE,
            frames=tuple(Frame(j, at, at > 0.0) for j, at in zip(shown, times, strict=True)),
        )  # fmt: skip

    return make
