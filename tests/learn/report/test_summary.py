"""learn/report*.py: the page shows what was measured, the film is the best episode."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from gymnasium import spaces as gs

from metabonk.config import Config
from metabonk.learn.evaluate import Evaluation, compare, evaluate
from metabonk.learn.report import figures
from metabonk.learn.report.film import Film, Playback, Remembering, film_episode
from metabonk.learn.report.summary import Material, Report, read, write
from metabonk.metrics import JsonLinesSink, Record
from metabonk.protocols import Visible
from metabonk.spaces import ActionLayout

pytest.importorskip("matplotlib")


class Dark:
    """Rewards follow action and seed; episodes last 4 to 6 steps, as seed and number say."""

    name = "lights"
    snapshots = True
    observation_space = gs.Dict({"clock": gs.Box(0, 99, (1,), np.float32)})
    action_layout = ActionLayout.of(gs.Discrete(4))

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs

    def reset_into(self, observation: Any, seeds: Sequence[int]) -> None:
        self.seeds, self.episode = list(seeds), [0] * self.num_envs
        self.clock, self.sums = np.zeros(self.num_envs), np.zeros(self.num_envs)
        self.over = np.zeros(self.num_envs, bool)
        observation["clock"][:] = 0

    def _length(self, i: int) -> int:
        return 4 + (self.seeds[i] + self.episode[i]) % 3

    def step_into(
        self,
        actions: Any,
        observation: Any,
        reward: Any,
        terminated: Any,
        truncated: Any,
        reset: Any,
    ) -> None:
        truncated[:] = False
        for i in range(self.num_envs):
            reset[i] = self.over[i]
            if self.over[i]:
                self.episode[i] += 1
                self.clock[i], self.sums[i], reward[i], terminated[i] = 0, 0, 0, False
            else:
                reward[i] = actions[i, 0] * (1 + self.seeds[i] % 5)
                self.clock[i] += 1
                self.sums[i] += reward[i]
                terminated[i] = self.clock[i] == self._length(i)
            self.over[i] = terminated[i]
        observation["clock"][:, 0] = self.clock

    def episode_info(self) -> dict[str, Any]:
        return {"return": self.sums.copy(), "length": self.clock.copy()}

    def close(self) -> None:
        pass


class Lights(Dark):
    """The same, and it can be seen."""

    frame_rate = picture_rate = 15.0

    def render(self, index: int) -> Any:
        frame = np.zeros((32, 32, 3), np.uint8)
        frame[..., 0] = 20 * self.clock[index]
        frame[..., 1] = 20 * self.episode[index]
        return frame

    def pictures(self, index: int, row: Any) -> list[Any]:
        return [self.render(index)]


class Drawn:
    """Actions from a generator: what it does depends on when and where it is asked."""

    def reset(self, num_envs: int) -> Any:
        return np.random.default_rng(3)

    def act(self, observation: Any, state: Any, is_first: Any) -> tuple[Any, Any]:
        return state.integers(0, 4, (len(is_first), 1)).astype(np.float32), state


def test_the_film_is_the_best_episode(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    policy = Remembering(Drawn())
    result = evaluate(Lights(3), policy, episodes=6, seed=9, baselines={"random": Drawn()})
    assert isinstance(Lights(1), Visible)
    common = {"seed": 9, "envs": 3, "index": result.best, "episodes": 6}
    again = film_episode(Lights(3), Drawn(), **common, stem=tmp_path / "all")
    rows = policy.of(result.best // 2)
    alone = film_episode(Lights(1), Playback(rows), **common, stem=tmp_path / "one")
    assert again is not None
    assert alone is not None
    assert again.reward == alone.reward == max(result.returns)
    assert again.path.read_bytes() == alone.path.read_bytes()
    if alone.path.suffix == ".gif":
        with image.open(alone.path) as film:
            assert film.n_frames >= 4


def test_a_game_that_draws_nothing_has_no_film(tmp_path: Path) -> None:
    film = film_episode(Dark(1), Drawn(), seed=0, envs=1, index=0, episodes=1, stem=tmp_path / "x")
    assert film is None


def evaluation(policy: float, others: dict[str, float]) -> Evaluation:
    random = np.random.default_rng(0)
    ours = random.normal(policy, 3, 40)
    theirs = {name: random.normal(level, 3, 40) for name, level in others.items()}
    return Evaluation(
        return_mean=float(ours.mean()),
        episodes=40,
        envs=8,
        seed=0,
        sampled=True,
        returns=ours.tolist(),
        best=int(ours.argmax()),
        against={name: compare(ours, t) for name, t in theirs.items()},
        baseline_returns={name: t.tolist() for name, t in theirs.items()},
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory with metrics only."""
    sink = JsonLinesSink(tmp_path / "metrics.jsonl")
    for step in range(0, 50_000, 500):
        values = {"return_mean": step / 1000, "loss_value": 1.0 / (1 + step)}
        sink.write(Record(step, 0.0, "", values))
    sink.close()
    return tmp_path


def material(found: Evaluation, **more: Any) -> Material:
    config = Config()
    config.ppo.clip = 0.125
    return Material(config=config, evaluation=found, steps=50_000, seconds=20.0, **more)


