"""Arrays of other libraries as tensors: the same memory, what is refused, and an op over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from metabonk.ops import arrays
from metabonk.ops.arrays import tensor
from metabonk.ops.gae import gae, reference
from metabonk.ops.vq import vq_lookup


class Packed:
    """An array with DLPack and nothing else."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __dlpack__(self, **options: Any) -> Any:
        return self.held.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, index = self.held.__dlpack_device__()
        return int(kind), index


class OnDevice:
    """What only has the interface of CUDA arrays."""

    def __init__(self, **changes: Any) -> None:
        self.__cuda_array_interface__ = {
            "shape": (4, 3), "typestr": "<f4", "data": (4096, False), "strides": None, "version": 3,
        } | changes  # fmt: skip


def test_nothing_is_copied() -> None:
    held = np.arange(6, dtype=np.float32).reshape(2, 3)
    for given in (held, Packed(held), held[:, 1:]):
        found = tensor("x", given)
        before = found.clone()
        held += 1.0
        assert torch.equal(found, before + 1.0)
    there = torch.zeros(3)
    assert tensor("x", there) is there
    assert tensor("x", Packed(there)).data_ptr() == there.data_ptr()


def test_memory_outlives_the_array() -> None:
    found = tensor("x", np.full(100_000, 7.0))
    junk = [np.zeros(100_000) for _ in range(8)]
    assert found.min() == found.max() == 7.0
    assert len(junk) == 8


def test_an_op_takes_them_and_gives_back_what_numpy_reads() -> None:
    numbers = np.random.default_rng(0)
    reward = numbers.standard_normal((5, 3)).astype(np.float32)
    value = numbers.standard_normal((6, 3)).astype(np.float32)
    flags = [numbers.random((5, 3)) < 0.2 for _ in range(3)]
    taken = [tensor(f"array {i}", Packed(a)) for i, a in enumerate((reward, value, *flags))]
    found = gae(*taken, gamma=0.99, gae_lambda=0.95)
    wanted = reference(*(torch.from_numpy(a) for a in (reward, value, *flags)), 0.99, 0.95)
    assert torch.allclose(torch.from_numpy(np.from_dlpack(found)), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("array", "error", "words"),
    [
        ([1.0, 2.0], TypeError, "x is list; wanted a torch tensor, a numpy array, or"),
        (np.broadcast_to(np.zeros(1), (3,)), ValueError, r"x is read-only.*wanted x\.copy\(\)"),
        (np.zeros(3)[::-1], ValueError, r"x has strides \(-8,\) in bytes; wanted none below zero"),
        (np.zeros(3, "S4"), ValueError, r"x is of \|S4, which torch has not"),
        (Packed(np.zeros(3, ">f4")), ValueError, "x cannot be taken as it lies"),
        (OnDevice(typestr=">f4"), ValueError, "x is of type '>f4'"),
        (OnDevice(strides=(24, 4)), ValueError, "x has strides"),
    ],
)
def test_what_torch_cannot_hold_is_refused(array: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        tensor("x", array)


def test_what_lies_on_a_device_goes_the_way_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, Any]] = []

    def taken(name: str, array: Any) -> torch.Tensor:
        seen.append((name, array))
        return torch.zeros(1)

    monkeypatch.setattr(arrays, "as_tensor", taken)
    array = OnDevice()
    tensor("x", array)
    assert seen == [("x", array)]


def test_an_op_says_how_another_array_becomes_a_tensor() -> None:
    codebook = torch.zeros(4, 8)
    for array in (np.zeros((2, 8), np.float32), Packed(np.zeros((2, 8), np.float32))):
        words = rf"x is {type(array).__name__}; .*: metabonk\.ops\.arrays\.tensor makes one"
        with pytest.raises(TypeError, match=words):
            vq_lookup(array, codebook)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"x is list; wanted a torch tensor$"):
        vq_lookup([[0.0] * 8], codebook)  # type: ignore[arg-type]
