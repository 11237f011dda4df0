"""cognition/monitor/monitor.py: rates, shares and fairness follow from what servers publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from metabonk.cognition.monitor import monitor as m
from metabonk.cognition.monitor.nvml import Load, Nvml
from metabonk.cognition.monitor.scrape import Page, parse
from metabonk.errors import ConfigError, LinkError


def page(
    requests: dict[str, int], ok: dict[str, int], fallback: dict[str, int], *more: str
) -> Page:
    """The broker's page with these counts by agent."""
    lines = [f'{m.REQUESTS}{{agent="{a}"}} {n}' for a, n in requests.items()]
    lines += [f'{m.REPLIES}{{agent="{a}",status="ok"}} {n}' for a, n in ok.items()]
    lines += [f'{m.REPLIES}{{agent="{a}",status="fallback"}} {n}' for a, n in fallback.items()]
    return parse("\n".join([*lines, *more]))


def histogram(name: str, *counts: int) -> list[str]:
    """Cumulative counts at 10 ms, 100 ms, 1 s and beyond."""
    bounds = ("0.01", "0.1", "1", "+Inf")
    return [f'{name}_bucket{{le="{b}"}} {n}' for b, n in zip(bounds, counts, strict=True)]


def test_rates_are_those_of_the_interval() -> None:
    before = page({"a": 10, "b": 10}, {"a": 10, "b": 8}, {"b": 2})
    after = page(
        {"a": 20, "b": 30}, {"a": 20, "b": 23}, {"b": 7}, f"{m.AGENTS} 2", f"{m.IN_FLIGHT} 3"
    )
    found = m.broker_figures(after, before, 5.0)
    assert found.requests == 6.0
    assert found.decisions == 5.0
    assert found.replies == {"fallback": 1.0, "ok": 5.0}
    assert found.fallback_share == pytest.approx(5 / 30)
    assert found.connected == 2
    assert found.in_flight == 3
    assert found.pending is None
    assert [(a.agent, a.requests, a.decisions, a.fallbacks) for a in found.agents] == [
        ("a", 10, 10, 0),
        ("b", 20, 15, 5),
    ]
    assert [a.share for a in found.agents] == pytest.approx([1 / 3, 2 / 3])
    assert found.fairness == pytest.approx(30**2 / (2 * (10**2 + 20**2)))


def test_a_restarted_broker_counts_from_zero() -> None:
    before = page({"a": 100}, {"a": 100}, {}, *histogram(m.AGE, 0, 100, 100, 100))
    after = page({"a": 4}, {"a": 4}, {}, *histogram(m.AGE, 4, 4, 4, 4))
    found = m.broker_figures(after, before, 2.0)
    assert found.requests == 2.0
    assert found.age_ms is not None
    assert found.age_ms[0] < 10.0


def test_an_agent_that_is_starved_counts_and_one_that_is_silent_does_not() -> None:
    nothing = Page()
    starved = page({"a": 10, "b": 10}, {"a": 10, "b": 0}, {})
    assert m.broker_figures(starved, nothing, 1.0).fairness == pytest.approx(0.5)
    silent = page({"a": 10, "b": 0}, {"a": 10, "b": 0}, {})
    assert m.broker_figures(silent, nothing, 1.0).fairness == pytest.approx(1.0)


def test_what_the_rules_answer_for_a_model_is_no_share_of_it() -> None:
    """Everybody gets as much of them: with a model that is dead, or answers one agent alone, all
    would seem well."""
    nothing = Page()
    for limit, one, dead in ((16, 0.5, None), (0, 1.0, 1.0)):
        said = f"{m.LIMIT} {limit}"
        found = page({"a": 10, "b": 10}, {"a": 10, "b": 0}, {"a": 0, "b": 10}, said)
        assert m.broker_figures(found, nothing, 1.0).fairness == one
        found = page({"a": 10, "b": 10}, {}, {"a": 10, "b": 10}, said)
        assert m.broker_figures(found, nothing, 1.0).fairness == dead
    older = page({"a": 10, "b": 10}, {"a": 10, "b": 0}, {"a": 0, "b": 10})
    assert m.broker_figures(older, nothing, 1.0).fairness == 1.0, "a server that says no limit"


def test_the_age_is_that_of_the_interval() -> None:
    before = page({}, {}, {}, *histogram(m.AGE, 1000, 1000, 1000, 1000))
    after = page({}, {}, {}, *histogram(m.AGE, 1000, 1100, 1100, 1100))
    found = m.broker_figures(after, before, 1.0)
    assert found.age_ms is not None
    assert found.age_ms == pytest.approx((55.0, 99.1))
    assert found.server_ms is None


def test_without_traffic_nothing_is_claimed() -> None:
    same = page({"a": 10}, {"a": 10}, {}, *histogram(m.AGE, 1, 2, 3, 4))
    found = m.broker_figures(same, same, 0.0)
    assert found.requests == found.decisions == 0.0
    assert found.fallback_share is None
    assert found.age_ms is None
    assert found.fairness is None