class Tags(HTMLParser):
    """Every tag's attributes, and whether tags close in order."""

    VOID = frozenset({"meta", "img", "br", "path", "use", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_report_json_has_the_keys(run: Path) -> None:
    found = evaluation(20.0, {"random": 5.0, "scripted": 22.0})
    write(run, material(found))
    data = json.loads((run / "report.json").read_text())
    assert list(data) == ["game", "seed", "steps", "seconds", "steps_per_second", "eval"]
    assert data["steps_per_second"] == 2500.0
    low, high = data["eval"]["difference_ci95"]
    assert -5 < low < high < 1, "against the strongest baseline"
    assert data["eval"]["scripted_mean"] == pytest.approx(22.0, abs=2)
    assert isinstance(read(run), Report)
    assert (run / "curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_page_is_whole_and_alone(run: Path) -> None:
    (run / "best.gif").write_bytes(b"GIF89a")
    found = evaluation(20.0, {"random": 5.0})
    shown = Film(run / "best.gif", max(found.returns))
    write(run, material(found, film=shown, profile={"env": 1.0, "update": 3.0}, notes=["<note>"]))
    text = (run / "report.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    for tag, attributes in tags.seen:
        for name in ("src", "href", "xlink:href"):
            link = attributes.get(name)
            assert link is None or link.startswith(("data:", "#")), (tag, link)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "prefers-color-scheme: dark" in text
    assert "&lt;note&gt;" in text
    assert "Its best episode" in text
    assert "75 %" in text, "the share of the update"
    assert "0.125" in text, "what differs from the defaults"
    for colour, _ in figures.COLOURS.values():
        assert colour not in text.split("</style>")[1], "figures follow the theme"


@pytest.mark.parametrize(
    ("level", "verdict"), [(5.0, "is beaten"), (20.0, "told apart"), (35.0, "still better")]
)
def test_the_verdict_follows_from_the_interval(run: Path, level: float, verdict: str) -> None:
    write(run, material(evaluation(20.0, {"scripted": level})))
    assert verdict in (run / "report.html").read_text()


def test_a_single_episode_shows_no_verdict_and_no_interval(run: Path) -> None:
    """It is far ahead, and that it says nothing is said."""
    found = evaluation(20.0, {"random": 5.0})
    others = {"random": found.baseline_returns["random"][:1]}
    ours = found.returns[:1]
    against = {"random": compare(np.array(ours), np.array(others["random"]))}
    found = msgspec.structs.replace(
        found, episodes=1, returns=ours, best=0, against=against, baseline_returns=others
    )
    write(run, material(found))
    text = (run / "report.html").read_text()
    assert "told apart" in text
    assert "is beaten" not in text
    assert "too few episodes for an interval" in text
    assert "1 evaluation episode<" in text
    assert "inf" not in text.split("</style>")[1].split("All settings")[0]
    assert json.loads((run / "report.json").read_text())["eval"]["difference_ci95"] is None


@pytest.mark.parametrize(("player", "rival"), [("dreamer", "policy"), ("policy", "dreamer")])
def test_both_players_of_a_run_are_shown(run: Path, player: str, rival: str) -> None:
    """Two curves, the dashed lines are the others', and it is said who leads."""
    sink = JsonLinesSink(run / "metrics.jsonl")
    sink.write(Record(50_000, 0.0, "", {"dreamer_return_mean": 30.0, "eval_dreamer_mean": 31.0}))
    sink.write(Record(50_001, 0.0, "", {"eval_policy_mean": 20.0, "eval_return_mean": 31.0}))
    sink.close()
    found = evaluation(31.0, {"random": 5.0, rival: 20.0})
    found = msgspec.structs.replace(found, player=player, rival=rival)
    write(run, material(found))
    text = (run / "report.html").read_text()
    assert f'the {player} returns <b class="{player}">' in text
    assert f"The {rival} is beaten" in text
    clear = "led in the games that both played" in text
    assert clear == (player == "dreamer")
    for name in ("policy", "dreamer"):
        for shown in ("while learning", "evaluated"):
            assert f"{name}, {shown}" in text
    curve = text[text.index("<title>Learning curve") :]
    assert "random 5" in curve
    assert f"{rival} 2" not in curve
    data = json.loads((run / "report.json").read_text())["eval"]
    assert data["player"] == player
    assert data["difference_ci95"][0] > 20.0, "against the strongest baseline, which is no player"


def test_a_policy_alone_has_one_curve(run: Path) -> None:
    write(run, material(evaluation(20.0, {"random": 5.0})))
    text = (run / "report.html").read_text()
    assert "<title>Learning curve" in text
    assert "policy, while" not in text
    assert "dreamer" not in text.split("</style>")[1].split("All settings")[0]
    assert "player" not in json.loads((run / "report.json").read_text())["eval"]


def test_a_film_of_another_episode_is_not_called_the_best(run: Path) -> None:
    (run / "best.gif").write_bytes(b"GIF89a")
    write(run, material(evaluation(20.0, {}), film=Film(run / "best.gif", 3.0)))
    text = (run / "report.html").read_text()
    assert "One of its episodes" in text
    assert "Its best episode" not in text


def test_without_metrics_there_is_no_curve(tmp_path: Path) -> None:
    write(tmp_path, material(evaluation(20.0, {})))
    assert not (tmp_path / "curve.png").exists()
    assert "How it learned" not in (tmp_path / "report.html").read_text()


def test_a_run_without_ended_episodes_shows_its_evaluations(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "metrics.jsonl")
    sink.write(Record(500, 0.0, "", {"eval_return_mean": 3.0}))
    sink.close()
    write(tmp_path, material(evaluation(20.0, {"random": 5.0})))
    assert (tmp_path / "curve.png").stat().st_size > 0


def test_lines_are_thinned_and_smoothed() -> None:
    x = np.arange(10_000.0)
    thin = figures.Series(x, np.where(x % 7 == 0, np.nan, x)).thinned()
    assert len(thin.x) == figures.MAX_POINTS
    np.testing.assert_allclose(thin.x, thin.y)
    noisy = figures.Series(x[:400], 5.0 + np.random.default_rng(0).normal(0, 1, 400))
    assert noisy.smoothed().y.std() < 0.5 * noisy.y.std()
    assert noisy.smoothed().y.mean() == pytest.approx(5.0, abs=0.1)
