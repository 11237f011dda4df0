"""Real Doom behind BatchGame: the same as ViZDoom on its own, from processes that may die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from doom_player import Player, assert_same, random_rows

vizdoom = pytest.importorskip("vizdoom")

from metabonk import games  # noqa: E402
from metabonk.errors import ConfigError, CorruptError, GameError, MissingExtraError  # noqa: E402
from metabonk.games import doom  # noqa: E402
from metabonk.games.doom_worker import controls_of, press, shrink  # noqa: E402
from metabonk.protocols import BatchGame, Visible  # noqa: E402


def test_equals_vizdoom_on_its_own(make, tmp_path):
    game = make("doom/defend_the_center", num_envs=2)
    assert isinstance(game, BatchGame)
    assert isinstance(game, Visible)
    assert game.frame_rate == 35 / 4
    player = Player(game, [3, 4])
    raw = vizdoom.DoomGame()
    raw.load_config(str(doom.scenario_path("defend_the_center")))
    raw.set_doom_config_path(str(tmp_path / "doom.ini"))
    raw.set_window_visible(False)
    raw.set_screen_format(vizdoom.ScreenFormat.RGB24)
    raw.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)
    raw.init()
    raw.set_seed(game._episode_seed(1))
    raw.new_episode()
    assert [b.name for b in game.action_layout.branches] == ["turn_left_right", "attack"]
    rng = np.random.default_rng(0)
    frame = np.zeros((60, 80, 3), np.uint8)
    for _ in range(200):
        state = raw.get_state()
        blocks = state.screen_buffer.reshape(60, 2, 80, 2, 3).sum((1, 3), dtype=np.uint32)
        frame[:] = (blocks + 2) // 4
        np.testing.assert_array_equal(player.observation["pixels"][1], frame)
        expected = state.game_variables.astype(np.float32) * np.float32(0.01)
        np.testing.assert_array_equal(player.observation["variables"][1], expected)
        rows = random_rows(game, rng)
        turn, attack = rows[1]
        reward = raw.make_action([turn == 1, turn == 2, attack == 1], 4)
        player.step(rows)
        assert player.reward[1] == np.float32(reward)
        if raw.is_episode_finished():
            break
    assert raw.is_player_dead()
    assert player.terminated[1]
    assert not player.truncated[1]
    raw.close()


def test_episodes_end_and_the_next_step_starts_another(make):
    game = make("doom/basic", num_envs=2, pixels=(30, 40))
    player = Player(game, [1, 2])
    first = player.observation["pixels"].copy()
    idle = np.zeros((2, 2), np.float32)
    length = 0
    while not player.truncated.any():
        player.step(idle)
        length += 1
        assert player.observation["dt"][0, 0] == np.float32(4 / 35) or player.truncated[0]
    assert length == 75  # 300 tics at 4 a decision
    assert not player.terminated.any()  # the time was up, nobody died
    assert game.episode_info()["length"].tolist() == [75, 75]
    assert game.episode_info()["return"][0] == pytest.approx(-300)
    player.step(np.ones((2, 2), np.float32))
    assert player.is_reset.all()
    assert not player.reward.any()
    assert not player.truncated.any()
    assert game.episode_info()["length"].tolist() == [0, 0]
    assert (player.observation["dt"] == 0).all()
    assert (player.observation["pixels"] != first).any()  # another seed
    player.step(idle)
    assert not player.is_reset.any()
    game.reset_into(player.observation, [1, 2])
    np.testing.assert_array_equal(player.observation["pixels"], first)


def as_it_was_before_crashes_were_kept(state):
    """The clone as the first format had it."""
    parts, at = [doom._MAGIC_1 + state[8 : doom._HEAD.size]], doom._HEAD.size
    while at < len(state):
        *values, crashes, size = doom._ENV.unpack_from(state, at)
        assert crashes == 0
        at += doom._ENV.size
        parts += [doom._ENV_1.pack(*values, size), state[at : at + size]]
        at += size
    return b"".join(parts)


def test_snapshots_continue_identically_in_new_processes(make):
    first = make("doom/health_gathering", num_envs=2)
    player = Player(first, [10, 11])
    rng = np.random.default_rng(2)
    for _ in range(130):  # past the first deaths, in the middle of an episode
        player.step(random_rows(first, rng))
    assert first._episodes.any()
    state = first.clone_state()
    assert len(state) < 5000
    actions = [random_rows(first, rng) for _ in range(60)]
    expected = [player.step(rows) for rows in actions]
    info = first.episode_info()
    other = make("doom/health_gathering", num_envs=2)
    for game in (first, other):
        again = Player(game, None)
        game.restore_state(state)
        for rows, want in zip(actions, expected, strict=True):
            assert_same(again.step(rows), want)
        for key, value in game.episode_info().items():
            np.testing.assert_array_equal(value, info[key])
    former = as_it_was_before_crashes_were_kept(state)
    again = Player(other, None)
    other.restore_state(former)
    assert_same(again.step(actions[0]), expected[0])
    with pytest.raises(GameError, match="not of doom/health_gathering"):
        other.restore_state(b"x" + state[1:])
    for damaged, what in (
        (state[: doom._HEAD.size + 9], "too early"),
        (state[:-1], "damaged action rows"),
        (state + b"x", "1 bytes too many"),
    ):
        with pytest.raises(CorruptError, match=what):
            other.restore_state(damaged)
    tampered = bytearray(state)
    first_turn = doom._HEAD.size + doom._ENV.size
    tampered[first_turn : first_turn + 8] = np.float32([1, 1]).tobytes()  # was another decision
    assert tampered != state
    with pytest.raises(GameError, match="diverged"):
        other.restore_state(bytes(tampered))


def leftovers(pid):
    """Processes of the worker's session: itself and its engine."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, _, rest = stat.read_text().partition(" (")
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        state, _, _, session = rest.rpartition(") ")[2].split()[:4]
        if int(session) == pid and state != "Z":
            found.append(int(number))
    return found


