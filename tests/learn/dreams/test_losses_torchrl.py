"""The world model's, the actor's and the critic's losses are TorchRL's DreamerV3, gradients too.

Weights are the same tensors. What TorchRL would sample itself it is handed: the states that our
model went through and the dream that our dreamer had.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch
from dreamers import HORIZON, SMALL, dreamer_of
from ring_world import LAYOUT, SPACE, walk
from ring_world import SMALL as WORLD
from torch import Tensor, nn

from metabonk.learn.dreams.dreamer import DreamLearner
from metabonk.learn.dreams.world import Batch, WorldLearner
from metabonk.models.decoder import Numbers
from metabonk.models.dreamer import Dream, Dreamer, dream
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel, build

losses = pytest.importorskip("torchrl.objectives.dreamer_v3")
tensordict = pytest.importorskip("tensordict")
td_nn = pytest.importorskip("tensordict.nn")
updaters = pytest.importorskip("torchrl.objectives")

STARTS = 24
FEATURES = ["belief", "state"]  # deter and stoch


def spread(module: nn.Module, seed: int, scale: float = 0.3) -> None:
    """Weights far from where they begin, so that nothing is 0 or certain."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))


@pytest.fixture
def world() -> WorldModel:
    made = build(SPACE, LAYOUT, WORLD, seed=0)
    spread(made, 1)
    return made


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def same_gradients(ours: Tensor, theirs: Tensor, module: nn.Module) -> None:
    """Of every parameter; what a loss does not know has none."""
    parameters = [p for p in module.parameters() if p.requires_grad and p.numel()]
    found = []
    for loss in (ours, theirs):
        each = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        pairs = zip(each, parameters, strict=True)
        found.append([torch.zeros_like(p) if g is None else g for g, p in pairs])
    assert max(float(gradient.abs().max()) for gradient in found[0]) > 1e-4
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


# The world model


class Told(nn.Module):
    """A world model to TorchRL: it has been through everything already."""

    def __init__(self, found: dict[str, Tensor]) -> None:
        super().__init__()
        self.found = found

    def forward(self, td: Any) -> Any:
        for key, value in self.found.items():
            td.set(("next", key), value)
        return td


def test_the_world_models_loss_is_theirs(world: WorldModel) -> None:
    sequences = walk(9, 8, seed=3)
    sequences.terminated[[2, 5], [1, 4]] = True
    learner = WorldLearner(world, WORLD)
    batch = Batch.of(sequences)
    world.learn_scales({k: v.flatten(0, 1) for k, v in batch.observation.items()})
    states = learner.states(batch)
    assert states.posterior is not None
    apart = world.rssm.divergence(states.posterior, states.prior).detach()
    free = float(apart.median())  # some steps are free and some are not
    learner.config = config = msgspec.structs.replace(WORLD, free_nats=free)
    ours = learner.losses(batch, states)

    features = Latent(states.deter, states.stoch).features.flatten(0, 1)
    part = world.decoder.part("observation")
    assert isinstance(part, Numbers)
    groups = (world.rssm.groups, world.rssm.classes)
    told = {
        "prior_logits": states.prior.flatten(0, 1).unflatten(1, groups),
        "posterior_logits": states.posterior.flatten(0, 1).unflatten(1, groups),
        "reco_pixels": part(world.decoder_input(features)),
        "reward_logits": world.reward(features),
        "continue_pred": world.going(features),
    }
    seen = {
        "pixels": part.scale(batch.observation["observation"].flatten(0, 1)),
        "reward": batch.reward.flatten()[:, None],
        "terminated": batch.terminated.flatten()[:, None],
    }
    came = ~batch.is_first.flatten()  # a first step has neither reward nor end
    everywhere = torch.ones_like(came)

    def theirs(rows: Tensor) -> Any:
        loss = losses.DreamerV3ModelLoss(
            Told({key: value[rows] for key, value in told.items()}),
            kl_mode="separate",
            lambda_reco=0.5,
            lambda_continue=1.0,
            lambda_dynamic=config.kl_dynamics,
            lambda_representation=config.kl_representation,
            free_bits=config.free_nats,
            unimix=0.0,  # ours has it already
            reco_symlog=False,
            num_reward_bins=len(world.values.bins),
        )
        loss.reward_bins = world.values.bins
        td = tensordict.TensorDict(
            {"next": {key: value[rows] for key, value in seen.items()}}, [int(rows.sum())]
        )
        return loss(td)[0]

    whole, led = theirs(everywhere), theirs(came)
    recon, kl = whole["loss_model_reco"], whole["loss_model_dynamic"]
    assert config.kl_dynamics == 1.0
    close(ours["wm_recon"], recon[0].detach())
    close(ours["wm_reward"], led["loss_model_reward"][0].detach())
    close(ours["wm_continue"], led["loss_model_continue"][0].detach())
    total = recon + kl + whole["loss_model_representation"]
    total = total + led["loss_model_reward"] + led["loss_model_continue"]
    close(ours["loss"], total[0])
    same_gradients(ours["loss"], total[0], world)
    apart = (whole["loss_model_reward"] - led["loss_model_reward"]).detach()
    assert abs(float(apart)) > 1e-3  # the control


