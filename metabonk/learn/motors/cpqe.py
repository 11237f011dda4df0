"""Learning a consistency motor from what was recorded (CPQE): teacher, student, Q functions.

Knows the motor, transitions and the flat optimiser; does not know games, files or who acts. Three
phases, each of which leaves what the earlier ones learned as it is:

    teacher: w(sigma) |D(a + sigma z, sigma | o) - a|^2, w = (sigma^2 + sd^2) / (sigma sd)^2
             (Karras et al. 2022); it is kept as the running mean of its weights.
    student: huber(f(x_n, s_n | o) - sg f'(x_n+1, s_n+1 | o)), x_n = a + s_n z, x_n+1 one Heun step
             of the teacher further down to the less noisy s_n+1 < s_n, f' the slow copy of f (Song
             et al. 2023, algorithm 2). It is the noisier point that learns: the other direction
             has the boundary f(x, s_min) = x unlearn what only it knows.
    Q:       (Q_m(o, a) - r - gamma Q'_m(o', a'))^2 for every member m on the rows that are its own,
             towards its own target Q'_m; a' is what was really done next. These are the values of
             whoever played, so that none is asked of actions that nobody took (Brandfonbrener et
             al. 2021); only where an episode was cut is a' drawn from the student.

Teacher and student see a decision's own observation alone; what came after it is read in the Q
phase only, and only into targets.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from metabonk.config import CpqeConfig
from metabonk.errors import ConfigError
from metabonk.learn.faults import Faults
from metabonk.learn.motors import versions
from metabonk.learn.optimizer import FlatAdam
from metabonk.learn.transitions import Transitions
from metabonk.models.consistency import Denoiser, heun_step, karras_sigmas
from metabonk.models.ensemble import bootstrap
from metabonk.models.motor import Motor
from metabonk.models.points import SIGMA_DATA

CPQE_STREAM = 22
LOG_MEAN, LOG_STD = -1.2, 1.2  # of the noise levels that a teacher learns most at
TEACHER_MEMORY = 0.999  # of the running mean of its weights
STUDENT_MEMORY = 0.95  # of the student's slow copy
HUBER = 0.03  # error per coordinate from which on it counts by its length, not its square
SCALED = 65_536  # rows from which the units of observations are taken
Phase = Literal["teacher", "student", "q"]
PHASES: tuple[Phase, ...] = ("teacher", "student", "q")
Progress = Callable[[Phase, int, int, dict[str, float]], None]


class Point(NamedTuple):
    """Noisy action points [B, width] and their noise levels [B, 1]."""

    noisy: Tensor
    sigma: Tensor


def consistency_loss(
    online: Callable[[Tensor, Tensor], Tensor],
    slow: Callable[[Tensor, Tensor], Tensor],
    learns: Point,
    towards: Point,
) -> Tensor:
    """Pseudo-Huber distance (Song & Dhariwal 2024) of `online` at one point from `slow` at
    another."""
    with torch.no_grad():
        target = slow(*towards)
    error = online(*learns) - target
    width = HUBER * error.shape[-1] ** 0.5
    loss: Tensor = ((error.square().sum(-1) + width**2).sqrt() - width).mean()
    return loss


class CpqeLearner:
    """Trains `motor` from transitions. updates: done so far by phase. faults: of them, those
    without effect, because something was not finite; what they drew is kept in the directory `run`.

    Raises ConfigError for transitions of another game, or whose outcomes nobody saw.
    """

    def __init__(
        self, motor: Motor, data: Transitions, *, seed: int = 0, run: Path | None = None
    ) -> None:
        self.motor, self.data, self.seed = motor, data, seed
        self.config: CpqeConfig = motor.config
        data.check(motor.space, motor.layout)
        if not len(data.judged):  # else found out when teacher and student are learned
            raise ConfigError(
                f"transitions: of none of {len(data)} decisions it is known what came of it, so "
                "that nothing can be judged; record whole episodes, with their ends"
            )
        keys = motor.space.spaces
        self._seen = {k: torch.from_numpy(data.observation[k]) for k in keys}
        self._first_rows()
        acted = torch.from_numpy(data.decisions)
        self._points = torch.zeros(len(data.after), motor.points.width)
        self._points[acted] = motor.points.encode(torch.from_numpy(data.action)[acted])
        self._sigmas = karras_sigmas(self.config.levels)
        self._network: nn.Module = motor.teacher
        self.updates: dict[Phase, int] = {"teacher": 0, "student": 0, "q": 0}
        self.faults = Faults("cpqe", run, versions.advice)

    def _first_rows(self) -> None:
        """Takes every unit from the data."""
        motor, data = self.motor, self.data
        rows = self._generator(CPQE_STREAM + 4, 0).choice(
            data.decisions, min(SCALED, len(data)), replace=False
        )
        motor.reader.learn(self._observed(torch.from_numpy(np.sort(rows))))
        motor.points.learn(torch.from_numpy(data.action[data.decisions]))
        returns = data.returns(self.config.gamma)[data.decisions]
        motor.ensemble.learn_units(torch.from_numpy(returns))

    def train(self, progress: Progress | None = None) -> dict[str, float]:
        """All three phases; returns the last metrics of each. Raises DivergedError after three
        updates in a row that were not finite."""
        config = self.config
        found: dict[str, float] = {}
        counts: list[tuple[Phase, int]] = [
            ("teacher", config.teacher_updates),
            ("student", config.student_updates),
            ("q", config.q_updates),
        ]
        for phase, count in counts:
            self._begin(phase)
            for update in range(count):
                rate = _rate(config.learning_rate, update / count)
                metrics = self._update(phase, rate)
                found |= metrics
                if progress is not None:
                    progress(phase, update + 1, count, metrics)
            self._end(phase)
        return found | {"cpqe_skipped": float(self.faults.skipped)}

    def _begin(self, phase: Phase) -> None:
        motor = self.motor
        if phase == "teacher":
            self._network = nn.ModuleList([motor.reader, motor.teacher])
        elif phase == "student":
            motor.student.load_state_dict(motor.teacher.state_dict())
            self._network = motor.student
            self._slow_student = copy.deepcopy(motor.student).requires_grad_(False)
        else:
            self._network = motor.ensemble.online
            self._mask = torch.from_numpy(
                bootstrap(self.config.members, len(self.data.after), self.seed, self.config.share)
            )
            self._answer_cuts()
        motor.requires_grad_(False)
        self._network.requires_grad_(True)
        self._optimizer = FlatAdam(self._network)
        self._mean = self._optimizer.flat.detach().clone()

    def _end(self, phase: Phase) -> None:
        if phase == "teacher":
            with torch.no_grad():
                self._optimizer.flat.copy_(self._mean)
        for parameter in self._network.parameters():
            parameter.grad = None
        self._network.requires_grad_(False)

    def _update(self, phase: Phase, rate: float) -> dict[str, float]:
        optimizer = self._optimizer
        draw = {"teacher": self._teacher_loss, "student": self._student_loss, "q": self._q_loss}
        philox = self._generator(CPQE_STREAM + PHASES.index(phase), self.updates[phase])
        loss = draw[phase](philox)
        optimizer.zero()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(optimizer.clip(self.config.max_grad_norm))
        self.updates[phase] += 1
        if not (math.isfinite(float(loss.detach())) and math.isfinite(norm)):
            self._fail(phase)
            return {}
        self.faults.passed()
        optimizer.step(rate)
        self._after(phase)
        return {f"cpqe_{phase}_loss": float(loss.detach())}

    def _after(self, phase: Phase) -> None:
        flat, count = self._optimizer.flat.detach(), self.updates[phase]
        if phase == "teacher":  # the mean of few weights is that of all of them
            self._mean.lerp_(flat, max(1.0 - TEACHER_MEMORY, 1.0 / (count + 1.0)))
        elif phase == "student":
            pairs = zip(
                self._slow_student.parameters(), self.motor.student.parameters(), strict=True
            )
            with torch.no_grad():
                for slow, fast in pairs:
                    slow.lerp_(fast, 1.0 - STUDENT_MEMORY)
        else:
            self.motor.ensemble.follow(self.config.slow)

    def _fail(self, phase: Phase) -> None:
        """Counts an update that was not finite, and keeps what it drew."""
        data, update = self.data, self.updates[phase]
        among = data.judged if phase == "q" else data.decisions
        stream = CPQE_STREAM + PHASES.index(phase)
        rows = self._generator(stream, update - 1).choice(among, self.config.batch)
        batch = {f"observation.{key}": value[rows] for key, value in data.observation.items()}
        batch |= {"rows": rows, "action": data.action[rows], "reward": data.reward[rows]}
        self.faults.failed(f"the loss of the {phase} phase, or its gradient", batch, update)

    def _teacher_loss(self, generator: np.random.Generator) -> Tensor:
        rows, clean = self._drawn(generator)
        num = len(rows)
        spread = np.exp(LOG_MEAN + LOG_STD * generator.standard_normal((num, 1), np.float32))
        # Samples start at SIGMA_MAX, which that distribution all but leaves out.
        even = self._sigmas.numpy()[generator.integers(0, len(self._sigmas), (num, 1))]
        sigma = torch.from_numpy(np.where(generator.random((num, 1)) < 0.5, spread, even))
        noisy = clean + sigma * _normal(generator, clean)
        teacher = self.motor.teacher
        found = teacher(noisy, sigma, teacher.context(self._parts(rows)))
        weight = (sigma.square() + SIGMA_DATA**2) / (sigma * SIGMA_DATA).square()
        # A sum: gradients of wide actions must not drown in the optimiser's epsilon.
        loss: Tensor = (weight * (found - clean).square()).sum(1).mean()
        return loss

    def _student_loss(self, generator: np.random.Generator) -> Tensor:
        rows, clean = self._drawn(generator)
        level = torch.from_numpy(generator.integers(0, len(self._sigmas) - 1, (len(rows), 1)))
        sigma, lower = self._sigmas[level], self._sigmas[level + 1]
        noisy = clean + sigma * _normal(generator, clean)
        with torch.no_grad():
            parts = self._parts(rows)
            teacher = _seeing(self.motor.teacher, parts)
            cleaner = heun_step(teacher, noisy, sigma, lower)
            slow = _seeing(self._slow_student, parts)
        online = _seeing(self.motor.student, parts)
        return consistency_loss(online, slow, Point(noisy, sigma), Point(cleaner, lower))

    def _q_loss(self, generator: np.random.Generator) -> Tensor:
        data, ensemble = self.data, self.motor.ensemble
        rows = torch.from_numpy(generator.choice(data.judged, self.config.batch))
        after = torch.from_numpy(data.after)[rows]
        with torch.no_grad():
            reward = torch.from_numpy(data.reward)[rows]
            later = ensemble.target(self._inputs(after.clamp(min=0)))
            targets = reward + self.config.gamma * torch.where(after >= 0, later, 0.0)
            inputs = self._inputs(rows)
        return ensemble.losses(inputs, targets, self._mask[:, rows]).sum()

    @torch.no_grad()
    def _answer_cuts(self) -> None:
        """Gives the last observations of cut episodes an action: the student's."""
        data, motor = self.data, self.motor
        after = data.after[data.judged]
        cut = np.setdiff1d(after[after >= 0], data.decisions)
        generator = self._generator(CPQE_STREAM + 3, 0)
        pieces = np.array_split(cut, max(1, len(cut) // 4096)) if len(cut) else []
        for rows in map(torch.from_numpy, pieces):
            seen = self._observed(rows)
            noise = _normal(generator, self._points[rows])
            points = motor.candidates(motor.parts(seen), noise[:, None])[:, 0]
            done = motor.points.decode(points, seen.get("action_mask"))
            self._points[rows] = motor.points.encode(done)

    def _drawn(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Rows [B] of decisions and what was done in them, points [B, width]."""
        rows = torch.from_numpy(generator.choice(self.data.decisions, self.config.batch))
        return rows, self._points[rows]

    def _observed(self, rows: Tensor) -> dict[str, Tensor]:
        return {key: value[rows] for key, value in self._seen.items()}

    def _parts(self, rows: Tensor) -> list[Tensor]:
        return self.motor.parts(self._observed(rows))

    def _inputs(self, rows: Tensor) -> Tensor:
        return self.motor.judged(self._parts(rows), self._points[rows])

    def _generator(self, stream: int, update: int) -> np.random.Generator:
        philox = np.random.Philox(key=[self.seed, stream], counter=[0, 0, 0, update])
        return np.random.Generator(philox)


def _seeing(network: Denoiser, parts: list[Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A denoiser in the light of observations that it has read."""
    context = network.context(parts)

    def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
        out: Tensor = network(noisy, sigma, context)
        return out

    return denoise


def _normal(generator: np.random.Generator, like: Tensor) -> Tensor:
    return torch.from_numpy(generator.standard_normal(tuple(like.shape), np.float32))


def _rate(highest: float, done: float) -> float:
    """A learning rate that falls to a tenth along a cosine; done: 0..1."""
    return highest * (0.1 + 0.45 * (1.0 + math.cos(math.pi * done)))
