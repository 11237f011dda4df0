"""scripts/start_cognitive_server.sh and train_with_system2.sh: who is started, told, and ended.

The scripts are run for real beside a `metabonk` that writes down its words and plays its part.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
NAMES = ("start_cognitive_server.sh", "train_with_system2.sh")
HANG_SECONDS = 60.0

# Files in $STATE say how it behaves: vlm-ends, server-ends (with that status), loading (a model),
# drains (the server, so many seconds), plays (until it is interrupted).
FAKE = """#!/usr/bin/env bash
echo "$*" >> "$STATE/said"
case "$1 ${2:-}" in
  "serve vlm")
    case "$*" in *--asked-by*)
      printf 'backend.chain=openai,rules\\nbackend.url=http://127.0.0.1:30001\\n'
      printf 'backend.key_file=%s/my key\\nbackend.wait=60\\n' "$STATE"
      exit 0 ;;
    esac
    trap 'echo "vlm ended" >> "$STATE/said"; exit 0' TERM
    echo "vlm: $$" >> "$STATE/said"
    [ -e "$STATE/vlm-ends" ] && exit "$(cat "$STATE/vlm-ends")"
    while true; do sleep 0.05; done ;;
  "serve cognitive")
    for word in "$@"; do echo "word: $word" >> "$STATE/said"; done
    [ -e "$STATE/server-ends" ] && exit "$(cat "$STATE/server-ends")"
    exec "$PYTHON" "$STATE/server.py" "$@" ;;
  "play --policy")
    [ -e "$STATE/plays" ] || exit 0
    trap 'echo "play ended" >> "$STATE/said"; exit 0' INT
    echo "play: $$" >> "$STATE/said"
    while true; do sleep 0.05; done ;;
  "cognition distil") mkdir -p "$5" ;;
esac
"""

# The cognitive server: writes down which signals it heard, and says whether agents should come.
SERVER = """
import http.server, os, pathlib, signal, sys, time

state, words = pathlib.Path(os.environ["STATE"]), sys.argv[1:]

def say(line):
    with (state / "said").open("a") as file:
        file.write(line + "\\n")

