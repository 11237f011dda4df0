"""strips/predictors.py: flow against planted motions, judged against copying the last frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from metabonk.cognition.strips import predictors
from metabonk.cognition.strips.predictors import (
    CopyLast,
    Flow,
    Measurement,
    best,
    make,
    measure,
    psnr,
)
from metabonk.errors import ConfigError, CorruptError
from metabonk.protocols import Array

RATE = 60.0


def texture(height: int, width: int, dx: float = 0.0, dy: float = 0.0) -> Array:
    """A smooth pattern, moved by (dx, dy)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    total = np.zeros((height, width, 3), np.float32)
    for k in range(1, 7):
        angle, wave = 2.4 * k, 2 * np.pi / (9.0 + 6.0 * k)
        phase = wave * (np.cos(angle) * (x - dx) + np.sin(angle) * (y - dy))
        total += np.sin(phase[..., None] + np.arange(3) + k)
    return np.clip(128 + 16 * total, 0, 255).astype(np.uint8)


def moving(speed: tuple[float, float], frames: int = 40) -> list[Array]:
    """A clip whose picture moves by `speed` pixels a frame."""
    return [texture(72, 96, speed[0] * t, speed[1] * t) for t in range(frames)]


def shaking(frames: int = 40) -> list[Array]:
    """A clip that goes to and fro: every motion is undone at once."""
    return [texture(72, 96, 3.0 * ((t // 4) % 2)) for t in range(frames)]


def test_flow_goes_on_with_what_moves() -> None:
    clip = moving((0.5, -0.25))
    drawn = Flow().predict([clip[0], clip[8]], [0.0, 8 / RATE], [17 / RATE])[0]
    inner = (slice(12, -12), slice(12, -12))
    assert drawn.shape == clip[0].shape
    assert drawn.dtype == np.uint8
    assert psnr(drawn[inner], clip[17][inner]) > psnr(clip[8][inner], clip[17][inner]) + 6.0


def test_flow_leaves_alone_what_stands() -> None:
    still = texture(72, 96)
    for drawn in Flow().predict([still, still], [0.0, 0.06], [0.11, 0.21]):
        assert np.abs(drawn.astype(int) - still).max() <= 1


def test_flow_refuses_what_it_cannot_read() -> None:
    still = texture(72, 96)
    with pytest.raises(ValueError, match="two or more"):
        Flow().predict([still], [0.0], [0.05])
    with pytest.raises(ValueError, match="must rise"):
        Flow().predict([still, still], [0.1, 0.1], [0.2])
    with pytest.raises(ValueError, match="one size"):
        Flow().predict([still, texture(64, 96)], [0.0, 0.1], [0.2])
    with pytest.raises(ValueError, match="16 to 4096"):
        Flow().predict([still[:8], still[:8]], [0.0, 0.1], [0.2])


def test_flow_takes_views_and_any_size() -> None:
    wide = texture(150, 200)
    view = wide[::2, ::2]
    assert Flow().predict([view, view], [0.0, 0.06], [0.1])[0].shape == view.shape
    flow = Flow()
    for side in (16, 17, 33, 64, 130):
        small = texture(side, side + 3)
        assert flow.predict([small, small], [0.0, 0.06], [0.1])[0].shape == small.shape


def test_a_predictor_is_judged_at_the_times_that_strips_show() -> None:
    found = measure(Flow(), "waves", [moving((0.5, -0.25))], RATE)
    assert found.ahead == pytest.approx((0.05, 0.1, 0.15))
    assert found.size == (72, 96)
    assert found.cases > 0
    assert found.good
    assert min(found.gains) > 3.0
    # A motion that does not go on is none to believe in, and copying never beats itself.
    assert not measure(Flow(), "shaking", [shaking()], RATE).good
    assert measure(CopyLast(), "waves", [moving((1.0, 0.0))], RATE).gains == (0.0, 0.0, 0.0)
    with pytest.raises(ConfigError, match=r"0\.23 s"):
        measure(Flow(), "short", [moving((1.0, 0.0), 5)], RATE)


class Smooth:
    """Predicts nothing and blurs."""

    name = "smooth"

    def predict(
        self, frames: Sequence[Array], times: Sequence[float], at: Sequence[float]
    ) -> list[Array]:
        return [predictors.smoothed(frames[-1])] * len(at)


def test_blurring_is_no_prediction() -> None:
    """In noise a blurred copy is far nearer to what comes than the copy; it is not believed."""
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(40)]
    blurred = measure(Smooth(), "noise", [noise], RATE)
    assert min(blurred.gains) > 0.5
    assert not blurred.good
    assert not measure(Flow(), "noise", [noise], RATE).good


def row(
    game: str, predictor: str, *gains: float, size: tuple[int, int] = (84, 84), world: str = ""
) -> Measurement:
    return Measurement(
        game=game, predictor=predictor, size=size, ahead=(0.05, 0.1, 0.15), world=world,
        psnr=tuple(20.0 + g for g in gains), copy=(20.0,) * 3, smooth=(20.1,) * 3, cases=9,
    )  # fmt: skip


def test_the_default_is_the_best_that_beats_the_copy_everywhere() -> None:
    table = [
        row("a", "flow", 0.6, 0.7, 0.8), row("a", "dream", 3.0, 2.0, 0.4, world="mine"),
        row("b", "flow", 0.6, 0.6, 0.6), row("b", "dream", 1.0, 1.0, 1.0, world="mine"),
        row("c", "flow", 2.0, 1.0, 0.49),
    ]  # fmt: skip
    assert best("a", table, world="mine") == "flow"  # the dream is too weak at 150 ms
    assert best("b", table, world="mine") == "dream"
    assert best("b", table, ("flow",), world="mine") == "flow"  # where no dream is at hand
    assert best("c", table) == "none"
    assert best("unknown", table) == "none"


def test_a_dream_counts_for_the_world_model_that_dreamed_it() -> None:
    table = [
        row("a", "flow", 0.6, 0.6, 0.6),
        row("a", "dream", 3.0, 3.0, 3.0, world="mine"),
        row("a", "dream", 5.0, 5.0, 5.0),  # of before it was kept whose it is
    ]
    assert best("a", table, world="mine") == "dream"
    assert best("a", table, world="yours") == "flow"
    assert best("a", table) == "flow"


def test_the_measurement_nearest_in_size_counts() -> None:
    table = [
        row("a", "flow", 1.0, 1.0, 1.0, size=(360, 640)),
        row("a", "flow", 0.1, 0.1, 0.1, size=(84, 84)),
    ]
    assert best("a", table, size=(720, 1280)) == "flow"
    assert best("a", table, size=(64, 64)) == "none"
    assert best("a", table, size=(0, 0)) == "flow"


def test_predictors_are_made_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictors, "_recorded", lambda: (row("waves", "flow", 1, 1, 1),))
    assert make("none") is None
    made = make("flow")
    assert made is not None
    assert made.name == "flow"
    assert make("auto", "waves") is not None
    assert make("auto", "another") is None
    given = {"dream": CopyLast()}
    assert make("dream", given=given) is given["dream"]
    with pytest.raises(ConfigError, match="a run with a world model"):
        make("dream")
    with pytest.raises(ConfigError, match="auto, none, flow, dream"):
        make("crystal-ball")


def test_the_recorded_table_is_read_or_refused(tmp_path: Path) -> None:
    assert predictors.read_table(tmp_path / "none.json") == []
    (tmp_path / "bad.json").write_text('[{"game": 3}]')
    with pytest.raises(CorruptError, match=r"bad\.json is damaged"):
        predictors.read_table(tmp_path / "bad.json")
    for measurement in predictors.read_table():
        assert measurement.cases > 0
        assert len(measurement.gains) == len(measurement.ahead)


def test_what_is_on_by_default_in_the_arena_was_chosen_among_all() -> None:
    """Dreams were measured, too, where they lose: else `auto` could not choose them."""
    table = predictors.read_table()
    for size in ((84, 84), (360, 640)):
        rows = {m.predictor: m for m in table if m.game == "arena" and m.size == size}
        assert set(rows) == {"flow", "dream"}
        assert rows["flow"].good
        assert not rows["dream"].good
        assert predictors.best("arena", table, size=size) == "flow"
