"""Linear layers in few bits, in place, for inference.

    report = quantize_(network, "int8")

replaces every `nn.Linear` by a `QLinear` that holds its weights packed (`metabonk.ops.qweight` has
the formats, `metabonk.ops.qlinear` the arithmetic) and says what that costs, layer by layer. Knows
torch and these ops; no spaces, no observations, no optimisers.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metabonk.ops import qweight
from metabonk.ops.qlinear import Packed, pack, qlinear
from metabonk.ops.qweight import Loss, QuantizedWeight, WeightFormat

Filter = Callable[[str, nn.Linear], bool]
_TENSORS = {"weight": "codes", "scales": "scales", "tensor_scale": "tensor_scale"}


class QLinear(nn.Module):
    """y = round(x) W^T + b with W in few bits, x [..., inputs] -> [..., outputs], float32.

    Its state_dict holds `weight` (the codes), `scales`, for nvfp4 `tensor_scale`, and `bias`: int8,
    uint8, uint16 and float32 tensors in the layout of `qweight.QuantizedWeight`, which safetensors
    and numpy take as they are. It loads them back bit for bit, refusing other formats and shapes.
    """

    panels: Tensor
    bias: Tensor | None

    def __init__(self, weight: QuantizedWeight, bias: Tensor | None = None) -> None:
        super().__init__()
        packed = pack(weight)
        self.format, self.out_features, self.in_features = packed[:3]
        self.register_buffer("panels", packed.panels, persistent=False)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    @classmethod
    def of(cls, layer: nn.Linear, format: WeightFormat) -> QLinear:
        """Raises ValueError unless the layer holds finite float32 in main memory."""
        return cls(pack(layer.weight, format).unpack(), layer.bias)

    def packed(self) -> Packed:
        """What `metabonk.ops.qlinear` takes."""
        return Packed(self.format, self.out_features, self.in_features, self.panels)

    @property
    def weight(self) -> Tensor:
        """Dequantised anew, float32 [outputs, inputs]: for code that reads a layer's weights
        instead of calling it. Writing to it changes nothing."""
        return self.packed().dequantize()

    def forward(self, x: Tensor) -> Tensor:
        """A strided x is copied first, as a matrix product would."""
        return qlinear(x.contiguous(), self.packed(), self.bias)

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return f"{self.format}, {self.in_features} -> {self.out_features}, bias={bias}"

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        weight = self.packed().unpack()
        for key, name in _TENSORS.items():
            array = getattr(weight, name)
            if array.size:
                destination[prefix + key] = torch.from_numpy(array)

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        own = {key: state_dict[prefix + key] for key in _TENSORS if prefix + key in state_dict}
        mine = {prefix + key for key in own}
        others = {key: value for key, value in state_dict.items() if key not in mine}
        super()._load_from_state_dict(
            others, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        now = self.packed().unpack()
        needed = [key for key, name in _TENSORS.items() if getattr(now, name).size]
        if missing := [prefix + key for key in needed if key not in own]:
            missing_keys.extend(missing)
            return
        unexpected_keys.extend(prefix + key for key in own if key not in needed)
        try:
            arrays = {
                name: own[key].detach().cpu().contiguous().numpy() if key in own else np.empty(0)
                for key, name in _TENSORS.items()
            }
            given = QuantizedWeight(self.format, self.in_features, **_typed(arrays, now))
            if given.outputs != self.out_features:
                raise ValueError(f"weight has {given.outputs} outputs, not {self.out_features}")
            self.panels.copy_(torch.from_numpy(given.pack()))
        except ValueError as error:
            error_msgs.append(f"{prefix}weight: not {self.extra_repr()}: {error}")


def _typed(arrays: dict[str, Any], like: QuantizedWeight) -> dict[str, Any]:
    """Absent arrays as `like` has them."""
    return {name: a if a.size else getattr(like, name) for name, a in arrays.items()}


@dataclass(frozen=True)
class LayerReport:
    """What a layer lost. output: the relative error of its output on the example, if there was one:
    root of the mean squared error over that of the output."""

    name: str
    outputs: int
    inputs: int
    loss: Loss
    output: float | None = None


@dataclass(frozen=True)
class Report:
    """What `quantize_` did. bytes_before, bytes_after: of the replaced layers' weights."""

    format: WeightFormat
    layers: tuple[LayerReport, ...]
    skipped: tuple[str, ...]

    @property
    def bytes_before(self) -> int:
        return sum(4 * layer.outputs * layer.inputs for layer in self.layers)

    @property
    def bytes_after(self) -> int:
        return round(sum(r.loss.bits * r.outputs * r.inputs for r in self.layers) / 8)

    def __str__(self) -> str:
        rows = [
            f"{r.name:32} {r.outputs:>6} x {r.inputs:<6} {r.loss.bits:5.2f} bits  "
            f"weights {r.loss.relative:8.2e}"
            + ("" if r.output is None else f"  outputs {r.output:8.2e}")
            for r in self.layers
        ]
        kept = f"; as they were: {', '.join(self.skipped)}" if self.skipped else ""
        head = f"{self.format}: {len(rows)} layers, {self.bytes_before} -> {self.bytes_after} bytes"
        return "\n".join([head + kept, *rows])