def hear(number, frame):
    say("server heard " + signal.Signals(number).name)
    if (state / "drains").exists():
        time.sleep(float((state / "drains").read_text()))
    say("server ended")
    os._exit(0)

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 503 if self.path == "/readyz" and (state / "loading").exists() else 200
        say(f"page: {self.path} {status}")
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, hear)
say(f"server: {os.getpid()}")
if "--http" in words:
    host, _, port = words[words.index("--http") + 1].rpartition(":")
    http.server.HTTPServer((host, int(port)), Page).serve_forever()
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a script with words; what `metabonk` heard is in state/said."""
    scripts, state = tmp_path / "scripts", tmp_path / "state"
    scripts.mkdir()
    state.mkdir()
    for name in NAMES:
        shutil.copy(SCRIPTS / name, scripts / name)
    fake = scripts / "metabonk"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    (state / "server.py").write_text(SERVER)

    def go(name: str, *words: str, **more: str) -> subprocess.Popen[str]:
        told = ("METABONK_COGNITIVE_SERVER_URL", *more)
        environment = {
            k: v for k, v in os.environ.items()
            if k in told or not k.startswith(("METABONK_", "OUT", "HTTP"))
        }  # fmt: skip
        return subprocess.Popen(
            ["bash", scripts / name, *words], cwd=tmp_path, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            env={**environment, "STATE": str(state), "PYTHON": sys.executable, **more},
        )  # fmt: skip

    return go


def said(tmp_path: Path) -> list[str]:
    path = tmp_path / "state/said"
    return path.read_text().splitlines() if path.exists() else []


def _begins(one: str, line: str) -> bool:
    return one.startswith(line) if line.endswith(": ") else one == line


def wait_for(tmp_path: Path, line: str) -> list[str]:
    end = time.monotonic() + HANG_SECONDS
    while not any(_begins(one, line) for one in said(tmp_path)):
        assert time.monotonic() < end, said(tmp_path)
        time.sleep(0.02)
    return said(tmp_path)


Start = Callable[..., subprocess.Popen[str]]


def test_the_cognitive_server_is_told_where_the_model_server_is(
    start: Start, tmp_path: Path
) -> None:
    """Its port, its key and how long it may load come from its settings; own words come later."""
    process = start("start_cognitive_server.sh", "--vlm", "my vlm.toml", "--set", "backend.wait=5")
    wait_for(tmp_path, "vlm: ")  # which takes signals from then on
    lines = wait_for(tmp_path, "server: ")
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANG_SECONDS) == 143
    words = [line.removeprefix("word: ") for line in lines if line.startswith("word: ")]
    assert words == [
        "serve", "cognitive", "--set", "backend.chain=openai,rules",
        "--set", "backend.url=http://127.0.0.1:30001",
        "--set", f"backend.key_file={tmp_path}/state/my key", "--set", "backend.wait=60",
        "--set", "backend.wait=5",
    ]  # fmt: skip
    assert "serve vlm --config my vlm.toml" in lines
    ended = [line for line in said(tmp_path) if line.endswith(" ended")]
    assert ended == ["server ended", "vlm ended"], "what is under way is answered first"


@pytest.mark.parametrize(("status", "told"), [("2", 2), ("0", 1)])
def test_without_its_model_server_it_ends(
    start: Start, tmp_path: Path, status: str, told: int
) -> None:
    """One that is not installed ends at once: nobody waits twenty minutes for it."""
    (tmp_path / "state/vlm-ends").write_text(status)
    process = start("start_cognitive_server.sh", "--vlm", "vlm.toml")
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == told
    assert f"the model server has ended (status {status})" in err


def test_a_cognitive_server_that_ends_takes_its_model_server_along(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "state/server-ends").write_text("2")
    process = start("start_cognitive_server.sh", "--vlm", "vlm.toml")
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 2
    assert "the model server has ended" not in err
    pids = [line.removeprefix("vlm: ") for line in said(tmp_path) if line.startswith("vlm: ")]
    assert not any(Path("/proc", pid).exists() for pid in pids)


def heard(tmp_path: Path) -> list[str]:
    """What its end was, line by line, of who plays, the server and the model server."""
    return [one for one in said(tmp_path) if " heard " in one or one.endswith(" ended")]


DRAINED = ["server heard SIGTERM", "server ended", "vlm ended"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_terminal_reaches_the_script_alone(
    start: Start, tmp_path: Path, number: int, status: int
) -> None:
    """Its Ctrl-C goes to the whole group: servers would hear it twice, and not drain."""
    (tmp_path / "state/drains").write_text("0.3")
    process = start("start_cognitive_server.sh", "--vlm", "vlm.toml")
    wait_for(tmp_path, "vlm: ")
    wait_for(tmp_path, "server: ")
    os.killpg(process.pid, number)
    assert process.wait(HANG_SECONDS) == status
    assert heard(tmp_path) == DRAINED


def test_agents_are_played_to_their_end_before_their_server_ends(
    start: Start, port: int, tmp_path: Path
) -> None:
    """What came of their last decisions goes to it after Ctrl-C."""
    (tmp_path / "state/plays").touch()
    process = start("train_with_system2.sh", "runs/long", "--vlm", "vlm.toml")
    wait_for(tmp_path, "play: ")
    wait_for(tmp_path, "vlm: ")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(HANG_SECONDS) == 130
    assert heard(tmp_path) == ["play ended", *DRAINED]
    assert distilled(tmp_path) == []


def test_asked_again_it_hurries(start: Start, tmp_path: Path) -> None:
    """A server that drains for a minute hears a second Ctrl-C."""
    (tmp_path / "state/server.py").write_text(
        SERVER.replace("os._exit(0)", 'say("told") or time.sleep(60) or os._exit(0)')
    )
    process = start("start_cognitive_server.sh", "--vlm", "vlm.toml")
    wait_for(tmp_path, "vlm: ")
    wait_for(tmp_path, "server: ")
    os.killpg(process.pid, signal.SIGINT)
    lines = wait_for(tmp_path, "told")
    os.killpg(process.pid, signal.SIGINT)
    end = time.monotonic() + HANG_SECONDS
    while said(tmp_path).count("server heard SIGTERM") < 2:
        assert time.monotonic() < end
        time.sleep(0.02)
    (pid,) = [one.removeprefix("server: ") for one in lines if one.startswith("server: ")]
    os.kill(int(pid), signal.SIGKILL)
    assert process.wait(HANG_SECONDS) == 130
    assert heard(tmp_path)[-1] == "vlm ended"


def free_port() -> int:
    """One whose next one is free as well: the page's."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Where agents ask, by the variable."""
    found = free_port()
    monkeypatch.setenv("METABONK_COGNITIVE_SERVER_URL", f"tcp://127.0.0.1:{found}")
    return found


