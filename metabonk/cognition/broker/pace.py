"""How long an answer takes and how many may be worked on at once: two estimates from what was seen.

Knows durations and whether they were in time; does not know requests, agents or clocks.

Service time is smoothed as TCP smooths its round trips (RFC 6298): mean and mean deviation, gains
1/8 and 1/4.

The window of questions in flight climbs the hill of throughput: n questions at once that take t
seconds each are n / t answers per second (Little's law), and n + 1 at once are worth it only if
that rises by a good part of 1/n. A server that batches gets its batch; one that works in turn gets
one question at a time, so that those who wait are still ours to order, and none is made late by
sharing. An answer that comes too late shrinks the window to 7/10, once per service time.
"""

from __future__ import annotations

_MEAN_GAIN = 1 / 8
_DEVIATION_GAIN = 1 / 4
_SHRINK = 0.7
_WORTH = 0.3  # of the throughput that one more question at once would give if it cost nothing
_SPARE = 0.5  # of the time that was left: with answers slower than that the window stays
_STALE = 256  # answers after which what was measured at a size is measured again
_FORGET = 2.0  # seconds without news, or four answers' time, after which an estimate is dropped


class ServiceTime:
    """Smoothed seconds from handing a question to a backend until its answer."""

    def __init__(self) -> None:
        self.mean = 0.0
        self.deviation = 0.0
        self._heard: float | None = None

    def add(self, seconds: float, now: float) -> None:
        """One answer, or one that was given up after `seconds`.

        One that was asked for when the estimate had been dropped begins a new one. Smoothed into
        the old one, a slow start of a backend would have all but one request every few seconds
        refused, long after it has become quick.
        """
        if self._dropped(now - seconds):
            self.mean, self.deviation = seconds, seconds / 2
        else:
            self.deviation += _DEVIATION_GAIN * (abs(seconds - self.mean) - self.deviation)
            self.mean += _MEAN_GAIN * (seconds - self.mean)
        self._heard = now

    def expected(self, now: float) -> float:
        """Seconds that the next answer will take, erring by a deviation on the safe side.

        0 when nothing was heard for a while: a backend that was slow is tried again, else nobody
        would ever notice that it is quick now.
        """
        return 0.0 if self._dropped(now) else self.mean + self.deviation

    def _dropped(self, now: float) -> bool:
        return self._heard is None or now - self._heard > max(_FORGET, 4.0 * self.mean)


class Window:
    """How many questions may be with the backend at once. most: never more, at least 1."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"most: {most}, at least one question must be allowed")
        self.most = most
        self.size = 1
        self._shrunk = -1e9
        self._count = 0  # answers so far
        self._here = 0  # of them at this size
        self._seen: dict[int, tuple[float, int]] = {}  # size -> smoothed seconds, at which count

    def answered(self, seconds: float, left: float, full: bool) -> None:
        """An answer in time. left: seconds there were when it began. full: whether the window
        was, since a window that nobody fills says nothing of any size."""
        if not full:
            return
        self._count += 1
        self._here += 1
        old = self._known(self.size)
        mean = seconds if old is None else old + _MEAN_GAIN * (seconds - old)
        self._seen[self.size] = (mean, self._count)
        if self._here >= 2 * self.size:  # what was begun at another size is through
            self._move(mean, spare=mean < _SPARE * left)

    def missed(self, now: float, service: float) -> None:
        """An answer too late, or none. service: seconds that one takes; misses within it are of
        one crowd and count once."""
        if now - self._shrunk >= service:
            self._go(max(1, int(self.size * _SHRINK)))
            self._shrunk = now

    def _move(self, mean: float, spare: bool) -> None:
        size, below, above = self.size, self._known(self.size - 1), self._known(self.size + 1)
        if below is not None and not _worth(size, mean, below):
            self._go(size - 1)
        elif size < self.most and spare and (above is None or _worth(size + 1, above, mean)):
            self._go(size + 1)

    def _known(self, size: int) -> float | None:
        mean, when = self._seen.get(size, (0.0, -_STALE))
        return mean if size > 0 and self._count - when < _STALE else None

    def _go(self, size: int) -> None:
        if size != self.size:
            self.size, self._here = size, 0


def _worth(size: int, seconds: float, before: float) -> bool:
    """Whether `size` at once in `seconds` answer enough more than one fewer in `before`."""
    gain = (size / seconds) / ((size - 1) / before) if seconds > 0.0 else float("inf")
    return gain > 1.0 + _WORTH / (size - 1)
