"""VectorQuantize: a drop-in for vector-quantize-pytorch's, over metabonk's lookup.

    from metabonk.models.vq import VectorQuantize    # was: from vector_quantize_pytorch import ...

The same constructor, state_dict, outputs (quantized, indices, loss), gradients and order of random
draws (written against version 1.32); without its [.., K] distances and one-hot rows. An option that
is not built raises NotImplementedError that names it. Knows codebooks, projections and the
commitment loss; no optimiser, and no learning across processes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metabonk.models.codebook import NORM_EPS, Codebook

# What vector-quantize-pytorch has and this has not, with the values that ask for nothing.
NOT_BUILT: dict[str, Any] = {
    "commitment_use_cross_entropy_loss": False,
    "orthogonal_reg_weight": 0.0,
    "orthogonal_reg_active_codes_only": False,
    "orthogonal_reg_max_codes": None,
    "codebook_diversity_loss_weight": 0.0,
    "codebook_diversity_temperature": 100.0,
    "stochastic_sample_codes": False,
    "sample_codebook_temp": 1.0,
    "straight_through": False,
    "directional_reparam": False,
    "directional_reparam_variance": 5e-3,
    "sync_affine_param": False,
    "vq_bridge": None,
    "in_place_codebook_optimizer": None,
    "manual_in_place_optimizer_update": False,
    "affine_param": False,
    "affine_param_batch_decay": 0.99,
    "affine_param_codebook_decay": 0.9,
    "sync_update_v": 0.0,
}
NOT_BUILT_IN_CALLS: dict[str, Any] = {
    "indices": None,
    "topk": None,
    "sample_codebook_temp": None,
    "codebook_transform_fn": None,
    "ema_update_weight": None,
    "accum_ema_update": False,
}


class LossBreakdown(NamedTuple):
    """Parts of the loss before they are weighted; all but `commitment` are 0 here."""

    commitment: Tensor
    codebook_diversity: Tensor
    orthogonal_reg: Tensor
    inplace_optimize: Tensor


class VectorQuantize(nn.Module):
    """Quantises x [B, N, dim] (also [B, dim]; [B, dim, N] with channel_last=False; [B, dim, H, W]
    with accept_image_fmap; [B, dim, D, H, W] with accept_3d_fmap).

    dim, codebook_dim, heads: with codebook_dim * heads != dim there are projections in and out.
    decay, eps: of the codes' moving average. threshold_ema_dead_code: see Codebook; 0 for never.
    rotation_trick: gradients by rotation (Fifty et al. 2024), the default; False for
    straight-through. commitment_weight: of mse(codes, x) in the loss. Options as the package's own
    documentation has them; `options` takes those that are not built, to refuse them by name.
    """

    def __init__(
        self,
        dim: int,
        codebook_size: int,
        codebook_dim: int | None = None,
        heads: int = 1,
        separate_codebook_per_head: bool = False,
        decay: float = 0.8,
        eps: float = 1e-5,
        freeze_codebook: bool = False,
        kmeans_init: bool = False,
        kmeans_iters: int = 10,
        sync_kmeans: bool = True,
        use_cosine_sim: bool = False,
        layernorm_after_project_in: bool = False,
        threshold_ema_dead_code: float = 0,
        channel_last: bool = True,
        accept_image_fmap: bool = False,
        accept_3d_fmap: bool = False,
        commitment_weight: float = 1.0,
        *,
        rotation_trick: bool | None = None,
        sync_codebook: bool | None = None,
        ema_update: bool | None = None,
        manual_ema_update: bool = False,
        learnable_codebook: bool | None = None,
        return_zeros_for_masked_padding: bool = True,
        route_gradients_to_input: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        _refuse("VectorQuantize", options, NOT_BUILT)
        _refuse_processes(sync_codebook)
        ema_update = True if ema_update is None else ema_update
        if learnable_codebook:
            _refuse_learnable(ema_update, use_cosine_sim)
        self.dim = dim
        self.codebook_size = codebook_size
        self.heads = heads
        self.separate_codebook_per_head = separate_codebook_per_head
        self.freeze_codebook = freeze_codebook
        self.use_cosine_sim = use_cosine_sim
        self.channel_last = channel_last
        self.accept_image_fmap = accept_image_fmap
        self.accept_3d_fmap = accept_3d_fmap
        self.commitment_weight = commitment_weight
        self.rotation_trick = dim > 1 if rotation_trick is None else rotation_trick
        self.learnable_codebook = bool(learnable_codebook)
        self.return_zeros_for_masked_padding = return_zeros_for_masked_padding
        self.route_gradients_to_input = route_gradients_to_input
        width = (codebook_dim or dim) * heads
        self.has_projections = width != dim
        self.project_in, self.project_out = _projections(dim, width, layernorm_after_project_in)
        self._codebook = Codebook(
            codebook_dim or dim,
            codebook_size,
            heads if separate_codebook_per_head else 1,
            kmeans_init=kmeans_init,
            kmeans_iters=kmeans_iters,
            decay=decay,
            eps=eps,
            threshold_ema_dead_code=threshold_ema_dead_code,
            learnable_codebook=self.learnable_codebook,
            ema_update=ema_update,
            manual_ema_update=manual_ema_update,
            use_cosine_sim=use_cosine_sim,
        )

    @property
    def ema_update(self) -> bool:
        return self._codebook.ema_update

    @property
    def codebook(self) -> Tensor:
        """[K, D], or [heads, K, D] where every head has its own."""
        embed = self._codebook.embed
        return embed if self.separate_codebook_per_head else embed[0]

    @codebook.setter
    def codebook(self, codes: Tensor) -> None:
        with torch.no_grad():
            embed = self._codebook.embed
            embed.copy_(codes if self.separate_codebook_per_head else codes[None])

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """indices as `forward` returns them -> codes [..., heads * D] before the projection out,
        channels where the input has them."""
        codebook = self.codebook
        if codebook.dim() == 2:
            codes = codebook[indices]
        else:
            codes = torch.stack([c[indices[..., h]] for h, c in enumerate(codebook)], -2).flatten(
                -2
            )
        if not self.channel_last or self.accept_image_fmap or self.accept_3d_fmap:
            codes = codes.movedim(-1, 1)
        return codes

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """Those codes after the projection out (which the package refuses for heads that share a
        codebook)."""
        codes = self.get_codes_from_indices(indices)
        if self.has_projections and self.heads > 1 and not self.separate_codebook_per_head:
            codes = codes.flatten(-2)
        out: Tensor = self.project_out(codes)
        return out

    def forward(
        self,
        x: Tensor,
        indices: None = None,
        mask: Tensor | None = None,
        lens: Tensor | None = None,
        *,
        freeze_codebook: bool | None = None,
        return_loss_breakdown: bool = False,
        ema_update: bool | None = None,
        **options: Any,
    ) -> tuple[Tensor, Tensor, Tensor] | tuple[Tensor, Tensor, Tensor, LossBreakdown]:
        """x -> (quantized like x, indices, loss []); indices have the shape of x without channels,
        and a last dimension of heads where there are several.

        mask [B, N] (or lens [B]): rows that count; the others come back as zeros (or as they were)
        with index -1. Loss is 0 outside of training.
        """
        _refuse("VectorQuantize.forward", {"indices": indices, **options}, NOT_BUILT_IN_CALLS)
        frozen = self.freeze_codebook if freeze_codebook is None else freeze_codebook
        routed = x.requires_grad and self.route_gradients_to_input
        whole = self._rows(x)  # [B, N, dim]
        mask = _mask(x, mask, lens, self.accept_image_fmap or self.accept_3d_fmap)
        rows = self._codebook.transform_input(self._split(self.project_in(whole)))
        counted = None if mask is None else self._per_head(mask)
        codes, taken = self._codebook(
            rows.flatten(1, 2).float(),
            None if counted is None else counted.flatten(1, 2),
            frozen=frozen,
            ema_update=ema_update,
        )
        codes, taken = codes.view(rows.shape).to(x.dtype), taken.view(rows.shape[:-1])
        kept = codes if self.learnable_codebook and not frozen else codes.detach()
        commitment = rows.new_zeros(())
        if self.training and self.commitment_weight > 0.0:
            commitment = self._commitment(kept, rows, whole, counted)
        if self.training and routed:
            codes = _route(rows, codes, self.rotation_trick)
        elif not self.learnable_codebook:
            codes = codes.detach()
        quantized, taken = self._finish(x, whole, codes, taken, mask)
        loss = commitment * self.commitment_weight
        if self.training and not loss.requires_grad:
            loss = loss.requires_grad_()
        if not return_loss_breakdown:
            return quantized, taken, loss
        none = rows.new_zeros(())
        return quantized, taken, loss, LossBreakdown(commitment, none, none, none)

    def expire_codes_(self, x: Tensor) -> None:
        """Replaces codes that are hardly taken by rows of x [B, N, heads * D]."""
        rows = self._split(self._codebook.transform_input(x))
        if self.training and self._codebook.threshold_ema_dead_code:
            self._codebook.expire_codes_(rows.flatten(1, 2))

    def _rows(self, x: Tensor) -> Tensor:
        """x as [B, N, dim]."""
        wanted = (4,) if self.accept_image_fmap else (5,) if self.accept_3d_fmap else (2, 3)
        last = x.dim() == 2 or (x.dim() == 3 and self.channel_last)
        channels = -1 if last else 1
        if x.dim() not in wanted or x.shape[channels] != self.dim:
            raise ValueError(
                f"VectorQuantize: x is {list(x.shape)}; wanted [B, N, dim], [B, dim], or what "
                f"channel_last={self.channel_last}, accept_image_fmap={self.accept_image_fmap} and "
                f"accept_3d_fmap={self.accept_3d_fmap} say, with dim {self.dim}"
            )
        if x.dim() == 2:
            return x[:, None]
        return x if last else x.flatten(2).transpose(1, 2)

    def _split(self, x: Tensor) -> Tensor:
        """[B, N, heads * D] -> [codebooks, B or B * heads, N, D]."""
        if self.heads == 1:
            return x[None]
        each = x.reshape(*x.shape[:2], self.heads, -1)
        if self.separate_codebook_per_head:
            return each.permute(2, 0, 1, 3)
        return each.transpose(1, 2).flatten(0, 1)[None]

    def _per_head(self, mask: Tensor) -> Tensor:
        """mask [B, N] -> [codebooks, B or B * heads, N]."""
        if self.heads == 1:
            return mask[None]
        if self.separate_codebook_per_head:
            return mask.expand(self.heads, -1, -1)
        return mask.repeat_interleave(self.heads, 0)[None]

    def _commitment(
        self, codes: Tensor, rows: Tensor, whole: Tensor, counted: Tensor | None
    ) -> Tensor:
        if counted is None:
            return F.mse_loss(codes, rows)
        # The package measures against the input itself, before it is normalised for cosines.
        near = whole[None] if self.heads == 1 and not self.has_projections else rows
        return F.mse_loss(codes, near, reduction="none")[counted].mean()

    def _finish(
        self, x: Tensor, whole: Tensor, codes: Tensor, indices: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Heads joined, projected, masked, and in the shape of the input."""
        batch, steps = whole.shape[:2]
        if self.heads == 1:
            codes, indices = codes[0], indices[0]
        elif self.separate_codebook_per_head:
            codes, indices = codes.permute(1, 2, 0, 3).flatten(2), indices.permute(1, 2, 0)
        else:
            codes = codes[0].reshape(batch, self.heads, steps, -1).transpose(1, 2).flatten(2)
            indices = indices[0].reshape(batch, self.heads, steps).transpose(1, 2)
        out: Tensor = self.project_out(codes)
        if mask is not None:
            other = torch.zeros_like(whole) if self.return_zeros_for_masked_padding else whole
            out = torch.where(mask[..., None], out, other)
            indices = torch.where(mask.view(batch, steps, *[1] * (indices.dim() - 2)), indices, -1)
        if x.dim() == 2:
            return out[:, 0], indices[:, 0]
        if x.dim() == 3 and self.channel_last:
            return out, indices
        if x.dim() > 3:
            indices = indices.reshape(batch, *x.shape[2:], *indices.shape[2:])
        return out.transpose(1, 2).reshape(x.shape), indices


