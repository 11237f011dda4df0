"""The built module holds the code that kernels/machine_code.json declares, for every architecture.

Registers and shared memory within limits, nothing in local memory, the declared instructions there:
tensor memory on sm_100 (UTCOMMA) and mma.sync with block scales on sm_120 (OMMA) among them.
`--long` compiles every file with the compiler's own warnings about spills as errors.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from metabonk.kernels import machine_code
from metabonk.kernels.machine_code import Kernel, declaration, declarations, faults

ROOT = Path(__file__).resolve().parent.parent.parent
CUDA = ROOT / "kernels" / "cuda"
LIMITS = json.loads(machine_code.LIMITS.read_text())
ARCHITECTURES = ("80", "89", "90a", "100f", "120f")
STRICT = ["-Xptxas", "-warn-spills,-warn-lmem-usage,-Werror", "--Werror", "all-warnings"]


@pytest.fixture(scope="module")
def built() -> list[Kernel]:
    if why := machine_code.missing():
        pytest.skip(why)
    return machine_code.built()


def test_every_kernel_is_declared_and_every_declared_one_is_there(built: list[Kernel]) -> None:
    found = {(k.architecture, k.name) for k in built}
    assert found == {(a, name) for a, of in LIMITS.items() for name in of}
    assert set(LIMITS) == {f"sm_{a.rstrip('af')}" for a in ARCHITECTURES}


def test_every_kernel_keeps_its_limits(built: list[Kernel]) -> None:
    wrong = [
        f"{k.architecture} {k.name}: {fault}"
        for k in built
        for fault in faults(k, LIMITS[k.architecture][k.name])
    ]
    assert not wrong, "\n".join(wrong)


def test_fp4_is_multiplied_by_the_hardware_that_can(built: list[Kernel]) -> None:
    count = {
        (k.architecture, start): k.count(start)
        for k in built
        for start in ("UTCOMMA", "OMMA.SF")
        if k.count(start)
    }
    assert set(count) == {("sm_100", "UTCOMMA"), ("sm_120", "OMMA.SF")}


def test_faults_are_found() -> None:
    kernel = Kernel("K", "sm_90", 64, 0, 512, 0, ("LDG.E", "HMMA.16816.F32.BF16", "STG.E"))
    limits = declaration(kernel)
    assert limits == {"registers": 64, "shared": 512, "needs": ["HMMA"]}
    assert json.loads(declarations([kernel])) == {"sm_90": {"K": limits}}
    assert not faults(kernel, limits)
    worse = Kernel("K", "sm_90", 65, 8, 513, 16, ("STL.64", "LDL.64", "FFMA"))
    assert faults(worse, limits) == [
        "65 registers, at most 64 are declared",
        "513 bytes of shared memory, at most 512",
        "8 bytes of stack, 16 of local memory",
        "2 instructions that spill",
        "no HMMA",
    ]


def nvcc(source: Path, architecture: str, target: Path) -> subprocess.CompletedProcess[str]:
    """Compiles one file for one architecture with spills and warnings as errors."""
    program = shutil.which("nvcc")
    if program is None:
        pytest.skip("needs nvcc")
    code = f"arch=compute_{architecture},code=sm_{architecture}"
    command = [program, "-std=c++20", "-O3", f"-I{CUDA}", "-gencode", code]
    command += ["--expt-relaxed-constexpr", *STRICT, "-cubin", str(source), "-o", str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.long
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", sorted(CUDA.glob("*.cu")), ids=lambda path: path.name)
def test_compiles_without_a_warning(source: Path, architecture: str, tmp_path: Path) -> None:
    done = nvcc(source, architecture, tmp_path / "code.cubin")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr, done.stderr


def test_the_compiler_refuses_a_kernel_that_spills(tmp_path: Path) -> None:
    source = tmp_path / "spills.cu"
    source.write_text(
        "__global__ void __launch_bounds__(1024, 2) Spills(float* x) {\n"
        "  float a[96];\n"
        "#pragma unroll\n"
        "  for (int i = 0; i < 96; ++i) a[i] = x[i * 1024 + threadIdx.x];\n"
        "  __syncthreads();\n"
        "#pragma unroll\n"
        "  for (int i = 0; i < 96; ++i) x[i * 1024 + threadIdx.x] = a[i] * a[95 - i];\n"
        "}\n"
    )
    done = nvcc(source, "90a", tmp_path / "code.cubin")
    assert done.returncode != 0
    assert "spill" in (done.stderr + done.stdout).lower()
