"""Contenders compute the same: compared with the reference before anybody is timed.

Who is quick at something else is no peer, and neither are we. Knows numbers; no case and no op.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from metabonk.errors import MetabonkError

from .meter import Timed

EXACT = 1e-4  # of float32 sums in another order
STRAYS = 1e-3  # the part of numbers that may be elsewhere, where rounding chooses between classes


class DisagreementError(MetabonkError):
    """A contender's results are not the reference's; a case that has one is not measured."""


def agreeing(
    who: str,
    meter: Timed,
    want: Iterable[Any],
    within: float = EXACT,
    *,
    got: Callable[[], Iterable[Any]] | None = None,
    strays: float = 0.0,
) -> Timed:
    """`meter`, once its results are those that are wanted.

    want: tensors or arrays. got: the results, of a meter whose `run` does not return them. within:
    largest difference, over the largest number of what is wanted; not more than the part `strays`
    of the numbers may differ by more. Raises DisagreementError.
    """
    returned = meter.run()
    found = list(got() if got is not None else returned)  # type: ignore[call-overload]
    wanted = list(want)
    if len(found) != len(wanted):
        raise DisagreementError(f"{who}: {len(found)} results; the reference has {len(wanted)}")
    for number, (ours, theirs) in enumerate(zip(found, wanted, strict=True)):
        _compare(f"{who}: result {number}", _array(ours), _array(theirs), within, strays)
    return meter


def _compare(what: str, found: Any, wanted: Any, within: float, strays: float) -> None:
    if found.shape != wanted.shape:
        raise DisagreementError(
            f"{what} is {list(found.shape)}; the reference's {list(wanted.shape)}"
        )
    scale = float(np.abs(wanted).max(initial=0.0)) or 1.0
    # Written so that what is not a number is no agreement.
    apart = ~(np.abs(found - wanted) <= within * scale)
    if float(apart.mean()) > strays:
        worst = float(np.abs(found - wanted).max()) / scale
        raise DisagreementError(
            f"{what} is not the reference's: {int(apart.sum()):,} of {apart.size:,} numbers are "
            f"further away than {within:g} of the largest, by up to {worst:.2g}"
        )


def _array(value: Any) -> Any:
    """Tensors, arrays and what makes one of itself, as float64."""
    if hasattr(value, "detach"):
        value = value.detach().double().numpy()
    return np.asarray(value, np.float64)