def quantize_(
    module: nn.Module,
    format: WeightFormat,
    *,
    only: Sequence[str] | Filter = ("*",),
    skip: Sequence[str] = (),
    example: Sequence[Tensor] | None = None,
) -> Report:
    """Replaces linear layers inside `module` by `QLinear`, in place; returns what each one lost.

    Layers are exactly of type `nn.Linear`; subclasses may do something else and stay. only, skip:
    patterns of dotted names (`fnmatch`), or for `only` a function of name and layer. A layer that
    stands under several names is replaced by one under all of them. example: arguments for one call
    of `module`, after which the report has the error of each layer's output as well.

    Raises ValueError if `module` is itself a linear layer (there is nothing to put another into),
    if no layer is left to replace, or for weights that are not finite float32 in main memory;
    then nothing was replaced.
    """
    if type(module) is nn.Linear:
        raise ValueError("quantize_: module is itself a Linear; use QLinear.of(module, format)")
    qweight.panel_bytes(format, 1, 1)  # says which formats there are
    found = dict(_linears(module))
    chosen = {name: layer for name, layer in found.items() if _wanted(name, layer, only, skip)}
    if not chosen:
        raise ValueError(f"quantize_: no layer to replace; there are {', '.join(found) or 'none'}")
    new: dict[nn.Linear, QLinear] = {}
    for name, layer in chosen.items():
        try:
            if layer not in new:
                new[layer] = QLinear.of(layer, format)
        except ValueError as error:
            raise ValueError(f"quantize_: {name}: {error}") from error
    errors = {} if example is None else _output_errors(module, new, example)
    reports = []
    for name, layer in chosen.items():
        loss = new[layer].packed().unpack().loss(layer.weight.detach().numpy())
        shape = layer.out_features, layer.in_features
        reports.append(LayerReport(name, *shape, loss, errors.get(layer)))
        parent, _, last = name.rpartition(".")
        setattr(module.get_submodule(parent), last, new[layer].train(layer.training))
    skipped = tuple(name for name in found if name not in chosen)
    return Report(format, tuple(reports), skipped)


def _linears(module: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    for name, layer in module.named_modules(remove_duplicate=False):
        if type(layer) is nn.Linear:
            yield name, layer


def _wanted(name: str, layer: nn.Linear, only: Sequence[str] | Filter, skip: Sequence[str]) -> bool:
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in skip):
        return False
    if callable(only):
        return only(name, layer)
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in only)


@torch.no_grad()
def _output_errors(
    module: nn.Module, new: Mapping[nn.Linear, QLinear], example: Sequence[Tensor]
) -> dict[nn.Module, float]:
    """Per layer, of all its calls during one of the module."""
    sums: dict[nn.Module, list[float]] = {}

    def compare(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        error = new[layer](inputs[0]) - output  # type: ignore[index]
        total = sums.setdefault(layer, [0.0, 0.0])
        total[0] += float(error.double().square().sum())
        total[1] += float(output.double().square().sum())

    hooks = [layer.register_forward_hook(compare) for layer in new]
    try:
        module(*example)
    finally:
        for hook in hooks:
            hook.remove()
    return {layer: (e / s) ** 0.5 if s else 0.0 for layer, (e, s) in sums.items()}
