"""The same world model with TorchRL's recurrent part: RSSMRolloutV3 of a GRU, as many weights and
layers, its own activation, its own draws. All else is torch's, as in torch_world.py.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metabonk.models.rssm import Latent, RssmStates
from metabonk.models.world import WorldModel

from . import require
from .torch_world import Cells, of_torch


class Rollout(Cells):
    """Steps by TorchRL, from weights that are copied. The parameters of its modules stand in the
    place of ours, which are the same tensors."""

    def attach(self, *, compiled: bool) -> None:
        """Makes TorchRL's modules over these weights. Raises MissingExtraError."""
        parts = require("torchrl.modules.models.model_based", "test")
        wrapped = require("tensordict.nn", "test").TensorDictModule
        action = self.input.in_features - self.stoch
        sizes: dict[str, Any] = {
            "hidden_dim": self.input.out_features,
            "rnn_hidden_dim": self.deter,
            "num_categoricals": self.groups,
            "num_classes": self.classes,
            "unimix": self.unimix,
        }
        prior = parts.RSSMPriorV3(
            action_shape=torch.Size([action]), action_dim=action, recurrent_model="gru", **sizes
        )
        embed = self.post.in_features - self.deter
        posterior = parts.RSSMPosteriorV3(obs_embed_dim=embed, **sizes)
        prior.action_state_projector[0] = self.input
        for name, value in self.rnn.named_parameters(recurse=False):
            setattr(prior.rnn, name, value)
        prior.rnn_to_prior_projector[0] = self.prior
        prior.rnn_to_prior_projector[2] = self.prior_out
        posterior.obs_rnn_to_post_projector[0] = self.post
        posterior.obs_rnn_to_post_projector[2] = self.post_out
        self.rollout = parts.RSSMRolloutV3(
            wrapped(
                prior, in_keys=["state", "belief", "action"],
                out_keys=[("next", "prior_logits"), ("next", "state"), ("next", "belief")],
            ),
            wrapped(
                posterior, in_keys=[("next", "belief"), ("next", "encoded_latents")],
                out_keys=[("next", "posterior_logits"), ("next", "state")],
            ),
        )  # fmt: skip
        if compiled:
            self.rollout.compile_rollout("step")

    def sequence(
        self,
        before: Latent,
        action: Tensor,
        embed: Tensor | None,
        keep: Tensor | None,
        noise: Tensor,
    ) -> RssmStates:
        assert embed is not None
        assert keep is not None
        length, num = action.shape[:2]
        asked = require("tensordict", "test").TensorDict(
            {
                "state": before.stoch[:, None].expand(num, length, -1),
                "belief": before.deter[:, None].expand(num, length, -1),
                "action": action.transpose(0, 1),
                "is_init": (keep == 0.0).transpose(0, 1),
                "next": {"encoded_latents": embed.transpose(0, 1)},
            },
            [num, length],
            device=action.device,
        )
        found = self.rollout(asked)["next"].transpose(0, 1)
        logits = (found[f"{who}_logits"].flatten(-2) for who in ("prior", "posterior"))
        prior, posterior = map(self._mixed, logits)
        return RssmStates(found["belief"], found["state"], prior, posterior, None)


def of_torchrl(model: WorldModel, *, compiled: bool = False) -> WorldModel:
    """The same model with copies of its weights, whose recurrent part is TorchRL's. compiled: its
    step, as TorchRL offers it."""
    made = of_torch(model, Rollout)
    assert isinstance(made.rssm, Rollout)
    made.rssm.attach(compiled=compiled)
    return made
