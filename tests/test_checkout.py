"""scripts/checkout.py: scripts run by a Python without the package go on in the checkout's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
PYTHON_ONES = sorted(p.name for p in SCRIPTS.glob("*.py") if p.name != "checkout.py")


def started(tmp_path: Path, name: str, metabonk: str) -> subprocess.CompletedProcess[str]:
    """A script of a checkout whose `scripts/metabonk` is this, by a Python that finds what every
    Python has and nothing else; with words that a shell would break."""
    scripts = tmp_path / "scripts"
    shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "metabonk").write_text(metabonk)
    return subprocess.run(
        [sys.executable, "-E", "-s", "-S", str(scripts / name), "--model", "a b"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("name", PYTHON_ONES)
def test_they_go_on_in_the_checkouts_own(tmp_path: Path, name: str) -> None:
    makes = (
        '#!/bin/sh\n[ "$*" = --version ] || exit 9\necho 1.0\ncd "$(dirname "$0")/.."\n'
        "mkdir -p .venv/bin\n"
        'printf \'#!/bin/sh\\nprintf "word: %%s\\\\n" "$@"\\nexit 3\\n\' >.venv/bin/python\n'
        "chmod +x .venv/bin/python\n"
    )
    done = started(tmp_path, name, makes)
    assert done.returncode == 3, done.stderr
    told = [str(tmp_path / "scripts" / name), "--model", "a b"]
    assert done.stdout.splitlines() == [f"word: {word}" for word in told]


def test_an_environment_that_cannot_be_made_ends_it(tmp_path: Path) -> None:
    done = started(tmp_path, PYTHON_ONES[0], "#!/bin/sh\necho no compiler >&2\nexit 4\n")
    assert done.returncode != 0
    assert "no compiler" in done.stderr
    assert "Traceback" not in done.stderr
