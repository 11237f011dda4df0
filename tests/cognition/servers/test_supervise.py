"""supervise.py: processes that are waited for, kept running and ended; their logs."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from watched import QUICK, Watched, free_port, run, stand_in

from metabonk.cognition.servers.standin import StandIn
from metabonk.cognition.servers.supervise import Patience, Supervisor
from metabonk.cognition.servers.vlm import Command
from metabonk.errors import BackendError


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_is_waited_for_restarted_and_ended_in_order(tmp_path: Path) -> None:
    async def go() -> None:
        port = free_port()
        watched = Watched([stand_in(port, "--loading", "0.1")], tmp_path / "logs" / "engine.log")
        task = asyncio.create_task(watched.supervisor.run())
        await watched.until(lambda: watched.said("ready") == 1)
        (first,) = watched.pids()
        os.kill(first, signal.SIGKILL)
        await watched.until(lambda: watched.said("ready") == 2)
        ended = next(event for event in watched.events if event.what == "ended")
        assert ended.text == "model ended (killed by SIGKILL)"
        (second,) = watched.pids()
        os.kill(second, signal.SIGSTOP)  # it is there, and does not answer any more
        await watched.until(lambda: watched.said("unresponsive") == 1)
        await watched.until(lambda: watched.said("ready") == 3)
        (third,) = watched.pids()
        watched.supervisor.stop()
        await task
        assert watched.events[-1].what == "stopped"
        assert watched.supervisor.restarts == 2
        assert not any(alive(pid) for pid in (first, second, third))

    run(go())


def test_an_end_is_noticed_when_it_happens_and_not_at_the_next_look(tmp_path: Path) -> None:
    async def go() -> None:
        server = StandIn()
        url = await server.start()
        command = Command("model", ("/bin/sleep", "600"), f"{url}/ready")
        rarely = Patience(look=3600.0, first_pause=0.01)
        watched = Watched([command], tmp_path / "log", rarely)
        task = asyncio.create_task(watched.supervisor.run())
        await watched.until(lambda: watched.said("ready") == 1)
        os.kill(watched.pids()[0], signal.SIGKILL)
        await watched.until(lambda: watched.said("ready") == 2)
        assert watched.said("ended") == watched.supervisor.restarts == 1
        watched.supervisor.stop()  # nor is an order kept waiting
        await task
        await server.stop()

    run(go())


def test_what_never_comes_up_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    words = ("/bin/sh", "-c", "echo no such model; exit 3")
    watched = Watched([Command("model", words, "http://127.0.0.1:1/ready")], tmp_path / "log")
    with pytest.raises(BackendError, match=r"exit status 3.*3 times") as error:
        run(watched.supervisor.run())
    assert "no such model" in str(error.value)
    assert watched.said("starting") == 3
    pauses = [event.seconds for event in watched.events if event.what == "restarting"]
    assert pauses == [0.01, 0.02]


@pytest.mark.parametrize("before", [0, 10_000])
def test_last_words_do_not_say_the_key(tmp_path: Path, before: int) -> None:
    """Engines tell their settings as they begin; where the tail begins amid a key, too."""
    key = "s3cret-" + "k" * 1000
    say = f"printf '%{before}s\n' x; echo api-key={key} model=none; echo {key}; exit 3"
    commands = [Command("model", ("/bin/sh", "-c", say), "http://127.0.0.1:1/ready")]
    supervisor = Supervisor(commands, tmp_path / "log", key=key, patience=QUICK)
    with pytest.raises(BackendError) as error:
        run(supervisor.run())
    assert "kkk" not in str(error.value)
    assert "api-key=(the key) model=none" in str(error.value)


def test_what_cannot_be_run_is_an_error_at_once(tmp_path: Path) -> None:
    watched = Watched(
        [Command("model", ("/nowhere/python",), "http://127.0.0.1:1/r")], tmp_path / "l"
    )
    with pytest.raises(BackendError, match="/nowhere/python cannot be run"):
        run(watched.supervisor.run())


def test_loading_has_an_end(tmp_path: Path) -> None:
    patience = Patience(load=0.1, look=0.02, grace=5.0, first_pause=0.01, tries=1)
    command = Command("model", ("/bin/sleep", "600"), "http://127.0.0.1:1/ready")
    watched = Watched([command], tmp_path / "log", patience)
    with pytest.raises(BackendError, match=r"did not serve within 0\.1 s"):
        run(watched.supervisor.run())


def test_what_ignores_being_asked_to_end_is_ended(tmp_path: Path) -> None:
    """Its children too: engines leave workers behind."""

    async def go() -> None:
        told = tmp_path / "child"
        script = "trap '' TERM; sleep 600 & echo $! > child; while :; do sleep 0.1; done"
        command = Command(
            "model", ("/bin/sh", "-c", f"cd {tmp_path}; {script}"), "http://127.0.0.1:1/r"
        )
        patience = Patience(load=600.0, look=0.02, grace=0.1)
        watched = Watched([command], tmp_path / "log", patience)
        task = asyncio.create_task(watched.supervisor.run())
        await watched.until(lambda: told.exists() and bool(told.read_text().strip()))
        (pid,) = watched.pids()
        child = int(told.read_text())
        watched.supervisor.stop()
        await task
        assert not alive(pid)
        await watched.until(lambda: not alive(child) or _zombie(child))

    run(go())


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_two_processes_are_one_service(tmp_path: Path) -> None:
    async def go() -> None:
        server = StandIn()
        url = await server.start()
        commands = [
            Command(name, ("/bin/sleep", "600"), f"{url}/ready") for name in ("encoder", "model")
        ]
        watched = Watched(commands, tmp_path / "log")
        task = asyncio.create_task(watched.supervisor.run())
        await watched.until(lambda: watched.said("ready") == 1)
        before = watched.pids()
        os.kill(before[0], signal.SIGTERM)
        await watched.until(lambda: watched.said("ready") == 2)
        assert not set(before) & set(watched.pids())
        assert any(event.text == "encoder ended (killed by SIGTERM)" for event in watched.events)
        watched.supervisor.stop()
        await task
        await server.stop()

    run(go())


@pytest.mark.parametrize("hangs", ["encoder", "model"])
def test_each_process_of_a_service_is_looked_at(tmp_path: Path, hangs: str) -> None:
    """A model whose encoder hangs says of itself that it serves."""

    async def go() -> None:
        names = ("encoder", "model")
        commands = [
            Command(name, one.words, one.ready)
            for name, one in zip(names, (stand_in(free_port()), stand_in(free_port())), strict=True)
        ]
        watched = Watched(commands, tmp_path / "log")
        task = asyncio.create_task(watched.supervisor.run())
        await watched.until(lambda: watched.said("ready") == 1)
        before = watched.pids()
        os.kill(before[names.index(hangs)], signal.SIGSTOP)
        await watched.until(lambda: watched.said("ready") == 2)
        event = next(event for event in watched.events if event.what == "unresponsive")
        assert event.text == f"no answer of {hangs} at /ready, 3 times"
        assert not set(before) & set(watched.pids())
        assert not any(alive(pid) for pid in before)
        watched.supervisor.stop()
        await task

    run(go())


def tried(log: Path) -> None:
    """An engine that ends at once, after which its log is there."""
    words = ("/bin/sh", "-c", "echo api_key=s3cret; exit 3")
    watched = Watched([Command("m", words, "http://127.0.0.1:1/r")], log)
    with pytest.raises(BackendError):
        run(watched.supervisor.run())


@pytest.mark.parametrize("before", ["nothing", "a log", "a huge log"])
def test_a_log_is_its_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """Engines write down how they were started, with the key; one of before may have it already."""
    monkeypatch.setattr("metabonk.cognition.servers.supervise.MOST_LOG", 1000)
    log = tmp_path / "logs" / "log"
    if before != "nothing":
        log.parent.mkdir()
        log.write_text("x" * (2000 if before == "a huge log" else 1))
        log.chmod(0o644)
    tried(log)
    assert "s3cret" in log.read_text()
    found = sorted(path.name for path in log.parent.iterdir())
    assert found == (["log", "log.1"] if before == "a huge log" else ["log"])
    assert {path.stat().st_mode & 0o777 for path in log.parent.iterdir()} == {0o600}


def test_a_log_that_is_no_file_stays_as_it_is(tmp_path: Path) -> None:
    """As /dev/null: everybody on the machine writes there."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    pipe.chmod(0o666)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        supervisor = Supervisor([], pipe)
        with supervisor._open_log():
            assert pipe.stat().st_mode & 0o777 == 0o666
    finally:
        os.close(reader)


def test_a_huge_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metabonk.cognition.servers.supervise.MOST_LOG", 10)
    log = tmp_path / "log"
    log.write_text("x" * 100)
    watched = Watched([Command("m", ("/bin/false",), "http://127.0.0.1:1/r")], log)
    with pytest.raises(BackendError):
        run(watched.supervisor.run())
    assert (tmp_path / "log.1").read_text() == "x" * 100
    assert log.stat().st_size < 100
