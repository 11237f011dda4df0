"""What verbs refuse before they do anything: flags that would do nothing, numbers out of range,
files that cannot be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metabonk.cli.output import check_target
from metabonk.errors import GameError

Metabonk = Callable[..., Any]
HERE = "leave it out"
HOST = ("host", "--seconds", 0.1)
SERVE = ("serve", "cognitive", "--bind", "tcp://127.0.0.1:*", "--http", "", "--seconds", 0.1)
DISTIL = ("cognition", "distil", "LOG", "--out", "strategy")
RECORD = ("record", "--out-dir", "rows", "--seconds", 1)


@pytest.mark.parametrize(
    ("words", "flag", "remedy"),
    [
        (("play", "--seconds", 5), "--seconds", "add --live or --proof"),
        (("play", "--agents", 1), "--agents", "add --live"),  # given, though it is the default
        (("play", "--load", "busy"), "--load", "add --live"),
        (("play", "--uncertified"), "--uncertified", "add --live"),
        (("play", "--live", "--video", "a.gif"), "--video", HERE),
        (("play", "--proof", 60, "--episodes", 3), "--episodes", HERE),
        (("play", "--proof", 60, "--reload"), "--reload", HERE),
        (("play", "--human", "--policy", "random"), "--policy", HERE),
        (("play", "--human", "--live"), "--live", HERE),
        (("play", "--human", "--save", "a.replay"), "--save", HERE),
        (("dream", "RUN", "--instead", "move=1:0"), "--instead", "add --at"),
        (("dream", "RUN", "--steps", 9), "--steps", "add --at or --forks"),
        (("dream", "RUN", "--at", 3, "--forks", 2), "--at and --forks", "give one of them"),
        (("dream", "RUN", "--at", 3, "--horizon", 9), "--horizon", HERE),
        (("dream", "RUN", "--forks", 3, "--video", "a.gif"), "--video", HERE),
        (("play", "--server", "tcp://127.0.0.1:5555"), "--server", "beside --live or --proof"),
        (("play", "--live", "--server", "tcp://127.0.0.1:5555"), "--server", "add --system2"),
        ((*SERVE, "--url", "http://here:30000"), "--url", "add --backend openai\n"),
        ((*SERVE, "--model", "m", "--backend", "rules"), "--model", "add --backend openai\n"),
        ((*SERVE, "--url", "u", "--backend", "policy"), "--url", "add --backend openai,policy\n"),
        ((*SERVE, "--set", "backend.url=u"), "--set backend.url", "add --backend openai\n"),
        ((*SERVE, "--set", "backend.wait=9"), "--set backend.wait", "add --backend openai\n"),
        ((*SERVE, "--set", "backend.policy=a"), "--set backend.policy", "add --backend policy\n"),
        (
            (*SERVE, "--set", "backend.policy=a", "--backend", "openai,rules"),
            "--set backend.policy",
            "add --backend policy,openai\n",
        ),
        ((*DISTIL, "--level", "default"), "--level", "add --episodes N"),
        (("cognition", "screens", "--judge", "--updates", 9), "--updates", "give --out DIR"),
        (("soak", "--no-model", "--model-kills", 1), "--model-kills", "leave one of them out"),
        (("soak", "--no-model", "--latency", 0.1), "--latency", "leave one of them out"),
        (("replay", "RUN:3", "--video", "a.gif"), "--video", HERE),
        (("replay", "RUN:3", "--watch"), "--watch", HERE),
        (("replay", "a.replay", "--agent", 0), "--agent", "only ticks of sessions"),
        (("replay", "a.replay", "--video", "a.gif", "--watch"), "--watch", "leave one of them out"),
        (("replay", "a.replay", "--scenario", "basic"), "--scenario", HERE),
        (("play", "--proof", 60, "--uncertified"), "--uncertified", HERE),
        (("play", "--greedy", "--video", "a.gif"), "--greedy", "give --policy RUN"),
        (("play", "--proof", 60, "--policy", "random", "--greedy"), "--greedy", HERE),
        ((*RECORD, "--greedy"), "--greedy", HERE),
        ((*RECORD, "--pixels", "36x64", "--format", "episodes"), "--pixels", "leave one of them"),
        ((*RECORD, "--set", "game.envs=2"), "--set game.envs", "give that"),
        ((*HOST, "--research", "--host", "::1"), "--host", HERE),
        ((*HOST, "--research", "--port", 5560), "--port", HERE),
        ((*HOST, "--research", "--pipe", "a"), "--pipe", HERE),
        ((*HOST, "--research", "--protocol", "v1"), "--protocol", HERE),
        ((*HOST, "--research", "--frames", "none"), "--frames", HERE),
        ((*HOST, "--research", "--quality", 50), "--quality", HERE),
        ((*HOST, "--research", "--token-file", "a"), "--token-file", HERE),
        ((*HOST, "--research", "--ring"), "--ring", HERE),
        ((*HOST, "--research", "--no-ring"), "--no-ring", HERE),
        ((*HOST, "--port", 0, "--instance", 1), "--instance", "add --research"),
        ((*HOST, "--port", 0, "--research-dir", "a"), "--research-dir", "add --research"),
        ((*HOST, "--port", 0, "--quality", 50), "--quality", "add --frames jpeg"),
        ((*HOST, "--port", 0, "--locked", "--speed", 2), "--speed", HERE),
        ((*HOST, "--pipe", "metabonk-refused", "--port", 0), "--port", "leave one of them out"),
        ((*HOST, "--pipe", "metabonk-refused", "--host", "::1"), "--host", "leave one of them"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(
    metabonk: Metabonk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[object, ...],
    flag: str,
    remedy: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    said = metabonk(*words)
    assert said.code == 2
    assert said.err.startswith(f"error: {flag}: ")
    assert remedy in said.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("told", ["file", "environment", "nothing", "unknown"])
def test_what_a_file_or_the_environment_says_of_other_backends_is_let_be(
    metabonk: Metabonk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    """It is for who asks them at other times; what nobody knows is told by its own error."""
    monkeypatch.chdir(tmp_path)
    words: tuple[object, ...] = ()
    if told == "file":
        Path("server.toml").write_text('[backend]\nurl = "http://here:1"\npolicy = "a"\n')
        words = ("--config", "server.toml")
    elif told == "environment":
        monkeypatch.setenv("METABONK_BACKEND_URL", "http://here:1")
        monkeypatch.setenv("METABONK_BACKEND_POLICY", "a")
    elif told == "unknown":
        words = ("--backend", "opena", "--url", "http://here:1")
    said = metabonk(*SERVE, *words)
    assert said.code == (2 if told == "unknown" else 0), said.err
    assert ("did you mean 'openai'" in said.err) == (told == "unknown")


def test_who_decides_in_one_way_is_not_asked_for_the_other(
    metabonk: Metabonk, tmp_path: Path
) -> None:
    """A compiled policy and a motor; the flag was taken and did nothing."""
    compiled, motor = tmp_path / "compiled", tmp_path / "run/motors/000001"
    for folder in (compiled, motor):
        folder.mkdir(parents=True)
        (folder / "card.json").write_text("{}")
    (tmp_path / "run/config.toml").touch()
    verbs = (("play", "--video", tmp_path / "a.gif"), ("play", "--proof", 60), RECORD)
    for verb in verbs:
        told = metabonk(*verb, "--policy", compiled, "--greedy")
        assert told.code == 2
        assert told.err.startswith(f"error: --greedy: {compiled} decides as it was compiled: ")
        told = metabonk(*verb, "--policy", motor, "--greedy")
        assert told.code == 2
        assert told.err.startswith("error: --greedy: a motor always draws its candidates: ")


@pytest.mark.parametrize("flag", ["--steps", "--from-start"])
def test_nothing_is_trained_for_the_parts_of_a_motor(
    metabonk: Metabonk, tmp_path: Path, flag: str
) -> None:
    pytest.importorskip("torch")
    (tmp_path / "motors").mkdir()
    (tmp_path / "config.toml").touch()
    words = (flag, 128) if flag == "--steps" else (flag,)
    said = metabonk("ablate", tmp_path / "motors", *words)
    assert said.code == 2
    assert said.err.startswith(f"error: {flag}: nothing is trained")


def test_a_file_that_cannot_be_written_is_told_at_once(metabonk: Metabonk, tmp_path: Path) -> None:
    """In the folder or as the folder; where it can be, nothing is touched."""
    for words in (("bench", "start"), ("validate", "learning", "world")):
        said = metabonk(*words, "--json", tmp_path / "none" / "rows.json")
        assert said.code == 2
        assert "there is no folder" in said.err
    said = metabonk("strips", "--picture", tmp_path / "none" / "strip.jpg")
    assert (said.code, "there is no folder" in said.err) == (2, True)
    with pytest.raises(IsADirectoryError, match="name a file"):
        check_target(tmp_path)
    check_target(tmp_path / "rows.json")
    check_target(None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("play",), ("dream", "RUN"), ("replay",)])
def test_a_film_of_no_kind_is_refused_in_one_line(
    metabonk: Metabonk, tmp_path: Path, words: tuple[str, ...]
) -> None:
    if words == ("replay",):
        level, kept = tmp_path / "short.json", tmp_path / "a.replay"
        level.write_text('{"time": {"duration": 1.0}}')
        made = metabonk("play", "--level", level, "--video", tmp_path / "a.gif", "--save", kept)
        assert made.code == 0, made.err
        words = ("replay", str(kept))
    said = metabonk(*words, "--video", tmp_path / "film.avi")
    assert said.code == 2
    assert said.err == f"error: {tmp_path}/film.avi: films end in .mp4 or .gif\n"


@pytest.mark.parametrize("value", ["-1", "0.01", "nan", "inf"])
@pytest.mark.parametrize("words", [("play", "--proof", 60), ("record", "--out-dir", "rows")])
def test_a_rate_that_cannot_be_is_refused_and_nothing_is_left(
    metabonk: Metabonk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[object, ...],
    value: str,
) -> None:
    if words[0] == "record" and value == "0.01":
        value = "1001"  # rows may be far apart
    monkeypatch.chdir(tmp_path)
    said = metabonk(*words, "--hz", value)
    assert said.code == 2
    assert said.err.startswith(f"error: --hz {float(value):g}: give ")
    assert not list(tmp_path.iterdir())


def test_names_that_there_are_not_are_told(metabonk: Metabonk, tmp_path: Path) -> None:
    said = metabonk("config", "--game", "areno")
    assert said.code == 2
    assert "--game areno: there is no such game, `metabonk games` lists them" in said.err
    pytest.importorskip("vizdoom")
    (tmp_path / "a.lmp").touch()
    said = metabonk("replay", tmp_path / "a.lmp", "--scenario", "bassic")
    assert said.code == 2
    assert "--scenario bassic: there are basic, " in said.err


def test_nobody_is_sent_from_a_game_by_hand_to_a_film_of_it(
    metabonk: Metabonk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise GameError("there is no screen: make a film, --video FILE")

    monkeypatch.setattr("metabonk.cli.play.require_screen", none)
    said = metabonk("play", "--human")
    assert said.code == 2
    assert said.err.startswith("error: --human: there is no screen to play on; a policy can be")
    monkeypatch.setenv("METABONK_SYSTEM2_ENABLED", "1")
    told = "cognition.enabled (METABONK_SYSTEM2_ENABLED): nobody is asked: with --human it is you"
    assert told in metabonk("play", "--human").err


def test_a_run_that_can_go_on_is_named_and_no_other(
    metabonk: Metabonk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for name in ("never-saved", "saved"):
        (tmp_path / "runs" / name / "checkpoints/000000000512").mkdir(parents=True)
        (tmp_path / "runs" / name / "config.toml").touch()
    assert (
        metabonk("train", "--resume").err
        == "error: --resume needs the run's directory: --run DIR\n"
    )
    (tmp_path / "runs/saved/checkpoints/000000000512/card.json").touch()
    assert "for example --run runs/saved\n" in metabonk("train", "--resume").err


def test_a_run_that_cannot_begin_leaves_nothing(metabonk: Metabonk, tmp_path: Path) -> None:
    """So that it can be asked for again, in the same place and spelled right."""
    pytest.importorskip("torch")
    words = ("train", "--steps", 10, "--game", "gym/NoSuchGame-v0", "--run")
    said = metabonk(*words, tmp_path / "run")
    assert said.code == 2
    assert "`metabonk games --all` lists" in said.err
    assert not (tmp_path / "run").exists()
    notes = tmp_path / "mine/notes.txt"
    notes.parent.mkdir()
    notes.touch()
    assert metabonk(*words, notes.parent).code == 2
    assert notes.exists()
