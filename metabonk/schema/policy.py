"""The policy: its network and how PPO changes it.

Knows the sections `model` and `ppo`. Does not know what learns beside it (dreams.py, motors.py).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from metabonk.schema.means import means


class ModelConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The network."""

    name: Annotated[
        str,
        means(
            "mlp: vectors; conv: frames; pilot, and every name with pilot in it: recurrent CfC "
            "over both, told the time step; mamba: a selective state space in the CfC's place.",
            expected="one of mlp, conv, pilot, mamba, or a name with pilot in it, as pilot-large",
            pattern=r"\A(mlp|conv|mamba|[\w.-]*pilot[\w.-]*)\Z",
        ),
    ] = "pilot"
    hidden: Annotated[int, means("Units per layer and of the recurrent state.", ge=1)] = 128
    layers: Annotated[int, means("Hidden layers.", ge=1)] = 2
    normalize: Annotated[
        bool, means("Scale every input by the mean and deviation that were seen so far.")
    ] = True
    decisive: Annotated[
        str,
        means("Choices, as choice,gear, that are not passed over (0) while others are allowed."),
    ] = ""
    fixed: Annotated[
        str, means("Action branches held at a value, not learned, as click=-1,jump=0.")
    ] = ""
    steer: Annotated[
        str,
        means(
            "Action of two columns, as move, that is one of 16 directions or none; else a vector."
        ),
    ] = ""
    press: Annotated[
        float,
        means("Probability of pressing each button before anything is learned.", gt=0.0, lt=1.0),
    ] = 0.5

    @property
    def is_pilot(self) -> bool:
        """Whether this is a pilot, of which alone motors are learned in training."""
        return "pilot" in self.name


class PPOConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Proximal policy optimisation; every value can be changed between updates."""

    learning_rate: Annotated[float, means("Adam's step size.", gt=0.0)] = 1e-3
    anneal: Annotated[bool, means("Let the learning rate fall to zero over the run.")] = True
    gamma: Annotated[float, means("Discount per step.", ge=0.0, le=1.0)] = 0.99
    gamma_end: Annotated[
        float, means("What it becomes towards the end of the run; 0: it stays.", ge=0.0, lt=1.0)
    ] = 0.0
    discount_time: Annotated[
        bool,
        means("Discount by game time, 1/15 s counting as one step, where the game tells it."),
    ] = True
    idle_cost: Annotated[
        float, means("Reward taken off a decision in which no game time passes.", ge=0.0)
    ] = 0.0
    gae_lambda: Annotated[
        float, means("Advantage estimation: 0 trusts the critic, 1 the returns.", ge=0.0, le=1.0)
    ] = 0.95
    clip: Annotated[float, means("How far a probability ratio may move per update.", gt=0.0)] = 0.2
    value_clip: Annotated[float, means("The same for the critic; 0: off.", ge=0.0)] = 0.0
    value_coef: Annotated[float, means("Weight of the critic's loss.", ge=0.0)] = 0.5
    entropy_coef: Annotated[float, means("Weight of the entropy bonus.", ge=0.0)] = 0.01
    max_grad_norm: Annotated[float, means("Longer gradients are scaled to this.", gt=0.0)] = 0.5
    horizon: Annotated[int, means("Steps per game and rollout.", ge=1)] = 64
    epochs: Annotated[int, means("Passes over each rollout.", ge=1)] = 3
    minibatches: Annotated[int, means("Gradient steps per pass.", ge=1)] = 4
    burn_in: Annotated[int, means("Steps that only warm the recurrent state up.", ge=0)] = 0
    sequence: Annotated[
        int, means("Steps that a recurrent network is trained through; 0: the horizon.", ge=0)
    ] = 0
    normalize_rewards: Annotated[
        bool, means("Divide rewards by the running deviation of the return.")
    ] = True
    normalize_advantages: Annotated[bool, means("Scale advantages to unit deviation.")] = True
    noise_memory: Annotated[
        float,
        means(
            "Correlation of continuous exploration from one decision to the next.", ge=0.0, lt=1.0
        ),
    ] = 0.0
    target_kl: Annotated[
        float, means("Stop an update's passes past this KL divergence; 0: never.", ge=0.0)
    ] = 0.0
