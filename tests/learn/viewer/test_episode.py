"""A dreamed episode beside the real one, and the game forked under another action."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs
from ring_game import LENGTH, Ring
from ring_world import LAYOUT, SIDE, SPACE, world_of

from metabonk.data.episode import EpisodeWriter, Header
from metabonk.data.library import Library
from metabonk.errors import ConfigError, GameError
from metabonk.learn.viewer import episode as dreamt
from metabonk.learn.viewer import twin
from metabonk.learn.viewer.distance import Ruler, first_apart, unseeing
from metabonk.learn.viewer.episode import Episode
from metabonk.learn.viewer.film import CHART, GAP, RED, TITLE, Line, Sheet, film, twin_film
from metabonk.learn.viewer.pictures import PAPER, Painter, fitted
from metabonk.models.actor import Uniform
from metabonk.models.world import WorldModel, build
from metabonk.observations import OBSERVATION_SPACE
from metabonk.spaces import ActionLayout

CONTEXT = 4


@pytest.fixture(scope="module")
def world() -> WorldModel:
    return world_of()


@pytest.fixture(scope="module")
def blind() -> WorldModel:
    """Learned as long, from actions that were shuffled: it does not know what they do."""
    return world_of(shuffled=True)


def played(number: int = 0, **more: object) -> Episode:
    policy = Uniform(LAYOUT, seed=5)
    return dreamt.play(Ring(), policy, number, seed=1, **more)  # type: ignore[arg-type]


def places(episode: Episode) -> np.ndarray:
    return episode.observation["observation"].argmax(-1)


def test_an_episode_is_what_was_played() -> None:
    first, second = played(0), played(1)
    assert len(first) == len(second) == LENGTH
    for episode in (first, second):
        moved = np.array([0, -1, 1])[episode.action[:, 0].astype(int)]
        np.testing.assert_array_equal((places(episode)[:-1] + moved) % SIDE, places(episode)[1:])
        np.testing.assert_array_equal(episode.reward, places(episode)[1:] == 0)
        assert not episode.terminated  # it was cut
    assert not np.array_equal(first.action, second.action)
    np.testing.assert_array_equal(played(1).action, second.action)
    assert first.pictures == []
    assert len(played(pictures=True).pictures) == LENGTH + 1
    assert len(played(most=7)) == 7


def test_who_knows_the_game_dreams_it_and_who_does_not_comes_apart(
    world: WorldModel, blind: WorldModel
) -> None:
    episode = played()
    good = dreamt.dream_of(world, episode, context=CONTEXT)
    assert len(good.error) == LENGTH + 1 - CONTEXT
    assert good.error.mean() < 0.3 * min(good.persistence.mean(), good.mean.mean())
    assert good.diverged is None
    paid = places(episode)[CONTEXT:] == 0
    assert good.reward[paid].min() > good.reward[~paid].max()
    bad = dreamt.dream_of(blind, episode, context=CONTEXT)
    assert bad.diverged is not None
    assert CONTEXT <= bad.diverged < CONTEXT + 5
    assert bad.error.mean() > 3.0 * good.error.mean()
    # Awake even the blind one sees where it is.
    assert bad.awake.mean() < 0.5 * bad.error.mean()


def test_looking_again_makes_dreams_short(world: WorldModel, blind: WorldModel) -> None:
    episode = played()
    short = dreamt.dream_of(blind, episode, context=CONTEXT, horizon=2)
    assert short.looked[:5] == [3, 3, 5, 5, 7]
    again = dreamt.dream_of(world, episode, context=CONTEXT, horizon=2)
    assert again.error.mean() < 0.3 * again.persistence.mean()
    whole = dreamt.dream_of(blind, episode, context=CONTEXT)
    assert short.persistence.mean() != whole.persistence.mean()


def test_the_same_seed_is_the_same_dream(world: WorldModel) -> None:
    one, two = (dreamt.dream_of(world, played(), context=CONTEXT, seed=3) for _ in range(2))
    assert torch.equal(one.features, two.features)


@pytest.mark.parametrize("context", [0, LENGTH + 1])
def test_a_dream_needs_something_to_dream(world: WorldModel, context: int) -> None:
    with pytest.raises(ConfigError, match=rf"context: {context}; the episode has 21"):
        dreamt.dream_of(world, played(), context=context)


def test_recorded_episodes_are_dreamed_of_too(world: WorldModel, tmp_path: Path) -> None:
    episode = played()
    header = Header.of(LAYOUT, source="ring", seed=0, actor="test", num_envs=1, rate=8.0)
    with EpisodeWriter(tmp_path, header) as writer:
        for t in range(LENGTH + 1):
            last = t == LENGTH
            writer.append_step(
                {"observation": episode.observation["observation"][t : t + 1]},
                np.zeros((1, 1), np.float32) if last else episode.action[t : t + 1],
                np.zeros((1, 1), np.float32),
                np.zeros(1, np.float32) if last else episode.reward[t : t + 1],
                np.array([False]),
                np.array([t == LENGTH - 1]),
                np.array([last]),
            )
    found = dreamt.recorded(Library(tmp_path).pieces[0], ["observation"])
    np.testing.assert_array_equal(found.observation["observation"], places_hot(episode))
    np.testing.assert_array_equal(found.action, episode.action)
    one, two = (dreamt.dream_of(world, e, context=CONTEXT) for e in (episode, found))
    np.testing.assert_array_equal(one.error, two.error)


def places_hot(episode: Episode) -> np.ndarray:
    return episode.observation["observation"]


def other(episode: Episode, at: int) -> np.ndarray:
    return (episode.action[at] + 1) % 3


def test_a_fork_goes_on_from_the_very_moment(world: WorldModel) -> None:
    episode = played(keep=[9])
    found = twin.fork(world, Ring(), episode, 9, other(episode, 9), steps=6)
    rows = np.concatenate([other(episode, 9)[None], episode.action[10:15]])
    moved = np.array([0, -1, 1])[rows[:, 0].astype(int)]
    expected = (places(episode)[9] + np.cumsum(moved)) % SIDE
    np.testing.assert_array_equal(found.observation["observation"].argmax(-1), expected)
    np.testing.assert_array_equal(found.reward, expected == 0)
    assert found.forked == 10
    assert not found.ended
    same = twin.fork(world, Ring(), episode, 9, episode.action[9], steps=6)
    assert same.forked is None
    assert not same.effect.any()
    np.testing.assert_array_equal(same.error, same.unchanged)
    whole = twin.fork(world, Ring(), episode, 9, other(episode, 9), steps=99)
    assert len(whole.error) == LENGTH - 9
    assert whole.ended


def test_a_model_foresees_the_change_only_if_it_knows_what_actions_do(
    world: WorldModel, blind: WorldModel
) -> None:
    keep = [5, 8, 11]
    episode = played(keep=keep)
    told = {}
    for name, model in (("knows", world), ("blind", blind)):
        twins = [twin.fork(model, Ring(), episode, t, other(episode, t), steps=6) for t in keep]
        told[name] = (*twin.foreseen(twins), twin.trust(twins), [t.diverged for t in twins])
    error, unchanged, horizon, diverged = told["knows"]
    assert error < 0.3 * unchanged
    assert horizon == 6
    assert diverged == [None] * 3
    error, unchanged, horizon, diverged = told["blind"]
    assert error > 0.7 * unchanged
    assert horizon < 3
    assert None not in diverged


def test_what_cannot_be_forked_is_said(world: WorldModel) -> None:
    episode = played(keep=[3])
    with pytest.raises(GameError, match=r"kept at \[3\], not at 4"):
        twin.fork(world, Ring(), episode, 4, other(episode, 4), steps=2)
    with pytest.raises(ConfigError, match="decision 50: the episode has 20"):
        played(keep=[50])
    with pytest.raises(ConfigError, match=r"decision 50: the episode has 9, .*raise --longest$"):
        dreamt.play(Ring(), Uniform(LAYOUT), 0, keep=[50], most=9)
    game = Ring()
    game.snapshots = False
    with pytest.raises(GameError, match="ring cannot be forked"):
        dreamt.play(game, Uniform(LAYOUT), 0, keep=[1])


def test_rows_by_name() -> None:
    layout = ActionLayout.of(
        gs.Dict({"move": gs.Box(-1, 1, (2,), np.float32), "choice": gs.Discrete(4)})
    )
    row = np.array([1.0, 0.5, -0.5], np.float32)
    assert twin.parse_row("choice=3", layout, row).tolist() == [3.0, 0.5, -0.5]
    assert twin.parse_row("move=1:0, choice=0", layout, row).tolist() == [0.0, 1.0, 0.0]
    for text, says in (
        ("jump=1", "no action 'jump', it has"),
        ("move=1", "move takes 2 numbers, got 1"),
        ("choice=7", "choice is 0 to 3, got 7"),
        ("choice=x", "is not choice=NUMBER"),
        ("move=nan:0", "'move=nan:0' is not finite"),
        ("choice=inf", "'choice=inf' is not finite"),
    ):
        with pytest.raises(ConfigError, match=says):
            twin.parse_row(text, layout, row)


def test_another_action_is_another_and_allowed() -> None:
    layout = ActionLayout.of(gs.Dict({"choice": gs.Discrete(4)}), masked=("choice",))
    mask = np.array([1, 0, 1, 0], np.uint8)
    for seed in range(8):
        row = twin.another(layout, np.array([0.0], np.float32), mask, seed)
        assert row is not None
        assert row.tolist() == [2.0]
    alone = np.array([0, 0, 1, 0], np.uint8)
    assert twin.another(layout, np.array([2.0], np.float32), alone, 0) is None


def test_rulers_measure_in_what_the_model_saw() -> None:
    space = gs.Dict(
        {
            "cells": gs.Box(0, 15, (8, 8), np.uint8),
            "pixels": gs.Box(0, 255, (8, 8, 3), np.uint8),
            "number": gs.Box(-9, 9, (2,), np.float32),
            "flag_mask": gs.Box(0, 1, (3,), np.uint8),
        }
    )
    from ring_world import SMALL

    ruler = Ruler(build(space, LAYOUT, SMALL, seed=0))
    assert set(ruler.parts) == {"cells", "pixels", "number"}
    one = {
        "cells": torch.zeros(1, 8, 8, dtype=torch.uint8),
        "pixels": torch.zeros(1, 8, 8, 3, dtype=torch.uint8),
        "number": torch.zeros(1, 2),
    }
    two = {key: value.clone() for key, value in one.items()}
    two["cells"][0, 0] = 3  # 8 of 64 cells
    two["pixels"][0, :, :, 0] = 255  # a third of all brightness
    two["number"][0, 1] = 2.0  # the identity while nothing was seen
    found = ruler.apart(ruler.seen(one), ruler.seen(two))
    assert found.tolist() == pytest.approx([(8 + 64 + 4) / (64 + 192 + 2)])
    assert ruler.apart(ruler.seen(one), ruler.seen(one)).tolist() == [0.0]
    nothing = gs.Dict({"flag_mask": gs.Box(0, 1, (3,), np.uint8), "x": SPACE["observation"]})
    Ruler(build(nothing, LAYOUT, SMALL, seed=0))


def test_films_show_every_step_and_mark_where_it_comes_apart(
    world: WorldModel, blind: WorldModel
) -> None:
    pytest.importorskip("PIL")
    episode = played(pictures=True, keep=[6])
    frames = {}
    for name, model in (("good", world), ("bad", blind)):
        found = dreamt.dream_of(model, episode, context=CONTEXT)
        shown = list(film(model, episode, found))
        assert len(shown) == LENGTH + 1
        assert {(f.shape, f.dtype.name) for f in shown} == {(shown[0].shape, "uint8")}
        frames[name] = shown
    red = np.array([200, 40, 40])
    marked = {name: (shown[-1] == red).all(-1).sum() for name, shown in frames.items()}
    assert marked["good"] == 0
    assert marked["bad"] > 50
    forked = twin.fork(world, Ring(), episode, 6, other(episode, 6), steps=5, pictures=True)
    assert len(list(twin_film(world, episode, forked))) == 5


def test_who_sees_nothing_while_awake_has_no_dream_that_holds() -> None:
    """It never comes apart, for it was never together, and that is said instead."""
    still, mean, dreamed = np.full(6, 0.2), np.full(6, 0.1), np.full(6, 0.9)
    for awake, found in ((0.9, None), (0.08, 0)):
        seen = np.full(6, awake)
        assert first_apart(dreamed, still, mean, seen) == found
        assert unseeing(still, mean, seen) is (found is None)


def test_what_is_written_on_a_sheet_stays_on_it() -> None:
    pytest.importorskip("PIL")
    values = np.linspace(0.0, 1.0, 9)
    lines = [Line(f"the error of dream number {i}", values, 0, (0, 90 + i, 0)) for i in range(4)]
    sheet = Sheet(9, 2, 1, lines, 8)
    shown = sheet.picture(0, [[np.zeros((8, 8, 3), np.uint8)] * 2], ["a title"])
    chart = shown[-CHART:]
    assert (chart[:, 1 - GAP :] == PAPER).all()
    names = [np.flatnonzero((chart[: 3 * TITLE] == line.colour).all(-1).any(1)) for line in lines]
    assert all(rows.size for rows in names)
    assert names[-1].max() >= TITLE  # they take more than one row
    assert (chart[TITLE:] == RED).all(-1).sum() > 50
    assert (shown[:TITLE] != PAPER).any()


def test_pictures_show_where_things_are() -> None:
    painter = Painter(OBSERVATION_SPACE, 100)
    nothing = {k: np.zeros(s.shape, s.dtype) for k, s in OBSERVATION_SPACE.spaces.items()}
    empty = painter.draw(nothing)
    assert empty.shape == (100, 100, 3)
    for place, side in (((1.0, 0.0), np.s_[:, 60:]), ((-1.0, 0.0), np.s_[:, :40])):
        there = {k: v.copy() for k, v in nothing.items()}
        there["entities"][3, :2] = place
        np.testing.assert_array_equal(painter.draw(there), empty)  # its mask says it is not there
        there["entities_mask"][3] = 1
        changed = (painter.draw(there) != empty).any(-1)
        assert changed[side].any()
        assert changed.sum() == changed[side].sum()


def test_frames_fit_and_numbers_become_bars() -> None:
    tall = np.zeros((20, 10, 3), np.uint8)
    out = fitted(tall, 40, 40)
    assert (out[:, 10:30] == 0).all()
    assert (out[:, :10] == PAPER).all()
    space = gs.Dict({"x": gs.Box(-9, 9, (4,), np.float32)})
    painter = Painter(space, 80)
    heights = [
        (painter.draw({"x": np.array([value, 0, 0, 0], np.float32)}) == (31, 111, 235))
        .all(-1)
        .sum()
        for value in (0.0, 0.5, 1.0, 2.0, 50.0)
    ]
    assert heights == sorted(heights)
    assert heights[3] == heights[4] > heights[2] > heights[1]
    cells = gs.Dict({"cells": gs.Box(0, 15, (8, 8), np.uint8)})
    picture = Painter(cells, 64).draw({"cells": np.arange(64, dtype=np.uint8).reshape(8, 8) % 16})
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 16
