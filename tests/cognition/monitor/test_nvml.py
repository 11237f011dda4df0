"""cognition/monitor/nvml.py: figures of the driver, and what is said where there is none."""

from __future__ import annotations

from typing import Any

from metabonk.cognition.monitor.nvml import Load, Nvml

NOT_SUPPORTED = 3


class Driver:
    """NVML's functions as a driver with one device has them; they write where they are told.

    lacks: functions that this device does not answer.
    """

    def __init__(
        self, devices: int = 1, starts: int = 0, lacks: frozenset[str] = frozenset()
    ) -> None:
        self.devices, self.starts, self.lacks = devices, starts, lacks
        self.sessions = 0

    def __call__(self) -> Driver:
        return self

    def nvmlInit_v2(self) -> int:
        self.sessions += not self.starts
        return self.starts

    def nvmlShutdown(self) -> int:
        self.sessions -= 1
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = self.devices
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: Any) -> int:
        handle._obj.value = 1000 + index
        return 0

    def nvmlDeviceGetName(self, handle: Any, text: Any, size: int) -> int:
        text.value = f"NVIDIA {handle.value}".encode()
        return self._code("name")

    def nvmlDeviceGetUtilizationRates(self, handle: Any, rates: Any) -> int:
        rates._obj.gpu, rates._obj.memory = 37, 12
        return self._code("busy")

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:
        memory._obj.total, memory._obj.used = 80 << 30, 20 << 30
        return self._code("memory")

    def nvmlDeviceGetTemperature(self, handle: Any, sensor: int, celsius: Any) -> int:
        celsius._obj.value = 51
        return self._code("celsius")

    def nvmlDeviceGetPowerUsage(self, handle: Any, milliwatts: Any) -> int:
        milliwatts._obj.value = 250_500
        return self._code("watts")

    def _code(self, name: str) -> int:
        return NOT_SUPPORTED if name in self.lacks else 0


def test_every_device_is_read_and_the_session_ends() -> None:
    driver = Driver(devices=2)
    with Nvml(driver) as nvml:
        assert not nvml.problem
        first, second = nvml.loads()
        assert driver.sessions == 1
    assert first == Load("NVIDIA 1000", 0.37, 20.0, 80.0, 51.0, 250.5)
    assert second.name == "NVIDIA 1001"
    assert driver.sessions == 0
    nvml.close()
    assert driver.sessions == 0
    assert nvml.loads() == []


def test_what_a_device_does_not_report_is_none() -> None:
    lacks = frozenset({"name", "busy", "memory", "celsius", "watts"})
    with Nvml(Driver(lacks=lacks)) as nvml:
        assert nvml.loads() == [Load("gpu 0")]


def test_a_machine_without_one_says_why() -> None:
    absent = Nvml(lambda: None)
    assert "no NVIDIA driver" in absent.problem
    assert absent.loads() == []
    broken = Nvml(Driver(starts=9))
    assert "NVML error 9" in broken.problem
    assert broken.loads() == []
    assert "no device" in Nvml(Driver(devices=0)).problem
    for nvml in (absent, broken):
        nvml.close()
