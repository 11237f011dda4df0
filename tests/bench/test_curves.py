"""Learning curves: looks at whoever serves, which change nothing of what is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from metabonk.bench import curves, study_dreams

from metabonk.config import Config

GAME = "gym/CartPole-v1"


def tiny(dreams: bool) -> Config:
    """CartPole in rollouts of 256 steps, with dreams as small as they can be."""
    more: dict[str, Any] = {"ppo__horizon": 16, "ppo__epochs": 1, "model__hidden": 8}
    if not dreams:
        return study_dreams.plain(GAME, 0, **more)
    sizes = {f"world__{key}": 8 for key in ("deter", "hidden", "groups", "classes")}
    own = {"dream__hidden": 8, "dream__warm_up": 1, "dream__horizon": 2, "world__ratio": 4.0}
    return study_dreams.dreaming(GAME, 0, **more, **sizes, **own)


def test_curves_are_of_who_serves(tmp_path: Path) -> None:
    """Arms of a seed begin alike and play the same episodes; looking changes nothing."""
    pytest.importorskip("torch")
    found = [
        curves.learn(tiny(dreams), tmp_path / str(number), 768, looks=looks, episodes=4)
        for number, (dreams, looks) in enumerate([(False, 3), (True, 3), (True, 1)])
    ]
    off, on, once = found
    assert off["steps"] == on["steps"] == [0, 256, 512, 768]
    assert once["steps"] == [0, 768]
    assert off["returns"][0] == on["returns"][0] >= 8.0  # nobody falls sooner
    assert len(on["returns"]) == len(on["dreamer"]) == 4
    assert off["dreamer"] == []
    assert (off["dreamt"], on["dreamt"]) == (
        0.0,
        pytest.approx(1 / 3),
    )  # they have to see far first
    assert off["served"] == on["served"] == ["policy"] * 4  # too little was played to tell
    assert on["metrics"]["dream_entropy"] > 0.0
    assert once["returns"][-1] == on["returns"][-1]
    assert once["dreamer"][-1] == on["dreamer"][-1]
    assert once["metrics"] == on["metrics"]
    assert curves.of_dreamer(on)["returns"] is on["dreamer"]
    uneven = curves.learn(tiny(False), tmp_path / "uneven", 768, looks=2, episodes=4)
    assert uneven["steps"] == [0, 512, 768]  # the end is seen, however soon after a look
    assert uneven["returns"][-1] == off["returns"][-1]


def test_a_dreamer_that_leads_is_looked_at_and_a_wanted_return_ends_it(tmp_path: Path) -> None:
    pytest.importorskip("torch")

    def ahead(trainer: Any) -> None:
        trainer.dreams.config.warm_up = 0  # who sleeps leads nobody
        trainer.dreams.contest.load({"policy": [1.0] * 4, "dreamer": [9.0] * 4})

    asked: dict[str, Any] = {"looks": 3, "episodes": 4}
    found = curves.learn(tiny(True), tmp_path / "a", 768, ahead, until=5.0, **asked)
    assert found["served"] == ["dreamer"]
    assert found["returns"] == found["dreamer"]
    assert found["steps"] == [0]  # nobody falls within five steps
    assert curves.steps_to(found, 5.0) == (768 / curves.POINTS, True)
    more = curves.learn(tiny(False), tmp_path / "b", 768, until=501.0, **asked)
    assert more["steps"][-1] == 768
    assert curves.steps_to(more, 501.0) == (768.0, False)


def curve_of(game: str, steps: float, *, who: str = "dreamer", reaches: bool = True) -> Any:
    """A run that came to what is wanted of a game after so many steps, or never."""
    wanted, budget = study_dreams.LEARNED[game], study_dreams.STEPS[game]
    low = wanted - 10.0
    end = wanted + 5.0 if reaches else low
    return {
        "steps": [0, int(steps) - 2, int(steps) - 1, int(steps)],
        "returns": [low, end, end, end],
        "served": ["policy"] * 3 + [who],
        "dreamer": [],
        "budget": budget,
        "metrics": {},
        "dreamt": 0.5,
    }


NEVER = "gym/InvertedDoublePendulum-v5"  # learned with dreams, in these


def took_of(game: str) -> str:
    wanted = study_dreams.LEARNED[game]
    return f"{game}: environment steps until it returns {wanted:g}, with dreams"


def test_every_game_is_told_with_its_baseline(tmp_path: Path) -> None:
    """Also the one where dreams cost steps, and the one that they never learn."""
    study = study_dreams.DreamStudy()
    factor = dict(zip(study_dreams.GAMES["full"], (4.0, 1.0, 0.5), strict=True))
    found = {}
    for cell in study.cells("full"):
        game, kind = cell.arm.rsplit(" ", 1)
        budget = study_dreams.STEPS[game]
        alone = budget * (0.4 + 0.02 * cell.seed)
        steps = {"off": alone, "on": alone / factor[game], "shuffled": budget}[kind]
        never = kind == "shuffled" or (game == NEVER and kind == "on")
        who = "policy" if factor[game] < 1.0 else "dreamer"
        found[cell] = curve_of(game, steps, who=who, reaches=not never)
    rows = {figure.name: figure for figure in study.figures(found)}
    for game, times in factor.items():
        took = rows[took_of(game)]
        assert took.ci95 is not None
        saved = rows[f"{game}: {study_dreams.DREAMS_SAVE}"]
        assert took.baselines["PPO alone"] == pytest.approx(
            0.44 * study_dreams.STEPS[game], rel=0.02
        )
        if game == NEVER:
            assert took.value == study_dreams.STEPS[game]
            assert "5 of 5 with dreams never came there" in took.note
            assert saved.value < 0.5
        else:
            assert saved.value == pytest.approx(times, rel=0.05)
            assert "with dreams never" not in took.note
    assert "the dreamer served in 0 of 5" in rows[took_of("gym/CartPole-v1")].note
    games = rows["games in which dreams save 2 times the steps, and clearly some"]
    assert (games.value, games.baselines, games.met) == (1.0, {"of": 3.0}, False)
    for game, times in factor.items():
        took = rows[f"{game}: times the steps that it takes without knowing what actions do"]
        name = f"{game}: of the return on the way that dreams gain, what those of others gain"
        # Where dreams gain nothing there is nothing that their control could be held against.
        assert took.met is rows[name].met is (True if times > 1.0 else None)
    study.picture(found, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_dreams_begin_within_the_first_tenth() -> None:
    """What begins when the policy knows its game can save nothing."""
    for game, steps in study_dreams.STEPS.items():
        config = study_dreams.dreaming(game, 0)
        update = config.world.batch * config.world.sequence / config.world.ratio
        assert config.dream.warm_up * update <= 0.1 * steps, game