def distilled(tmp_path: Path) -> list[list[str]]:
    return [one.split() for one in said(tmp_path) if one.startswith("cognition distil")]


def test_learning_again_finds_room_for_what_it_learns(
    start: Start, port: int, tmp_path: Path
) -> None:
    """The log goes on; sessions and policies have names of their own."""
    for number in range(2):
        process = start("train_with_system2.sh", "runs/long", MINUTES="0.1")
        out, err = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 0, err
        assert len(distilled(tmp_path)) == number + 1
        assert distilled(tmp_path)[number][4] in out
        time.sleep(1.1)  # names have seconds
    first, second = distilled(tmp_path)
    assert first[2] == second[2] == "runs/system2/decisions"
    assert first[4] != second[4]
    assert said(tmp_path).count("server ended") == 2


def served(tmp_path: Path) -> list[str]:
    """The words of the server that was started, if one was."""
    return [one for one in said(tmp_path) if one.startswith("serve cognitive")]


@pytest.mark.parametrize("told", [False, True])
def test_the_server_is_started_where_agents_ask(
    start: Start, port: int, tmp_path: Path, told: bool
) -> None:
    page = f"127.0.0.1:{free_port()}" if told else ""
    process = start("train_with_system2.sh", "runs/long", "--backend", "rules", HTTP=page)
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, err
    http = page or f"127.0.0.1:{port + 1}"
    assert served(tmp_path) == [
        f"serve cognitive --backend rules --bind tcp://127.0.0.1:{port} --http {http} "
        "--directory runs/system2/decisions"
    ]
    assert "page: /readyz 200" in said(tmp_path), "which says whether agents should come"


def wait_out(process: subprocess.Popen[str]) -> str:
    """What it said, of one that ended well."""
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, err
    return err


def test_nobody_plays_while_the_model_loads(start: Start, port: int, tmp_path: Path) -> None:
    """Rules would answer, and teach."""
    loading = tmp_path / "state/loading"
    loading.touch()
    process = start("train_with_system2.sh", "runs/long", "--vlm", "vlm.toml")
    wait_for(tmp_path, "page: /readyz 503")
    time.sleep(3.5)
    assert not any(one.startswith("play") for one in said(tmp_path))
    loading.unlink()
    assert "of 1800 s; agents play when it is ready" in wait_out(process)
    lines = said(tmp_path)
    (played,) = [n for n, one in enumerate(lines) if one.startswith("play --policy")]
    assert lines.index("page: /readyz 200") < played


@pytest.mark.parametrize("words", [["--vlm", "vlm.toml"], ["--backend", "openai,rules"], []])
def test_who_teaches_is_not_guessed_from_words(
    start: Start, port: int, tmp_path: Path, words: list[str]
) -> None:
    """A file or a variable may name a model as well: the log says whether one decided."""
    wait_out(start("train_with_system2.sh", "runs/long", *words))
    assert [one[5:] for one in distilled(tmp_path)] == [[]]


def test_a_model_that_never_loads_is_given_up(start: Start, port: int, tmp_path: Path) -> None:
    (tmp_path / "state/loading").touch()
    process = start("train_with_system2.sh", "runs/long", "--vlm", "vlm.toml", LOAD="2")
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 1
    assert "is not ready after" in err
    assert heard(tmp_path) == DRAINED
    assert not any(one.startswith("play") for one in said(tmp_path))
    process = start("train_with_system2.sh", "runs/long", LOAD="a while", OUT="other")
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 2
    assert "LOAD=a while: wanted whole seconds" in err


def played_alone(process: subprocess.Popen[str], tmp_path: Path) -> None:
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, err
    assert "nothing is distilled" in err
    assert any(line.startswith("play --policy runs/long --live") for line in said(tmp_path))
    assert distilled(tmp_path) == []
    assert served(tmp_path) == []


