"""Metrics read from a server: Prometheus' text format, scraped over HTTP.

Knows the exposition format (version 0.0.4 and what OpenMetrics shares with it) and how to fetch it
within limits of time and size; does not know what any metric means. Nothing is assumed of the other
end: a page that is too long, no text or not in the format is an error and never half a result.
Format: https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from metabonk.errors import ConfigError, CorruptError, LinkError

MOST_BYTES = 8 << 20  # of one page: a busy SGLang's is a few hundred kilobytes
MOST_SAMPLES = 200_000
TIMEOUT = 2.0  # seconds
_CHUNK = 1 << 16
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABELS = r'\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\}'
_LINE = re.compile(rf"({_NAME})(?:{_LABELS})?[ \t]+(\S+)(?:[ \t]+-?[0-9.eE+-]+)?(?:[ \t]+#.*)?\Z")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|\Z)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


class Sample(NamedTuple):
    """One line: a metric's name, its labels and a value (which may be NaN or infinite)."""

    name: str
    labels: Mapping[str, str]
    value: float


class Page:
    """The samples of one scrape; iterating gives the metrics' names."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._by_name: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            self._by_name[sample.name].append(sample)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return sum(map(len, self._by_name.values()))

    def samples(self, name: str, **labels: str) -> list[Sample]:
        """Those of `name` that have these labels, in the page's order."""
        found = self._by_name.get(name, [])
        return [s for s in found if all(s.labels.get(k) == v for k, v in labels.items())]

    def total(self, name: str, **labels: str) -> float | None:
        """Their sum; None where there is none, which is not the same as 0."""
        found = self.samples(name, **labels)
        return sum(s.value for s in found) if found else None

    def mean(self, name: str, **labels: str) -> float | None:
        """Their mean: of a gauge that every replica of a server reports."""
        found = self.samples(name, **labels)
        return sum(s.value for s in found) / len(found) if found else None

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Their sums by the value of one label; samples without it are left out."""
        sums: dict[str, float] = defaultdict(float)
        for sample in self.samples(name, **labels):
            if label in sample.labels:
                sums[sample.labels[label]] += sample.value
        return dict(sums)

    def buckets(self, name: str, **labels: str) -> dict[float, float]:
        """A histogram's cumulative counts by upper bound, summed over all other labels, ascending.

        name: without `_bucket`. Empty where there is none. Raises CorruptError for a bound that is
        no number.
        """
        counts: dict[float, float] = defaultdict(float)
        for sample in self.samples(f"{name}_bucket", **labels):
            counts[_number(sample.labels.get("le", ""), f"{name}_bucket's label le")] += (
                sample.value
            )
        return dict(sorted(counts.items()))


def parse(text: str) -> Page:
    """The samples of a page. Raises CorruptError with the line's number for one that is none."""
    samples: list[Sample] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        found = _LINE.match(line)
        if found is None:
            raise CorruptError(f"metrics, line {number}: not a sample: {line[:80]!r}")
        name, labels, value = found.groups()
        where = f"metrics, line {number}, {name}"
        samples.append(Sample(name, _labels(labels or "", where), _number(value, where)))
        if len(samples) > MOST_SAMPLES:
            raise CorruptError(f"metrics: more than {MOST_SAMPLES:,} samples on one page")
    return Page(samples)


def scrape(url: str, timeout: float = TIMEOUT) -> Page:
    """The page at `url` (http or https), there within `timeout` seconds; proxies are not asked.

    Raises ConfigError for an address that is none, LinkError if nobody answers or what answers has
    no metrics, CorruptError for a page that is not in the format or longer than MOST_BYTES.
    """
    if not _is_address(url):
        raise ConfigError(f"{url!r}: give an address as http://127.0.0.1:5556/metrics")
    try:
        data = _fetch(url, timeout)
    except urllib.error.HTTPError as error:
        error.close()
        raise LinkError(f"{url}: answered {error.code} {error.reason}, no metrics") from error
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise LinkError(f"{url}: nobody answers ({reason}); is the server running?") from error
    try:
        return parse(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CorruptError(f"{url}: the page is no text ({error})") from error


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address, for one
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _fetch(url: str, timeout: float) -> bytes:
    """The bytes at a checked address; the limit is of the whole answer, however it trickles."""
    end = time.monotonic() + timeout
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = bytearray()
    with opener.open(url, timeout=timeout) as answer:
        while chunk := answer.read1(_CHUNK):
            data += chunk
            if len(data) > MOST_BYTES:
                raise CorruptError(f"{url}: a page of more than {MOST_BYTES >> 20} MiB")
            if time.monotonic() > end:
                raise TimeoutError(f"not there after {timeout:g} s")
    return bytes(data)


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """The value below which `share` (0..1) of a histogram's observations are.

    buckets: cumulative counts by upper bound, ascending. Interpolated inside its bucket, as
    Prometheus' histogram_quantile; the last finite bound for what is beyond it; None for an empty
    histogram.
    """
    total = max(buckets.values(), default=0.0)
    if not total > 0.0:
        return None
    wanted, below, low = share * total, 0.0, 0.0
    for bound, count in buckets.items():
        if count >= wanted and count > below:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (wanted - below) / (count - below)
        if bound != float("inf"):
            low = bound
        below = count
    return low


def _labels(text: str, where: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    position = 0
    while text[position:].strip():
        found = _LABEL.match(text, position)
        if found is None:
            raise CorruptError(f"{where}: labels that are none: {text[position : position + 80]!r}")
        labels[found[1]] = _ESCAPE.sub(lambda m: _ESCAPES.get(m[1], m[0]), found[2])
        position = found.end()
    return labels


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CorruptError(f"{where}: {text[:40]!r} is no number") from error
