"""An emulated device: the CUDA kernels' own source compiled as C++ over `emulator/`.

`Emulated.call` runs one entry of kernels/cuda/api.h on numpy arrays, with its threads in an order
drawn from a seed. Knows ctypes and the compiler; no op.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
KERNELS = ROOT / "kernels" / "cuda"
EMULATOR = Path(__file__).parent / "emulator"
HOPPER = (9, 0, 132, 227 * 1024)
BLACKWELL = (10, 0, 148, 227 * 1024)
GEFORCE = (12, 0, 170, 99 * 1024)
AMPERE = (8, 0, 108, 163 * 1024)
GUARD = 64
BAND = 0xA5


class Guarded:
    """An array in the middle of a band that nothing may write to; begins as NaN or 0xFF."""

    def __init__(self, shape: tuple[int, ...], dtype: Any = np.float32) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self._bytes = np.full(size + 2 * GUARD + 16, BAND, np.uint8)
        self._first = GUARD + -(self._bytes.ctypes.data + GUARD) % 16
        self._end = self._first + size
        self._bytes[self._first : self._end] = 0xFF
        self.array = self._bytes[self._first : self._end].view(dtype).reshape(shape)

    def check(self) -> None:
        assert (self._bytes[: self._first] == BAND).all(), "written before its begin"
        assert (self._bytes[self._end :] == BAND).all(), "written behind its end"


class Emulated:
    """The kernels on the emulated device."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.emulator_failure.restype = ctypes.c_char_p

    def size(self, name: str, *arguments: int) -> int:
        """What an entry says about sizes."""
        function = self._library[name]
        function.restype = ctypes.c_int64
        return int(function(*arguments))

    def size_of(self, name: str, arguments: ctypes.Structure) -> int:
        """What an entry says about the sizes in its arguments."""
        function = self._library[name]
        function.restype = ctypes.c_int64
        return int(function(ctypes.byref(arguments)))

    def call(
        self,
        name: str,
        arguments: ctypes.Structure,
        device: tuple[int, int, int, int] = HOPPER,
        seed: int = 0,
    ) -> int:
        """Runs an entry; its code. A failure of the emulated machine is one of the test."""
        return self.plain(name, ctypes.byref(arguments), device=device, seed=seed)

    def plain(
        self,
        name: str,
        *arguments: Any,
        device: tuple[int, int, int, int] = HOPPER,
        seed: int = 0,
    ) -> int:
        """The same of an entry with arguments of its own; addresses as `pointer` gives them."""
        self._library.emulator_set(*device, seed)
        code = int(self._library[name](*arguments, None))
        failure = self._library.emulator_failure()
        assert code != 719, failure.decode()
        return code


def aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy that begins at a multiple of 16 bytes, as device memory does."""
    copy = np.empty(array.nbytes + 16, np.uint8)
    first = -copy.ctypes.data % 16
    to = copy[first : first + array.nbytes].view(array.dtype).reshape(array.shape)
    to[...] = array
    return to


def address(array: npt.NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data


def pointer(array: npt.NDArray[Any] | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(address(array))


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _build(target: Path, command: Callable[[Path], list[str]]) -> Path:
    """Builds once per content; workers that meet each make their own and the last one stays."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(f".{os.getpid()}")
        subprocess.run(command(part), check=True)
        part.replace(target)
    return target


def build(source: Path = KERNELS, pattern: str = "*.cu") -> Emulated:
    """The files of a folder like kernels/cuda compiled for the emulated device, once per content.
    Skips the test without a C++ compiler."""
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    units = sorted(source.glob(pattern))
    headers = [
        ROOT / "csrc" / "nn" / "formats.h",
        *source.rglob("*.cuh"),
        *source.glob("*.h"),
        *EMULATOR.rglob("*.*"),
    ]
    machine = EMULATOR / "machine.cc"
    flags = ["-std=c++20", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-Wall", "-Wextra"]
    flags += ["-Wshadow", "-Werror", "-Wno-unknown-pragmas"]
    includes = [f"-I{EMULATOR}", f"-I{source}", f"-I{ROOT}/csrc", f"-I{ROOT}/csrc/include"]

    def command(target: Path) -> list[str]:
        sources = ["-x", "c++", *map(str, [*units, machine])]
        return [compiler, *flags, *includes, *sources, "-o", str(target)]

    folder = ROOT / "build" / "emulator" if source == KERNELS else source.parent
    built = folder / f"{_digest([*units, *headers])}.so"
    return Emulated(ctypes.CDLL(str(_build(built, command))))