def _projections(dim: int, width: int, normalized: bool) -> tuple[nn.Module, nn.Module]:
    """Into the codes' width and out of it; nothing where it is the same. Drawn in this order."""
    if width == dim:
        return nn.Identity(), nn.Identity()
    into: nn.Module = nn.Linear(dim, width)
    if normalized:
        into = nn.Sequential(into, nn.LayerNorm(width))
    return into, nn.Linear(width, dim)


def _route(rows: Tensor, codes: Tensor, rotation: bool) -> Tensor:
    """The codes with a gradient to the rows: rotated and scaled onto them (Fifty et al. 2024, 4.2),
    or straight through."""
    if not rotation:
        return rows + (codes - rows).detach()
    row_norm, code_norm = (t.norm(dim=-1, keepdim=True) for t in (rows, codes))
    u = rows / row_norm.clamp(min=NORM_EPS)
    q = (codes / code_norm.clamp(min=NORM_EPS)).detach()
    w = F.normalize(u + q, dim=-1, eps=NORM_EPS).detach()
    turned: Tensor = (
        rows
        - 2.0 * (rows * w).sum(-1, keepdim=True) * w
        + 2.0 * (rows * u.detach()).sum(-1, keepdim=True) * q
    )
    stretch: Tensor = code_norm / row_norm.clamp(min=NORM_EPS)
    return turned * stretch.detach()