def test_the_journal_is_as_full_as_it_is_said_to_be() -> None:
    said = [f"{m.JOURNAL} 1048576", f"{m.JOURNAL_LIMIT} 4194304", f"{m.JOURNAL_OLDEST} 90.5",
            f"{m.JOURNAL_REMOVED} 12"]  # fmt: skip
    found = m.broker_figures(page({}, {}, {}, *said), Page(), 1.0).journal
    assert found == m.JournalFigures(size=1 << 20, limit=1 << 22, oldest=90.5, removed=12)
    found = m.broker_figures(page({}, {}, {}, said[0]), Page(), 1.0).journal
    assert found == m.JournalFigures(size=1 << 20), "no limit, nothing removed"
    assert m.broker_figures(page({}, {}, {}), Page(), 1.0).journal is None, "a server says nothing"


def test_jain() -> None:
    assert m.jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert m.jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert m.jain([]) is None
    assert m.jain([0.0, 0.0]) is None


def test_sglang_is_read() -> None:
    before = parse('sglang:generation_tokens_total{model_name="x"} 100')
    after = parse(
        """\
sglang:generation_tokens_total{model_name="x"} 300
sglang:token_usage{model_name="x",tp_rank="0"} 0.28
sglang:token_usage{model_name="x",tp_rank="1"} 0.30
sglang:cache_hit_rate{model_name="x"} 0.75
sglang:num_running_reqs{model_name="x"} 5
sglang:num_queue_reqs{model_name="x"} 2
"""
    )
    found = m.model_figures(after, before, 2.0)
    assert found.kind == "sglang"
    assert found.kv_use == pytest.approx(0.29)
    assert found.cache_hit_rate == 0.75
    assert (found.running, found.queued, found.generated) == (5.0, 2.0, 100.0)
    assert found.prompted is None


def test_vllm_is_read() -> None:
    before = parse("vllm:prefix_cache_hits_total 10\nvllm:prefix_cache_queries_total 100")
    after = parse(
        "vllm:prefix_cache_hits_total 70\nvllm:prefix_cache_queries_total 200\n"
        "vllm:kv_cache_usage_perc 0.5\nvllm:num_requests_running 1"
    )
    found = m.model_figures(after, before, 1.0)
    assert found.kind == "vllm"
    assert found.cache_hit_rate == pytest.approx(0.6)
    assert found.kv_use == 0.5
    assert m.model_figures(after, after, 1.0).cache_hit_rate is None  # nobody asked


def test_another_server_has_no_figures_and_no_name() -> None:
    found = m.model_figures(parse("process_cpu_seconds_total 5"), Page(), 1.0)
    assert found == m.ModelFigures()


@pytest.fixture
def ticking() -> Callable[[], float]:
    times: Iterator[float] = iter(range(0, 10_000))
    return lambda: float(next(times))


def test_a_look_says_what_does_not_answer_and_goes_on(ticking: Callable[[], float]) -> None:
    pages = {"http://broker": [page({"a": 1}, {"a": 1}, {}), page({"a": 9}, {"a": 9}, {})]}

    def fetch(url: str) -> Page:
        if url not in pages or not pages[url]:
            raise LinkError(f"{url}: nobody answers")
        return pages[url].pop(0)

    with m.Monitor(
        "http://broker", "http://model", fetch=fetch, nvml=lambda: Nvml(lambda: None), clock=ticking
    ) as watching:
        first, second, third = watching.look(), watching.look(), watching.look()
    assert first.seconds == 0.0
    assert first.broker.requests == 0.0  # how long it took to come to that is not known
    assert second.broker.requests > 0.0
    assert second.broker.requests == 8.0 / 2.0  # two readings of the clock a look
    assert "http://broker: nobody answers" in third.broker.problem
    assert third.broker.requests == 0.0
    assert first.model is not None
    assert "nobody answers" in first.model.problem
    assert "no NVIDIA driver" in first.gpu_problem


def test_gpus_are_in_it(ticking: Callable[[], float]) -> None:
    class OneGpu(Nvml):
        def __init__(self) -> None:
            super().__init__(lambda: None)
            self.problem = ""

        def loads(self) -> list[Load]:
            return [Load("NVIDIA", 0.5, 1.0, 80.0, 40.0, 100.0)]

    watching = m.Monitor("http://b", fetch=lambda url: Page(), nvml=OneGpu, clock=ticking)
    figures = watching.look()
    assert figures.gpus == [Load("NVIDIA", 0.5, 1.0, 80.0, 40.0, 100.0)]
    assert figures.model is None  # none is watched
    watching.close()


def test_an_address_that_is_none_is_an_error_and_no_figure() -> None:
    with m.Monitor("broker:5556") as watching, pytest.raises(ConfigError, match="give an address"):
        watching.look()
