"""scripts/environment.sh and scripts/install: which Python is taken, which extras are kept."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shell(
    folder: Path, command: str, path: str = "/usr/bin:/bin", **variables: str
) -> subprocess.CompletedProcess[str]:
    """A command after the functions were read, in `folder` as if it was a checkout."""
    return subprocess.run(
        ["/bin/bash", "-uc", f". {ROOT}/scripts/environment.sh; {command}"],
        cwd=folder, env={"PATH": path, **variables}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("held", "asked", "kept"),
    [
        ("", "train,games,video", "train,games,video"),
        ("train,games,video", "train,games,video", "train,games,video"),
        ("train,games,video", "train,games,video,bench", "train,games,video,bench"),
        ("train,games,video,bench", "train,games,video", "train,games,video,bench"),
        ("train,games,video,bench", "test", "test,bench"),
        ("test,bench", "train,games,video", "test,bench"),
        ("test", "train,games,video,data", "test,data"),
        ("test", "test", "test"),
        ("train,games,video,dev", "test", "test"),
    ],
)
def test_an_environment_keeps_what_it_holds(
    tmp_path: Path, held: str, asked: str, kept: str
) -> None:
    if held:
        (tmp_path / ".venv").mkdir()
        (tmp_path / ".venv/.metabonk-extras").write_text(held + "\n")
    done = shell(tmp_path, f"environment_extras {asked}")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, kept, "")


def interpreter(folder: Path, name: str, good: bool) -> None:
    """A file of that name which says of itself that it will do, or will not."""
    (folder / name).write_text(f"#!/bin/sh\nexit {0 if good else 1}\n")
    (folder / name).chmod(0o755)


def test_the_python_that_is_named_is_the_only_one_that_is_taken(tmp_path: Path) -> None:
    interpreter(tmp_path, "python3.12", True)
    interpreter(tmp_path, "python3.11", True)
    interpreter(tmp_path, "python3.10", False)
    path = str(tmp_path)
    assert shell(tmp_path, "environment_python", path).stdout.strip() == f"{path}/python3.12"
    named = shell(tmp_path, "environment_python", path, PYTHON="python3.11")
    assert named.stdout.strip() == f"{path}/python3.11"
    for name in ("python3.10", "python3.9"):
        refused = shell(tmp_path, "environment_python", path, PYTHON=name)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"which PYTHON={name} is not" in refused.stderr


def test_every_python_of_the_hosted_checks_is_named_to_them() -> None:
    """What setup-python installs is not what the scripts would find first."""
    text = (ROOT / ".github/workflows/checks.yml").read_text()
    versions = re.findall(r'"(3\.\d+)"', text[text.index("matrix:") :])
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert versions[0] == table["requires-python"].removeprefix(">=")
    (step,) = re.findall(r"- run: \./scripts/test\n((?: {8}.*\n)*)", text)
    assert re.search(r"env:\n +PYTHON: python\$\{\{ matrix\.python \}\}", step)


def test_only_extras_that_exist_are_installed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for words, said in ((["benhc"], "no extra benhc"), (["bench", "x"], "no extra x"), ([], "")):
        done = subprocess.run(
            [tmp_path / "scripts/install", *words], capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        assert done.returncode == 2
        assert said in done.stderr
        assert " ".join(known) in done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"scripts", "pyproject.toml"}
