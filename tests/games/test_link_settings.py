"""METABONK_* variables of links: they select the game, configure it, and clash where they must."""

from __future__ import annotations

import pytest

from metabonk.config import load
from metabonk.environment import KNOWN
from metabonk.errors import ConfigError


def test_a_switch_selects_the_game_and_flags_win() -> None:
    assert load(environ={"METABONK_USE_BONKLINK": "1"}).game.name == "bonklink"
    assert load(environ={"METABONK_USE_RESEARCH_SHM": "yes"}).game.name == "research_shm"
    for off in ("0", "", "false", "off"):
        assert load(environ={"METABONK_USE_BONKLINK": off}).game.name == "arena"
    chosen = load(environ={"METABONK_USE_BONKLINK": "1"}, flags={"game.name": "grid64/key_door"})
    assert chosen.game.name == "grid64/key_door"


def test_research_shm_wins_over_bonklink() -> None:
    for order in (1, -1):
        names = ("METABONK_USE_BONKLINK", "METABONK_USE_RESEARCH_SHM")[::order]
        assert load(environ=dict.fromkeys(names, "1")).game.name == "research_shm"
    off = {"METABONK_USE_BONKLINK": "1", "METABONK_USE_RESEARCH_SHM": "0"}
    assert load(environ=off).game.name == "bonklink"


def test_a_switch_that_says_neither_and_one_that_contradicts() -> None:
    with pytest.raises(ConfigError, match=r"METABONK_USE_BONKLINK = 'maybe': give 1 or 0"):
        load(environ={"METABONK_USE_BONKLINK": "maybe"})
    with pytest.raises(ConfigError, match=r"both set game\.name"):
        load(environ={"METABONK_USE_BONKLINK": "1", "METABONK_GAME_NAME": "arena"})


def test_where_the_links_are() -> None:
    game = load(
        environ={
            "METABONK_BONKLINK_HOST": "10.0.0.7",
            "METABONK_BONKLINK_PORT": "5561",
            "METABONK_BONKLINK_USE_PIPE": "1",
            "METABONK_BONKLINK_PIPE_NAME": "Other",
            "MEGABONK_RESEARCH_SHM_DIR": "/tmp",
        }
    ).game
    assert (game.host, game.port, game.use_pipe) == ("10.0.0.7", 5561, True)
    assert (game.pipe_name, game.research_dir) == ("Other", "/tmp")
    defaults = {v.name: v.default for v in KNOWN}
    unset = load(environ={}).game
    assert defaults["METABONK_BONKLINK_PORT"] == str(unset.port)
    assert defaults["METABONK_BONKLINK_HOST"] == unset.host
    assert defaults["METABONK_BONKLINK_PIPE_NAME"] == unset.pipe_name
    assert defaults["MEGABONK_RESEARCH_SHM_DIR"] == unset.research_dir


SERVER = "METABONK_COGNITIVE_SERVER_URL"


@pytest.mark.parametrize(
    "environ",
    [
        {SERVER: "tcp://localhost:5555"},
        {SERVER: "tcp://127.0.0.1:5555"},
        {"METABONK_SYSTEM2_ENABLED": "1"},  # both where they are by default
        {SERVER: "tcp://localhost:5560", "METABONK_BONKLINK_PORT": "5560"},
        {SERVER: "tcp://gpu:5555", "METABONK_BONKLINK_HOST": "gpu"},
    ],
)
def test_bonklink_and_the_cognitive_server_on_one_port(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="cognitive server"):
        load(environ={"METABONK_USE_BONKLINK": "1", **environ}, notice=lambda line: None)


@pytest.mark.parametrize(
    "environ",
    [
        {"METABONK_USE_BONKLINK": "1"},
        {"METABONK_USE_BONKLINK": "1", SERVER: "tcp://localhost:5556"},
        {"METABONK_USE_BONKLINK": "1", SERVER: "tcp://gpu:5555"},
        {"METABONK_USE_BONKLINK": "1", SERVER: "tcp://h:5555", "METABONK_BONKLINK_USE_PIPE": "1"},
        {"METABONK_SYSTEM2_ENABLED": "1", SERVER: "tcp://localhost:5555"},  # no BonkLink
    ],
)
def test_ports_that_do_not_clash(environ: dict[str, str]) -> None:
    load(environ=environ, notice=lambda line: None)
