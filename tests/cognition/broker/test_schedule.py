"""The scheduler: who goes next, who is refused, and what an overload leaves of both."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk.cognition.broker.pace import ServiceTime, Window
from metabonk.cognition.broker.schedule import CRITICAL_RUN, Job, Scheduler
from metabonk.cognition.protocol.wire import RequestId


def job(agent: str, sequence: int, deadline: float = 100.0, critical: bool = False) -> Job:
    return Job(RequestId(agent, 1, sequence), 0.0, deadline, critical)


def taken(scheduler: Scheduler, now: float = 0.0) -> str | None:
    found, dropped = scheduler.take(now)
    assert not dropped
    return found and f"{found.id.agent}{found.id.sequence}"


def test_one_in_flight_and_the_newest_waits() -> None:
    s = Scheduler(8)
    first = job("a", 1)
    assert s.offer(first, 0.0).displaced is None
    assert taken(s) == "a1"
    assert s.offer(job("a", 2), 0.0).displaced is None
    assert taken(s) is None, "one in flight per agent"
    displaced = s.offer(job("a", 3), 0.0).displaced
    assert displaced is not None
    assert displaced.id.sequence == 2
    assert s.holds(RequestId("a", 1, 3))
    assert not s.holds(RequestId("a", 1, 2))
    s.finish(first, 0.1, "answered")
    assert taken(s, 0.1) == "a3"


def test_agents_take_turns_however_much_one_asks() -> None:
    s = Scheduler(1)
    served: Counter[str] = Counter()
    sequence = 0
    for _ in range(90):
        for agent, times in (("greedy", 5), ("b", 1), ("c", 1)):
            for _ in range(times):
                sequence += 1
                s.offer(job(agent, sequence), 0.0)
        found, _ = s.take(0.0)
        assert found is not None
        served[found.id.agent] += 1
        s.finish(found, 0.0, "answered")
    assert served == {"greedy": 30, "b": 30, "c": 30}


def test_a_pause_gives_no_credit() -> None:
    s = Scheduler(1)
    for n in range(50):
        s.offer(job("busy", n), 0.0)
        found, _ = s.take(0.0)
        assert found is not None
        s.finish(found, 0.0, "answered")
    order = []
    for n in range(4):
        s.offer(job("busy", 100 + n), 0.0)
        s.offer(job("late", n), 0.0)
        found, _ = s.take(0.0)
        assert found is not None
        order.append(found.id.agent)
        s.finish(found, 0.0, "answered")
    assert sorted(order) == ["busy", "busy", "late", "late"]


def test_the_earliest_deadline_goes_first_within_a_round() -> None:
    s = Scheduler(1)
    for agent, deadline in (("a", 9.0), ("b", 3.0), ("c", 6.0)):
        s.offer(job(agent, 1, deadline), 0.0)
    order = []
    while (found := s.take(0.0)[0]) is not None:
        order.append(found.id.agent)
        s.finish(found, 0.0, "answered")
    assert order == ["b", "c", "a"]


def test_critical_goes_before_but_starves_nobody() -> None:
    s = Scheduler(1)
    order = []
    for n in range(3 * (CRITICAL_RUN + 1)):
        for agent in "xyzuvw":
            s.offer(job(agent, n, critical=True), 0.0)
        s.offer(job("calm", n), 0.0)
        found, _ = s.take(0.0)
        assert found is not None
        order.append(found.critical)
        s.finish(found, 0.0, "answered")
    assert order == ([True] * CRITICAL_RUN + [False]) * 3


def test_what_cannot_be_in_time_is_refused_at_once() -> None:
    s = Scheduler(1)
    slow = job("a", 1)
    s.offer(slow, 0.0)
    s.take(0.0)
    s.finish(slow, 1.0, "answered")  # answers take a second, 1.5 with the deviation
    assert not s.offer(job("a", 2, deadline=1.9), 1.0).taken
    assert s.offer(job("a", 3, deadline=4.0), 1.0).taken
    assert s.take(1.0)[0] is not None
    assert not s.offer(job("b", 1, deadline=3.5), 1.0).taken, "a3 is before it"
    assert s.offer(job("b", 2, deadline=9.0), 1.0).taken


def test_what_is_urgent_counts_on_its_own_calmer_question_being_withdrawn() -> None:
    s = Scheduler(2)
    slow = job("a", 1)
    s.offer(slow, 0.0)
    s.take(0.0)
    s.finish(slow, 1.0, "answered")
    s.offer(job("a", 2, deadline=99.0), 1.0)
    flying, _ = s.take(1.0)
    assert flying is not None
    assert not s.offer(job("a", 3, deadline=3.9), 1.0).taken, "behind a2, for 1.5 s each"
    assert s.offer(job("a", 4, deadline=3.9, critical=True), 1.0).taken
    assert s.in_flight("a") is flying
    mean, size = s.service.mean, s.window.size
    s.finish(flying, 1.5, "withdrawn")
    assert (s.service.mean, s.window.size) == (mean, size)
    assert taken(s, 1.5) == "a4"


def test_an_older_request_never_outlives_a_refused_newer_one() -> None:
    s = Scheduler(1)
    slow = job("a", 1)
    s.offer(slow, 0.0)
    s.take(0.0)
    s.finish(slow, 1.0, "answered")
    s.offer(job("a", 2, deadline=99.0), 1.0)
    verdict = s.offer(job("a", 3, deadline=1.1), 1.0)
    assert not verdict.taken
    assert verdict.displaced is not None
    assert verdict.displaced.id.sequence == 2
    assert s.waiting == 0


def test_what_waited_too_long_is_dropped_when_its_turn_comes() -> None:
    s = Scheduler(1)
    first = job("a", 1)
    s.offer(first, 0.0)
    s.take(0.0)
    s.offer(job("b", 1, deadline=0.5), 0.0)
    s.offer(job("c", 1, deadline=50.0), 0.0)
    s.finish(first, 2.0, "answered")
    found, dropped = s.take(2.0)
    assert [d.id.agent for d in dropped] == ["b"]
    assert found is not None
    assert found.id.agent == "c"


def test_a_slow_backend_is_tried_again() -> None:
    time = ServiceTime()
    time.add(30.0, 0.0)
    assert time.expected(1.0) > 30.0
    assert time.expected(119.0) > 30.0
    assert time.expected(121.0) == 0.0
    quick = ServiceTime()
    quick.add(0.1, 0.0)
    assert quick.expected(1.9) > 0.0
    assert quick.expected(2.1) == 0.0


def feed(window: Window, seconds: Callable[[int], float], answers: int, left: float = 9.0) -> int:
    for _ in range(answers):
        window.answered(seconds(window.size), left, full=True)
    return window.size


def test_the_window_is_as_large_as_throughput_grows() -> None:
    assert feed(Window(16), lambda _: 0.1, 600) == 16, "a server that does all at once"
    in_turn = Window(16)
    assert max(feed(in_turn, lambda n: 0.1 * n, 7) for _ in range(300)) <= 2
    batches = Window(16)  # eight at once cost little, more wait
    assert (
        max(feed(batches, lambda n: 0.1 + 0.01 * n + 0.1 * max(0, n - 8), 7) for _ in range(300))
        <= 9
    )
    assert feed(Window(16), lambda _: 0.6, 600, left=1.0) == 1, "no time to spare"
    idle = Window(16)
    for _ in range(600):
        idle.answered(0.1, 9.0, full=False)
    assert idle.size == 1, "a window that nobody fills says nothing"


def test_the_window_shrinks_once_per_crowd() -> None:
    window = Window(16)
    feed(window, lambda _: 0.1, 600)
    for _ in range(10):
        window.missed(5.0, service=1.0)
    assert window.size == 11, "ten misses of one moment are one"
    for n in range(100):
        window.missed(10.0 + 2 * n, service=1.0)
    assert window.size == 1
    with pytest.raises(ValueError, match="at least one"):
        Window(0)


def test_the_window_follows_a_server_that_changes() -> None:
    window = Window(16)
    assert feed(window, lambda n: 0.1 * n, 500) <= 2
    assert feed(window, lambda _: 0.1, 3000) == 16


def test_withdrawing_and_forgetting_leave_nothing() -> None:
    s = Scheduler(4)
    for agent in ("a", "b", "c"):
        s.offer(job(agent, 1), 0.0)
    found, _ = s.take(0.0)
    assert found is not None
    assert {j.id.agent for j in s.withdraw()} == {"b", "c"}
    assert s.waiting == 0
    s.forget("a")
    s.finish(found, 0.1, "failed")  # was in flight: forgetting it waited
    s.forget("a")
    assert not s._lanes
    with pytest.raises(KeyError):
        s.finish(found, 0.2, "answered")


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.floats(0.0, 0.4)), max_size=60))
def test_who_waits_is_counted_as_who_is_there(steps: list[tuple[int, int, float]]) -> None:
    """Nobody is looked for where the count says that none waits."""
    s, now, flying = Scheduler(2), 0.0, []
    for number, (step, agent, seconds) in enumerate(steps):
        now += seconds
        if step in (0, 1):
            s.offer(job(f"a{agent}", number, now + 0.3, critical=step == 1), now)
        elif step == 2 and (found := s.take(now)[0]) is not None:
            flying.append(found)
        elif step == 3 and flying:
            s.finish(flying.pop(0), now, "answered")
        elif step == 4:
            s.overdue(now)
        elif step == 5:
            s.withdraw(f"a{agent}")
        there = [lane for lane in s._lanes.values() if lane.waiting is not None]
        assert s.waiting == len(there)
    s.withdraw()
    assert s.waiting == 0


def overload(agents: int, factor: float, service: float, together: int, seconds: float) -> dict:
    """Plays a backend that answers `together` questions at once, asked for `factor` times what it
    can do; each answer is wanted within four services. What was in time, and by whom."""
    s = Scheduler(16)
    period = agents * service / (together * factor)
    events: list[tuple[float, int, str, object]] = []
    for index in range(agents):
        heapq.heappush(events, (index * period / agents, index, "ask", f"a{index}"))
    good: Counter[str] = Counter()
    sent = late = 0
    order = agents
    busy: list[float] = []  # when each of the backend's places is free
    while events:
        now, _, kind, what = heapq.heappop(events)
        if now > seconds:
            break
        order += 1
        if kind == "ask":
            sent += 1
            s.offer(Job(RequestId(str(what), 1, order), now, now + 4 * service), now)
            heapq.heappush(events, (now + period, order, "ask", what))
        else:
            assert isinstance(what, Job)
            in_time = now <= what.deadline
            late += not in_time
            good[what.id.agent] += in_time
            s.finish(what, now, "answered" if in_time else "missed")
        while (found := s.take(now)[0]) is not None:
            order += 1
            busy = [t for t in busy if t > now]
            begin = now if len(busy) < together else sorted(busy)[-together]
            busy.append(begin + service)
            heapq.heappush(events, (begin + service, order, "done", found))
    counts = [good[f"a{i}"] for i in range(agents)]
    jain = sum(counts) ** 2 / (agents * sum(c * c for c in counts)) if any(counts) else 0.0
    capacity = seconds * together / service
    return {"goodput": sum(counts) / capacity, "jain": jain, "late": late, "sent": sent}


@pytest.mark.parametrize("together", [1, 2, 4, 8])
def test_four_times_overload_is_fair_and_wastes_little(together: int) -> None:
    found = overload(16, 4.0, 0.25, together, 200.0)
    assert found["goodput"] >= 0.9, found
    assert found["jain"] >= 0.95, found
    calm = overload(16, 0.5, 0.25, together, 200.0)
    assert calm["late"] == 0, calm
    assert calm["jain"] > 0.99, calm


def test_the_overload_check_sees_an_unfair_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_lane(self: Scheduler) -> object:
        for lane in self._lanes.values():
            if lane.waiting is not None and lane.flying is None:
                return lane
        return None

    monkeypatch.setattr(Scheduler, "_next", first_lane)
    monkeypatch.setattr(Scheduler, "_tidy", lambda *_: None)
    assert overload(16, 4.0, 0.25, 1, 200.0)["jain"] < 0.95
