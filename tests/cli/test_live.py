"""cli/live.py, why.py and `replay RUN:TICK`: a session from the command line to its explanation."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from metabonk import artifact
from metabonk.errors import ConfigError
from metabonk.play import certificate, proof

Metabonk = Callable[..., Any]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sys.path.insert(0, str(Path(__file__).parent.parent / "play"))
    from networks import arena_pilot

    from metabonk.play.compiled import compile

    path = tmp_path_factory.mktemp("live") / "policy"
    compile(arena_pilot(), batch=1, sampled=True, seed=5).save(path)
    return path


@pytest.fixture(scope="module")
def session(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proof of 60 ticks: too few to certify, enough to explain."""
    from metabonk.cli.main import run

    to = tmp_path_factory.mktemp("session") / "s"
    words = ["play", "--policy", policy, "--proof", 60, "--hz", 200, "--cpu", -1, "--out", to]
    with pytest.raises(SystemExit) as ended:
        run([str(word) for word in [*words, "--json"]])
    assert ended.value.code in (0, None, 1)  # 1: the machine was busy and a deadline was missed
    return to


def decided_in(session: Path) -> int:
    """A tick in which something was decided: on a busy machine not every one is."""
    from metabonk.play.ledger import Gate, read_ledger

    ticks = read_ledger(session).ticks
    return int(ticks["tick"][(ticks["gate"] & Gate.DECIDED) != 0][-1])


def test_a_proof_leaves_a_report_and_a_trace(session: Path, policy: Path) -> None:
    report = msgspec.json.decode((session / "report.json").read_bytes(), type=proof.Report)
    assert report.ticks >= 60  # more if the last of them were skipped
    assert report.latency.count <= report.agents[0].decided
    assert sum(report.latency.bins) == report.latency.count
    assert report.max_p99 == proof.default_p99("arena", 1, 200.0)
    assert report.granted["cpu"] == report.reference_granted["cpu"]
    trace = json.loads((session / "trace.json").read_bytes())
    assert any(event["ph"] == "X" for event in trace["traceEvents"])
    assert certificate.certificates(artifact.load(policy).card) == []  # 60 ticks earn none


