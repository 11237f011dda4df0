"""What can be done to the parts that learn beside a policy, to see what they are good for.

Knows trainers, teachers and what stands between a part and the policy (auxiliary.parts); does not
know runs, checkpoints or results. Whoever writes a new part adds it to PARTS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
import torch

from metabonk.learn.ablation.effects import Mode
from metabonk.learn.auxiliary.active import ActiveInference
from metabonk.learn.auxiliary.dreams import DreamTraining
from metabonk.learn.replay import Sequences
from metabonk.learn.teachers import Teacher
from metabonk.learn.trainer import Trainer
from metabonk.protocols import Array, FloatArray

SHUFFLE_KEY = 0x41424C54  # separates shuffles from everything else that is random


@dataclass(frozen=True)
class Part:
    """Something that learns beside the policy. there: whether a trainer has it. modes: what can be
    done to it, and what does it to a trainer that is about to go on."""

    name: str
    there: Callable[[Trainer], bool]
    modes: dict[Mode, Callable[[Trainer], None]]


def _generator(trainer: Trainer) -> np.random.Generator:
    key = [trainer.seed, SHUFFLE_KEY]
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, trainer.ppo.version]))


def _silence(name: str) -> Callable[[Trainer], None]:
    """The part teaches nobody and never serves. Games that it plays it goes on playing: if the
    policy had them, it would learn from more than it did, whoever had played them before."""

    def change(trainer: Trainer) -> None:
        before = trainer.imagination.teaches

        def teaches(part: str, teacher: Teacher) -> Teacher | None:
            return None if part == name else before(part, teacher)

        trainer.imagination.teaches = teaches
        if name == "dream" and trainer.dreams is not None:
            trainer.dreams.games = 0  # it competes for nothing; who plays them was settled before

    return change


def _mislead(name: str) -> Callable[[Trainer], None]:
    """What the part teaches at one moment is said at another."""

    def change(trainer: Trainer) -> None:
        before = trainer.imagination.teaches

        def teaches(part: str, teacher: Teacher) -> Teacher | None:
            if part != name:
                return before(part, teacher)
            rows = teacher.parameters.flatten(0, 1)
            order = torch.from_numpy(_generator(trainer).permutation(len(rows)))
            return teacher._replace(parameters=rows[order].view_as(teacher.parameters))

        trainer.imagination.teaches = teaches

    return change


def _still(actor: Callable[[Trainer], DreamTraining | None]) -> Callable[[Trainer], None]:
    """Its weights stay: steps of length 0."""

    def change(trainer: Trainer) -> None:
        found = actor(trainer)
        assert found is not None
        learner = found.learner
        learner.config = msgspec.structs.replace(learner.config, learning_rate=0.0)
        if isinstance(found, ActiveInference):
            found.learner.efe = msgspec.structs.replace(found.learner.efe, learning_rate=0.0)

    return change


def _still_world(trainer: Trainer) -> None:
    """Its weights stay, and by what it scales what is seen: that moves beliefs, too."""
    assert trainer.world is not None
    learner = trainer.world.learner
    learner.config = msgspec.structs.replace(learner.config, learning_rate=0.0)
    learner.model.learn_scales = _nothing  # type: ignore[method-assign]


def _nothing(observation: object) -> None:
    """What whoever is frozen learns from it."""


def _blind_world(trainer: Trainer) -> None:
    """The world model learns from actions that others did: it cannot know what they lead to."""
    assert trainer.world is not None
    before = trainer.world.replay.draw

    def draw(batch: int, length: int, generator: np.random.Generator) -> Sequences:
        drawn = before(batch, length, generator)
        action: Array = generator.permuted(drawn.action, axis=1)
        return Sequences(drawn.observation, action, drawn.reward, drawn.terminated, drawn.is_first)

    trainer.world.replay.draw = draw  # type: ignore[method-assign]


def _no_bonus(trainer: Trainer) -> None:
    trainer.imagination.rewards = np.zeros_like


def _mixed_bonus(trainer: Trainer) -> None:
    def rewards(bonus: FloatArray) -> FloatArray:
        mixed: FloatArray = _generator(trainer).permutation(bonus.reshape(-1)).reshape(bonus.shape)
        return mixed

    trainer.imagination.rewards = rewards


def _dreams(trainer: Trainer) -> DreamTraining | None:
    return trainer.imagination.dreams


def _active(trainer: Trainer) -> DreamTraining | None:
    return trainer.imagination.active


def _actor(name: str, actor: Callable[[Trainer], DreamTraining | None]) -> Part:
    modes: dict[Mode, Callable[[Trainer], None]] = {
        "zero": _silence(name),
        "freeze": _still(actor),
        "shuffle": _mislead(name),
    }
    return Part(name, lambda trainer: actor(trainer) is not None, modes)


PARTS: tuple[Part, ...] = (
    Part(
        "world",
        lambda trainer: trainer.world is not None,
        {"freeze": _still_world, "shuffle": _blind_world},
    ),
    _actor("dream", _dreams),
    _actor("efe", _active),
    Part(
        "surprise",
        lambda trainer: trainer.imagination.surprise is not None,
        {"zero": _no_bonus, "shuffle": _mixed_bonus},
    ),
)
