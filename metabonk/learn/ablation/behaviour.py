"""How far apart those are who serve for two trainings, in what one of them played.

Knows players, their networks and rollouts; does not know trainings, parts, or what was done to
them. Whoever serves is compared, a policy or a dreamer that leads: a dreamer's action has the
parameters of a policy's (models/dreamer.py), so that either is compared with either.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from metabonk.learn.checkpoint import load_weights, weights_of
from metabonk.learn.players import Players, Who
from metabonk.learn.rollout import Rollout
from metabonk.models.dreamer import MASK
from metabonk.models.heads import ActionHead
from metabonk.models.rssm import Latent
from metabonk.protocols import Array


@torch.no_grad()
def apart(one: Players, other: Players, rollout: Rollout) -> float:
    """Mean KL(one || other) in nats, of whoever serves of each, over the steps of a rollout.

    A policy reads the states that the rollout has; a dreamer believes nothing when it begins and
    goes along with what was done, from random numbers that are the same for everybody.
    """
    ours, theirs = _parameters(one, rollout), _parameters(other, rollout)
    log_std = _head(one).log_std.double()
    # Doubles, as players that hardly differ do so by less than sums round.
    head = copy.deepcopy(_head(other)).double()
    masks = rollout.observation.get(MASK)
    total = 0.0
    for t, (mine, its) in enumerate(zip(ours, theirs, strict=True), rollout.burn_in):
        mask = None if masks is None else torch.from_numpy(masks[t])
        total += float(head.divergence(mine.double(), log_std, its.double(), mask).mean())
    return max(0.0, total / rollout.horizon)


def _head(players: Players) -> ActionHead:
    if players.serves == "policy" or players.dreams is None:
        return players.model.head
    return players.dreams[1].head


def _parameters(players: Players, rollout: Rollout) -> Tensor:
    """Of the action's distribution in every step that is learned from, [T, N, outputs]."""
    tensors, start = rollout.tensors(), rollout.burn_in
    seen = {key: tensors[f"observation.{key}"] for key in rollout.observation}
    if players.serves == "policy" or players.dreams is None:
        rows = []
        for t in range(start, len(rollout.reward)):
            now = {key: values[t] for key, values in seen.items()}
            out = players.model.step(now, tensors["state"][t], tensors["is_first"][t])
            rows.append(out.parameters)
        return torch.stack(rows)
    world, dreamer = players.dreams
    nothing = np.zeros_like(rollout.action[:1])
    before = torch.from_numpy(np.concatenate([nothing, rollout.action[:-1]]))
    steps, num = rollout.reward.shape
    noise = world.rssm.noise(steps, num, generator=torch.Generator().manual_seed(0))
    states = world.sequence(
        world.init(num),
        before,
        {key: values[:-1] for key, values in seen.items()},
        tensors["is_first"][:-1],
        noise,
    )
    features = Latent(states.deter[start:], states.stoch[start:]).features
    return dreamer.parameters_of(features.flatten(0, 1)).view(*features.shape[:2], -1)


def weights(players: Players) -> dict[str, Array]:
    """Of all players, by dotted name."""
    return {
        f"{name}.{key}": array
        for name, network in _networks(players).items()
        for key, array in weights_of(network).items()
    }


def load(players: Players, found: Mapping[str, Array], serves: Who) -> Players:
    """Inverse of `weights`: puts them into networks of the same shapes. Raises CheckpointError
    naming what does not fit."""
    for name, network in _networks(players).items():
        start = f"{name}."
        own = {k.removeprefix(start): v for k, v in found.items() if k.startswith(start)}
        load_weights(network, own)
    return dataclasses.replace(players, serves=serves)


def _networks(players: Players) -> dict[str, nn.Module]:
    named: dict[str, nn.Module] = {"policy": players.model}
    if players.dreams is not None:
        named |= dict(zip(("world", "dreamer"), players.dreams, strict=True))
    return named
