"""What a trajectory was worth, step by step: the doors of gae.py and lambda_returns.py, which have
the formulas, and the names by which both are called together."""

from __future__ import annotations

from metabonk.ops.gae import gae
from metabonk.ops.gae import plan as plan_gae
from metabonk.ops.gae import reference as gae_reference
from metabonk.ops.lambda_returns import lambda_returns
from metabonk.ops.lambda_returns import plan as plan_lambda_returns
from metabonk.ops.lambda_returns import reference as lambda_returns_reference
from metabonk.ops.returns_checks import backends

__all__ = [
    "backends",
    "gae",
    "gae_reference",
    "lambda_returns",
    "lambda_returns_reference",
    "plan_gae",
    "plan_lambda_returns",
]
