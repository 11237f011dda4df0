"""Menus told from games by pixels: what is served is what was trained, on screens never seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from metabonk.cognition.menus import screens
from metabonk.cognition.menus.screens import SHAPES, SIZE, Debounced, MenuClassifier, shrink
from metabonk.errors import ConfigError, CorruptError
from metabonk.games import screenshots
from metabonk.games.screenshots import Shot
from metabonk.learn.system2.screens import ScreenNetwork, judge, save, train
from metabonk.protocols import Array


def planted(count: int, seed: int) -> list[Shot]:
    """Noise, every second one with two bright bars on it: a menu that anybody can see."""
    random = np.random.default_rng(seed)
    shots = []
    for number in range(count):
        frame = random.integers(40, 120, (60, 80, 3), np.uint8)
        if number % 2:
            frame[20:26, 20:60] = 240
            frame[34:40, 20:60] = 240
        shots.append(Shot(frame, bool(number % 2), "planted"))
    return shots


@pytest.mark.parametrize("size", [(360, 640), (84, 84), (60, 80), (48, 64), (20, 30), (49, 65)])
def test_frames_of_every_size_become_one(size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    seen = shrink(frame)
    assert seen.shape == (3, *SIZE)
    assert seen.dtype == np.float32
    assert -0.5 <= seen.min() <= seen.max() <= 0.5
    flat = np.full((*size, 3), 51, np.uint8)
    np.testing.assert_allclose(shrink(flat), 0.2 - 0.5, atol=1e-6)
    if size[0] >= SIZE[0] and size[0] % SIZE[0] == 0 == size[1] % SIZE[1]:
        assert seen.mean() == pytest.approx(frame.mean() / 255 - 0.5, abs=1e-4)


def test_what_is_no_picture() -> None:
    for frame in (
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 3), np.float32),
        np.zeros((0, 64, 3), np.uint8),
    ):
        with pytest.raises(ValueError, match=r"wanted uint8 \[H, W, 3\]"):
            shrink(frame)


def test_what_is_served_is_what_was_trained() -> None:
    torch.manual_seed(2)
    network = ScreenNetwork()
    classifier = MenuClassifier(network.tensors())
    random = np.random.default_rng(1)
    for _ in range(5):
        seen = shrink(random.integers(0, 256, (90, 160, 3), np.uint8))
        with torch.no_grad():
            wanted = float(network(torch.from_numpy(seen)[None])[0])
        assert classifier.logit(seen) == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_a_planted_menu_is_learned_and_the_way_to_disk_changes_nothing(tmp_path: Path) -> None:
    classifier = train(planted(120, 1), updates=120, seed=3)
    fresh = planted(60, 2)
    judged = judge(classifier, fresh)
    assert judged.accuracy >= 0.95 > judged.majority
    save(classifier, judged, tmp_path / "screens", seed=3)
    again = MenuClassifier.load(tmp_path / "screens")
    said = [(classifier.probability(s.frame), again.probability(s.frame)) for s in fresh]
    assert all(a == b for a, b in said)
    assert again.artifact is not None
    assert again.artifact.card.metrics["accuracy"].baselines == {"majority": 0.5}
    file = tmp_path / "screens" / screens.WEIGHTS
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CorruptError, match="damaged"):
        MenuClassifier.load(tmp_path / "screens")


def test_one_answer_alone_teaches_nothing() -> None:
    with pytest.raises(ConfigError, match="both menus and games"):
        train([shot for shot in planted(10, 1) if shot.menu])


def test_weights_that_are_none() -> None:
    good = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    MenuClassifier(good)
    wrong: dict[str, Array] = {
        "0.weight": np.zeros((8, 3, 5, 5), np.float32),
        "head.bias": np.full((1,), np.inf, np.float32),
        "1.bias": np.zeros((16,), np.float64),
    }
    for name, value in wrong.items():
        with pytest.raises(CorruptError, match=f"screens: {name}"):
            MenuClassifier({**good, name: value})
    with pytest.raises(CorruptError, match="nothing"):
        MenuClassifier({})


class Says(MenuClassifier):
    """Says what it is told."""

    def __init__(self) -> None:
        self.menu = False

    def is_menu(self, frame: Array) -> bool:
        return self.menu


def test_a_flash_is_no_menu() -> None:
    says, frame = Says(), np.zeros((48, 64, 3), np.uint8)
    watch = Debounced(says, steady=3)
    told = []
    for menu in (False, True, False, True, True, True, False, True, False, False, False):
        says.menu = menu
        told.append(watch.look(frame))
    assert told == [False] * 5 + [True] * 5 + [False]


def test_the_packages_own_tells_arena_and_layouts_apart() -> None:
    """On levels and layouts that it never saw; Doom's screens take longer."""
    classifier = MenuClassifier.load()
    shots = list(screenshots.arena_shots("boss", 60, 4321))
    shots += screenshots.layout_shots(40, 4321)
    judged = judge(classifier, shots)
    assert judged.accuracy >= 0.95 > judged.majority
    blank = [np.full((90, 160, 3), value, np.uint8) for value in (0, 128, 255)]
    assert not any(classifier.is_menu(frame) for frame in blank)


@pytest.mark.long
def test_the_packages_own_tells_dooms_menus() -> None:
    pytest.importorskip("vizdoom")
    classifier = MenuClassifier.load()
    shots = list(screenshots.doom_shots("take_cover", screenshots.JUDGE_MENUS, 60, 4321))
    judged = judge(classifier, shots)
    assert judged.accuracy >= 0.9 > judged.majority
