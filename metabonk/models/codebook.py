"""Codebooks that learn from what they are taken for. Knows the op; no projections and no losses.

H codebooks of K codes of D numbers, looked up by Euclidean distance or by cosine. Codes follow an
exponential moving average of their rows (van den Oord et al. 2017), may start from k-means, and may
be replaced by rows of the batch when they are hardly taken (Zeghidour et al. 2021). Names, shapes,
dtypes and order of random draws are those of vector-quantize-pytorch, so that weights and seeds
carry over.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metabonk.ops import vq

NORM_EPS = 1e-6


class Codebook(nn.Module):
    """State: embed [H, K, D], its running sums embed_avg [H, K, D] and cluster_size [H, K], and
    whether it was initialised.

    decay, eps: of the moving average and its smoothing. threshold: codes whose cluster_size is
    below it are replaced in training; 0 for never. learnable: embed is a parameter.
    """

    initted: Tensor
    cluster_size: Tensor
    embed_avg: Tensor
    embed: Tensor

    def __init__(
        self,
        dim: int,
        codebook_size: int,
        num_codebooks: int = 1,
        *,
        kmeans_init: bool = False,
        kmeans_iters: int = 10,
        decay: float = 0.8,
        eps: float = 1e-5,
        threshold_ema_dead_code: float = 0,
        learnable_codebook: bool = False,
        ema_update: bool = True,
        manual_ema_update: bool = False,
        use_cosine_sim: bool = False,
    ) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.num_codebooks = num_codebooks
        self.kmeans_iters = kmeans_iters
        self.decay = decay
        self.eps = eps
        self.threshold_ema_dead_code = threshold_ema_dead_code
        self.learnable_codebook = learnable_codebook
        self.ema_update = ema_update
        self.manual_ema_update = manual_ema_update
        self.use_cosine_sim = use_cosine_sim
        embed = torch.zeros(num_codebooks, codebook_size, dim)
        if not kmeans_init:
            nn.init.kaiming_uniform_(embed)
            embed = self.transform_input(embed)
        self.register_buffer("initted", torch.tensor(not kmeans_init))
        self.register_buffer("cluster_size", torch.ones(num_codebooks, codebook_size))
        self.register_buffer("embed_avg", embed.clone())
        if learnable_codebook:
            self.embed = nn.Parameter(embed)
        else:
            self.register_buffer("embed", embed)

    def transform_input(self, x: Tensor) -> Tensor:
        """What a row is before it is looked up: of length 1 for cosines, itself otherwise."""
        return F.normalize(x, dim=-1, eps=NORM_EPS) if self.use_cosine_sim else x

    def forward(
        self, rows: Tensor, counted: Tensor | None, *, frozen: bool, ema_update: bool | None
    ) -> tuple[Tensor, Tensor]:
        """rows [H, N, D] float32, transformed -> codes [H, N, D] and their indices [H, N].

        counted [H, N]: rows that count for initialisation and learning, None for all. In training
        the codebook learns, unless it is frozen. Codes carry a straight-through gradient to the
        rows, or of a learnable codebook one to it.
        """
        if not self.initted:
            self.init_from(rows, counted)
        found = [self.lookup(r, e) for r, e in zip(rows, self.embed, strict=True)]
        indices = torch.stack([f.indices for f in found])
        if self.learnable_codebook:
            pairs = zip(self.embed, indices, strict=True)
            quantized = torch.stack([F.embedding(i, e) for e, i in pairs])
        else:
            quantized = torch.stack([f.quantized for f in found])
        if self.training and not frozen:
            self.learn(rows.detach(), indices, counted, ema_update)
        return quantized, indices

    def lookup(self, rows: Tensor, embed: Tensor) -> vq.Lookup:
        """One codebook: rows [N, D], embed [K, D]."""
        metric: vq.Metric = "dot" if self.use_cosine_sim else "euclidean"
        return vq.vq_lookup(rows.contiguous(), embed.detach().contiguous(), metric=metric)

    @torch.no_grad()
    def learn(
        self, rows: Tensor, indices: Tensor, counted: Tensor | None, ema_update: bool | None = None
    ) -> None:
        """Moves sizes and sums towards those of this batch, then the codes; replaces dead ones."""
        follow = self.ema_update if ema_update is None else ema_update
        if not follow and not self.threshold_ema_dead_code:
            return
        if counted is not None:
            indices = indices.masked_fill(~counted, -1)
        for h in range(self.num_codebooks):
            new = vq.vq_statistics(
                rows[h].contiguous(), indices[h].contiguous(), self.codebook_size
            )
            self.cluster_size[h].lerp_(new.counts, 1.0 - self.decay)
            self.embed_avg[h].lerp_(new.sums, 1.0 - self.decay)
        if follow and not self.manual_ema_update:
            self.update_ema()
        if self.training:
            self.expire_codes_(rows, counted)

    @torch.no_grad()
    def update_ema(self) -> None:
        """Sets the codes to their running means."""
        n = vq.smoothed(self.cluster_size, self.eps)
        self.embed.copy_(self.transform_input(self.embed_avg / n[..., None]))

    @torch.no_grad()
    def expire_codes_(self, rows: Tensor, counted: Tensor | None = None) -> None:
        """Replaces codes that are hardly taken by rows [H, N, D] of the batch, drawn at random."""
        dead = self.cluster_size < self.threshold_ema_dead_code
        if not bool(dead.any()):
            return
        rows = self.transform_input(rows)
        for h in range(self.num_codebooks):
            samples = rows[h] if counted is None else rows[h][counted[h]]
            if not len(samples):
                continue
            places = dead[h].nonzero()[:, 0]
            if len(places) > len(samples):  # the rest waits for later batches: no code twice
                places = places[torch.randperm(len(places), device=places.device)[: len(samples)]]
                places = places.sort().values
            drawn = sample_rows(samples, len(places))
            self.embed.data[h, places] = drawn
            self.cluster_size[h, places] = float(self.threshold_ema_dead_code)
            self.embed_avg[h, places] = drawn * self.threshold_ema_dead_code

    @torch.no_grad()
    def init_from(self, rows: Tensor, counted: Tensor | None) -> None:
        """Sets the codes to k-means of these rows [H, N, D]."""
        if counted is not None:
            rows = rows[counted].view(len(rows), -1, rows.shape[-1])
        # All first guesses are drawn before the first of them is moved, as seeds expect.
        means = torch.stack([sample_rows(r, self.codebook_size) for r in rows])
        size = torch.zeros_like(self.cluster_size)
        for h in range(self.num_codebooks):
            for _ in range(self.kmeans_iters):
                taken = self.lookup(rows[h], means[h]).indices
                new = vq.vq_statistics(rows[h].contiguous(), taken, self.codebook_size)
                moved = self.transform_input(new.sums / new.counts.clamp(min=1.0)[:, None])
                means[h] = torch.where(new.counts[:, None] > 0, moved, means[h])
                size[h] = new.counts
        self.embed_avg.copy_(means * size[..., None])
        self.cluster_size.copy_(size)
        self.update_ema()
        self.initted.fill_(True)


def sample_rows(rows: Tensor, count: int) -> Tensor:
    """`count` of the rows [N, D] at random, all different where there are enough."""
    if len(rows) >= count:
        chosen = torch.randperm(len(rows), device=rows.device)[:count]
    else:
        chosen = torch.randint(0, len(rows), (count,), device=rows.device)
    return rows[chosen]
