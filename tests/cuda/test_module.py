"""metabonk._cuda without a device: it imports, says why nothing can run, and refuses with reasons.

Drivers that fail are played by fake_driver.c, in a process of its own each.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def module() -> Any:
    return pytest.importorskip(
        "metabonk._cuda", reason="metabonk._cuda is not built: no nvcc, or METABONK_CUDA is OFF"
    )


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory, module: Any) -> Path:
    """A folder with the fake libcuda.so.1."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("driver")
    library = str(folder / "libcuda.so.1")
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", str(HERE / "fake_driver.c")]
    subprocess.run([*command, "-o", library], check=True)
    return folder


def ask(code: str, folder: Path | None = None, fake: str = "") -> str:
    """What a fresh Python says to `print(code)`, with this folder's libraries before all others."""
    environment = os.environ | {"FAKE_CUDA": fake}
    if folder is not None:
        environment["LD_LIBRARY_PATH"] = str(folder)
    done = subprocess.run(
        [sys.executable, "-c", f"from metabonk import _cuda\nprint({code})"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_without_a_driver_it_imports_and_says_so(tmp_path: Path, module: Any) -> None:
    (tmp_path / "libcuda.so.1").write_text("not a library")
    assert ask("(_cuda.devices(), _cuda.why_not())", tmp_path) == str(
        ([], "no NVIDIA driver (libcuda.so.1)")
    )


@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        ("init=100", "an NVIDIA driver but no device"),
        ("count=0", "an NVIDIA driver but no device"),
        ("init=3", "the driver's cuInit failed with code 3"),
        ("name=201", "the driver's cuDeviceGetName failed with code 201"),
        (
            "capability=7.5",
            "Fake GPU 0 has compute capability 7.5; there is code for 8.x, 9.0, 10.x and 12.0 up",
        ),
        ("capability=9.0", ""),
    ],
)
def test_what_drivers_say_is_passed_on(driver: Path, fake: str, reason: str) -> None:
    assert ask("_cuda.why_not()", driver, fake) == reason


def test_devices_are_listed(driver: Path) -> None:
    assert ask("_cuda.devices()", driver, "count=2") == str(
        [("Fake GPU 0", 9, 0, True), ("Fake GPU 1", 9, 0, True)]
    )
    assert ask("_cuda.devices()", driver, "capability=7.5") == str([("Fake GPU 0", 7, 5, False)])


@pytest.mark.parametrize(
    ("capability", "runs"),
    [
        *[((7, 5), False), ((8, 0), True), ((8, 9), True), ((9, 0), True), ((10, 3), True)],
        *[((11, 0), False), ((12, 0), True), ((12, 1), True), ((13, 0), True)],
    ],
)
def test_code_is_claimed_for_what_it_was_built_for(
    module: Any, capability: tuple[int, int], runs: bool
) -> None:
    assert module.has_code_for(*capability) is runs


def test_kernels_without_a_device_raise_what_cuda_says(module: Any) -> None:
    if not module.why_not():
        pytest.skip("there is a device")
    with pytest.raises(RuntimeError, match=r"cfc: CUDA error \d+: \w"):
        module.cfc((1, 1, 1, 1, 1), (0,) * 4, (0,) * 4, False, (0,) * 3, 0)
    with pytest.raises(RuntimeError, match=r"linear: CUDA error \d+: \w"):
        module.linear(0, (1, 1, 1, 1), 0, (0,) * 3, 0, 0, 0)


def test_sizes_are_refused_before_the_device_is_asked(module: Any) -> None:
    with pytest.raises(ValueError, match="cfc: a size that the kernel does not take"):
        module.cfc((0, 1, 1, 1, 1), (0,) * 4, (0,) * 4, False, (0,) * 3, 0)
    with pytest.raises(ValueError, match="linear: a size that the kernel does not take"):
        module.linear(0, (module.LINEAR_ROWS + 1, 1, 1, 1), 0, (0,) * 3, 0, 0, 0)
    with pytest.raises(ValueError, match="linear_fp4: a size that the kernel does not take"):
        module.linear_fp4((1, 65, 1), 0, (0,) * 3, 0, 0, 0, 0)


def test_pointers_are_numbers(module: Any) -> None:
    with pytest.raises(TypeError):
        module.linear(0, (1, 1, 1, 1), "x", (0,) * 3, 0, 0, 0)
    with pytest.raises(TypeError):
        module.cfc((1, 1, 1, 1), (0,) * 4, (0,) * 4, False, (0,) * 3, 0)