def test_a_proof_says_what_kept_it_from_passing(
    session: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from metabonk.cli.proof_table import show_report

    report = msgspec.json.decode((session / "report.json").read_bytes(), type=proof.Report)
    assert report.passed == (not report.failures)
    why = ("agent 3 decided in nothing", "the policy refused everything")
    show_report(msgspec.structs.replace(report, failures=why, passed=False))
    said = capsys.readouterr().out
    assert "failed:" in said
    assert all(f"- {one}" in said for one in why)
    good = msgspec.structs.replace(report, failures=(), passed=True, alike=True)
    show_report(good)
    said = capsys.readouterr().out
    assert "\n- " not in said
    assert "may take 2 ms" in said
    assert proof.UNLIKE not in said
    show_report(msgspec.structs.replace(good, alike=False, max_p99=0.0))
    said = capsys.readouterr().out
    assert proof.UNLIKE in said
    assert "may take" not in said


def test_why_says_where_an_action_came_from(metabonk: Metabonk, session: Path) -> None:
    tick = decided_in(session)
    said = metabonk("why", f"{session}:{tick}", "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["tick"] == tick
    assert found["decided by"]["policy"] == found["decided by"]["policy"].lower()
    assert len(found["sent"]["move"]) == 2
    text = metabonk("why", f"{session}:{tick}")
    assert "capture to action" in text.out
    assert found["decided by"]["policy"][:16] in text.out


def test_why_does_not_take_a_hand_over_for_what_left(session: Path) -> None:
    """A thread of the link sends later than that; no ledger says when."""
    from metabonk.cli.why import explain
    from metabonk.play.session import Session

    here = Session.open(session)
    elsewhere = Session(session, msgspec.structs.replace(here.setup, game="bonklink"))
    tick, times = decided_in(session), "times, ms after the planned start"
    arena, bonklink = (explain(one, tick, 0)[times] for one in (here, elsewhere))
    assert arena["capture to action"] == bonklink["capture to hand-over"] > 0.0
    assert "capture to action" not in bonklink


def test_a_tick_that_is_not_there_is_an_error(metabonk: Metabonk, session: Path) -> None:
    said = metabonk("why", f"{session}:99999")
    assert said.code == 2
    assert "no tick 99999" in said.err
    assert "no tick 99999" in metabonk("replay", f"{session}:99999").err
    assert metabonk("why", session).code == 2
    assert "RUN:TICK" in metabonk("why", session).err


def test_replay_decides_a_tick_again(metabonk: Metabonk, session: Path) -> None:
    tick = decided_in(session)
    said = metabonk("replay", f"{session}:{tick}", "--json")
    assert said.code == 0, said.err
    why = json.loads(metabonk("why", f"{session}:{tick}", "--json").out)
    found = json.loads(said.out)
    assert found["action"]["move"] == pytest.approx(why["sent"]["move"])
    assert found["artifact"] == why["decided by"]["policy"]
    assert "bit for bit" in metabonk("replay", f"{session}:{tick}").out


def test_a_run_means_its_newest_session(metabonk: Metabonk, session: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(session, tmp_path / "run" / "live" / "1")
    assert metabonk("why", f"{tmp_path / 'run'}:{decided_in(session)}").code == 0
    said = metabonk("why", f"{tmp_path}:100")
    assert said.code == 2
    assert "holds no session" in said.err


def test_live_refuses_a_policy_without_a_certificate(
    metabonk: Metabonk, policy: Path, tmp_path: Path
) -> None:
    words = ["play", "--policy", policy, "--live", "--seconds", 0.3, "--cpu", -1]
    said = metabonk(*words, "--out", tmp_path / "a")
    assert said.code == 2
    assert "no latency certificate" in said.err
    assert not (tmp_path / "a").exists()
    told = metabonk(*words, "--out", tmp_path / "a", "--uncertified", "--json")
    assert told.code == 0, told.err
    assert "no latency certificate" in told.err
    assert json.loads(told.out)["agents"][0]["ticks"] > 0


def test_live_takes_a_policy_with_a_certificate(
    metabonk: Metabonk, policy: Path, tmp_path: Path
) -> None:
    import shutil

    from metabonk import machine

    certified = tmp_path / "certified"
    shutil.copytree(policy, certified)
    made = certificate.Certificate(
        game="arena", hz=60.0, ticks=10_000, agents=1, decided=1.0, missed=0, excused=0,
        reference_missed=0, latency_p50=0.0, latency_p99=0.0, latency_p999=0.0, latency_max=0.0,
        worst_p99=1.5e-3, max_p99=2e-3, alike=True,
        lateness_p99=0.0, lateness_max=0.0, priority=0, loads=(),
        processor=machine.processor(), tier="",
    )  # fmt: skip
    certificate.add(certified, made)
    words = ["play", "--policy", certified, "--live", "--seconds", 0.3, "--cpu", -1]
    said = metabonk(*words, "--out", tmp_path / "s")
    assert said.code == 0, said.err
    assert "decided" in said.out
    sooner = metabonk(*words, "--max-p99", 1, "--out", tmp_path / "t")
    assert sooner.code == 2
    assert "its 1.500 ms from capture to action" in sooner.err
    faster = metabonk(*words, "--hz", 120, "--out", tmp_path / "t")
    assert faster.code == 2
    assert "not of 120" in faster.err
    elsewhere = metabonk(*words, "--game", "bonklink", "--out", tmp_path / "t")
    assert elsewhere.code == 2
    assert "of arena, not of bonklink" in elsewhere.err
    certificate.add(certified, msgspec.structs.replace(made, hz=120.0, priority=20))
    real_time = metabonk(*words, "--hz", 120, "--out", tmp_path / "t")
    assert real_time.code == 2
    assert "of real-time priority 20, this loop has none" in real_time.err


@pytest.mark.parametrize("player", ["scripted", "random"])
def test_live_refuses_players_that_no_certificate_can_be_of(
    metabonk: Metabonk, tmp_path: Path, player: str
) -> None:
    words = ["play", "--policy", player, "--live", "--seconds", 0.3, "--cpu", -1]
    said = metabonk(*words, "--out", tmp_path / "s")
    assert said.code == 2
    assert f"--policy {player} decides on a thread of Python" in said.err
    assert "--uncertified" in said.err
    assert not (tmp_path / "s").exists()


def test_players_in_python_play_live_too(metabonk: Metabonk, tmp_path: Path) -> None:
    words = ["play", "--policy", "scripted", "--live", "--seconds", 0.5, "--cpu", -1, "--json"]
    said = metabonk(*words, "--uncertified", "--out", tmp_path / "s")
    assert said.code == 0, said.err
    assert "no certificate is given for" in said.err
    assert json.loads(said.out)["agents"][0]["decided"] > 0
    tick = decided_in(tmp_path / "s")
    assert "on a thread of Python" in metabonk("replay", f"{tmp_path / 's'}:{tick}").err


def test_what_was_dropped_is_told_after_live_play(
    metabonk: Metabonk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = {"actions that another took the place of": 1234, "nothing of these": 0}
    monkeypatch.setattr("metabonk.play.proof.drops", lambda live: counted)
    words = ("play", "--policy", "random", "--live", "--uncertified", "--seconds", 0.3, "--cpu", -1)
    said = metabonk(*words, "--out", tmp_path / "s")
    assert said.code == 0, said.err
    assert "1,234" in said.out
    assert "nothing of these" not in said.out


def test_a_killed_session_can_be_explained(policy: Path, tmp_path: Path) -> None:
    from metabonk.play.ledger import TICK, read_ledger
    from metabonk.play.retrace import retrace
    from metabonk.play.session import Session

    to = tmp_path / "s"
    words = ["play", "--policy", policy, "--live", "--uncertified", "--cpu", -1, "--out", to]
    code = f"from metabonk.cli.main import run; run({[str(word) for word in words]!r})"
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60.0
        ledger = to / "ledger.bin"
        while not (ledger.exists() and ledger.stat().st_size > 90 * TICK.itemsize):
            assert child.poll() is None
            assert time.monotonic() < end, "no tick was told"
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()
    ticks = read_ledger(to).ticks
    assert len(ticks) >= 80
    decided = ticks["tick"][(ticks["gate"] & 1) != 0]
    assert retrace(Session.open(to), int(decided[len(decided) // 2])).decisions > 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--live", "--load", "busy"], "only --proof"),
        (["--proof", 100, "--seconds", 3], "leave --seconds out"),
        (["--proof", 100, "--load", "nothing"], "busy, gc and reader"),
        (["--proof", 100, "--frames", "0x0", "--load", "reader"], "no frame ring"),
        (["--proof", 100, "--frames", "big"], "--frames big"),
        (["--live", "--uncertified", "--game", "grid64/t_maze"], "not played live"),
        (["--proof", 100, "--max-p99", -1], "--max-p99 -1: give milliseconds, or 0"),
        (["--live", "--uncertified", "--max-p99", "nan"], "--max-p99 nan: give milliseconds"),
        (
            ["--live", "--uncertified", "--seconds", 0.1, "--record"],
            "--record: only what compiled policies observe is kept, and --policy random is none",
        ),
    ],
)
def test_flags_that_do_not_go_together_are_named(
    metabonk: Metabonk, tmp_path: Path, words: list[Any], said: str
) -> None:
    found = metabonk("play", "--policy", "random", *words, "--out", tmp_path / "s")
    assert found.code == 2
    assert said in found.err


def test_a_plain_v1_game_is_read_as_where_policies_learn(
    metabonk: Metabonk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """v1 does not say which way is up; the other door to the same game has a default."""
    from metabonk.games import bonklink
    from metabonk.play.live_games import BonkLinkLive

    takes = inspect.signature(BonkLinkLive)
    asked: list[Any] = []

    def made(*given: Any) -> Any:
        asked.extend(given)
        raise ConfigError("far enough")

    monkeypatch.setattr("metabonk.play.live_games.BonkLinkLive", made)
    words = ("play", "--game", "bonklink", "--policy", "scripted", "--live", "--uncertified")
    assert "far enough" in metabonk(*words, "--out", tmp_path / "s").err
    told = takes.bind(*asked).arguments
    assert told["addresses"] == ["tcp://127.0.0.1:5555"]
    assert told["priority"] == 0
    asked.clear()
    assert "far enough" in metabonk(*words, "--realtime", 20, "--out", tmp_path / "t").err
    assert takes.bind(*asked).arguments["priority"] == 19  # just below the loop's
    assert told["axes"] == inspect.signature(bonklink.make).parameters["axes"].default


def test_shared_memory_is_played_live(metabonk: Metabonk, tmp_path: Path) -> None:
    import threading

    import numpy as np

    from metabonk.link.research_shm import Event, ResearchGame, path_of

    game, over = ResearchGame(path_of("0", tmp_path), (8, 12)), threading.Event()

    def serve() -> None:
        step = 0
        while not over.is_set():
            answer = game.wait(0.05)
            if answer is Event.TIMEOUT:
                continue
            step = 0 if isinstance(answer, Event) else step + 1
            game.publish(np.zeros((8, 12, 3), np.uint8), 0.0, False, step, 16 * step)

    thread = threading.Thread(target=serve)
    thread.start()
    words = ["play", "--game", "research_shm", "--live", "--seconds", 0.5, "--cpu", -1]
    words += ["--uncertified"]
    words += ["--set", f"game.research_dir={tmp_path}", "--out", tmp_path / "s", "--json"]
    try:
        said = metabonk(*words, "--policy", "random")
    finally:
        over.set()
        thread.join()
        game.close()
    assert said.code == 0, said.err
    counts = json.loads(said.out)
    assert counts["agents"][0]["decided"] > 0
    assert counts["game"]["actions"] > 0
    blind = metabonk(*words, "--policy", "scripted")
    assert blind.code == 2
    assert "this policy reads none" in blind.err


def test_play_prints_json(metabonk: Metabonk, tmp_path: Path) -> None:
    level = tmp_path / "short.json"
    level.write_text(json.dumps({"time": {"duration": 1.0}}))
    film = tmp_path / "a.gif"
    said = metabonk("play", "--level", level, "--video", film, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["video"] == str(film)
    assert found["frames"] > 0
    assert found["episodes"][0]["decisions"] > 0
