"""What GPUs do now: load, memory, temperature, power, by the NVIDIA driver's management library.

Knows NVML's C functions by name, through dlopen, so that nothing is installed for it; does not know
who uses the GPUs. A machine without a driver has no GPUs and a reason; a figure that a device does
not report is None. Source: NVIDIA's NVML API reference.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import msgspec

LIBRARY = "libnvidia-ml.so.1"
_NAME_BYTES = 96
_TEMPERATURE_GPU = 0  # nvmlTemperatureSensors_t
_OK = 0


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_ulonglong) for name in ("total", "free", "used"))


class Load(msgspec.Struct, frozen=True):
    """One device now. busy: share of the last sample period in which a kernel ran, 0..1. used,
    total: memory, GiB. celsius: its temperature. watts: what it draws. None: not reported."""

    name: str
    busy: float | None = None
    used: float | None = None
    total: float | None = None
    celsius: float | None = None
    watts: float | None = None


def _library() -> Any:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        return None


class Nvml:
    """An open session with the driver; `close` ends it.

    problem: why there is none, empty where there is.
    """

    def __init__(self, library: Callable[[], Any] = _library) -> None:
        self.problem = ""
        self._nvml: Any = library()
        self._devices: list[tuple[str, ctypes.c_void_p]] = []
        if self._nvml is None:
            self.problem = f"no NVIDIA driver ({LIBRARY} is not there)"
            return
        if code := self._nvml.nvmlInit_v2():
            self._nvml = None
            self.problem = f"the driver's management library does not start (NVML error {code})"
            return
        count = ctypes.c_uint(0)
        self._nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        for index in range(count.value):
            handle = ctypes.c_void_p()
            if self._nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) == _OK:
                self._devices.append((self._name(handle, index), handle))
        if not self._devices:
            self.problem = "the driver sees no device"

    def loads(self) -> list[Load]:
        """Every device now; empty without a driver or after `close`."""
        return [self._load(name, handle) for name, handle in self._devices]

    def close(self) -> None:
        """Ends the session; safe to call twice."""
        nvml, self._nvml = self._nvml, None
        self._devices = []
        if nvml is not None:
            nvml.nvmlShutdown()

    def __enter__(self) -> Nvml:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _load(self, name: str, handle: ctypes.c_void_p) -> Load:
        busy, memory = _Utilization(), _Memory()
        celsius, milliwatts = ctypes.c_uint(0), ctypes.c_uint(0)
        nvml = self._nvml
        has_busy = nvml.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(busy)) == _OK
        has_memory = nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == _OK
        found = nvml.nvmlDeviceGetTemperature(handle, _TEMPERATURE_GPU, ctypes.byref(celsius))
        has_celsius = found == _OK
        has_watts = nvml.nvmlDeviceGetPowerUsage(handle, ctypes.byref(milliwatts)) == _OK
        return Load(
            name,
            busy=busy.gpu / 100 if has_busy else None,
            used=round(memory.used / 2**30, 2) if has_memory else None,
            total=round(memory.total / 2**30, 2) if has_memory else None,
            celsius=float(celsius.value) if has_celsius else None,
            watts=milliwatts.value / 1000 if has_watts else None,
        )

    def _name(self, handle: ctypes.c_void_p, index: int) -> str:
        text = ctypes.create_string_buffer(_NAME_BYTES)
        if self._nvml.nvmlDeviceGetName(handle, text, _NAME_BYTES) != _OK:
            return f"gpu {index}"
        return text.value.decode(errors="replace")