def _mask(x: Tensor, mask: Tensor | None, lens: Tensor | None, image: bool) -> Tensor | None:
    if mask is not None and lens is not None:
        raise ValueError("VectorQuantize: mask and lens say the same; give one of them")
    if lens is not None:
        mask = torch.arange(x.shape[1], device=x.device) < lens[:, None]
    if mask is not None and (image or x.dim() == 2):
        raise ValueError("VectorQuantize: mask and lens go with sequences [B, N, dim] only")
    return mask


def _refuse(where: str, given: dict[str, Any], known: dict[str, Any]) -> None:
    for name, value in given.items():
        if name not in known:
            raise TypeError(f"{where}: no option {name!r}")
        default = known[name]
        if value is not default and value != default:
            raise NotImplementedError(
                f"{where}: {name}={value!r} is not built; vector-quantize-pytorch has it"
            )


def _refuse_learnable(ema_update: bool, use_cosine_sim: bool) -> None:
    if ema_update or use_cosine_sim:
        raise ValueError(
            "VectorQuantize: learnable_codebook goes with ema_update=False and "
            f"use_cosine_sim=False; got {ema_update} and {use_cosine_sim}"
        )


def _refuse_processes(sync_codebook: bool | None) -> None:
    distributed = torch.distributed
    several = distributed.is_available() and distributed.is_initialized()
    if sync_codebook or (sync_codebook is None and several and distributed.get_world_size() > 1):
        raise NotImplementedError(
            "VectorQuantize: sync_codebook=True is not built: codebooks of several processes would "
            "learn apart; give sync_codebook=False to let them"
        )
