"""cli/host.py: a game is there for who plays it, and ends in order."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metabonk import machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

from metabonk import games
from metabonk.games.batch import allocate
from metabonk.games.source import Flags
from metabonk.link.bonklink import Server

Run = Callable[..., "tuple[int, str, str]"]
HANG_SECONDS = 120.0


def host(*words: object) -> subprocess.Popen[str]:
    """The verb as a process that says where it is before it is handed out."""
    start = "from metabonk.cli.main import run; run()"
    command = [sys.executable, "-c", start, "host", *map(str, words)]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("METABONK_")}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    )
    threading.Timer(HANG_SECONDS, process.kill).start()
    return process


def test_it_counts_what_was_played_and_leaves_nothing(tmp_path: Path) -> None:
    process = host(
        *("--research", "--locked", "--research-dir", tmp_path),
        *("--size", "24x32", "--hz", 15, "--json"),
    )
    assert process.stderr is not None
    assert "arena at" in process.stderr.readline()
    game = games.make("research_shm", 1, research_dir=str(tmp_path))
    observation, flags = allocate(game.observation_space, 1), Flags(1)
    game.reset_into(observation, [0])
    for _ in range(25):
        game.step_into(np.zeros((1, 6), np.float32), observation, *flags.arrays())
    game.close()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 0
    found = json.loads(out)
    assert found["game"] == "arena"
    assert found["host"]["actions"] == 25
    assert found["link"]["observations"] == found["host"]["moments"]
    assert not list(tmp_path.iterdir())


def test_a_killed_host_is_noticed_and_its_successor_played() -> None:
    """What it shared memory by is gone, and the agent goes on with whoever is there next."""
    words = ("--locked", "--size", "24x32", "--hz", 15)
    first = host(*words, "--port", 0)
    assert first.stderr is not None
    told = first.stderr.readline()
    port = int(re.findall(r"tcp://127\.0\.0\.1:(\d+)", told)[0])
    game = games.make("bonklink", 1, port=port, pixels=(24, 32), patience=HANG_SECONDS)
    observation, flags = allocate(game.observation_space, 1), Flags(1)
    game.reset_into(observation, [0])
    idle = np.zeros((1, 12), np.float32)
    game.step_into(idle, observation, *flags.arrays())
    assert list(Path("/dev/shm").glob(f"*host-{first.pid}-*"))
    first.kill()
    first.wait()
    second = host(*words, "--port", port)
    game.step_into(idle, observation, *flags.arrays())
    game.reset_into(observation, [7])
    assert game.game_state(0).run_seed == 7
    assert game.counters(0)["losses"] == 1
    assert not list(Path("/dev/shm").glob(f"*host-{first.pid}-*"))
    game.close()
    second.send_signal(signal.SIGTERM)
    _, said = second.communicate()
    assert second.returncode == 0, said
    assert not list(Path("/dev/shm").glob(f"*host-{second.pid}-*"))


def test_it_ends_by_itself_after_the_time_given(metabonk: Run, tmp_path: Path) -> None:
    code, out, err = metabonk(
        "host", "--research", "--research-dir", tmp_path, "--seconds", 0.2, "--speed", 10
    )
    assert code == 0
    assert "research v1" in err
    assert "moments" in out
    assert "held" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--hz", "45"], "hz: arena has 60 ticks a second"),
        (["--game", "grid64/key_door"], "cannot be hosted"),
        (["--size", "24"], "--size 24"),
        (["--restart", "never"], "restart"),
        (["--speed", "0"], "speed"),
        (["--level", "nowhere.json"], "nowhere.json"),
        (["--token-file", "/dev/null"], "empty"),
        (["--pipe", "a/b"], "pipe:// wants a NAME"),
    ],
)
def test_what_cannot_be_is_named(
    metabonk: Run, tmp_path: Path, words: list[str], message: str
) -> None:
    where = [] if "--pipe" in words else ["--port", 0]
    code, _, err = metabonk("host", *where, *words, "--seconds", 0.1)
    assert code == 2
    assert message in err


def test_where_nobody_can_listen_the_option_is_named_with_the_remedy(
    metabonk: Run, tmp_path: Path
) -> None:
    name = f"metabonk-test-{os.getpid()}"
    with Server("tcp://127.0.0.1:0") as held, Server(f"pipe://{name}"):
        port = held.address.rpartition(":")[2]
        secret = tmp_path / "secret"
        secret.write_text("x")
        for words, remedy in (
            (["--host", "192.0.2.1", "--port", "0"], "not this machine's: give"),  # is nobody's
            (["--host", "no.such.name.invalid", "--port", "0"], "not known here: give a number"),
            (["--port", port], "its port is taken: end who listens there, or give another, 0 for"),
            (["--pipe", name], "its path is taken: end who listens there, or give another path or"),
        ):
            code, _, err = metabonk("host", *words, "--token-file", secret, "--seconds", 0.1)
            assert code == 2
            assert " ".join(map(str, words)) in err
            assert remedy in err
