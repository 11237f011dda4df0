"""The consistency motor: what an observation calls for, sampled in one step and chosen by caution.

Knows an observation's space, an action layout and the networks of consistency.py and ensemble.py;
does not know games, losses or replay. A decision (Chen et al. 2023; Song et al. 2023): N candidates
are drawn from the student, each from noise of its own, every one is judged by all Q functions, and
the one with the highest mean - beta std is done. One reader turns the observation into parts; it is
trained with the teacher, then left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces as gs
from torch import Tensor, nn

from metabonk.config import CpqeConfig
from metabonk.models.consistency import SIGMA_MIN, Denoiser, heun, one_step
from metabonk.models.encoders import ObservationReader, Reading, Tensors
from metabonk.models.ensemble import QEnsemble, lower_bound
from metabonk.models.points import ActionPoints
from metabonk.ops.radar import SECTORS
from metabonk.protocols import BoolArray, FloatArray, Observation
from metabonk.spaces import ActionLayout

MOTOR_STREAM = 21
Sampler = Literal["student", "teacher"]


class Choice(NamedTuple):
    """rows [B, columns]: what is done. candidate int64 [B]: which one that was. score [B]: its
    lower bound. mean, std [B, N]: what the Q functions said of all candidates."""

    rows: Tensor
    candidate: Tensor
    score: Tensor
    mean: Tensor
    std: Tensor


class Motor(nn.Module):
    """See the module."""

    def __init__(self, space: gs.Dict, layout: ActionLayout, config: CpqeConfig) -> None:
        super().__init__()
        self.space, self.layout, self.config = space, layout, config
        self.reader = ObservationReader(space, time=True, normalize=True)
        self.points = ActionPoints(layout)
        widths, width = list(self.reader.widths), self.points.width
        if self.reader.compass is not None:
            widths.append(SECTORS * self.reader.compass.width)
        hidden, layers = config.hidden, config.layers
        self.teacher = Denoiser(widths, width, hidden, layers, 0.0)
        self.student = Denoiser(widths, width, hidden, layers, SIGMA_MIN)
        self.ensemble = QEnsemble(
            config.members, sum(widths) + width, config.hidden, prior=config.prior
        )

    def parts(self, observation: Tensors) -> list[Tensor]:
        """An observation [B, ...] as the networks read it: the reader's parts, and what lies in
        every direction where there is a compass."""
        reading: Reading = self.reader(observation)
        if reading.directions is None:
            return reading.parts
        return [*reading.parts, reading.directions.transpose(0, 1).flatten(1)]

    def candidates(
        self, parts: Sequence[Tensor], noise: Tensor, sampler: Sampler = "student", steps: int = 40
    ) -> Tensor:
        """Action points [B, N, width] from standard normal noise [B, N, width].

        sampler: the student takes one call, the teacher `steps` Heun steps.
        """
        network = self.student if sampler == "student" else self.teacher
        context = network.context(parts)[:, None]

        def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
            out: Tensor = network(noisy, sigma, context)
            return out

        return one_step(denoise, noise) if sampler == "student" else heun(denoise, noise, steps)

    def judged(self, parts: Sequence[Tensor], points: Tensor) -> Tensor:
        """Inputs of the Q functions, [B, inputs], of parts [B, width] and points [B, width]."""
        return torch.cat([*parts, points], 1)

    @torch.no_grad()
    def decide(
        self,
        observation: Tensors,
        noise: Tensor,
        *,
        beta: float,
        sampler: Sampler = "student",
        steps: int = 40,
    ) -> Choice:
        """observation [B, ...], noise [B, N, width]; see the module."""
        num, count = noise.shape[:2]
        parts = self.parts(observation)
        points = self.candidates(parts, noise, sampler, steps)
        mask = observation.get("action_mask")
        # A Q function saw actions, not samples.
        rows, done = self.points.settle(points, None if mask is None else mask[:, None])
        each = [part[:, None].expand(-1, count, -1).flatten(0, 1) for part in parts]
        mean, std = self.ensemble.agreed(self.judged(each, done.flatten(0, 1)))
        mean, std = mean.view(num, count), std.view(num, count)
        score = lower_bound(mean, std, beta)
        best = score.argmax(1)
        row = rows.gather(1, best[:, None, None].expand(-1, 1, rows.shape[2]))[:, 0]
        return Choice(row, best, score.gather(1, best[:, None])[:, 0], mean, std)


def build(space: gs.Dict, layout: ActionLayout, config: CpqeConfig, *, seed: int) -> Motor:
    """A motor whose weights, priors included, are drawn from `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Motor(space, layout, config)


class MotorState(NamedTuple):
    """step: decisions taken so far. candidate int64 [N] and score float32 [N]: which was chosen
    last and its lower bound, for whoever keeps a ledger; -1 and 0 before the first."""

    step: int
    candidate: npt.NDArray[np.int64]
    score: FloatArray


class MotorPolicy:
    """A motor as a Policy: the same decisions from the same observations and seed.

    candidates and beta: as the motor was configured unless given. sampler: who proposes, see
    Motor.candidates.
    """

    def __init__(
        self,
        motor: Motor,
        *,
        seed: int = 0,
        candidates: int | None = None,
        beta: float | None = None,
        sampler: Sampler = "student",
        steps: int = 40,
    ) -> None:
        config = motor.config
        self.motor, self.seed, self.sampler, self.steps = motor, seed, sampler, steps
        self.candidates = config.candidates if candidates is None else candidates
        self.beta = config.beta if beta is None else beta
        if self.candidates < 1:
            raise ValueError(f"candidates: {self.candidates}; give at least 1 to choose from")

    def reset(self, num_envs: int) -> MotorState:
        """The state before the first observation."""
        return MotorState(0, np.full(num_envs, -1, np.int64), np.zeros(num_envs, np.float32))

    def act(
        self, observation: Observation, state: MotorState, is_first: BoolArray
    ) -> tuple[FloatArray, MotorState]:
        """Action rows float32 [N, columns] and the next state."""
        shape = (len(is_first), self.candidates, self.motor.points.width)
        philox = np.random.Philox(key=[self.seed, MOTOR_STREAM], counter=[0, 0, 0, state.step])
        normal = np.random.Generator(philox).standard_normal(shape, np.float32)
        seen = {key: torch.from_numpy(np.asarray(value)) for key, value in observation.items()}
        chosen = self.motor.decide(
            seen,
            torch.from_numpy(normal),
            beta=self.beta,
            sampler=self.sampler,
            steps=self.steps,
        )
        after = MotorState(state.step + 1, chosen.candidate.numpy(), chosen.score.numpy())
        return chosen.rows.numpy(), after
