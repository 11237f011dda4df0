"""games/bonklink.py: real time, menus, games that go away, peers that are none."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import zmq
from gymnasium.utils.env_checker import check_env

from metabonk import games, machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

from link_hosts import CROWDED, SIZE, hosting

from metabonk.cognition.broker.door import Door
from metabonk.config import GameConfig
from metabonk.errors import ConfigError, GameError, LinkError
from metabonk.games.batch import allocate
from metabonk.games.host import Pace
from metabonk.games.host_bonklink import BonkLinkLink, Offer
from metabonk.games.hosted import make_hosted
from metabonk.games.offer_places import ARENA, RESTART, points
from metabonk.games.source import Flags
from metabonk.link.bonklink import Client
from metabonk.play.live_games import BonkLinkLive
from metabonk.protocols import BatchGame, Captured, Visible

FAST = Pace(speed=20.0, linger=60.0)
CALM = {"time": {"duration": 3.0, "boss_at": -1.0}}


def idle(count: int = 1) -> np.ndarray:
    rows = np.zeros((count, 12), np.float32)
    rows[:, 10:] = -1.0
    return rows


def started(game: Any, seed: int = 1) -> tuple[dict[str, np.ndarray], Flags]:
    observation, flags = allocate(game.observation_space, game.num_envs), Flags(game.num_envs)
    game.reset_into(observation, range(seed, seed + game.num_envs))
    return observation, flags


def test_it_is_a_batch_game_and_a_gymnasium_environment() -> None:
    with hosting() as (_, port):
        game = games.make("bonklink", 1, port=port, visible=True)
        assert isinstance(game, BatchGame)
        assert isinstance(game, Visible)
        assert isinstance(game, Captured)
        started(game)
        assert game.render(0).shape == (*SIZE, 3)
        # Two clocks are related to half a round trip: a capture may seem to lie ahead.
        assert abs(time.monotonic_ns() - game.capture_ns()[0]) < 60e9
        assert np.isnan(game.inputs()).all()
        with pytest.raises(GameError, match="snapshots"):
            game.clone_state()
        game.close()
        game.close()
        env = gymnasium.make(
            "metabonk/BonkLink-v0", port=port, pixels=SIZE, render_mode="rgb_array"
        )
        check_env(env.unwrapped)  # seeds give the same episode: v2 carries them
        env.close()


@pytest.mark.parametrize("protocol", ["v2", "v1"])
def test_in_real_time_no_reward_is_lost(protocol: str) -> None:
    """However slowly the agent looks, over v2 the rewards of an episode add up to its return."""
    with hosting(level=CALM, hz=60.0, pace=FAST, protocol=protocol) as (host, port):
        game = games.make("bonklink", 1, port=port, protocol=protocol, frame_skip=4, level=CALM)
        observation, flags = started(game)
        total, steps = 0.0, 0
        while not flags.truncated[0] and not flags.terminated[0]:
            game.step_into(idle(), observation, *flags.arrays())
            total += float(flags.reward[0])
            steps += 1
            if steps % 5 == 0:
                time.sleep(0.02)  # 24 states pass
        info = game.episode_info()
        assert info["skipped"][0] > 0
        assert info["lost"][0] == 0
        assert info["return"][0] == pytest.approx(total)
        if protocol == "v2":
            assert host.now.ended
            assert total == pytest.approx(host.now.returned, abs=1e-4)
        game.step_into(idle(), observation, *flags.arrays())
        assert flags.is_reset[0]
        game.close()


@pytest.mark.parametrize("protocol", ["auto", "v1"])
def test_menus_are_clicked_through_until_a_run_begins(protocol: str) -> None:
    """From the main menu, and again from the death menu; v1 has no widgets and clicks a place."""
    level = {**CALM, "enemies": {"rate": 0.0}}
    with hosting(level=level, restart="menu", protocol=protocol) as (host, port):
        assert host.now.menu == "MainMenu"
        game = games.make("bonklink", 1, port=port, protocol=protocol, patience=60.0)
        observation, flags = allocate(game.observation_space, 1), Flags(1)
        game.reset_into(observation, [1])
        for _ in range(2):
            assert game.game_state(0).playing
            for _ in range(400):
                game.step_into(idle(), observation, *flags.arrays())
                if flags.terminated[0] or flags.truncated[0]:
                    break
            else:
                pytest.fail("the run did not end")
            game.step_into(idle(), observation, *flags.arrays())
            assert flags.is_reset[0]
        assert game.episode_info()["lost"][0] == 0
        game.close()


def test_a_game_that_goes_away_ends_its_episode() -> None:
    with hosting() as (_, port):
        game = games.make("bonklink", 1, port=port, patience=60.0)
        observation, flags = started(game)
        game.step_into(idle(), observation, *flags.arrays())
        assert not flags.truncated[0]
    with hosting(port=port, seed=9):
        game.step_into(idle(), observation, *flags.arrays())
        # The new game's episode has the old one's number, but not its seed: a RESET is asked for.
        game.reset_into(observation, [3])
        assert game.game_state(0).run_seed == 3
        game.close()


def test_silence_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with hosting() as (_, port):
        game = games.make("bonklink", 1, port=port, patience=0.5)
        observation, flags = started(game)
    game.step_into(idle(), observation, *flags.arrays())
    assert flags.truncated[0]
    assert game.episode_info()["lost"][0] == 1
    with pytest.raises(GameError, match=r"no game answered within 0\.5 seconds"):
        game.step_into(idle(), observation, *flags.arrays())
    game.close()
    with pytest.raises(GameError, match="start it first"):
        games.make("bonklink", 1, port=port, patience=0.2)


def test_the_cognitive_server_is_told_from_a_game() -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        port = server.bind_to_random_port("tcp://127.0.0.1")
        with pytest.raises(GameError, match=r"a ZeroMQ server is there\. The cognitive server"):
            games.make("bonklink", 1, port=port, patience=0.3)


def test_a_game_is_named_where_the_cognitive_server_should_be() -> None:
    with hosting() as (_, port), pytest.raises(LinkError, match=r"a game.*METABONK_BONKLINK_PORT"):
        Door([f"tcp://127.0.0.1:{port}"]).listen()


def test_a_click_that_is_no_number_is_no_click() -> None:
    """A zero would be one in the corner, where menus may have a widget."""
    idle_row = np.array([0.0] * 10 + [-1.0, -1.0], np.float32)
    taken = []
    link = BonkLinkLink(Offer(size=(24, 32)))
    with contextlib.closing(link), Client(link.address, protocol="v2") as agent:
        moment = make_hosted("arena", CROWDED, (24, 32), 15.0).begin(0)
        for column in range(12):
            for odd in (np.nan, np.inf, -np.inf):
                row = idle_row.copy()
                row[10:] = 0.25
                row[column] = odd
                answer = None
                while answer is None:
                    link.publish(moment, time.monotonic_ns(), 0)
                    if agent.poll(0.01) is not None:
                        agent.send(row)
                    answer = link.wait(0.01)
                taken.append((column, answer.row))
    for column, row in taken:
        assert row is not None
        assert np.isfinite(row).all()
        click = [-1.0, -1.0] if column >= 10 else [0.25, 0.25]
        np.testing.assert_array_equal(row[10:], click, err_msg=f"column {column}")
        np.testing.assert_array_equal(row[:10], np.zeros(10))


def test_two_games_of_one_process_share_the_line() -> None:
    """As training and its evaluations do: who was reset last plays."""
    with hosting() as (host, port):
        first = games.make("bonklink", 1, port=port)
        observation, flags = started(first)
        second = games.make("bonklink", 1, port=port)
        other, others = started(second, 5)
        second.step_into(idle(), other, *others.arrays())
        assert not others.truncated[0]
        first.step_into(idle(), observation, *flags.arrays())
        assert flags.truncated[0]
        second.close()
        first.step_into(idle(), observation, *flags.arrays())
        assert flags.is_reset[0]
        first.step_into(idle(), observation, *flags.arrays())
        assert not flags.truncated[0]
        assert first.episode_info()["lost"][0] == 0
        assert host.counts.visitors == 1
        first.close()


def test_several_games() -> None:
    with hosting() as (_, port):
        try:
            with hosting(port=port + 1, seed=6) as _:
                game = games.make("bonklink", 2, port=port, limit=10)
                observation, flags = started(game)
                for _ in range(10):
                    game.step_into(idle(2), observation, *flags.arrays())
                assert flags.truncated.all()
                game.step_into(idle(2), observation, *flags.arrays())
                assert flags.is_reset.all()
                seeds = {game.game_state(i).run_seed for i in range(2)}
                assert len(seeds) == 2
                game.close()
        except LinkError as error:  # the next port belongs to somebody else
            pytest.skip(str(error))


def test_a_pipe_leads_to_the_game() -> None:
    name = f"metabonk-test-{os.getpid()}"
    with hosting(pipe=name):
        game = games.make("bonklink", 1, use_pipe=True, pipe_name=name)
        observation, flags = started(game)
        game.step_into(idle(), observation, *flags.arrays())
        assert not flags.truncated[0]
        game.close()


def test_a_pipe_is_in_one_place_for_host_agent_and_live_play(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where .NET has it: a folder of one's own, and /tmp where none is named."""
    for folder in (tmp_path, None):
        name = f"metabonk-{os.getpid()}"
        if folder is None:
            monkeypatch.delenv("TMPDIR")
        else:
            monkeypatch.setenv("TMPDIR", str(folder))
        with hosting(pipe=name):
            assert (Path(folder or "/tmp") / f"CoreFxPipe_{name}").is_socket()
            game = games.make("bonklink", 1, use_pipe=True, pipe_name=name, patience=10.0)
            started(game)
            game.close()
            live = BonkLinkLive([f"pipe://{name}"])
            live.start()
            live.await_connected(10.0)
            live.stop()


