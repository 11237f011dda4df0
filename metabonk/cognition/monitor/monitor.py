"""How System 2 is doing: figures over time from the broker, its model server and the GPUs.

Knows the names under which the broker, SGLang and vLLM publish what they count, and how rates,
shares and fairness follow from two looks at them; does not know how figures are shown. Looking
changes nothing at the other end. A server that does not answer is a figure too: its `problem`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from metabonk.cognition.monitor.nvml import Load, Nvml
from metabonk.cognition.monitor.scrape import Page, quantile, scrape
from metabonk.errors import CorruptError, LinkError

# What the broker publishes (its own table is in metabonk.cognition.broker.broker's metrics).
REQUESTS = "metabonk_cognition_requests_total"  # {agent}
REPLIES = "metabonk_cognition_replies_total"  # {agent, status}
AGE = "metabonk_cognition_age_seconds"  # histogram: from capture to the directive's first tick
SERVER = "metabonk_cognition_server_seconds"  # histogram: from arrival to reply
AGENTS = "metabonk_cognition_agents"
IN_FLIGHT = "metabonk_cognition_in_flight"
LIMIT = "metabonk_cognition_backend_limit"  # questions that it takes at once; 0: any number
PENDING = "metabonk_cognition_pending"
UNRECORDED = "metabonk_cognition_unrecorded"  # decisions that the journal could not take yet
JOURNAL = "metabonk_cognition_journal_bytes"  # that rows take
JOURNAL_LIMIT = "metabonk_cognition_journal_limit_bytes"  # 0: none
JOURNAL_OLDEST = "metabonk_cognition_journal_oldest_seconds"  # age of the oldest row
JOURNAL_REMOVED = "metabonk_cognition_journal_removed_total"  # decisions that made room

# A model server's figure -> the names it may have: a gauge, or a counter over another counter.
_KV_USE = ("sglang:token_usage", "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
_HIT_RATE = ("sglang:cache_hit_rate",)
_HITS_OF = (("vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total"),)
_RUNNING = ("sglang:num_running_reqs", "vllm:num_requests_running")
_QUEUED = ("sglang:num_queue_reqs", "vllm:num_requests_waiting")
_GENERATED = ("sglang:generation_tokens_total", "vllm:generation_tokens_total")
_PROMPTED = ("sglang:prompt_tokens_total", "vllm:prompt_tokens_total")
_KINDS = {"sglang:": "sglang", "vllm:": "vllm"}


class AgentFigures(msgspec.Struct, frozen=True):
    """One agent in the interval. requests, decisions, fallbacks: counts. share: of all that were
    answered."""

    agent: str
    requests: int = 0
    decisions: int = 0
    fallbacks: int = 0
    share: float = 0.0


class JournalFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal keeps. size: bytes of its rows. limit: bytes that they may take, 0 for any
    number. oldest: seconds since the oldest decision in it. removed: decisions that went to make
    room or for their age, since the server began."""

    size: int
    limit: int = 0
    oldest: float = 0.0
    removed: int = 0


class BrokerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The broker in the interval.

    problem: why there are no figures. requests, decisions: per second. replies: per second, by
    status. fallback_share: of answered requests, those that a fallback answered. age_ms, server_ms:
    median and 99th percentile, from capture to applying and from arrival to reply. fairness: Jain's
    index of decisions per agent that asked, 1 for all alike; fallbacks are none of them where the
    backend takes so many questions and no more, for what it has no room for is what is shared.
    unrecorded: decisions that wait for
    the journal. journal: what is kept there. None: not known, as while nothing happens.
    """

    problem: str = ""
    agents: list[AgentFigures] = []
    connected: int | None = None
    requests: float = 0.0
    decisions: float = 0.0
    replies: dict[str, float] = {}
    fallback_share: float | None = None
    age_ms: tuple[float, float] | None = None
    server_ms: tuple[float, float] | None = None
    fairness: float | None = None
    in_flight: int | None = None
    pending: int | None = None
    unrecorded: int | None = None
    journal: JournalFigures | None = None


class ModelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The model server in the interval.

    kind: sglang, vllm or empty for another one. cache_hit_rate: of the prefix cache, 0..1. kv_use:
    of the KV cache, 0..1. running, queued: requests. generated, prompted: tokens per second.
    """

    problem: str = ""
    kind: str = ""
    cache_hit_rate: float | None = None
    kv_use: float | None = None
    running: float | None = None
    queued: float | None = None
    generated: float | None = None
    prompted: float | None = None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One look. time: seconds since 1970. seconds: since the look before it; 0 in the first one,
    whose rates are 0. model: None where no model server is watched. gpu_problem: why there are no
    GPUs."""

    time: float
    seconds: float
    broker: BrokerFigures
    model: ModelFigures | None = None
    gpus: list[Load] = []
    gpu_problem: str = ""


class Monitor:
    """Looks at the broker, at a model server if there is one, and at the GPUs.

    broker, model: addresses of their metrics. Use as a context; `look` as often as wanted.
    """

    def __init__(
        self,
        broker: str,
        model: str = "",
        *,
        fetch: Callable[[str], Page] = scrape,
        nvml: Callable[[], Nvml] = Nvml,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._urls = {"broker": broker, "model": model}
        self._fetch = fetch
        self._clock = clock
        self._nvml = nvml()
        self._before: dict[str, tuple[float, Page]] = {}
        self._looked: float | None = None

    def look(self) -> Figures:
        """The figures now, and rates since the last look at which the server answered.

        Raises ConfigError for an address that is none.
        """
        now = self._clock()
        seconds = 0.0 if self._looked is None else now - self._looked
        self._looked = now
        page, before, passed, problem = self._page("broker")
        broker = BrokerFigures(problem=problem) if problem else broker_figures(page, before, passed)
        model = None
        if self._urls["model"]:
            page, before, passed, problem = self._page("model")
            model = (
                ModelFigures(problem=problem) if problem else model_figures(page, before, passed)
            )
        return Figures(
            time=time.time(),
            seconds=seconds,
            broker=broker,
            model=model,
            gpus=self._nvml.loads(),
            gpu_problem=self._nvml.problem,
        )

    def close(self) -> None:
        self._nvml.close()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _page(self, whose: str) -> tuple[Page, Page, float, str]:
        """The page, the one before, the seconds between, and why there is none."""
        try:
            page = self._fetch(self._urls[whose])
        except (LinkError, CorruptError) as error:
            return Page(), Page(), 0.0, str(error)
        now = self._clock()
        then, before = self._before.get(whose, (now, page))
        self._before[whose] = (now, page)
        return page, before, now - then, ""


def broker_figures(page: Page, before: Page, seconds: float) -> BrokerFigures:
    """What happened between two pages of the broker that are `seconds` apart."""
    requests = _grown(page, before, REQUESTS, "agent")
    statuses = _grown(page, before, REPLIES, "status")
    decided = _grown(page, before, REPLIES, "agent", status="ok")
    fallen = _grown(page, before, REPLIES, "agent", status="fallback")
    names = sorted({*requests, *decided, *fallen})
    answered = {name: decided.get(name, 0.0) + fallen.get(name, 0.0) for name in names}
    total = sum(answered.values())
    agents = [
        AgentFigures(
            name,
            requests=round(requests.get(name, 0.0)),
            decisions=round(decided.get(name, 0.0)),
            fallbacks=round(fallen.get(name, 0.0)),
            share=answered[name] / total if total else 0.0,
        )
        for name in names
    ]
    got = decided if page.total(LIMIT) else answered
    asked = [got.get(name, 0.0) for name in names if requests.get(name)]
    return BrokerFigures(
        agents=agents,
        connected=_whole(page.total(AGENTS)),
        requests=_rate(sum(requests.values()), seconds),
        decisions=_rate(sum(decided.values()), seconds),
        replies={status: _rate(count, seconds) for status, count in sorted(statuses.items())},
        fallback_share=sum(fallen.values()) / total if total else None,
        age_ms=_percentiles(page, before, AGE),
        server_ms=_percentiles(page, before, SERVER),
        fairness=jain(asked),
        in_flight=_whole(page.total(IN_FLIGHT)),
        pending=_whole(page.total(PENDING)),
        unrecorded=_whole(page.total(UNRECORDED)),
        journal=_journal(page),
    )


def _journal(page: Page) -> JournalFigures | None:
    """What the page says of the journal; None of a server that says nothing."""
    size = _whole(page.total(JOURNAL))
    if size is None:
        return None
    return JournalFigures(
        size=size,
        limit=_whole(page.total(JOURNAL_LIMIT)) or 0,
        oldest=page.total(JOURNAL_OLDEST) or 0.0,
        removed=_whole(page.total(JOURNAL_REMOVED)) or 0,
    )


def model_figures(page: Page, before: Page, seconds: float) -> ModelFigures:
    """What a model server's page says, whichever server it is."""
    kinds = [kind for prefix, kind in _KINDS.items() if any(n.startswith(prefix) for n in page)]
    hit_rate = _first(page.mean, _HIT_RATE)
    for hits, queries in _HITS_OF:
        if hit_rate is None and hits in page and queries in page:
            asked = _growth(page, before, queries)
            hit_rate = _growth(page, before, hits) / asked if asked > 0.0 else None
    return ModelFigures(
        kind=kinds[0] if kinds else "",
        cache_hit_rate=hit_rate,
        kv_use=_first(page.mean, _KV_USE),
        running=_first(page.total, _RUNNING),
        queued=_first(page.total, _QUEUED),
        generated=_first_rate(page, before, _GENERATED, seconds),
        prompted=_first_rate(page, before, _PROMPTED, seconds),
    )


