"""What learns beside the policy in a world model: the model, dreams, active inference.

Knows the sections `world`, `dream` and `efe`. Does not know networks or losses.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from metabonk.schema.means import means


class WorldConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The world model."""

    enabled: Annotated[
        bool,
        means(
            "Train a world model on every rollout. Off unless asked for, as it takes many times as "
            "long as the policy does; asking for dream.enabled or efe.enabled asks for it, too."
        ),
    ] = False
    deter: Annotated[int, means("Units of what is certain of its state.", ge=1)] = 256
    groups: Annotated[int, means("Random variables of its state.", ge=1)] = 16
    classes: Annotated[
        int, means("Values each of them has; 0: they are Gaussians.", ge=0, le=4096)
    ] = 16
    hidden: Annotated[int, means("Units of each hidden layer.", ge=1)] = 256
    unimix: Annotated[
        float, means("The uniform distribution's share of every variable.", ge=0.0, lt=1.0)
    ] = 0.01
    learning_rate: Annotated[float, means("Adam's step size.", gt=0.0)] = 3e-4
    max_grad_norm: Annotated[float, means("Longer gradients are scaled to this.", gt=0.0)] = 100.0
    batch: Annotated[int, means("Sequences per update.", ge=1)] = 16
    sequence: Annotated[int, means("Steps per sequence.", ge=2)] = 64
    burn_in: Annotated[
        int, means("Steps that only warm its state up, at the start of a sequence.", ge=0)
    ] = 8
    frames: Annotated[
        int, means("Frames per update that are drawn and compared with what was seen.", ge=1)
    ] = 128
    ratio: Annotated[float, means("Replayed steps learned from per step played.", gt=0.0)] = 1.0
    replay: Annotated[int, means("Steps of all games that are kept to learn from.", ge=1)] = 500_000
    free_nats: Annotated[
        float, means("Nats between what was expected and seen that cost nothing.", ge=0.0)
    ] = 1.0
    kl_dynamics: Annotated[float, means("Weight of expecting what is seen.", ge=0.0)] = 1.0
    kl_representation: Annotated[float, means("Weight of seeing what is expected.", ge=0.0)] = 0.1
    reward: Annotated[
        float, means("Weight of telling the reward, beside that of what is seen.", ge=0.0)
    ] = 1.0
    intrinsic: Annotated[
        float,
        means(
            "Reward for a step that surprises it by one deviation; 0: none. Noise surprises too.",
            ge=0.0,
        ),
    ] = 0.0
    start: Annotated[
        str, means("What `metabonk pretrain dream` wrote, to begin from; empty: from nothing.")
    ] = ""

    @property
    def learned(self) -> bool:
        """Whether there is one: asked for, or needed for what it pays."""
        return self.enabled or self.intrinsic > 0.0


class DreamConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An actor and a critic that learn in the world model's dreams."""

    enabled: Annotated[
        bool,
        means(
            "Where there is a world model: learn in its dreams, play with what was learned there, "
            "and teach it."
        ),
    ] = True
    horizon: Annotated[
        int, means("Steps that a dream lasts; 0: as far as the model is seen to be right.", ge=0)
    ] = 0
    longest: Annotated[
        int, means("Steps that it is judged over, and lasts at most where none are set.", ge=1)
    ] = 15
    distill_coef: Annotated[
        float, means("Weight of the policy's divergence from the dreamer.", ge=0.0)
    ] = 0.1
    warm_up: Annotated[
        int, means("Updates of the world model before anything is dreamed.", ge=0)
    ] = 100
    starts: Annotated[
        int, means("Dreams per update, from states that were seen; 0: from all of them.", ge=0)
    ] = 0
    gamma: Annotated[float, means("Discount per step in dreams.", ge=0.0, le=1.0)] = 0.99
    lambda_: Annotated[
        float, means("Returns: 0 trusts the critic, 1 the dreamed rewards.", ge=0.0, le=1.0)
    ] = 0.95
    hidden: Annotated[int, means("Units of each hidden layer.", ge=1)] = 256
    learning_rate: Annotated[float, means("Adam's step size.", gt=0.0)] = 3e-4
    max_grad_norm: Annotated[float, means("Longer gradients are scaled to this.", gt=0.0)] = 100.0
    entropy_coef: Annotated[float, means("Weight of the actor's entropy bonus.", ge=0.0)] = 3e-3
    slow: Annotated[
        float, means("Share of the critic that its slow copy takes per update.", gt=0.0, le=1.0)
    ] = 0.02
    action_noise: Annotated[
        float,
        means(
            "Exploration in dreams: deviation of columns in half ranges, share of random choices.",
            ge=0.0,
            lt=1.0,
        ),
    ] = 0.0
    share: Annotated[
        float,
        means(
            "Share of the games that the dreamer itself plays, which tells who plays better; "
            "whoever does serves. 0: it only teaches.",
            ge=0.0,
            lt=1.0,
        ),
    ] = 0.25
    passes: Annotated[
        int,
        means(
            "Further passes over a rollout in which the policy learns nothing but what the dreamer "
            "does, while that leads.",
            ge=0,
        ),
    ] = 16
    recordings: Annotated[
        str, means("Recordings that `metabonk pretrain dream` learns from without --from.")
    ] = ""


class EfeConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An actor that minimises expected free energy in the world model's dreams.

    What is not said here, as horizons, discounts and warm-up, is said by `dream`.
    """

    enabled: Annotated[
        bool,
        means(
            "Where there is a world model: learn to seek what is preferred and what is not yet "
            "known, and teach the policy."
        ),
    ] = True
    precision: Annotated[
        float, means("Nats that a reward of the usual size is preferred by.", ge=0.0)
    ] = 1.0
    curiosity: Annotated[
        float, means("Weight of information gain; 0: only what is preferred counts.", ge=0.0)
    ] = 1.0
    members: Annotated[int, means("One-step models whose differences are ignorance.", ge=2)] = 5
    prior: Annotated[
        float, means("Weight of the random function that each of them starts from.", ge=0.0)
    ] = 3.0
    hidden: Annotated[int, means("Units of each of their hidden layers.", ge=1)] = 128
    learning_rate: Annotated[float, means("Their step size.", gt=0.0)] = 1e-3
    max_grad_norm: Annotated[float, means("Longer gradients are scaled to this.", gt=0.0)] = 100.0
    starts: Annotated[
        int, means("Dreams per update, from states that were seen; 0: from all of them.", ge=0)
    ] = 256
    distill_coef: Annotated[
        float, means("Weight of the policy's divergence from this actor.", ge=0.0)
    ] = 0.05
    proven: Annotated[
        bool,
        means(
            "Teach only while what was earned speaks for it, which exploring cannot show at once."
        ),
    ] = False
