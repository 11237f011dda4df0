"""Training the classifier that tells menus from games by pixels.

Knows torch and the network that cognition/menus/screens.py runs; does not know games: screens come
with their answers. What is trained and what is served see the same input,
`cognition.menus.screens.shrink`, and a test compares their logits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from metabonk import artifact
from metabonk.artifact import Artifact, Measured
from metabonk.cognition.menus.screens import CHANNELS, KIND, WEIGHTS, MenuClassifier, shrink
from metabonk.errors import ConfigError
from metabonk.games.screenshots import Shot
from metabonk.learn.replicas import one_thread
from metabonk.protocols import Array

Progress = Callable[[int, int, float], None]  # update, of how many, loss

BATCH = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3


class ScreenNetwork(nn.Module):
    """Logits [B] of pictures float32 [B, 3, 48, 64]; the layers of cognition/menus/screens.py."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(into, out, 3, stride=2, padding=1)
            for into, out in itertools.pairwise(CHANNELS)
        )
        self.head = nn.Linear(2 * CHANNELS[-1], 1)

    def forward(self, seen: Tensor) -> Tensor:
        for layer in self.convolutions:
            seen = torch.relu(layer(seen))
        flat = seen.flatten(2)
        logits: Tensor = self.head(torch.cat([flat.mean(2), flat.amax(2)], 1))
        return logits[:, 0]

    def tensors(self) -> dict[str, Array]:
        """The weights by the names that cognition/menus/screens.py reads."""
        return {
            name.removeprefix("convolutions."): value.detach().numpy().copy()
            for name, value in self.state_dict().items()
        }


@dataclass(frozen=True)
class Judged:
    """How often a classifier is right. majority: who always says the more frequent answer. missed:
    share of menus taken for games; false_alarms: the other way round. by_source: accuracy."""

    screens: int
    accuracy: float
    majority: float
    missed: float
    false_alarms: float
    by_source: Mapping[str, float]


def train(
    shots: Sequence[Shot], *, updates: int = 1500, seed: int = 0, progress: Progress | None = None
) -> MenuClassifier:
    """A classifier of these screens. Both answers count alike, however often each is there.

    Pictures are flipped, shifted, made brighter and darker at random. Raises ConfigError where one
    of the answers never occurs.
    """
    menu = np.array([shot.menu for shot in shots], np.float32)
    if not 0 < menu.sum() < len(menu):
        raise ConfigError("screens: to learn from, both menus and games are needed")
    seen = torch.from_numpy(np.stack([shrink(shot.frame) for shot in shots]))
    answers = torch.from_numpy(menu)
    chances = np.where(menu > 0, 0.5 / menu.sum(), 0.5 / (len(menu) - menu.sum()))
    random = np.random.default_rng([seed, 0x5F])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ScreenNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    with one_thread():  # several are slower with so small a network
        for update in range(updates):
            rows = random.choice(len(menu), BATCH, p=chances / chances.sum())
            logits = network(_varied(seen[rows], random))
            loss = binary_cross_entropy_with_logits(logits, answers[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if progress is not None:
                progress(update + 1, updates, float(loss.detach()))
    return MenuClassifier(network.tensors())


def judge(classifier: MenuClassifier, shots: Sequence[Shot]) -> Judged:
    """How often it is right on screens that it was not trained on."""
    menu = np.array([shot.menu for shot in shots])
    said = np.array([classifier.is_menu(shot.frame) for shot in shots])
    sources = sorted({shot.source for shot in shots})
    of = np.array([shot.source for shot in shots])
    right = said == menu
    return Judged(
        screens=len(shots),
        accuracy=float(right.mean()),
        majority=float(max(menu.mean(), 1.0 - menu.mean())),
        missed=float((~said[menu]).mean()) if menu.any() else 0.0,
        false_alarms=float(said[~menu].mean()) if not menu.all() else 0.0,
        by_source={source: float(right[of == source].mean()) for source in sources},
    )


def save(classifier: MenuClassifier, judged: Judged, path: Path, *, seed: int = 0) -> Artifact:
    """Writes the weights with what they are worth. Raises FileExistsError, OSError."""
    accuracy = Measured(value=judged.accuracy, baselines={"majority": judged.majority})
    return artifact.write(
        path,
        kind=KIND,
        seed=seed,
        files={WEIGHTS: classifier.weights},
        metrics={
            "accuracy": accuracy,
            "missed": Measured(value=judged.missed),
            "false_alarms": Measured(value=judged.false_alarms),
        },
        details={
            "threshold": classifier.threshold,
            "screens": judged.screens,
            "by_source": dict(judged.by_source),
        },
    )


def _varied(seen: Tensor, random: np.random.Generator) -> Tensor:
    """Pictures as they might have been: [B, 3, 48, 64] in, the same out."""
    count = len(seen)
    gain = torch.from_numpy(random.uniform(0.7, 1.3, (count, 3, 1, 1)).astype(np.float32))
    shift = torch.from_numpy(random.uniform(-0.1, 0.1, (count, 3, 1, 1)).astype(np.float32))
    seen = (seen * gain + shift).clamp(-0.5, 0.5)
    if random.random() < 0.5:
        seen = seen.flip(3)
    down, right = (int(x) for x in random.integers(-4, 5, 2))
    return torch.roll(seen, (down, right), (2, 3))