def jain(amounts: Iterable[float]) -> float | None:
    """Jain's fairness index, (Σx)² / (n Σx²): 1 for equal amounts, 1/n where one gets all.

    None without amounts, or where nobody got anything. Jain, Chiu, Hawe, 1984.
    """
    got = list(amounts)
    squares = sum(x * x for x in got)
    return sum(got) ** 2 / (len(got) * squares) if squares > 0.0 else None


def _grown(page: Page, before: Page, name: str, label: str, **labels: str) -> dict[str, float]:
    then = before.by(name, label, **labels)
    return {
        key: _difference(value, then.get(key, 0.0))
        for key, value in page.by(name, label, **labels).items()
    }


def _growth(page: Page, before: Page, name: str) -> float:
    return _difference(page.total(name) or 0.0, before.total(name) or 0.0)


def _difference(now: float, then: float) -> float:
    """Of a counter, which starts at 0 again when its process does."""
    return now - then if now >= then else now


def _rate(count: float, seconds: float) -> float:
    return count / seconds if seconds > 0.0 else 0.0


def _percentiles(page: Page, before: Page, name: str) -> tuple[float, float] | None:
    """Median and 99th percentile of what came since, milliseconds."""
    now, then = page.buckets(name), before.buckets(name)
    whole = max(now.values(), default=0.0)
    restarted = whole < max(then.values(), default=0.0)
    since = now if restarted else {b: n - then.get(b, 0.0) for b, n in now.items()}
    median, high = quantile(since, 0.5), quantile(since, 0.99)
    return None if median is None or high is None else (median * 1e3, high * 1e3)


def _first(read: Callable[[str], float | None], names: Iterable[str]) -> float | None:
    return next((value for name in names if (value := read(name)) is not None), None)


def _first_rate(page: Page, before: Page, names: Iterable[str], seconds: float) -> float | None:
    for name in names:
        if name in page:
            return _rate(_growth(page, before, name), seconds)
    return None


def _whole(value: float | None) -> int | None:
    return None if value is None or value != value else round(value)