@pytest.mark.parametrize("victim", ["worker", "engine"])
def test_a_crash_ends_the_episode_as_truncated(make, victim):
    game = make("doom/health_gathering", num_envs=2)
    player = Player(game, [5, 6])
    twin = Player(make("doom/health_gathering", num_envs=2), [5, 6])
    rng = np.random.default_rng(4)
    for _ in range(10):
        rows = random_rows(game, rng)
        player.step(rows)
        twin.step(rows)
    process = game._processes[0]
    shared = list(Path("/dev/shm").glob(f"ViZDoom*{process._instance}"))
    assert len(shared) == 3
    family = leftovers(process.pid)
    assert len(family) == 2
    target = process.pid if victim == "worker" else max(p for p in family if p != process.pid)
    os.kill(target, signal.SIGKILL)
    before = player.observation["pixels"][0].copy()
    assert game.render(0).shape == (120, 160, 3)  # of the dead, too
    rows = random_rows(game, rng)
    player.step(rows)
    twin.step(rows)
    assert (player.truncated.tolist(), player.terminated.tolist()) == ([True, False], [False] * 2)
    assert player.reward[0] == 0
    np.testing.assert_array_equal(player.observation["pixels"][0], before)
    assert game.episode_info()["crashes"].tolist() == [1, 0]
    # A run that goes on from here elsewhere knows of it.
    elsewhere = make("doom/health_gathering", num_envs=2)
    Player(elsewhere, [1, 2])
    elsewhere.restore_state(game.clone_state())
    assert elsewhere.episode_info()["crashes"].tolist() == [1, 0]
    elsewhere.close()
    assert not leftovers(process.pid)
    assert not any(p.exists() for p in shared)
    state = game.clone_state()  # taken while an episode is lost
    after = []
    for k in range(20):
        rows = random_rows(game, np.random.default_rng(k))
        after.append(player.step(rows))
        twin.step(rows)
        assert player.is_reset.tolist() == [k == 0, False]
        np.testing.assert_array_equal(
            player.observation["pixels"][1], twin.observation["pixels"][1]
        )
    assert game.episode_info()["length"].tolist() == [19, 31]
    game.restore_state(state)
    for k in range(20):
        assert_same(player.step(random_rows(game, np.random.default_rng(k))), after[k])


