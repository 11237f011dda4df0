"""What a user would otherwise run on a GPU for the same work as a case.

    eager           the formula as torch runs it in float32, layers over bf16 in bf16 (linear
                    layers in few bits: float32, as they were before)
    compile         torch.compile of the same, or of one step of it (linear layers: of weights in
                    few bits, decoded on the way), inside the same kind of graph that ours is
                    timed in
    cuDNN GRU       for recurrent cells: the very layer, or another cell with as many units
    cuBLASLt bf16   for linear layers, over weights that were decoded beforehand; int8 and fp8
                    where the weights are in that format

cdist and argmin are what is eager of nearest codes. The work itself is written in torch_*.py.
Knows which case is what; no kernel of ours.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from metabonk.kernels.cases import Case, Inputs

from . import (
    tick,
    torch_codes,
    torch_frames,
    torch_linear,
    torch_recurrent,
    torch_returns,
    torch_samples,
)
from .plain import Plain

Peer = Callable[[Case, Inputs], Plain | None]


def eager(case: Case, given: Inputs) -> Plain | None:
    """None for an op that is not known here."""
    if case.op == "qlinear":
        make = torch_linear.whole if "weights" in case.facts else torch_linear.rows
        return make(case, given)
    found = BY_OP.get(case.op)
    if found is not None:
        return found(case, given)
    return torch_frames.plain(case, given) if case.op.startswith("frames.") else None


def compiled(case: Case, given: Inputs) -> Plain | None:
    """What there is to compile; `Plain.compiled` does it."""
    if case.op == "qlinear" and "weights" in case.facts:
        return torch_linear.stored(case, given)
    return eager(case, given)


def cublaslt(format: str, case: Case, given: Inputs) -> Plain | None:
    """None for what is no linear layer, and for weights that are not in the format."""
    if case.op != "qlinear" or "weights" not in case.facts:
        return None
    return torch_linear.library(case, given, format)


def cudnn_gru(case: Case, given: Inputs) -> Plain | None:
    """None for what is no recurrent cell."""
    return torch_recurrent.cudnn(case, given) if case.op in ("cfc_scan", "rssm_step") else None


def _rssm_step(case: Case, given: Inputs) -> Plain:
    if "sample" in case.facts:
        return torch_samples.sample(case, given)
    make = torch_recurrent.layer if "table" in given else torch_recurrent.cell
    return make(case, given)


def _rssm_scan(case: Case, given: Inputs) -> Plain:
    make = torch_recurrent.rollout if "table" in given else torch_recurrent.scan
    return make(case, given)


def _imagine(case: Case, given: Inputs) -> Plain:
    make = torch_samples.sample if "sample" in case.facts else torch_recurrent.dream
    return make(case, given)


BY_OP: Mapping[str, Callable[[Case, Inputs], Plain]] = {
    "cfc_scan": torch_recurrent.cfc,
    "rssm_step": _rssm_step,
    "rssm_scan": _rssm_scan,
    "imagine": _imagine,
    "vq_lookup": torch_codes.codes,
    "gae": torch_returns.returns,
    "lambda_returns": torch_returns.returns,
    "step_graph": tick.launched,
}
COMPILED = "compile"
# Without the compiled one, which takes seconds to make: see contest.py.
AT_ONCE: Mapping[str, Peer] = {
    "eager": eager,
    "cuDNN GRU": cudnn_gru,
    **{f"cuBLASLt {name}": functools.partial(cublaslt, name) for name in ("bf16", "int8", "fp8")},
}
