"""What the broker counts of itself, as one page of metrics.

Knows the names that monitor.py reads and what each means; does not know sockets or schedules. An
agent's name is a label; past `MOST_LABELS` of them the rest are counted together, so that agents
that come and go cannot fill the memory.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from metabonk.cognition.monitor.exposition import Histogram, Page

PREFIX = "metabonk_cognition_"
MOST_LABELS = 1024
OTHERS = "others"


class Measures:
    """Counters that only grow, and histograms in seconds."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, ...]] = Counter()  # by agent
        self.replies: Counter[tuple[str, ...]] = Counter()  # by agent and status
        self.codes: Counter[tuple[str, ...]] = Counter()  # by code, of replies that decide nothing
        self.refused: Counter[tuple[str, ...]] = Counter()  # by code, of what is no request
        self.events: Counter[str] = Counter()
        self.server = Histogram()
        self.age = Histogram()
        self.added = Histogram()
        self.stages: dict[tuple[str, ...], Histogram] = defaultdict(Histogram)
        self._labels: set[str] = set()

    def label(self, agent: str) -> str:
        """The agent's name, or `others` when there were too many."""
        if agent in self._labels or len(self._labels) < MOST_LABELS:
            self._labels.add(agent)
            return agent
        return OTHERS

    def stage(self, name: str, seconds: float) -> None:
        """How long one part of an answer took; at most 32 names are kept."""
        if (name,) in self.stages or len(self.stages) < 32:
            self.stages[(name,)].add(seconds)

    def page(self, gauges: Mapping[str, tuple[str, float]], others: Mapping[str, float]) -> str:
        """The page. gauges: help and value by name. others: what journal and backends count."""
        page = Page(PREFIX)
        page.add("requests_total", "counter", "Requests that arrived.", self.requests, ("agent",))
        page.add(
            "replies_total", "counter", "Requests that ended, by how.", self.replies,
            ("agent", "status"),
        )  # fmt: skip
        page.add(
            "undecided_total", "counter", "Requests that ended without a decision, by why.",
            self.codes, ("code",),
        )  # fmt: skip
        page.add(
            "refused_total", "counter", "Messages that could not be taken, by why.", self.refused,
            ("code",),
        )  # fmt: skip
        for name, help in EVENTS.items():
            page.add(f"{name}_total", "counter", help, float(self.events[name]))
        for name, (help, value) in gauges.items():
            page.add(name, "gauge", help, float(value))
        page.histogram("server_seconds", "From arrival to reply.", {(): self.server})
        page.histogram(
            "added_seconds", "Of that, what is not the backend's work or waiting.", {(): self.added}
        )
        page.histogram("age_seconds", "From capture to following the answer.", {(): self.age})
        page.histogram("stage_seconds", "Parts of an answer.", self.stages, ("stage",))
        for name, value in others.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            page.add(name, kind, "As its owner counts it.", value)
        return page.text()


EVENTS = {
    "v1": "Requests of version 1.",
    "replayed": "Replies that were sent again for a request that came again.",
    "queries": "Questions whether a request was answered.",
    "unsent": "Replies that the agent's connection did not take; it asks again.",
    "outcomes": "Outcomes written down, each once however often it came.",
    "outcomes_refused": "Outcomes that the journal could not take; they come again.",
    "outcomes_v1_refused": "Outcomes of version 1 of no decision that their sender was told.",
    "unrecorded_replies": "Replies sent before the journal had them.",
    "backend_faults": "Answers that failed by an error in the backend's code.",
    "handles": "Requests whose frames lay in shared memory.",
    "frames_read": "Frames of theirs that a backend looked at, encoded here.",
    "frames_overwritten": "Frames of theirs that were gone; their requests went on without.",
}
