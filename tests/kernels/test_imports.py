"""Without Triton, without a driver: what imports, and what kernels may not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKED = "import sys; sys.modules['triton'] = None\n"


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )


def test_the_package_imports_without_triton() -> None:
    run = python(
        BLOCKED + "import metabonk.kernels.tiles, metabonk.kernels.cost, metabonk.kernels.cases\n"
        "import metabonk.kernels.interpreter, metabonk.kernels.compile\n"
        "import metabonk.kernels.triton as triton\n"
        "assert not triton.interpreting() and 'not installed' in triton.problem()\n"
        "from metabonk.ops import cfc_scan, qlinear, returns, vq\n"
        "assert all('triton' not in op.backends() for op in (cfc_scan, qlinear, returns, vq))\n"
    )
    assert run.returncode == 0, run.stderr


def test_nothing_heavy_comes_with_the_package() -> None:
    run = python("import sys, metabonk.kernels.tiles, metabonk.kernels.cost\n"
                 "assert not {'torch', 'triton'} & set(sys.modules)\n")  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_the_interpreter_and_the_compiler_do_not_share_a_process() -> None:
    pytest.importorskip("triton")
    run = python("import os; os.environ['TRITON_INTERPRET'] = '1'\n"
                 "from metabonk.kernels import compile, tiles\n"
                 "list(compile.build(list(tiles.every())[:1]))\n")  # fmt: skip
    assert "cannot compile" in run.stderr
