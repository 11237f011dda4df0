"""What a user would otherwise run on a GPU for the same work as a case.

Eager torch, torch.compile (inside the same kind of graph that ours is timed in), cuDNN's GRU,
cuBLASLt's products, cdist and argmin. Each takes a case's inputs and gives work to time, or None
where it does not fit. Knows torch and the ops' references; no kernel of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from metabonk.kernels.cases import Case, Inputs
from torch import Tensor

from metabonk.ops import cfc_scan
from metabonk.ops.imagine import reference
from metabonk.ops.rssm_scan import RssmWeights, rssm_scan

Work = Callable[[], object]
Peer = Callable[[Case, Inputs], Work | None]
CFC = "x", "h", "dt", "keep", "w_in", "b_in", "w_heads", "b_heads"


def _cfc_tensors(given: Inputs) -> list[Tensor]:
    return [given[name].float() for name in CFC]


def eager(case: Case, given: Inputs) -> Work | None:
    """The op's reference as torch runs it, float32."""
    function = _reference(case, given)
    return function if function is None else function[0]


def compiled(case: Case, given: Inputs) -> Work | None:
    """torch.compile of the reference, for what is one step: long loops unroll for minutes."""
    function = _reference(case, given)
    if function is None or not function[1]:
        return None
    return torch.compile(function[0], fullgraph=True, dynamic=False)


def _reference(case: Case, given: Inputs) -> tuple[Work, bool] | None:
    """The plain formula over the inputs, and whether it is worth compiling."""
    if case.op == "cfc_scan":
        tensors = _cfc_tensors(given)
        return (lambda: cfc_scan.reference(*tensors)), len(tensors[0]) == 1
    if case.op == "rssm_scan" and "w_action" in given:
        return _rssm(given), False
    if case.op == "imagine" and "w_actor_0" in given:
        return _dream(given), False
    if case.op == "vq_lookup":
        x, codebook = given["x"], given["codebook"]
        return (lambda: torch.cdist(x, codebook).argmin(-1)), True
    if case.op == "qlinear" and "bias" in given:
        weight = _dequantized(given)
        return None if weight is None else (lambda: _linear(given, weight), False)
    return None


def _rssm(given: Inputs) -> Work:
    """The rollout step by step in torch, float32."""
    w = {name: t.float() for name, t in given.items() if t.is_floating_point()}
    classes = given["table"].shape[1]
    w_in = torch.cat([w["table"].flatten(0, 1).t(), w["w_action"]], 1)
    names = "b_embed", "w_x", "w_h", "b_x", "b_h", "w_prior", "b_prior", "w_logits", "b_logits"
    weights = RssmWeights(w_in, *(w[name] for name in names))
    arguments = w["h"], given["index"], w["action"], None, None, w["uniform"], weights
    return lambda: rssm_scan(*arguments, classes=classes, backend="torch")


def _dream(given: Inputs) -> Work:
    """The dream step by step in torch."""
    names = "w_in", "b_in", "w_ih", "w_hh", "b_ih", "b_hh", "w_prior", "b_prior"
    weights = RssmWeights(*(given[name] for name in (*names, "w_prior_out", "b_prior_out")))
    layers = sum(name.startswith("w_actor") for name in given)
    actor = [(given[f"w_actor_{i}"], given[f"b_actor_{i}"]) for i in range(layers)]
    starts = tuple(given[name] for name in ("deter", "stoch", "noise", "action_noise"))
    groups, parameters = starts[2].shape[-1], len(weights.b_prior_out)
    classes = 0 if starts[1].is_floating_point() else parameters // groups
    action = weights.w_in.shape[1] - groups * (classes or 1)
    squashed = len(actor[-1][1]) == 2 * action
    return lambda: reference(*starts, weights, actor, squashed=squashed, classes=classes)


def _dequantized(given: Inputs) -> Tensor | None:
    stored = given.get("stored")
    if stored is None:
        return None
    return torch.from_numpy(stored.dequantize()).to(given["x"].device)


def _linear(given: Inputs, weight: Tensor) -> Tensor:
    return torch.nn.functional.linear(given["x"], weight, given["bias"])


def cudnn_gru(case: Case, given: Inputs) -> Work | None:
    """cuDNN's GRU over the same sequence with as many units: another cell of the same kind."""
    if case.op != "cfc_scan":
        return None
    x, h = given["x"], given["h"]
    gru = torch.nn.GRU(x.shape[2], h.shape[1]).to(x.device).requires_grad_(False)
    return lambda: gru(x, h[None])


def cublaslt(case: Case, given: Inputs) -> Work | None:
    """The product in the same format where cuBLASLt has it, else in bf16."""
    weight = _dequantized(given) if case.op == "qlinear" else None
    if weight is None:
        return None
    x, bias = given["x"], given["bias"].bfloat16()
    stored = given["stored"]
    if stored.format == "fp8" and torch.cuda.get_device_capability() >= (8, 9):
        codes = given["codes"].view(torch.float8_e4m3fn)
        rows = x.to(torch.float8_e4m3fn)
        one = torch.ones((), device=x.device)
        if x.shape[1] % 16 == 0 and len(weight) % 16 == 0:
            return lambda: torch._scaled_mm(
                rows, codes.t(), one, one, bias=bias, out_dtype=torch.bfloat16
            )
    half, rows = weight.bfloat16(), x.bfloat16()
    return lambda: torch.nn.functional.linear(rows, half, bias)


PEERS: Mapping[str, Peer] = {
    "eager": eager,
    "compile": compiled,
    "cuDNN GRU": cudnn_gru,
    "cuBLASLt": cublaslt,
}


def works(peer: str, case: Case, inputs: list[Inputs]) -> list[Work] | None:
    """The peer's work on each set of inputs; None where it has none."""
    made: list[Any] = [PEERS[peer](case, given) for given in inputs]
    return None if None in made else made