def test_a_row_of_nan_watches() -> None:
    with hosting(level=CALM, hz=60.0, pace=FAST) as (host, port):
        game = games.make("bonklink", 1, port=port)
        observation, flags = started(game)
        for _ in range(10):
            game.step_into(np.full((1, 12), np.nan, np.float32), observation, *flags.arrays())
        assert game.game_state(0).time > 0.0
        assert host.counts.actions == 0
        game.close()


def test_a_token_lets_in_who_knows_it(tmp_path: Any) -> None:
    (tmp_path / "right").write_text("swordfish\n")
    (tmp_path / "wrong").write_text("trout\n")
    with hosting(token="swordfish") as (_, port):
        settings = {"port": port, "protocol": "v2", "patience": 60.0}
        with pytest.raises(GameError, match="token"):
            games.make("bonklink", 1, token_file=str(tmp_path / "wrong"), **settings)
        game = games.make("bonklink", 1, token_file=str(tmp_path / "right"), **settings)
        started(game)
        game.close()


def test_frames_are_shrunk_and_never_enlarged() -> None:
    with hosting() as (_, port):
        game = games.make("bonklink", 1, port=port, pixels=(18, 32))
        observation, _ = started(game)
        assert observation["pixels"].any()
        game.close()
        game = games.make("bonklink", 1, port=port, pixels=(72, 128))
        with pytest.raises(GameError, match="frames are 36x64, smaller than pixels 72x128"):
            started(game)
        game.close()
    with hosting(frames="none") as (_, port):
        game = games.make("bonklink", 1, port=port, pixels=SIZE)
        with pytest.raises(GameError, match="shows no frames"):
            started(game)
        game.close()


