"""data/film.py: a film has the frames that were given, or there is no film."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metabonk.data import film
from metabonk.errors import MissingExtraError


def moving(count: int, height: int = 90, width: int = 120) -> list[np.ndarray]:
    """A white bar that moves to the right over grey."""
    frames = []
    for i in range(count):
        frame = np.full((height, width, 3), 90, np.uint8)
        frame[:, 4 * i : 4 * i + 8] = 255
        frames.append(frame)
    return frames


def bar(picture: np.ndarray) -> float:
    """Where the bar is, 0..1."""
    columns = np.flatnonzero(picture.mean(axis=(0, 2)) > 200)
    return float(columns.mean() / picture.shape[1])


def test_mp4(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    assert film.write_film(tmp_path / "f.mp4", moving(25), 15.0) == 25
    with av.open(str(tmp_path / "f.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == 15.0
        pictures = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
    assert len(pictures) == 25
    assert pictures[0].shape == (270, 360, 3)  # enlarged three times
    places = [bar(p) for p in pictures]
    np.testing.assert_allclose(places, [(4 * i + 3.5) / 120 for i in range(25)], atol=0.01)
    assert [p.name for p in tmp_path.iterdir()] == ["f.mp4"]


def test_gif_skips_frames_and_keeps_time(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    assert film.write_film(tmp_path / "f.gif", moving(24), 60.0) == 4
    with image.open(tmp_path / "f.gif") as opened:
        assert opened.n_frames == 4
        assert opened.info["duration"] == 100
        opened.seek(3)
        assert bar(np.asarray(opened.convert("RGB"))) == pytest.approx(
            (4 * 18 + 3.5) / 120, abs=0.02
        )


@pytest.mark.parametrize(
    ("pixels", "size"),
    [(5 * 640 * 360, (640, 360)), (5 * 640 * 360 - 1, (320, 180)), (5 * 320 * 180 - 1, (160, 90))],
)
def test_gif_of_a_long_film_stays_small(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pixels: int, size: tuple[int, int]
) -> None:
    image = pytest.importorskip("PIL.Image")
    monkeypatch.setattr(film, "GIF_FRAMES", 5)
    monkeypatch.setattr(film, "GIF_PIXELS", pixels)
    large = (np.full((360, 640, 3), 8 * i, np.uint8) for i in range(30))
    assert film.write_film(tmp_path / "f.gif", large, 20.0) == 5
    with image.open(tmp_path / "f.gif") as opened:
        assert opened.size == size


def test_a_smaller_gif_leaves_no_stroke_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A letter is a pixel wide: it grows pale, and is there still."""
    image = pytest.importorskip("PIL.Image")
    monkeypatch.setattr(film, "GIF_PIXELS", 1)  # of one frame, too
    sheet = np.full((320, 320, 3), 255, np.uint8)
    sheet[:, 101:301:100] = 0
    assert film.write_film(tmp_path / "f.gif", [sheet], 10.0) == 1
    with image.open(tmp_path / "f.gif") as opened:
        shown = np.asarray(opened.convert("L"))
        assert shown.shape == (160, 160)
        assert np.flatnonzero(shown[80] < 200).tolist() == [50, 100]


def test_nothing_is_left_of_a_film_that_failed(tmp_path: Path) -> None:
    for name in ("f.mp4", "f.gif"):
        with pytest.raises(ValueError, match=r"expected uint8 \[H, W, 3\]"):
            film.write_film(tmp_path / name, [*moving(2), np.zeros((4, 4, 3), np.uint8)], 15.0)
        with pytest.raises(ValueError, match="no frames"):
            film.write_film(tmp_path / name, [], 15.0)
    with pytest.raises(ValueError, match=r"end in \.mp4 or \.gif"):
        film.write_film(tmp_path / "f.avi", moving(2), 15.0)
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = film.importlib.util.find_spec
    absent = {"av"}
    monkeypatch.setattr(
        film.importlib.util, "find_spec", lambda name: None if name in absent else real(name)
    )
    assert film.best_suffix() == ".gif"
    with pytest.raises(MissingExtraError, match=r"\binstall .*video"):
        film.write_film(tmp_path / "f.mp4", moving(2), 15.0)
    absent.add("PIL")
    with pytest.raises(MissingExtraError, match=r"\binstall .*video"):
        film.best_suffix()
