"""The closed-form continuous-time cell with the true time step (Hasani et al. 2022).

Knows torch and layers. Does not know observations, actions or where the time step comes from.

    z  = 1.7159 tanh(0.666 (W [x, h] + b))                 the backbone, LeCun's tanh
    f1 = tanh(W1 z + b1),  f2 = tanh(W2 z + b2)            where h is and where it tends to
    t  = sigmoid((Wa z + ba) dt + (Wb z + bb))             how much of the way, after dt
    h' = (1 - t) f1 + t f2

Parameter names and shapes are those of the `ncps` package's `CfCCell` in its default mode with one
backbone layer, so that weights can be exchanged and parity can be tested; in memory the four heads
are one layer.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from metabonk.models.layers import fast_tanh_

LECUN_SCALE = 1.7159
LECUN_SLOPE = 0.666
HEADS = ("ff1", "ff2", "time_a", "time_b")  # in the order of the fused layer's rows


class CfCCell(nn.Module):
    """One CfC layer: `inputs`, `hidden` and `backbone` are widths.

    `forward` is one step, `sequence` unrolls T of them; both reset where told and take the time
    step of every element in units in which typical steps are about 1.
    """

    def __init__(self, inputs: int, hidden: int, backbone: int = 128) -> None:
        super().__init__()
        self.input_size = inputs
        self.hidden_size = hidden
        self.backbone = nn.Sequential(nn.Linear(inputs + hidden, backbone))
        self.heads = nn.Linear(backbone, len(HEADS) * hidden)
        nn.init.xavier_uniform_(self.backbone[0].weight)  # type: ignore[arg-type]
        for weight in self.heads.weight.detach().chunk(len(HEADS)):
            nn.init.xavier_uniform_(weight)
        self.register_state_dict_post_hook(_split_heads)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_join_heads)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor, h: Tensor, dt: Tensor, keep: Tensor) -> Tensor:
        """One step: x [B, inputs], h [B, hidden], dt [B, 1], keep [B, 1] (0 forgets) -> h'."""
        return self.sequence(x[None], h, dt[None], keep[None])[0]

    def sequence(self, x: Tensor, h: Tensor, dt: Tensor, keep: Tensor) -> Tensor:
        """Unrolls: x [T, B, inputs], h [B, hidden], dt and keep [T, B, 1] -> [T, B, hidden]."""
        first = cast(nn.Linear, self.backbone[0])
        wx, wh = first.weight.tensor_split([self.input_size], 1)
        steps, batch = x.shape[:2]
        driven = torch.addmm(first.bias, x.reshape(steps * batch, -1), wx.t()).view(
            steps, batch, -1
        )
        out = _Unroll.apply(  # type: ignore[no-untyped-call]
            driven, h, dt, keep, wh, self.heads.weight, self.heads.bias
        )
        return cast(Tensor, out)


def _split_heads(module: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    for kind in ("weight", "bias"):
        parts = state.pop(f"{prefix}heads.{kind}").chunk(len(HEADS))
        state.update({f"{prefix}{name}.{kind}": p for name, p in zip(HEADS, parts, strict=True)})


def _join_heads(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for kind in ("weight", "bias"):
        names = [f"{prefix}{name}.{kind}" for name in HEADS]
        if all(name in state for name in names):
            state[f"{prefix}heads.{kind}"] = torch.cat([state.pop(name) for name in names])


class _Unroll(torch.autograd.Function):
    """T CfC steps with a hand-written backward pass.

    Autograd over the same steps makes about forty nodes a step; here every step is a dozen calls
    that write into preallocated memory, and all weight gradients are one product over T * B rows.
    """

    @staticmethod
    def forward(
        ctx: Any,
        driven: Tensor,
        h: Tensor,
        dt: Tensor,
        keep: Tensor,
        wh: Tensor,
        weight: Tensor,
        bias: Tensor,
    ) -> Tensor:
        steps, batch, _ = driven.shape
        hidden = wh.shape[1]
        before = driven.new_empty(steps, batch, hidden)  # h after forgetting
        z = torch.empty_like(driven)
        heads = driven.new_empty(steps, batch, 4 * hidden)  # f1, f2, a, b; b becomes the gate t
        out = driven.new_empty(steps, batch, hidden)
        wh_t, weight_t = wh.t(), weight.t()
        for i in range(steps):
            torch.mul(h, keep[i], out=before[i])
            torch.addmm(driven[i], before[i], wh_t, out=z[i])
            fast_tanh_(z[i].mul_(LECUN_SLOPE)).mul_(LECUN_SCALE)
            torch.addmm(bias, z[i], weight_t, out=heads[i])
            f1, f2, rate, gate = heads[i].chunk(4, 1)
            fast_tanh_(heads[i, :, : 2 * hidden])
            gate.addcmul_(rate, dt[i]).sigmoid_()
            h = torch.lerp(f1, f2, gate, out=out[i])
        ctx.save_for_backward(before, z, heads, dt, keep, wh, weight)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        before, z, heads, dt, keep, wh, weight = ctx.saved_tensors
        (d_out,) = gradients
        steps, batch, hidden = before.shape
        d_driven = torch.empty_like(z)
        d_heads = z.new_empty(steps, batch, 4 * hidden)
        # What does not depend on the recurrence: how each head moves h'.
        f1, f2, _, gates = heads.chunk(4, -1)
        slopes = z.new_empty(steps, batch, 4 * hidden)
        torch.mul(1.0 - gates, 1.0 - f1 * f1, out=slopes[..., :hidden])
        torch.mul(gates, 1.0 - f2 * f2, out=slopes[..., hidden : 2 * hidden])
        torch.mul(f2 - f1, gates * (1.0 - gates), out=slopes[..., 3 * hidden :])
        torch.mul(slopes[..., 3 * hidden :], dt, out=slopes[..., 2 * hidden : 3 * hidden])
        bend = (LECUN_SLOPE / LECUN_SCALE) * (LECUN_SCALE * LECUN_SCALE - z * z)
        carry = torch.zeros_like(before[0])
        for i in range(steps - 1, -1, -1):
            carry.add_(d_out[i])
            four = d_heads[i].view(batch, 4, hidden)
            torch.mul(slopes[i].view(batch, 4, hidden), carry[:, None], out=four)
            torch.mm(d_heads[i], weight, out=d_driven[i])
            d_driven[i].mul_(bend[i])
            torch.mm(d_driven[i], wh, out=carry)
            carry.mul_(keep[i])
        rows = steps * batch
        d_heads_rows, d_rows = d_heads.view(rows, -1), d_driven.view(rows, -1)
        d_wh = d_rows.t() @ before.view(rows, -1)
        d_weight = d_heads_rows.t() @ z.view(rows, -1)
        return d_driven, carry, None, None, d_wh, d_weight, d_heads_rows.sum(0)
