"""metabonk/extras.py: the remedy works where it is read, and versions are compared."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from metabonk import extras
from metabonk.errors import MissingExtraError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/install").write_text("")
    monkeypatch.setattr(extras, "ROOT", tmp_path)
    return tmp_path


def test_what_was_installed_from_a_wheel_is_installed_by_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "ROOT", tmp_path)
    assert extras.install("bench") == "pip install 'metabonk[bench]'"


def test_a_checkout_in_its_own_environment_names_its_script(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(checkout / ".venv"))
    assert extras.install("bench") == "./scripts/install bench"
    assert "./scripts/install bench" in str(MissingExtraError("envpool", "bench", "this"))


def test_a_checkout_in_another_environment_goes_into_that_one(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", "/elsewhere")
    monkeypatch.setattr(sys, "executable", "/else where/bin/python")
    assert extras.install("bench") == (
        f"'/else where/bin/python' -m pip install -c {checkout}/constraints.txt "
        f"--editable '{checkout}[bench]'"
    )


def test_nothing_else_in_the_package_says_how_an_extra_is_installed() -> None:
    """A remedy that is written down by hand is wrong in a checkout, or outside of one."""
    written = re.compile(r"pip install [^\n]*metabonk\[")
    files = [path for path in (ROOT / "metabonk").rglob("*.py") if path.name != "extras.py"]
    assert len(files) > 100
    assert not [path for path in files if written.search(path.read_text("utf-8"))]
    assert written.search((ROOT / "metabonk/extras.py").read_text("utf-8"))


def test_the_script_that_is_named_is_there() -> None:
    assert os.access(ROOT / extras.INSTALLER, os.X_OK)
    assert (ROOT / "constraints.txt").is_file()


@pytest.mark.parametrize(
    ("least", "version", "met"),
    [
        ("2.11", "2.11.0", True),
        ("2.11", "2.11", True),
        ("2.11", "2.11.0+cu130", True),
        ("2.11", "2.13.1.post2", True),
        ("2.11", "3", True),
        ("2.11", "2.4.1", False),
        ("2.11", "2.10.9", False),
        ("2.11", "2.11.0rc1", False),
        ("2.11", "2.11.0.dev20260101", False),
        ("2.11", "2.12.0a0+git", True),
        ("11", "9.9", False),
        ("", "0.0.1", True),
        ("2.0", "2", True),
        ("1", "main", False),
    ],
)
def test_versions_are_compared_by_number(least: str, version: str, met: bool) -> None:
    assert extras.Requirement("torch", least).met_by(version) is met


def test_requirements_of_other_platforms_are_none_here(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "numpy>=2.0",
        'torch>=2.11,!=2.12; extra == "train"',
        "pillow; extra == 'train'",
        'triton>=3.6; sys_platform == "linux" and extra == "gpu"',
        'winsome>=1; sys_platform == "win32" and extra == "gpu"',
        'transformers[serving]>=5.20; extra == "dev"',
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    assert extras.declared() == {
        "train": [("torch", "2.11"), ("pillow", "")],
        "gpu": [("triton", "3.6")],
        "dev": [("transformers", "5.20")],
    }


def test_what_is_declared_is_what_pyproject_says() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extras.declared().keys() == table["optional-dependencies"].keys()
    torch = next(r for r in extras.declared()["train"] if r.package == "torch")
    assert f"torch>={torch.least}" in table["optional-dependencies"]["train"]
