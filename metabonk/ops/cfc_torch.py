"""The `torch` backend of CfC: any device and float dtype, in few calls into memory made before.

Knows torch and the formula of `cfc_scan`, whose shapes and names it uses; checks nothing. Autograd
over the formula makes about forty nodes a step; here a step is a dozen calls, and all gradients of
a weight are one product over T * B rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metabonk.ops.tanh import fast_tanh_

LECUN_SCALE = 1.7159
LECUN_SLOPE = 0.666


def forward(
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    w_in: Tensor,
    b_in: Tensor,
    w_heads: Tensor,
    b_heads: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """out [T, B, hidden], and for the gradient z [T, B, backbone] and heads [T, B, 4 hidden], which
    are tanh f1, tanh f2, a and the gate t."""
    steps, batch, inputs = x.shape
    hidden, backbone = h.shape[1], len(b_in)
    w_x, w_h = w_in.tensor_split([inputs], 1)
    z = torch.addmm(b_in, x.reshape(steps * batch, inputs), w_x.t()).view(steps, batch, backbone)
    heads = x.new_empty(steps, batch, 4 * hidden)
    out = x.new_empty(steps, batch, hidden)
    for i in range(steps):
        z[i].addmm_(h if keep is None else h * keep[i], w_h.t())
        fast_tanh_(z[i].mul_(LECUN_SLOPE)).mul_(LECUN_SCALE)
        torch.addmm(b_heads, z[i], w_heads.t(), out=heads[i])
        f1, f2, rate, gate = heads[i].chunk(4, 1)
        fast_tanh_(heads[i, :, : 2 * hidden])
        gate.add_(rate if dt is None else rate * dt[i]).sigmoid_()
        h = torch.lerp(f1, f2, gate, out=out[i])
    return out, z, heads


def backward(
    d_out: Tensor,
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    w_in: Tensor,
    w_heads: Tensor,
    out: Tensor,
    z: Tensor,
    heads: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, h, dt, keep and of the four weights, in the order of `forward`."""
    steps, batch, hidden = out.shape
    rows, w_h = steps * batch, w_in[:, x.shape[2] :]
    befores = torch.cat([h[None], out[:-1]])
    f1, f2, rates, gates = heads.chunk(4, -1)
    # What does not depend on the recurrence: how each head moves h', how z moves with its sum.
    slopes = x.new_empty(steps, batch, 4, hidden)
    torch.mul(1.0 - gates, 1.0 - f1 * f1, out=slopes[:, :, 0])
    torch.mul(gates, 1.0 - f2 * f2, out=slopes[:, :, 1])
    torch.mul(f2 - f1, gates * (1.0 - gates), out=slopes[:, :, 3])
    torch.mul(slopes[:, :, 3], 1.0 if dt is None else dt, out=slopes[:, :, 2])
    bend = (LECUN_SLOPE / LECUN_SCALE) * (LECUN_SCALE * LECUN_SCALE - z * z)
    d_heads = torch.empty_like(slopes)
    d_z, d_before = torch.empty_like(z), torch.empty_like(out)
    carry = torch.zeros_like(h)
    for i in range(steps - 1, -1, -1):
        torch.mul(slopes[i], (carry + d_out[i])[:, None], out=d_heads[i])
        torch.mm(d_heads[i].view(batch, -1), w_heads, out=d_z[i]).mul_(bend[i])
        carry = torch.mm(d_z[i], w_h, out=d_before[i])
        carry = carry.clone() if keep is None else carry * keep[i]
    d_gate = d_heads[:, :, 3]
    d_dt = (d_gate * rates).sum(-1, keepdim=True)
    d_keep = (d_before * befores).sum(-1, keepdim=True)
    joined = torch.cat([x, befores if keep is None else befores * keep], -1).view(rows, -1)
    d_z_rows, d_heads_rows = d_z.view(rows, -1), d_heads.view(rows, -1)
    d_x = (d_z_rows @ w_in[:, : x.shape[2]]).view_as(x)
    d_w_in, d_w_heads = d_z_rows.t() @ joined, d_heads_rows.t() @ z.view(rows, -1)
    return d_x, carry, d_dt, d_keep, d_w_in, d_z_rows.sum(0), d_w_heads, d_heads_rows.sum(0)
