"""How many threads the network gets, by measurement. Knows a trainer's shapes and torch.

Small minibatches are quickest on one thread. What was chosen goes into the checkpoint, because sums
over threads round differently.
"""

from __future__ import annotations

import os
import time

import torch

from metabonk.learn.replicas import one_thread
from metabonk.learn.trainer import Trainer

ROUNDS = 3
WORTH_IT = 0.85  # part of one thread's time that several threads must stay below


def choose(trainer: Trainer) -> int:
    """Sets torch's threads to what runs this trainer's network quickest; returns the number.

    Draws no random numbers and leaves weights and gradients as they were.
    """
    available = len(os.sched_getaffinity(0))
    best = 1
    if available > 1:
        seconds = {n: min(_probe(trainer, n) for _ in range(ROUNDS)) for n in (1, available)}
        if seconds[available] < WORTH_IT * seconds[1]:
            best = available
    torch.set_num_threads(best)
    return best


def _probe(trainer: Trainer, threads: int) -> float:
    """Seconds for acting in every environment over a rollout and one pass of learning from it."""
    torch.set_num_threads(threads)
    rollout, model = trainer.collector.rollout, trainer.model
    tensors = rollout.tensors()
    one = {key: tensors[f"observation.{key}"][0] for key in rollout.observation}
    state, first = tensors["state"][0], tensors["is_first"][0]
    began = time.perf_counter()
    with one_thread(), torch.inference_mode():
        for _ in range(rollout.horizon):
            model.step(one, state, first)
    trainer.ppo.rehearse(rollout)
    return time.perf_counter() - began
