"""`metabonk doctor`: what this machine offers, what is installed, and what to do about the rest."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import msgspec

import metabonk
from metabonk import extras, machine
from metabonk.cli.output import JsonFlag, console, print_json, table, verb

# Compute capabilities that devices have had since Ampere.
CAPABILITIES = ((8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (10, 3), (11, 0), (12, 0), (12, 1))

app, command = verb(
    """Show what this machine offers and what to do about what is missing.

$ metabonk doctor
$ metabonk doctor --json"""
)

# Extra -> what it is for.
PURPOSES = {
    "train": "learning (PyTorch) and its plots",
    "games": "Doom, and a window to play in",
    "video": "mp4 films of episodes; without it they are GIFs",
    "data": "export of episodes to Parquet",
    "gpu": "kernels on NVIDIA GPUs",
    "cluster": "training on several machines",
    "webrtc": "streaming to a browser",
    "tensorboard": "metrics in TensorBoard",
    "bench": "the systems that benchmarks compare with",
    "dev": "tests, linters, builds",
}
UNUSED = {"cluster", "webrtc"}  # of rooms that are not built yet: installing them changes nothing


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. state: `ok`, `missing` or `off`; remedy: what to do, or empty."""

    area: str
    name: str
    state: str
    value: str
    remedy: str = ""


@command
def show(json: bool = JsonFlag) -> None:
    findings = [*_machine(), *_native(), *_gpus(), *_extras()]
    if json:
        print_json(findings)
        return
    print_findings(findings)


def print_findings(findings: list[Finding]) -> None:
    """One table with a heading per area, then what to do about what is missing."""
    marks = {"ok": "[green]ok[/]", "missing": "[yellow]missing[/]", "off": "[dim]none[/]"}
    rows: list[tuple[str, str, str]] = []
    for area in dict.fromkeys(f.area for f in findings):
        rows.append((f"[bold]{area}[/]", "", ""))
        rows += [(f"  {f.name}", marks[f.state], f.value) for f in findings if f.area == area]
    console.print(table(["", "", ""], rows, header=False))
    remedies = [f for f in findings if f.remedy]
    if remedies:
        console.print("\n[bold]What to do[/]")
        for finding in remedies:
            console.print(f"  {finding.name}: ", end="")
            console.print(finding.remedy, markup=False, soft_wrap=True)


def _machine() -> list[Finding]:
    usable, share = len(os.sched_getaffinity(0)), machine.processor_share()
    quota = "" if share is None else f", of which a container may use {share:.1f}"
    return [
        Finding(
            "Machine", "metabonk", "ok", f"{metabonk.__version__}, {Path(metabonk.__file__).parent}"
        ),
        Finding("Machine", "python", "ok", f"{platform.python_version()} on {platform.platform()}"),
        Finding("Machine", "processor", "ok", machine.processor()),
        Finding("Machine", "threads", "ok", f"{usable} usable of {os.cpu_count()}{quota}"),
        Finding("Machine", "memory", "ok", f"{machine.memory_gib()} GiB"),
        _realtime(),
    ]


def _realtime() -> Finding:
    """For `play --live --realtime`."""
    refused = machine.realtime()
    if not refused:
        return Finding("Machine", "real-time priority", "ok", "granted to threads that ask for it")
    return Finding(
        "Machine",
        "real-time priority",
        "off",
        f"refused ({refused}): play --live --realtime does without",
        "give the user an rtprio limit (/etc/security/limits.conf), or the program CAP_SYS_NICE",
    )


def _native() -> list[Finding]:
    if not machine.core_built():
        return [
            Finding(
                "Native core",
                "core",
                "missing",
                "not built: the arena and grid64 cannot be played",
                "in a checkout run ./scripts/build, else reinstall metabonk",
            )
        ]
    detected, active = _instructions()
    capped = f", capped to {active} by METABONK_CPU" if active != detected else ""
    found = [Finding("Native core", "instruction tier", "ok", f"{detected}{capped}")]
    if importlib.util.find_spec("metabonk._cuda") is None:
        remedy = ""
        if Path("/dev/nvidiactl").exists():
            remedy = "build with nvcc and METABONK_CUDA=ON to use the GPU"
        found.append(
            Finding("Native core", "CUDA architectures", "off", "built without CUDA", remedy)
        )
    else:
        cuda = importlib.import_module("metabonk._cuda")
        built = [f"sm_{a}{b}" for a, b in CAPABILITIES if cuda.has_code_for(a, b)]
        found.append(Finding("Native core", "CUDA architectures", "ok", ", ".join(built)))
    return found


