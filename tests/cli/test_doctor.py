"""cli/doctor.py and machine.py: everything is answered, whatever is missing."""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import metabonk
from metabonk import extras, machine
from metabonk.cli import doctor

Run = Callable[..., "tuple[int, str, str]"]


def put(pointer: Any, kind: Any, value: Any) -> int:
    """What a C function does with a pointer it was given."""
    ctypes.cast(pointer, ctypes.POINTER(kind))[0] = value
    return 0


class FakeCuda:
    """libcuda with two devices."""

    def __init__(self, init: int = 0, devices: int = 2) -> None:
        self.init, self.devices = init, devices

    def cuInit(self, flags: int) -> int:
        return self.init

    def cuDriverGetVersion(self, out: Any) -> int:
        return put(out, ctypes.c_int, 13010)

    def cuDeviceGetCount(self, out: Any) -> int:
        return put(out, ctypes.c_int, self.devices)

    def cuDeviceGet(self, out: Any, index: int) -> int:
        return put(out, ctypes.c_int, index)

    def cuDeviceGetName(self, text: Any, size: int, device: Any) -> int:
        text.value = f"Fake {device.value}".encode()
        return 0

    def cuDeviceTotalMem_v2(self, out: Any, device: Any) -> int:
        return put(out, ctypes.c_size_t, 80 << 30)

    def cuDeviceGetAttribute(self, out: Any, which: int, device: Any) -> int:
        return put(out, ctypes.c_int, {75: 9, 76: 0, 16: 132}[which])

    def cuGetErrorName(self, code: int, out: Any) -> int:
        return put(out, ctypes.c_char_p, b"CUDA_ERROR_NO_DEVICE")


def nvenc(out: Any) -> int:
    return put(out, ctypes.c_uint32, (13 << 4) | 1)


def with_driver(monkeypatch: pytest.MonkeyPatch, **libraries: Any) -> None:
    names = {"cuda": "libcuda.so.1", "nvenc": "libnvidia-encode.so.1"}
    known = {names[k]: v for k, v in libraries.items()}
    monkeypatch.setattr(machine, "_open", known.get)


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch)
    found = machine.driver()
    assert found.gpus == []
    assert "libcuda.so.1 is not there" in found.problem


def test_a_driver_with_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SimpleNamespace(NvEncodeAPIGetMaxSupportedVersion=nvenc)
    with_driver(monkeypatch, cuda=FakeCuda(), nvenc=encoder)
    found = machine.driver()
    assert (found.cuda, found.nvenc, found.problem) == ("13.1", "13.1", "")
    assert [(g.name, g.compute, g.memory_gib) for g in found.gpus] == [
        ("Fake 0", "9.0", 80.0),
        ("Fake 1", "9.0", 80.0),
    ]


def test_a_driver_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, cuda=FakeCuda(init=100))
    assert "does not start (CUDA_ERROR_NO_DEVICE)" in machine.driver().problem


def test_report(metabonk: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, cuda=FakeCuda())
    code, out, _ = metabonk("doctor", "--json")
    assert code == 0
    findings = {f["name"]: f for f in json.loads(out)}
    assert "sm_90" in findings["gpu 1"]["value"]
    assert findings["threads"]["value"][0].isdigit()
    assert findings["processor"]["value"]
    text = metabonk("doctor").out
    assert "Fake 0" in text


def test_each_extra_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = [
        "numpy>=2.0",
        "numpy>=2; extra == 'train'",
        'no-such-package-at-all>=1; extra == "data"',
        'no-such-package-at-all>=1; extra == "webrtc"',
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: requirements)
    train, data, webrtc = doctor._extras()
    assert train.state == "ok"
    assert "numpy 2" in train.value
    assert (data.state, data.remedy) == ("missing", extras.install("data"))
    assert "no-such-package-at-all" in data.value
    assert (webrtc.state, webrtc.remedy) == ("off", ""), "it would do nothing"


