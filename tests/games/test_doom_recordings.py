"""What Doom keeps of its episodes, and playing it again."""

from __future__ import annotations

import numpy as np
import pytest
from doom_player import Player, random_rows

pytest.importorskip("vizdoom")

from metabonk import games
from metabonk.config import GameConfig
from metabonk.errors import ConfigError
from metabonk.games import doom_replay


def test_recordings_replay_at_another_size(make, tmp_path):
    game = make("doom/defend_the_center", num_envs=1, record=str(tmp_path / "demos"))
    player = Player(game, [8])
    rng = np.random.default_rng(1)
    seen = [player.observation["variables"][0].copy()]
    done, pressed, total = False, [], 0.0
    while not done:
        rows = random_rows(game, rng)
        player.step(rows)
        pressed.append(rows[0])
        total += float(player.reward[0])
        done = bool(player.terminated[0] or player.truncated[0])
        if not done:
            seen.append(player.observation["variables"][0].copy())
    game.close()
    (path,) = (tmp_path / "demos").glob("*.lmp")
    assert path.name == "000-8-000000.lmp"
    assert path.stat().st_size < 10_000
    tics = list(doom_replay.replay(path, "defend_the_center"))
    assert tics[0].frame.shape == (240, 320, 3)
    names = ["ammo2", "health"]
    replayed = np.array([[t.variables[n] for n in names] for t in tics[::4]], np.float32)
    np.testing.assert_allclose(replayed[: len(seen)] * 0.01, seen, rtol=1e-6)
    assert sum(t.reward for t in tics) == pytest.approx(total)
    for tic, (turn, attack) in zip(tics[::4], pressed, strict=False):
        assert tic.buttons == (turn == 1, turn == 2, attack == 1)


def test_the_configuration_has_doom_record_its_episodes(tmp_path):
    config = GameConfig(name="doom/basic", envs=1, record=str(tmp_path / "demos"))
    game = games.from_config(config)
    player = Player(game, [8])
    player.step(np.zeros((1, 2), np.float32))
    game.reset_into(player.observation, [9])
    game.close()
    assert (tmp_path / "demos" / "000-8-000000.lmp").stat().st_size > 0
    with pytest.raises(ConfigError, match=r"game\.record: arena has no such setting"):
        games.from_config(GameConfig(record=str(tmp_path)))


def test_a_reset_keeps_the_recordings_before_it(make, tmp_path):
    game = make("doom/basic", num_envs=1, record=str(tmp_path))
    kept = {}
    for seed, steps in ((8, 6), (9, 4), (8, 2)):
        player = Player(game, [seed])
        for path, data in kept.items():
            assert path.read_bytes() == data
        for _ in range(steps):
            player.step(np.zeros((1, 2), np.float32))
        game.reset_into(player.observation, [100 + steps])  # the engine writes what ended
        kept = {path: path.read_bytes() for path in tmp_path.glob("*.lmp")}
    assert {p.name for p in kept} >= {
        "000-8-000000.lmp", "000-9-000000.lmp", "000-8-000000-1.lmp"
    }  # fmt: skip
    sizes = [len(kept[tmp_path / f"000-{n}.lmp"]) for n in ("8-000000", "9-000000", "8-000000-1")]
    assert sizes == sorted(sizes, reverse=True)