@pytest.mark.parametrize(
    "last", ["", "game._processes[0].send(b'S' + bytes(8))"]
)  # idle, or at work
def test_workers_end_with_their_parent(last):
    code = (
        "import os, signal, numpy as np\n"
        "from metabonk import games\n"
        "from metabonk.games.batch import allocate\n"
        "game = games.make('doom/basic')\n"
        "game.reset_into(allocate(game.observation_space, 1), [0])\n"
        "worker = game._processes[0]\n"
        "print(worker.pid, worker._folder, worker._instance, flush=True)\n"
        f"{last}\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid, folder, instance = done.stdout.split()
    pid = int(pid)
    for _ in range(100):
        if not leftovers(pid):
            break
        time.sleep(0.1)
    assert not leftovers(pid)
    assert not Path(folder).exists()
    assert not list(Path("/dev/shm").glob(f"ViZDoom*{instance}"))


@pytest.mark.parametrize("interrupted", [0, 1])
def test_answers_that_an_interrupt_left_are_not_read_as_later_ones(make, monkeypatch, interrupted):
    games_ = [make("doom/health_gathering", num_envs=2) for _ in range(2)]
    player, twin = (Player(game, [5, 6]) for game in games_)
    rows = [random_rows(games_[0], np.random.default_rng(k)) for k in range(12)]
    for row in rows[:4]:
        player.step(row)
        twin.step(row)

    def interrupt():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(games_[0]._processes[interrupted], "done", interrupt)
        with pytest.raises(KeyboardInterrupt):
            player.step(rows[4])
    twin.step(rows[4])
    for row in rows[5:]:
        assert_same(player.step(row), twin.step(row))


def test_a_replay_that_failed_leaves_no_answers_behind(make):
    game, other = (make("doom/health_gathering", num_envs=2) for _ in range(2))
    player, twin = Player(game, [5, 6]), Player(other, [5, 6])
    rng = np.random.default_rng(3)
    for _ in range(60):
        player.step(random_rows(game, rng))
    tampered = bytearray(game.clone_state())
    first = doom._HEAD.size + doom._ENV.size
    tampered[first : first + 8] = (
        1.0 - np.frombuffer(tampered[first : first + 8], "<f4")
    ).tobytes()
    with pytest.raises(GameError, match="diverged"):
        game.restore_state(bytes(tampered))
    game.reset_into(player.observation, [5, 6])
    for k in range(5):
        rows = random_rows(game, np.random.default_rng(k))
        assert_same(player.step(rows), twin.step(rows))


def test_buttons_share_columns_with_their_opposites():
    controls = controls_of(["ATTACK", "MOVE_RIGHT", "MOVE_LEFT", "SPEED", "TURN_LEFT_RIGHT_DELTA"])
    assert [(c.name, c.kind, c.buttons) for c in controls] == [
        ("attack", "button", (0,)),
        ("move_left_right", "pair", (2, 1)),
        ("speed", "button", (3,)),
        ("turn_left_right_delta", "delta", (4,)),
    ]
    assert press(controls, 5, np.array([1, 2, 0, -0.5], np.float32)) == [1, 1, 0, 0, -5.0]
    assert press(controls, 5, np.array([0, 1, 1, 7.0], np.float32)) == [0, 0, 1, 1, 10.0]


@pytest.mark.parametrize("size", [(60, 80), (84, 84), (40, 50), (120, 160), (10, 10)])
def test_shrinking_averages(size):
    flat = np.full((120, 160, 3), 255, np.uint8)
    out = np.zeros((*size, 3), np.uint8)
    shrink(flat, out)
    assert (out == 255).all()
    ramp = np.broadcast_to(np.arange(160, dtype=np.uint8)[None, :, None], (120, 160, 3))
    shrink(ramp, out)
    centres = (np.arange(size[1]) + 0.5) * 160 / size[1] - 0.5
    assert np.abs(out[0, :, 0] - centres).max() <= 1.0


def test_a_scenario_with_delta_buttons(make):
    game = make("doom/deathmatch", num_envs=1, pixels=(84, 84), frame_skip=2)
    kinds = {b.name: b.kind for b in game.action_layout.branches}
    assert kinds["turn_left_right_delta"] == "continuous"
    assert kinds["turn_left_right"] == "categorical"
    player = Player(game, [1])
    before = game.render(0)
    row = np.zeros((1, game.action_layout.columns), np.float32)
    column = next(
        b.column for b in game.action_layout.branches if b.name == "turn_left_right_delta"
    )
    row[0, column] = 1.0
    for _ in range(8):  # the player stands still for the first tics of this scenario
        player.step(row)
    assert player.observation["dt"][0, 0] == np.float32(2 / 35)
    assert game.render(0).shape == (120, 160, 3)
    assert (game.render(0) != before).mean() > 0.1  # it turned


def test_errors_name_the_remedy(monkeypatch):
    with pytest.raises(ConfigError, match="health_gathering"):
        games.make("doom/health_gatherin")
    with pytest.raises(ConfigError, match="10x10 and 120x160"):
        games.make("doom/basic", pixels=(240, 320))
    with pytest.raises(ConfigError, match="frame_skip"):
        games.make("doom/basic", frame_skip=-1)
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(MissingExtraError, match=r"vizdoom.* games"):
        games.make("doom/basic")