def test_a_package_that_is_too_old_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = ["torch>=2.11; extra == 'train'", "numpy>=2; extra == 'train'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: requirements)
    monkeypatch.setattr(
        importlib.metadata, "version", {"torch": "2.4.0", "numpy": "2.3"}.__getitem__
    )
    (train,) = doctor._extras()
    assert (train.state, train.remedy) == ("missing", extras.install("train"))
    assert train.value.endswith("plots; too old: torch 2.4.0, wanted 2.11")
    monkeypatch.setattr(
        importlib.metadata, "version", {"torch": "2.11.0+cpu", "numpy": "2.3"}.__getitem__
    )
    (train,) = doctor._extras()
    assert (train.state, train.remedy) == ("ok", "")


def gpu(monkeypatch: pytest.MonkeyPatch, **libraries: Any) -> dict[str, doctor.Finding]:
    with_driver(monkeypatch, **libraries)
    return {finding.name: finding for finding in doctor._gpus()}


def test_what_a_gpu_lacks_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SimpleNamespace(NvEncodeAPIGetMaxSupportedVersion=nvenc)
    bare = gpu(monkeypatch)
    assert "apt-get install nvidia-driver" in bare["driver"].remedy
    assert "comes with a GPU's driver" in bare["NVENC"].remedy
    stuck = gpu(monkeypatch, cuda=FakeCuda(init=100))
    assert "nvidia-smi" in stuck["driver"].remedy
    blind = gpu(monkeypatch, cuda=FakeCuda())
    assert "libnvidia-encode1" in blind["NVENC"].remedy
    assert blind["driver"].remedy == ""
    whole = gpu(monkeypatch, cuda=FakeCuda(), nvenc=encoder)
    assert (whole["driver"].remedy, whole["NVENC"].remedy) == ("", "")


def test_extras_that_nothing_uses_are_used_by_nothing() -> None:
    """Whoever builds the room of one takes it off the list."""
    packages = {"cluster": "ray", "webrtc": "aiortc"}
    assert packages.keys() == doctor.UNUSED
    root = Path(metabonk.__file__).parent
    sources = "\n".join(path.read_text("utf-8") for path in root.rglob("*.py"))
    imports = r"(?:^|\s)(?:import|from) {0}\b|import_module\(\"{0}|require\(\"{0}"
    for package in packages.values():
        assert not re.search(imports.format(package), sources), package
    assert re.search(imports.format("pyarrow"), sources), "what is used is found so"


def test_a_missing_core_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "core_built", lambda: False)
    (finding,) = doctor._native()
    assert finding.state == "missing"
    assert "./scripts/build" in finding.remedy
    assert machine.describe().tier == ""


@pytest.mark.parametrize("refused", ["", "Operation not permitted"])
def test_real_time_priority_is_tried(monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    import os

    asked: list[int] = []

    def schedule(pid: int, policy: int, param: Any) -> None:
        asked.append(policy)
        if refused:
            raise PermissionError(1, refused)

    before = os.sched_getscheduler(0)
    monkeypatch.setattr(os, "sched_setscheduler", schedule)
    assert machine.realtime() == refused
    assert asked == [os.SCHED_FIFO]
    assert os.sched_getscheduler(0) == before
    found = next(f for f in doctor._machine() if f.name == "real-time priority")
    assert found.state == ("off" if refused else "ok")
    assert bool(found.remedy) == bool(refused)


def test_a_cap_shows_down_to_the_extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goals of operations are for processors that have them all."""
    support = pytest.importorskip("metabonk._core").support
    before = support.active_tier(), support.active_extension()
    wide = {"none": "", "vnni": " with VNNI", "bf16": " with VNNI and BF16"}
    wide["amx"] = " with VNNI, BF16 and AMX"
    whole = support.detected_tier() + wide[support.detected_extension()]
    for variable in ("METABONK_CPU", "METABONK_NATIVE_CPU"):
        monkeypatch.delenv(variable, raising=False)
    try:
        support.cap_tier("avx512")
        support.cap_extension("amx")
        assert doctor._native()[0].value == whole
        support.cap_extension("none")
        tier = support.detected_tier()
        capped = f"{whole}, capped to {tier} by METABONK_CPU" if whole != tier else tier
        assert doctor._native()[0].value == capped
        support.cap_tier("baseline")
        assert doctor._native()[0].value.startswith(whole)
        assert ("capped to baseline" in doctor._native()[0].value) == (tier != "baseline")
    finally:
        support.cap_tier(before[0])
        support.cap_extension(before[1])
