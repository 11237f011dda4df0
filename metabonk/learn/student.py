"""Student's distribution (1908), as far as 95 % intervals of few values need it.

Knows numbers only.
"""

from __future__ import annotations

# The 97.5 % quantiles for 1 to 30 degrees of freedom; beyond, the normal's.
STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
NORMAL = 1.960


def quantile(freedom: int) -> float:
    """Half the width of a 95 % interval in standard errors, for 1 or more degrees of freedom."""
    return STUDENT[freedom - 1] if freedom <= len(STUDENT) else NORMAL