def test_beside_another_server_nothing_is_distilled(
    start: Start, port: int, tmp_path: Path
) -> None:
    """Not an older log of ours either, which has nothing of this session."""
    (tmp_path / "runs/system2/decisions").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", port)):
        played_alone(start("train_with_system2.sh", "runs/long"), tmp_path)
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(path))
        there.listen()
        url = f"ipc://{path}"
        again = start("train_with_system2.sh", "runs/long", METABONK_COGNITIVE_SERVER_URL=url)
        played_alone(again, tmp_path)


def test_for_a_server_of_another_machine_none_is_started(start: Start, tmp_path: Path) -> None:
    url = {"METABONK_COGNITIVE_SERVER_URL": "tcp://server.example.org:5555"}
    played_alone(start("train_with_system2.sh", "runs/long", **url), tmp_path)
    process = start("train_with_system2.sh", "runs/long", "--vlm", "vlm.toml", OUT="b", **url)
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 2
    assert "--vlm vlm.toml is not for it" in err


def test_another_servers_page_is_not_taken_for_its_own(
    start: Start, port: int, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", port + 1)):
        process = start("train_with_system2.sh", "runs/long")
        _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 2
    assert f"127.0.0.1:{port + 1} is taken" in err
    assert "set another HTTP" in err
    assert said(tmp_path) == []


@pytest.mark.parametrize("url", ["tcp://localhost:", "tcp://127.0.0.1:x", "tcp://[::1]:*"])
def test_an_address_without_a_port_is_told(start: Start, tmp_path: Path, url: str) -> None:
    process = start("train_with_system2.sh", "runs/long", METABONK_COGNITIVE_SERVER_URL=url)
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 2
    assert f"METABONK_COGNITIVE_SERVER_URL={url}: wanted tcp://HOST:PORT" in err
    assert said(tmp_path) == []


# What plays asks one question where agents are told to; all else is the real command line.
PLAYS = """#!/usr/bin/env bash
case "$1" in
  play) exec "$PYTHON" -c '
import os
from peers import Peer
with Peer(os.environ["METABONK_COGNITIVE_SERVER_URL"]) as peer:
    peer.hello()
    assert peer.ask().status == "ok"' ;;
  cognition)
    exec "$PYTHON" -c '
import sys
from metabonk.cognition.log import journal
(count,), = journal.open_readonly(sys.argv[1]).execute("SELECT count(*) FROM decisions")
print("decisions:", count)' "$3" ;;
  *) exec "$PYTHON" -c 'from metabonk.cli.main import run; run()' "$@" ;;
esac
"""


@pytest.mark.parametrize("kind", ["tcp", "ipc", "vlm"])
def test_the_log_that_is_learned_from_has_what_was_played(
    start: Start, port: int, tmp_path: Path, kind: str
) -> None:
    """With the real server: agents ask the one whose log is distilled, and a model that loads."""
    (tmp_path / "scripts/metabonk").write_text(PLAYS)
    where = {"HTTP": f"127.0.0.1:{port + 1}"}
    if kind == "ipc":
        where["METABONK_COGNITIVE_SERVER_URL"] = f"ipc://{tmp_path}/s"
    words = ["runs/long"]
    if kind == "vlm":
        (tmp_path / "vlm.toml").write_text(
            f'[vlm]\nengine = "stand-in"\nport = {free_port()}\nlog = "{tmp_path}/log"\n'
            'arguments = "--loading 1 --latency 1"\n'
        )
        words += ["--vlm", "vlm.toml"]
    path = os.pathsep.join(
        [str(SCRIPTS.parent / "tests/cognition"), os.environ.get("PYTHONPATH", "")]
    )
    process = start("train_with_system2.sh", *words, PYTHONPATH=path, **where)
    out, err = process.communicate(timeout=2 * HANG_SECONDS)
    assert process.returncode == 0, err
    assert "decisions: 1\n" in out


def test_what_is_there_already_is_said_before_anything_is_played(
    start: Start, tmp_path: Path
) -> None:
    now = time.time()
    for seconds in range(-2, 60):
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now + seconds))
        (tmp_path / f"old/policy-{stamp}").mkdir(parents=True)
    process = start("train_with_system2.sh", "runs/long", OUT="old")
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 2
    assert "is there already: set another OUT" in err
    assert said(tmp_path) == []