def _instructions() -> tuple[str, str]:
    """What the processor has and what the core may use of it, in words."""
    tiers = machine.tiers()
    support = importlib.import_module("metabonk._core").support
    extensions = support.detected_extension(), support.active_extension()
    beyond = {
        "vnni": " with VNNI",
        "bf16": " with VNNI and BF16",
        "amx": " with VNNI, BF16 and AMX",
    }
    detected, active = (
        tier + beyond.get(extension, "") for tier, extension in zip(tiers, extensions, strict=True)
    )
    return detected, active


def _gpus() -> list[Finding]:
    driver = machine.driver()
    version = f"{driver.version or 'unknown version'}, CUDA {driver.cuda or '?'}"
    state, said = ("off", driver.problem) if driver.problem else ("ok", version)
    found = [Finding("GPU", "driver", state, said, _driver_remedy(driver))]
    found += [
        Finding(
            "GPU",
            f"gpu {index}",
            "ok",
            f"{g.name}, sm_{g.compute.replace('.', '')}, {g.memory_gib} GiB, "
            f"{g.multiprocessors} multiprocessors",
        )
        for index, g in enumerate(driver.gpus)
    ]
    nvenc = f"interface {driver.nvenc}" if driver.nvenc else "no hardware encoder"
    state = "ok" if driver.nvenc else "off"
    return [*found, Finding("GPU", "NVENC", state, nvenc, _nvenc_remedy(driver))]


def _driver_remedy(driver: machine.Driver) -> str:
    if not driver.problem:
        return ""
    if not driver.installed:
        return (
            "nothing needs a GPU; with an NVIDIA one install its driver (on Debian apt-get install "
            "nvidia-driver), and start a container with --gpus all"
        )
    return (
        "nvidia-smi says what the driver lacks: after an update restart the machine, and start a "
        "container with --gpus all"
    )


def _nvenc_remedy(driver: machine.Driver) -> str:
    if driver.nvenc:
        return ""
    if driver.problem:
        return "nothing needs it, films are encoded by the processor; it comes with a GPU's driver"
    return (
        "films are encoded by the processor; if the GPU has encoders (GeForce, RTX and L have, "
        "A100, H100 and B200 have none) install libnvidia-encode.so.1 (on Debian apt-get install "
        "libnvidia-encode1), and start a container with NVIDIA_DRIVER_CAPABILITIES=all"
    )


def _extras() -> list[Finding]:
    try:
        declared = extras.declared()
    except importlib.metadata.PackageNotFoundError:
        remedy = "in a checkout run ./scripts/metabonk, else pip install metabonk"
        return [Finding("Extras", "package", "missing", "metabonk is not installed", remedy)]
    return [_extra(extra, requirements) for extra, requirements in declared.items()]


def _extra(extra: str, requirements: Sequence[extras.Requirement]) -> Finding:
    versions: list[str] = []
    missing: list[str] = []
    old: list[str] = []
    for requirement in requirements:
        try:
            version = importlib.metadata.version(requirement.package)
        except importlib.metadata.PackageNotFoundError:
            missing.append(requirement.package)
            continue
        has = f"{requirement.package} {version}"
        versions.append(has)
        if not requirement.met_by(version):
            old.append(f"{has}, wanted {requirement.least}")
    purpose = PURPOSES.get(extra, "")
    if not missing and not old:
        return Finding("Extras", extra, "ok", f"{purpose}: {', '.join(versions)}")
    if extra in UNUSED:
        return Finding("Extras", extra, "off", f"{purpose}: not built yet, nothing uses it")
    wrong = [f"not installed: {', '.join(missing)}"] if missing else []
    wrong += [f"too old: {'; '.join(old)}"] if old else []
    value = "; ".join([purpose, *wrong])
    return Finding("Extras", extra, "missing", value, extras.install(extra))
