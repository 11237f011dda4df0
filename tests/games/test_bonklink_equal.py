"""One episode is the same in this process, over the frame ring, and over TCP: states, observations,
frames, rewards and ends; over v1 what v1 carries is."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import simplejpeg

from metabonk import games, machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

from link_hosts import CROWDED, SIZE, hosting

from metabonk.games.arena import ArenaGame
from metabonk.games.batch import allocate
from metabonk.games.bonklink import BonkLinkGame
from metabonk.games.source import Flags
from metabonk.protocols import Array
from metabonk.records import GAME_STATE, FieldGroup, GameState
from metabonk.transports import CARRIES, STATE_FIELDS

STEPS = 220
SEED = 77


def actions(v1: bool = False) -> np.ndarray:
    """Rows [STEPS, 1, 12]; v1 has neither jump nor slide nor choices, and clicks at pixels."""
    rng = np.random.default_rng(3)
    rows = np.zeros((STEPS, 1, 12), np.float32)
    rows[..., :4] = rng.uniform(-1, 1, (STEPS, 1, 4))
    rows[..., 4:9] = rng.random((STEPS, 1, 5)) < 0.1
    rows[..., 9] = rng.integers(0, 5, (STEPS, 1)) * (rng.random((STEPS, 1)) < 0.5)
    rows[..., 10:] = -1.0
    if v1:
        rows[..., 4:6] = rows[..., 9] = 0.0
        clicks = rng.random((STEPS, 1)) < 0.3
        pixel = (rng.integers(0, SIZE[::-1], (STEPS, 1, 2)) + 0.5) / np.array(SIZE[::-1])
        rows[..., 10:] = np.where(clicks[..., None], pixel, -1.0)
    return rows


class Seen:
    """Everything that an agent saw and got."""

    def __init__(self, game: Any, seed: int, rows: np.ndarray) -> None:
        observation, flags = allocate(game.observation_space, 1), Flags(1)
        self.observations: list[dict[str, Array]] = []
        self.states: list[GameState] = []
        self.outcomes: list[tuple[float, bool, bool, bool]] = []
        game.reset_into(observation, [seed])
        self._keep(game, observation)
        for row in rows:
            game.step_into(row, observation, *flags.arrays())
            self._keep(game, observation)
            reward, *ends = (array[0].item() for array in flags.arrays())
            self.outcomes.append((reward, *ends))
        self.length = game.episode_info()["length"].tolist()

    def _keep(self, game: ArenaGame | BonkLinkGame, observation: dict[str, Array]) -> None:
        self.observations.append({key: array.copy() for key, array in observation.items()})
        self.states.append(game.game_state(0))

    def differs(self, other: Seen) -> list[str]:
        """What differs first, by name."""
        found = []
        if self.outcomes != other.outcomes:
            found.append("outcomes")
        if self.states != other.states:
            found.append("states")
        for key in self.observations[0]:
            pairs = zip(self.observations, other.observations, strict=True)
            if not all(np.array_equal(a[key], b[key]) for a, b in pairs):
                found.append(key)
        return found


def here(seed: int, rows: np.ndarray) -> Seen:
    return Seen(games.make("arena", 1, level=CROWDED, pixels=SIZE, frame_skip=4), seed, rows)


def over(
    seed: int, rows: np.ndarray, protocol: str = "v2", places: bool = False, **offer: Any
) -> Seen:
    """places: widgets are made up for offers that v1 tells without."""
    settings = {} if places else {"offer_places": ()}
    with hosting(protocol=protocol, **offer) as (host, port):
        game = games.make(
            "bonklink", 1, port=port, protocol=protocol, level=CROWDED, pixels=SIZE, **settings
        )
        try:
            seen = Seen(game, seed, rows)
            ringed = host.link.status().count("ring")
            assert ringed == (offer.get("ring", True) and protocol != "v1")
            assert game.episode_info()["lost"][0] == game.episode_info()["skipped"][0] == 0
        finally:
            game.close()
    return seen


@pytest.mark.parametrize(
    ("protocol", "ring"), [("v2", True), ("v2", False), ("auto", True), ("auto", False)]
)
def test_v2_is_the_same_as_here(protocol: str, ring: bool) -> None:
    rows = actions()
    ours = here(SEED, rows)
    assert sum(outcome[1] for outcome in ours.outcomes) >= 1  # deaths
    assert sum(outcome[2] for outcome in ours.outcomes) >= 1  # time that was up
    assert any(state.menu == "LevelUp" for state in ours.states)
    assert any(state.entities for state in ours.states)
    assert over(SEED, rows, protocol, ring=ring).differs(ours) == []


def test_the_comparison_sees_a_difference() -> None:
    rows = actions()
    ours = here(SEED, rows)
    assert {"outcomes", "states", "pixels"} <= set(here(SEED + 1, rows).differs(ours))
    rows[100, 0, :2] *= -1.0
    assert "pixels" in here(SEED, rows).differs(ours)


def carried(state: GameState) -> np.ndarray:
    """The fields of a state that v1 carries, the rest zero; what its reader fills in by itself
    (ids, dt) left out, and times and as v1 has them, in float32."""
    record = np.frombuffer(state.pack(), GAME_STATE).copy()
    kept = np.zeros_like(record)
    for path, place in STATE_FIELDS.items():
        if place.bonklink_v1 is None or path in ("fields", "dt", "entities.id"):
            continue
        name, _, part = path.partition(".")
        if part:
            kept[name][part] = record[name][part]
        else:
            kept[name] = record[name]
    kept["time"] = kept["time"].astype(np.float32)
    for name in ("entity_count", "offer_count"):
        kept[name] = record[name]
    return kept


@pytest.mark.parametrize("frames", ["raw", "jpeg"])
def test_v1_is_the_same_in_what_v1_carries(frames: str) -> None:
    rows = actions(v1=True)
    ours, theirs = here(5, rows), over(5, rows, "v1", frames=frames)
    assert theirs.states[0].fields == CARRIES["bonklink_v1"]
    assert not theirs.states[0].fields & FieldGroup.WIDGETS
    for a, b in zip(ours.states, theirs.states, strict=True):
        assert carried(a).tobytes() == carried(b).tobytes()
    assert [o[1:] for o in ours.outcomes] == [o[1:] for o in theirs.outcomes]
    worst = 0.0
    for a, b in zip(ours.observations, theirs.observations, strict=True):
        sent = a["pixels"][0]
        if frames == "jpeg":
            sent = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(sent, 90, "RGB", "444"))
        np.testing.assert_array_equal(b["pixels"][0], sent)
        worst = max(worst, float(np.abs(b["pixels"].astype(int) - a["pixels"]).mean()))
    assert worst <= (6.0 if frames == "jpeg" else 0.0)  # of 255


def test_over_v1_a_choice_is_a_click_at_the_offers_place() -> None:
    """What v1 cannot say, a choice, leads to the same frames as the choice does here."""
    rows = actions(v1=True)
    rng = np.random.default_rng(8)
    rows[..., 10:] = -1.0
    rows[..., 9] = rng.integers(0, 4, (STEPS, 1))
    ours, theirs = here(5, rows), over(5, rows, "v1", places=True)
    assert sum(state.menu == "LevelUp" for state in ours.states) > 5
    for a, b in zip(ours.observations, theirs.observations, strict=True):
        np.testing.assert_array_equal(a["pixels"], b["pixels"])
        assert b["action_mask"][0, -32:].sum() == b["offers_mask"].sum()
    rows[..., 9] = 0.0
    assert "pixels" in theirs.differs(over(5, rows, "v1", places=True))


def test_v1_rewards_are_worked_out_from_states() -> None:
    rows = actions(v1=True)
    ours, theirs = here(5, rows), over(5, rows, "v1")
    told, worked = (np.array([o[0] for o in seen.outcomes]) for seen in (ours, theirs))
    # Kills and experience are not carried; healing and damage hide each other.
    assert worked.sum() < told.sum()
    assert np.corrcoef(told, worked)[0, 1] > 0.8


@pytest.mark.parametrize("protocol", ["v2", "auto"])
def test_a_connection_that_breaks_again_and_again_changes_nothing(protocol: str) -> None:
    """No decision is lost or made twice; a reward may come a decision later."""
    rows = actions()
    ours = here(SEED, rows)
    with hosting(protocol=protocol) as (_, port):
        game = games.make("bonklink", 1, port=port, protocol=protocol, level=CROWDED, pixels=SIZE)
        assert isinstance(game, BonkLinkGame)
        over = threading.Event()

        def cut() -> None:
            rng = np.random.default_rng(1)
            while not over.wait(float(rng.uniform(0.0, 0.1))):
                game._lines[0]._client.disconnect()

        thread = threading.Thread(target=cut)
        thread.start()
        try:
            theirs = Seen(game, SEED, rows)
        finally:
            over.set()
            thread.join()
        info = game.episode_info()
        assert info["reconnected"][0] > 2
        assert info["lost"][0] == 0
        game.close()
    assert {name for name in theirs.differs(ours) if name != "dt"} <= {"outcomes", "states"}
    for a, b in zip(ours.states, theirs.states, strict=True):
        a.dt = b.dt = 0.0
        assert a == b
    assert [o[1:] for o in theirs.outcomes] == [o[1:] for o in ours.outcomes]
    told, late = (sum(o[0] for o in seen.outcomes) for seen in (ours, theirs))
    assert late == pytest.approx(told, abs=0.5)  # but for what the last decision of a run was worth


def test_doom_over_the_link_is_doom_here() -> None:
    pytest.importorskip("vizdoom")
    size, name = (30, 40), "doom/basic"
    with hosting(name, level=None, hz=35.0, size=size) as (_, port):
        link = games.make("bonklink", 1, port=port, pixels=size)
        doom = games.make(name, 1, pixels=size, frame_skip=1)
        far, near = allocate(link.observation_space, 1), allocate(doom.observation_space, 1)
        f, n = Flags(1), Flags(1)
        link.reset_into(far, [11])
        doom.reset_into(near, [11])
        for i in range(40):
            np.testing.assert_array_equal(far["pixels"], near["pixels"])
            row = np.zeros((1, 12), np.float32)
            row[0, 0], row[0, 7], row[0, 10:] = (-1.0 if i % 3 else 1.0), i % 7 == 0, -1.0
            link.step_into(row, far, *f.arrays())
            pressed = np.array([[1.0 if i % 3 else 2.0, float(i % 7 == 0)]], np.float32)
            doom.step_into(pressed, near, *n.arrays())
            assert f.reward[0] == n.reward[0]
            assert f.terminated[0] == n.terminated[0]
        link.close()
        doom.close()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_many_episodes_are_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(actions())
    ours = here(seed, rows)
    for ring in (True, False):
        assert over(seed, rows, ring=ring).differs(ours) == []
