"""Arrays of other libraries: what is taken as it lies and what is refused, with made-up arrays."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kernels import arrays
from kernels.arrays import as_tensor, device_array


class Interface:
    """An array with `__cuda_array_interface__`, as CuPy makes them; its memory is nowhere."""

    def __init__(self, **changes: Any) -> None:
        self.__cuda_array_interface__ = {
            "shape": (4, 3),
            "typestr": "<f4",
            "data": (4096, False),
            "strides": None,
            "version": 3,
        } | changes


class Packed:
    """An array with DLPack on a device of some type."""

    def __init__(self, kind: int) -> None:
        self._kind = kind

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._kind, 0

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("asked for memory that cannot be taken")


def test_the_interface_is_read() -> None:
    array = Interface(stream=7)
    found = device_array("x", array, (-1, 3), torch.float32)
    assert (found.pointer, found.shape, found.stream) == (4096, (4, 3), 7)
    assert found.nbytes == 48
    assert found.owner is array


@pytest.mark.parametrize(
    ("typestr", "dtype"),
    [("|u1", torch.uint8), ("|i1", torch.int8), ("<f2", torch.float16), ("<i8", torch.int64)],
)
def test_types_are_translated(typestr: str, dtype: torch.dtype) -> None:
    assert device_array("x", Interface(typestr=typestr), (4, 3), dtype).dtype == dtype


@pytest.mark.parametrize(
    "changes",
    [
        {"strides": (12, 4)},
        {"shape": (1, 3), "strides": (999, 4)},  # one row: its stride is never used
        {"shape": (0, 3), "strides": (1, 1)},
        {"stream": None},
        {"version": 2},
        {"data": (4096, True)},
    ],
)
def test_what_lies_as_wanted_is_taken(changes: dict[str, Any]) -> None:
    assert device_array("x", Interface(**changes), (-1, 3), torch.float32).pointer == 4096


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": (24, 4)}, r"x has strides \(24, 4\) in bytes; wanted a contiguous one"),
        ({"strides": (4, 16)}, "x has strides"),
        ({"typestr": "<f8"}, r"x is torch.float64 \[4, 3\]; wanted torch.float32 \[any, 3\]"),
        ({"typestr": ">f4"}, "x is of type '>f4'"),
        ({"shape": (4, 4)}, r"x is torch.float32 \[4, 4\]; wanted torch.float32 \[any, 3\]"),
        ({"shape": (12,)}, r"\[12\]; wanted"),
        ({"mask": object()}, "x has a mask"),
        ({"version": 1}, "x has version 1"),
        ({"stream": 0}, "x names stream 0"),
        ({"data": (4100, False)}, "x is at an address of 4 modulo 16"),
    ],
)
def test_what_does_not_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        device_array("x", Interface(**changes), (-1, 3), torch.float32)


def test_results_are_not_written_to_what_is_read_only() -> None:
    with pytest.raises(ValueError, match="out is read-only"):
        device_array("out", Interface(data=(4096, True)), (4, 3), torch.float32, writeable=True)


@pytest.mark.parametrize("take", [lambda x: device_array("x", x, (2,), torch.float32),
                                  lambda x: as_tensor("x", x)])  # fmt: skip
def test_main_memory_and_other_things_are_refused(take: Any) -> None:
    with pytest.raises(ValueError, match="x is on cpu; wanted a CUDA device"):
        take(torch.zeros(2))
    with pytest.raises(ValueError, match="x is on a device of DLPack's type 1; wanted 2, CUDA"):
        take(Packed(1))
    with pytest.raises(TypeError, match="x is list; wanted an array on a CUDA device"):
        take([1.0, 2.0])


class Lying:
    """As much of a tensor on a device as `as_tensor` asks for."""

    def __init__(self, pointer: int) -> None:
        self.device = torch.device("cuda", 0)
        self._pointer = pointer

    def data_ptr(self) -> int:
        return self._pointer

    def numel(self) -> int:
        return 12


@pytest.mark.parametrize(("stream", "waited"), [(7, [7]), (1, [1]), (None, [])])
def test_a_tensor_waits_for_the_stream_that_the_array_names(
    stream: int | None, waited: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(arrays, "_follow", lambda device, handle: seen.append(handle))
    monkeypatch.setattr(torch, "as_tensor", lambda value, device: Lying(4096))
    assert as_tensor("x", Interface(stream=stream)).data_ptr() == 4096
    assert seen == waited


def test_a_tensor_that_would_be_a_copy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "as_tensor", lambda value, device: Lying(8192))
    with pytest.raises(ValueError, match="x is on another device than cuda:0"):
        as_tensor("x", Interface())