# The dreamer


class Actor(nn.Module):
    def __init__(self, dreamer: Dreamer) -> None:
        super().__init__()
        self.actor, self.head = dreamer.actor, dreamer.head

    def forward(self, belief: Tensor, state: Tensor) -> Tensor:
        features = torch.cat([belief, state], -1)
        hidden = self.actor(features.flatten(0, -2))
        logits: Tensor = self.head(hidden)
        return logits.view(*features.shape[:-1], -1)


class Critic(nn.Module):
    """Logits and their mean."""

    def __init__(self, dreamer: Dreamer) -> None:
        super().__init__()
        self.critic, self.values = dreamer.critic, dreamer.values

    def forward(self, belief: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.cat([belief, state], -1)
        logits = self.critic(features.flatten(0, -2)).view(*features.shape[:-1], -1)
        return logits, self.values.mean(logits)[..., None]


class Going(nn.Module):
    def __init__(self, world: WorldModel) -> None:
        super().__init__()
        self.going = world.going

    def forward(self, belief: Tensor, state: Tensor) -> Tensor:
        features = torch.cat([belief, state], -1)
        logit: Tensor = self.going(features.flatten(0, -2)).view(*features.shape[:-1], 1)
        return logit.sigmoid()


class Replayed(nn.Module):
    """An environment to TorchRL, in which one dream is had again and again."""

    def __init__(self, td: Any) -> None:
        super().__init__()
        self.td = td

    def reset(self, td: Any) -> Any:
        return td

    def rollout(self, **_: Any) -> Any:
        return self.td.clone()


class Pair:
    """Our learner, a dream of its dreamer, and TorchRL's losses over the same weights."""

    def __init__(self, world: WorldModel) -> None:
        self.world = world
        self.dreamer = dreamer_of(world)
        spread(self.dreamer, 2)
        self.ours = DreamLearner(world, self.dreamer, SMALL)
        fast = {k: v.clone() for k, v in self.dreamer.critic.state_dict().items()}
        self.dreamer.critic.load_state_dict(self.dreamer.slow.state_dict())
        critic = td_nn.TensorDictModule(
            Critic(self.dreamer), in_keys=FEATURES, out_keys=["state_value_logits", "state_value"]
        )
        self.value = losses.DreamerV3ValueLoss(
            critic,
            value_loss="two_hot",
            num_value_bins=len(self.dreamer.values.bins),
            slow_critic_regularization=1.0,
        )
        self.value.value_bins = self.dreamer.values.bins
        self.updater = updaters.SoftUpdate(self.value, tau=SMALL.slow)  # their slow critic is ours
        self.dreamer.critic.load_state_dict(fast)
        generator = torch.Generator().manual_seed(4)
        start = Latent(
            torch.rand(STARTS, world.rssm.deter, generator=generator) * 2.0 - 1.0,
            torch.rand(STARTS, world.rssm.stoch, generator=generator),
        )
        self.dreamed = dream(world, self.dreamer, start, HORIZON, generator)
        self.actor = self._actor(critic)

    def _actor(self, critic: Any, *, ends: bool = True) -> Any:
        going = td_nn.TensorDictModule(
            Going(self.world), in_keys=FEATURES, out_keys=["continuation"]
        )
        policy = td_nn.ProbabilisticTensorDictSequential(
            td_nn.TensorDictModule(Actor(self.dreamer), in_keys=FEATURES, out_keys=["logits"]),
            td_nn.ProbabilisticTensorDictModule(
                in_keys=["logits"],
                out_keys=["action"],
                distribution_class=torch.distributions.Categorical,
            ),
        )
        made = losses.DreamerV3ActorLoss(
            policy,
            critic,
            Replayed(self.td()),
            continuation_model=going if ends else None,
            imagination_horizon=HORIZON,
            entropy_bonus=SMALL.entropy_coef,
            use_reinforce=True,
            return_normalization_rate=1.0,  # ours begins with the first spread, theirs at 0
        )
        made.make_value_estimator(
            updaters.ValueEstimators.TDLambda, gamma=SMALL.gamma, lmbda=SMALL.lambda_
        )
        return made

    def td(self) -> Any:
        """The dream as TorchRL has it, [STARTS, HORIZON]."""
        found: Dream = self.dreamed
        deter, stoch = found.features.split([self.world.rssm.deter, self.world.rssm.stoch], -1)
        with torch.no_grad():
            reward, _ = self.world.outcome(found.features[1:])

        def rows(tensor: Tensor) -> Tensor:
            return tensor.transpose(0, 1).contiguous()

        never = torch.zeros(STARTS, HORIZON, 1, dtype=torch.bool)
        return tensordict.TensorDict(
            {
                "belief": rows(deter[:-1]),
                "state": rows(stoch[:-1]),
                "action": rows(found.rows[..., 0].long()),
                "next": {
                    "belief": rows(deter[1:]),
                    "state": rows(stoch[1:]),
                    "reward": rows(reward)[..., None],
                    "done": never,
                    "terminated": never,
                },
            },
            [STARTS, HORIZON],
        )

    def our_losses(self) -> tuple[Tensor, Tensor]:
        """Of the actor and of the critic."""
        learner = self.ours
        log_prob, entropy = learner._chosen(self.dreamed)
        with torch.no_grad():
            returns, gain, weight = learner._returns(self.dreamed)
        learner.updates = 0  # the spread is that of these returns alone
        learner._widen(returns)
        actor = learner._actor_loss(log_prob, entropy, gain, weight)
        return actor, learner._critic_loss(self.dreamed.features[:-1], returns, weight)


@pytest.fixture
def pair(world: WorldModel) -> Pair:
    return Pair(world)


def test_the_dreamers_losses_are_theirs(pair: Pair) -> None:
    actor, critic = pair.our_losses()
    assert pair.ours.spread > 1.0  # returns are cut down, or their normalisation would not show
    told, imagined = pair.actor(pair.td()[:, 0])
    assert float(told["return_scale"]) == pytest.approx(pair.ours.spread, rel=1e-4)
    close(actor, told["loss_actor"])
    same_gradients(actor, told["loss_actor"], pair.dreamer.actor)
    same_gradients(actor, told["loss_actor"], pair.dreamer.head)
    value, _ = pair.value(imagined)
    close(critic, value["loss_value"])
    same_gradients(critic, value["loss_value"], pair.dreamer.critic)


def test_the_slow_critic_follows_as_theirs(pair: Pair) -> None:
    """And it matters: the loss is another one after every step."""
    seen = []
    _, imagined = pair.actor(pair.td()[:, 0])
    for _ in range(3):
        _, critic = pair.our_losses()
        close(critic, pair.value(imagined)[0]["loss_value"])
        seen.append(float(critic.detach()))
        for _ in range(10):
            pair.dreamer.follow(SMALL.slow)
            pair.updater.step()
    assert len({round(loss, 4) for loss in seen}) == 3


def test_who_leaves_ends_out_has_another_loss(pair: Pair) -> None:
    """The control: without ends theirs is not ours."""
    actor, _ = pair.our_losses()
    endless = pair._actor(pair.actor.value_model, ends=False)
    told, _ = endless(pair.td()[:, 0])
    assert abs(float((told["loss_actor"] - actor).detach())) > 1e-2
