"""Convolutions with weights in few bits, against the quantised layer over patches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from metabonk.ops import qlinear, qweight
from metabonk.play.compiler import layers
from metabonk.play.compiler.lowering import TYPES, Lowering
from metabonk.play.compiler.program import Builder, Opcode, Program
from metabonk.play.compiler.tracing import capture
from metabonk.play.compiler.weights import Precision, PrecisionName

from .test_lowering import Call, run

assert layers  # imported for its rules
# Several blocks of places, the last of which is not full; inputs that fill no unit; 20 outputs.
CONV = nn.Conv2d(3, 20, (5, 4), (2, 1))
PIXELS = torch.randn(2, 15, 17, 3, generator=torch.Generator().manual_seed(0))


def lowered(module: nn.Module, x: Tensor, precision: PrecisionName) -> tuple[Program, set[Opcode]]:
    graph, placeholders, values = capture(module, (x,))
    build = Builder()
    named = dict(values) | {
        place: build.input("x", TYPES[x.dtype], tuple(x.shape)) for place in placeholders
    }
    lower = Lowering(build, Precision(precision))
    (result,) = lower.run(graph, named)
    build.outputs["y"] = build.copy(lower.view(result))
    return build.finish(), {it.opcode for it in build.instructions}


def by_patches(x: Tensor, format: qweight.WeightFormat) -> Tensor:
    """[B, outputs, rows, columns] of the layer over every patch [high wide channels]."""
    high, wide = CONV.kernel_size
    seen = x.unfold(1, high, 2).unfold(2, wide, 1)  # [B, rows, columns, channels, high, wide]
    rows = seen.permute(0, 1, 2, 4, 5, 3).reshape(-1, high * wide * 3).contiguous()
    flat = CONV.weight.permute(0, 2, 3, 1).flatten(1).detach().contiguous()
    y = qlinear.qlinear(rows, qlinear.pack(flat, format), CONV.bias.detach())
    return torch.relu(y.view(*seen.shape[:3], -1).permute(0, 3, 1, 2))


@pytest.mark.parametrize("format", qweight.FORMATS)
def test_a_convolution_in_few_bits_is_the_layer_over_patches(
    format: qweight.WeightFormat,
) -> None:
    module = Call(lambda conv, x: torch.relu(conv(x.permute(0, 3, 1, 2))), [CONV])
    program, opcodes = lowered(module, PIXELS, format)
    assert Opcode.CONVOLVE in opcodes
    assert Opcode.LINEAR not in opcodes
    got, want = torch.from_numpy(run(program, [PIXELS])), by_patches(PIXELS, format)
    exact = torch.relu(CONV(PIXELS.permute(0, 3, 1, 2))).detach()
    if format == "int8":  # sums of whole numbers
        assert torch.equal(got, want)
    assert (got - want).abs().max() < 2e-5
    assert (got - exact).abs().max() > 1e-4  # in few bits indeed


def test_where_what_is_seen_lies_in_no_pieces_patches_are_copied() -> None:
    planes = PIXELS.permute(0, 3, 1, 2).contiguous()
    program, opcodes = lowered(Call(lambda conv, x: torch.relu(conv(x)), [CONV]), planes, "int8")
    assert Opcode.LINEAR in opcodes
    assert Opcode.CONVOLVE not in opcodes
    got = torch.from_numpy(run(program, [planes]))
    assert torch.equal(got, by_patches(PIXELS, "int8"))
