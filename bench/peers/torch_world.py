"""A world model's update as one writes it in torch: nn.Linear, nn.GRUCell and torch's own Adam.

Knows torch and, of ours, the model that it is made from: weights, what grows frames, which is
torch's either way, heads and the loss are the same. What is not: layers, what reads frames, the
recurrent state with its gradient, the optimiser. It is written well: what needs no earlier step
stands outside the loop, and Adam is torch's fused one. It does not look for what is no number, as
ours does.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from metabonk.config import WorldConfig
from metabonk.learn.dreams.world import STATISTICS, Batch, WorldLearner
from metabonk.learn.optimizer import ADAM_EPSILON
from metabonk.learn.replay import Sequences
from metabonk.models.compass import PLACED, REACH, RINGS, Compass
from metabonk.models.encoders import ImageEncoder
from metabonk.models.layers import Dense
from metabonk.models.rssm import RSSM, Latent, RssmStates
from metabonk.models.world import WorldModel
from metabonk.ops import radar


class Layer(nn.Module):
    """tanh of a linear layer over inputs side by side, with the weights of `ours`."""

    def __init__(self, ours: Dense) -> None:
        super().__init__()
        weight = torch.cat(list(ours.weights), 1)
        self.linear = nn.Linear(weight.shape[1], len(weight))
        with torch.no_grad():
            self.linear.weight.copy_(weight)
            self.linear.bias.copy_(ours.bias)

    def forward(self, *inputs: Tensor) -> Tensor:
        x = inputs[0] if len(inputs) == 1 else torch.cat(inputs, -1)
        return torch.tanh(self.linear(x))


class Cells(RSSM):
    """The same state of categoricals, step by step through autograd."""

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
        deter, stoch = before
        action = action * keep
        steps: list[tuple[Tensor, Tensor, Tensor]] = []
        for t in range(len(action)):
            deter, stoch = deter * keep[t], stoch * keep[t]
            x = functional.elu(self.input(torch.cat([stoch, action[t]], -1)))
            deter = self.rnn(x, deter)
            hidden = functional.elu(self.post(torch.cat([deter, embed[t]], -1)))
            posterior = self._mixed(self.post_out(hidden))
            stoch = self._drawn(posterior, noise[t])
            steps.append((deter, stoch, posterior))
        deters, stochs, posteriors = (torch.stack(column) for column in zip(*steps, strict=True))
        prior = self._mixed(self.prior_out(functional.elu(self.prior(deters))))
        return RssmStates(deters, stochs, prior, posteriors, None)

    def _mixed(self, logits: Tensor) -> Tensor:
        """Log-probabilities [..., groups * classes] with a share of the uniform distribution."""
        share = self._by_class(logits).softmax(-1)
        mixed: Tensor = ((1.0 - self.unimix) * share + self.unimix / self.classes).log()
        return mixed.flatten(-2)

    def _by_class(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.groups, self.classes)

    def _drawn(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """One-hot, its gradient straight through."""
        share = self._by_class(parameters).exp()
        cumulative = share.detach().cumsum(-1)
        point = noise[..., None] * (1.0 - 2.0**-20) * cumulative[..., -1:]
        index = (cumulative <= point)[..., :-1].sum(-1)
        picked = functional.one_hot(index, self.classes).to(share.dtype)
        drawn: Tensor = picked + share - share.detach()
        return drawn.flatten(-2)


class Eye(nn.Module):
    """An encoder of frames, with the weights of `ours`: an embedding, convolutions, a layer."""

    def __init__(self, ours: ImageEncoder) -> None:
        super().__init__()
        self.cells, self.project, self.convolutions = ours.cells, ours.project, ours.convolutions
        if ours.cells:
            self.colours = ours.colours

    def forward(self, frames: Tensor) -> Tensor:
        x = self.colours(frames.long()) if self.cells else frames.float() / 255.0
        x = self.convolutions(x.permute(0, 3, 1, 2))
        return torch.relu(self.project(x.flatten(1)))


class Needle(Compass):
    """A compass whose radars are torch's."""

    def forward(self, observation: dict[str, Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
        parts = [self._own(observation["state"], state)]
        for key in PLACED:
            sums = radar.reference(observation[key], observation[f"{key}_mask"], RINGS, REACH)
            sums = sums.view(len(sums), radar.SECTORS, len(RINGS), -1)
            if key == "entities":
                self._turn(sums)
            parts.append(sums.flatten(2))
        x = torch.cat(parts, 2)
        seen = self.point(x.flatten(0, 1))
        summary = self.summary(seen).view(len(x), -1)
        return seen.view(len(x), radar.SECTORS, -1).transpose(0, 1), summary


def of_torch(model: WorldModel, recurrent: type[Cells] = Cells) -> WorldModel:
    """The same model, its weights copied, of torch's own layers. recurrent: who steps."""
    made = copy.deepcopy(model)
    ours = made.rssm
    width = made.actions.width
    made.rssm = recurrent(
        width,
        ours.post.in_features - ours.deter,
        deter=ours.deter,
        groups=ours.groups,
        classes=ours.classes,
        hidden=ours.input.out_features,
        unimix=ours.unimix,
        min_std=ours.min_std,
    )
    made.rssm.load_state_dict(ours.state_dict())
    _replace(made)
    return made


def _replace(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, Dense):
            module.add_module(name, Layer(child))
            continue
        if isinstance(child, ImageEncoder):
            module.add_module(name, Eye(child))
            continue
        if isinstance(child, Compass):
            needle = Needle(child.width, child.summary.out_features)
            needle.load_state_dict(child.state_dict())
            module.add_module(name, child := needle)
        _replace(child)


class TorchLearner(WorldLearner):
    """The same loss of the same states, learned by torch's Adam over the model's own tensors."""

    def __init__(self, model: WorldModel, config: WorldConfig, *, seed: int = 0) -> None:
        self.model, self.config, self.seed, self.updates = model, config, seed, 0
        self.adam = torch.optim.Adam(
            model.parameters(), config.learning_rate, eps=ADAM_EPSILON, fused=True
        )

    def update(self, sequences: Sequences) -> tuple[dict[str, float], Latent]:
        batch = Batch.of(sequences).to(next(self.model.parameters()).device)
        if self.updates == 0:
            self._learn_scales(batch)
        states = self.states(batch)
        terms = self.losses(batch, states)
        self.adam.zero_grad()
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        self.adam.step()
        self.updates += 1
        self._learn_scales(batch)
        after = Latent(states.deter.flatten(0, 1), states.stoch.flatten(0, 1))
        return {name: float(terms[name]) for name in STATISTICS}, after.detach()

    def _learn_scales(self, batch: Batch) -> None:
        self.model.learn_scales({k: v.flatten(0, 1) for k, v in batch.observation.items()})
