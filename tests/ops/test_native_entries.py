"""No silent copies: every native entry, reached through every door, refuses arrays that it cannot
read as they lie, names the argument, and leaves outputs as they were.

The tables of doors name the entries of `_core.nn` and `_core.video` that each one reaches; an entry
that no door reaches fails the first test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from doors import SENTINEL, Door
from doors_batches import BATCHES
from doors_networks import NETWORKS
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError

DOORS: dict[str, Door] = {**NETWORKS, **BATCHES}

# Take no arrays: names of loops, sizes, what a processor can do.
NO_ARRAYS = {
    "CfcEngine", "CfcPlan.threads", "CfcPlan.tier", "DenseEngine", "FramePlan", "QLinearEngine",
    "QLinearPlan.threads", "QLinearPlan.tier", "RssmDreamPlan.threads", "RssmDreamPlan.tier",
    "RssmEngine", "RssmPlan.tier", "VqEngine",
    "cfc_kernels", "dense_kernels", "frame_kernels", "merge_kernels", "peak_bf16_products",
    "peak_byte_products", "peak_multiply_add", "peak_read", "qlinear_kernels", "returns_kernels",
    "SURROGATE_OUTPUTS", "adam_kernels", "rssm_kernels", "surrogate_kernels", "vq_kernels",
    "weight_bytes",
}  # fmt: skip
# Not an op's: compiled policies, whose door is metabonk.play.
ELSEWHERE = ("Policy", "Program", "program_")


def entries() -> set[str]:
    found = set()
    for room in (_core.nn, _core.video):
        for name, value in vars(room).items():
            if name.startswith("_") or name.startswith(ELSEWHERE):
                continue
            found.add(name)
            if isinstance(value, type):
                found |= {f"{name}.{m}" for m in vars(value) if not m.startswith("_")}
    return found


def test_every_native_entry_stands_behind_a_door() -> None:
    reached = {entry for door in DOORS.values() for entry in door.reaches}
    assert reached | NO_ARRAYS == entries()


def test_every_door_takes_what_it_should() -> None:
    for door in DOORS.values():
        door.call(door.arrays())


# faults ----------------------------------------------------------------------------------------


def strided(array: Any) -> Any:
    """The same numbers two elements apart; of one column, two rows apart."""
    if isinstance(array, Tensor):
        wide = torch.stack([array, array], -1)[..., 0]
        return wide if not wide.is_contiguous() else torch.stack([array, array], 1)[:, 0]
    return np.stack([array, array], -1)[..., 0]


def other_dtype(array: Any) -> Any:
    if isinstance(array, Tensor):
        return array.to(torch.int16 if array.dtype != torch.float32 else torch.float64)
    return array.astype(np.int16 if array.dtype != np.float32 else np.float64)


def misaligned(array: Any) -> Any:
    """The same numbers one byte off what their type wants."""
    size = array.nbytes
    memory = np.zeros(size + 64, np.uint8)
    begin = -memory.ctypes.data % 16 + 1
    if isinstance(array, Tensor):
        flat = torch.frombuffer(memory, dtype=array.dtype, count=array.numel(), offset=begin)
        flat.copy_(array.reshape(-1))
        return flat.view(array.shape)
    view = memory[begin : begin + size].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def longer(array: Any) -> Any:
    """One more row."""
    return (torch if isinstance(array, Tensor) else np).concatenate([array, array[:1]])


def other_rank(array: Any) -> Any:
    return array[None]


def elsewhere(array: Tensor) -> Tensor:
    return array.to("meta")


def other_kind(array: Any) -> Any:
    """The same numbers as another library's array."""
    return array.numpy() if isinstance(array, Tensor) else torch.from_numpy(array)


def listed(array: Any) -> Any:
    """The same numbers as a list."""
    return array.tolist()


KINDS = (other_kind, listed)
FAULTS = (strided, other_dtype, misaligned, longer, other_rank, elsewhere, *KINDS)
TAKE_EITHER = ("formats.", "qweight")  # arrays and tensors
# What is no fault: another number of rows or dimensions is a batch of its own where nothing else
# has to agree with it.
FREE = {
    ("adam.clip", "gradient"),
    ("formats.encode", "numbers"), ("formats.decode", "codes"), ("qweight.quantize", "weight"),
    ("raw qlinear", "x"), ("qlinear", "x"), ("vq_lookup", "codebook"),
    ("raw vq_lookup", "codebook"), ("vq.plan", "codebook"), ("vq_lookup", "x"),
    ("raw vq_lookup", "x"), ("qweight dequantize", "codes"), ("qweight pack", "codes"),
}  # fmt: skip


def faults() -> Iterator[Any]:
    for name, door in DOORS.items():
        for argument, array in door.arrays().items():
            for fault in FAULTS:
                # What torch's dispatcher sees on `meta` is a question about shapes.
                asks = len(door.arrays()) == 1 or name.startswith("raw")
                if fault is elsewhere and (asks or not isinstance(array, Tensor)):
                    continue
                if fault in KINDS and (name.startswith("raw") or name.endswith("gradient")):
                    continue  # torch's dispatcher and its autograd let nothing else in
                if fault is other_kind and name.startswith(TAKE_EITHER):
                    continue
                if fault is misaligned and array.itemsize == 1:
                    continue
                if fault is strided and (argument == "the gradient" or array.size == 1):
                    continue  # autograd's own may lie anyhow and are copied; one number cannot
                shapes = fault in (longer, other_rank)
                if shapes and ((name, argument) in FREE or name.startswith("frames_torch")):
                    continue
                if shapes and name.startswith("frames.") and argument == "frames":
                    continue  # `out` is what does not fit then, which is a fault of its own
                yield pytest.param(name, argument, fault, id=f"{name}-{argument}-{fault.__name__}")


@pytest.mark.parametrize(("name", "argument", "fault"), list(faults()))
def test_what_cannot_be_read_is_named_and_nothing_is_written(
    name: str, argument: str, fault: Callable[[Any], Any]
) -> None:
    door = DOORS[name]
    arrays = door.arrays()
    arrays[argument] = fault(arrays[argument])
    wanted = TypeError if fault in KINDS else (ValueError, TypeError, BackendError)
    with pytest.raises(wanted) as raised:
        door.call(arrays)
    said = str(raised.value)
    # Where all others are held against the one that is at fault, the first of them is named.
    allowed = [argument] if argument not in door.follow else list(arrays)
    assert any(f"{word} " in said for word in allowed), said
    for output in door.outputs:
        array = arrays[output]
        if not (isinstance(array, Tensor) and array.is_meta):
            assert (np.asarray(array) == SENTINEL).all()


@pytest.mark.parametrize("value", [np.zeros(1), np.zeros(3), 1.0, "1", None, torch.zeros(1)])
def test_an_address_is_an_int_and_nothing_that_can_be_made_into_one(value: Any) -> None:
    """An array of one number would become 0 or 1 otherwise, and the kernel write there."""
    with pytest.raises(TypeError):
        _core.nn.encode_numbers(0, value, 1, 0)
    with pytest.raises(TypeError):
        _core.video.grey(value, 1, 0, None)
    with pytest.raises(TypeError):
        _core.nn.WeightedPlan([value], [1.0], 1, 0, None)
    with pytest.raises(TypeError):
        _core.nn.CfcPlan((3, 5, 6), 1, 4, (value,) * 4, (0, 0, 0, 0), 0, (), False, 1)