def test_places_of_the_configuration_are_the_arenas() -> None:
    config = GameConfig()
    np.testing.assert_allclose(points("", config.offer_places), ARENA)
    assert points("", config.restart_click, 1, 1) == (RESTART,)
    assert points("", "") == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": 0.0}, "patience"),
        ({"pixels": (84, 0)}, "pixels"),
        ({"use_pipe": True, "num_envs": 2}, "use_pipe"),
        ({"port": 65535, "num_envs": 2}, "port"),
        ({"token_file": "/nowhere/at/all"}, "token_file"),
        ({"level": {"reward": {"damage_dealt": 1.0}}}, "damage_dealt"),
        ({"protocl": "v1"}, "did you mean 'protocol'"),
        ({"restart_click": "0.5"}, "restart_click: got '0.5', must be 1 of x,y"),
        ({"restart_click": "0.5,0.4 0.5,0.6"}, "restart_click"),
        ({"restart_click": (0.5, 1.5)}, "restart_click"),
        ({"offer_places": "0.5,0.4 0.5,nan"}, "offer_places: got .* 0 to 8 of x,y"),
        ({"offer_places": " ".join(["0,0"] * 9)}, "offer_places"),
        ({"offer_places": "left,right"}, "offer_places"),
    ],
)
def test_what_cannot_be_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        games.make("bonklink", **{"num_envs": 1, **settings})
