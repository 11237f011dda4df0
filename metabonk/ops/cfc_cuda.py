"""The `cuda` backend of CfC: all steps in one launch, weights stationary on the device.

Products are of numbers rounded to bf16 with sums in float32; tanh and sigmoid are the hardware's,
within 2^-10 (kernels/cuda/cfc.cu). Shapes and names are `cfc_scan`'s; checks nothing.
"""

from __future__ import annotations

from torch import Tensor

from metabonk.ops import cuda


def forward(
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    w_in: Tensor,
    b_in: Tensor,
    w_heads: Tensor,
    b_heads: Tensor,
    saving: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `cfc_torch.forward`; z and heads without elements unless `saving`."""
    (steps, rows, _), hidden = x.shape, h.shape[1]
    out = x.new_empty(steps, rows, hidden)
    z = x.new_empty(steps, rows, len(b_in)) if saving else x.new_empty(0)
    heads = x.new_empty(steps, rows, 4 * hidden) if saving else x.new_empty(0)
    with cuda.launching(x) as stream:
        cuda.module().cfc(
            (*x.shape, hidden, len(b_in)),
            tuple(map(cuda.address, (x, h, dt, keep))),
            tuple(map(cuda.address, (w_in, b_in, w_heads, b_heads))),
            False,
            tuple(map(cuda.address, (out, z, heads))),
            stream,
        )
    return out, z, heads
