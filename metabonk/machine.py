"""Which machine this is: processor, memory, instruction tier, GPU and its driver.

Knows /proc, the native core's tiers and the NVIDIA driver's libraries by name; these are asked
through dlopen, so that a machine without them answers too. Never raises for what is absent.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import platform
import re
import threading
from pathlib import Path
from typing import Any

import msgspec

from metabonk import config

_NAME_BYTES = 96
_MAJOR, _MINOR, _PROCESSORS = 75, 76, 16  # CUdevice_attribute


class Gpu(msgspec.Struct, frozen=True):
    """One device. compute: capability, as 9.0; memory: GiB."""

    name: str
    compute: str
    memory_gib: float
    multiprocessors: int


class Driver(msgspec.Struct, frozen=True):
    """What was found. cuda: newest version the driver speaks; problem: why there is no GPU;
    installed: whether there is a driver at all, if only one that does not start."""

    version: str = ""
    cuda: str = ""
    gpus: list[Gpu] = []
    nvenc: str = ""
    problem: str = ""
    installed: bool = True


class Machine(msgspec.Struct, frozen=True):
    """The machine in a few words. threads: usable by this process; tier: of the native core."""

    processor: str
    threads: int
    memory_gib: float
    tier: str
    gpus: list[str]
    platform: str
    python: str


def describe() -> Machine:
    """What reports and certificates say about where they were made."""
    return Machine(
        processor=processor(),
        threads=len(os.sched_getaffinity(0)),
        memory_gib=memory_gib(),
        tier=tiers()[1],
        gpus=[g.name for g in driver().gpus],
        platform=platform.platform(),
        python=platform.python_version(),
    )


def processor() -> str:
    """The processor's own name."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return names[0] if names else platform.machine()


def memory_gib() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def own_bytes() -> int:
    """Memory of this process alone that is in use now, without files and shared memory that it
    has mapped; 0 where the system does not say."""
    try:
        resident, shared = Path("/proc/self/statm").read_text("ascii").split()[1:3]
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def processor_share() -> float | None:
    """How many processors a container may use at once; None without a limit."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        return None


def realtime() -> str:
    """Why a thread of this process gets no real-time priority (SCHED_FIFO); empty if it does."""
    refused: list[str] = []

    def ask() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except OSError as error:
            refused.append(error.strerror or str(error))

    # It is the thread's own and ends with it.
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return refused[0] if refused else ""


def core_built() -> bool:
    """Whether the native core is there; a folder of its stubs alone is not it."""
    spec = importlib.util.find_spec("metabonk._core")
    return spec is not None and spec.origin is not None


def tiers() -> tuple[str, str]:
    """(detected, active) instruction tier of the native core; empty where it is not built."""
    if not core_built():
        return "", ""
    active = config.cap_cpu()
    return str(importlib.import_module("metabonk._core").support.detected_tier()), active


def driver() -> Driver:
    """The driver's versions, devices and encoder."""
    library = _open("libcuda.so.1")
    if library is None:
        problem = "no NVIDIA driver (libcuda.so.1 is not there)"
        return Driver(nvenc=_nvenc(), problem=problem, installed=False)
    code = library.cuInit(0)
    if code != 0:
        return Driver(
            version=_driver_version(),
            nvenc=_nvenc(),
            problem=f"the driver does not start ({_error_name(library, code)})",
        )
    version = ctypes.c_int(0)
    library.cuDriverGetVersion(ctypes.byref(version))
    count = ctypes.c_int(0)
    library.cuDeviceGetCount(ctypes.byref(count))
    return Driver(
        version=_driver_version(),
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
        gpus=[_device(library, index) for index in range(count.value)],
        nvenc=_nvenc(),
        problem="" if count.value else "the driver sees no device",
    )


def _device(library: Any, index: int) -> Gpu:
    device = ctypes.c_int(0)
    library.cuDeviceGet(ctypes.byref(device), index)
    name = ctypes.create_string_buffer(_NAME_BYTES)
    library.cuDeviceGetName(name, _NAME_BYTES, device)
    memory = ctypes.c_size_t(0)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), device)

    def attribute(which: int) -> int:
        value = ctypes.c_int(0)
        library.cuDeviceGetAttribute(ctypes.byref(value), which, device)
        return value.value

    return Gpu(
        name=name.value.decode(errors="replace"),
        compute=f"{attribute(_MAJOR)}.{attribute(_MINOR)}",
        memory_gib=round(memory.value / 2**30, 1),
        multiprocessors=attribute(_PROCESSORS),
    )


def _driver_version() -> str:
    library = _open("libnvidia-ml.so.1")
    if library is None or library.nvmlInit_v2() != 0:
        return ""
    text = ctypes.create_string_buffer(80)
    code = library.nvmlSystemGetDriverVersion(text, 80)
    library.nvmlShutdown()
    return text.value.decode(errors="replace") if code == 0 else ""


def _nvenc() -> str:
    """The newest encoder interface of the driver, as 12.2, or empty."""
    library = _open("libnvidia-encode.so.1")
    if library is None:
        return ""
    version = ctypes.c_uint32(0)
    if library.NvEncodeAPIGetMaxSupportedVersion(ctypes.byref(version)) != 0:
        return ""
    return f"{version.value >> 4}.{version.value & 0xF}"


def _error_name(library: Any, code: int) -> str:
    text = ctypes.c_char_p()
    if library.cuGetErrorName(code, ctypes.byref(text)) == 0 and text.value:
        return text.value.decode(errors="replace")
    return f"error {code}"


def _open(name: str) -> Any:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None
