"""These tests run kernels in Triton's interpreter, so they need a process of their own, which
`test_interpreted.py` starts with TRITON_INTERPRET=1; elsewhere they are not collected.

The interpreter reads and writes anywhere without a word. So what kernels allocate lies between
guard bands here, and so do their inputs: a band of what nobody may write, filled with what nobody
may have read (NaN, or codes that would show).
"""

from __future__ import annotations

import importlib
import os
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from metabonk.kernels.interpreter import repair
from torch import Tensor

if os.environ.get("TRITON_INTERPRET") == "1":
    repair()
collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["*"]
BAND = 512  # elements on either side


class Guard:
    """Tensors between bands; `check` finds a band that was written."""

    def __init__(self) -> None:
        self.whole: list[tuple[Tensor, Tensor]] = []

    def new(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Uninitialised in name; filled with what the bands are filled with."""
        count = 1
        for length in shape:
            count *= length
        whole = torch.full((count + 2 * BAND,), _poison(dtype), dtype=dtype)
        self.whole.append((whole, whole.clone()))
        return whole[BAND : BAND + count].view(tuple(shape))

    def copy(self, tensor: Tensor) -> Tensor:
        """The same numbers between bands."""
        held = self.new(tuple(tensor.shape), tensor.dtype)
        held.copy_(tensor)
        return held

    def check(self) -> None:
        for whole, before in self.whole:
            for band in (slice(0, BAND), slice(len(whole) - BAND, len(whole))):
                ours, theirs = (t[band].contiguous().view(torch.uint8) for t in (whole, before))
                assert torch.equal(ours, theirs), f"wrote outside {list(whole.shape)} {whole.dtype}"


def _poison(dtype: torch.dtype) -> float:
    if dtype == torch.bool:
        return True
    return float("nan") if dtype.is_floating_point else 0x55


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guard]:
    """All that launches and ops allocate lies between bands, which are checked at the end."""
    guard = Guard()
    plain = Tensor.new_empty

    def new_empty(self: Tensor, *shape: Any, **options: Any) -> Tensor:
        if "device" in options or type(self) is not Tensor:  # the interpreter's own, and fake ones
            return plain(self, *shape, **options)
        return guard.new(_lengths(shape), options.get("dtype") or self.dtype)

    def empty(*shape: Any, dtype: torch.dtype = torch.float32, **_: Any) -> Tensor:
        return guard.new(_lengths(shape), dtype)

    with monkeypatch.context() as patch:
        for name in ("vq", "linear", "quantize", "cfc", "rssm", "sample", "returns"):
            module = importlib.import_module(f"metabonk.kernels.triton.{name}")
            own = types.SimpleNamespace(**vars(torch))
            own.empty, own.empty_like = empty, lambda t: guard.new(tuple(t.shape), t.dtype)
            own.zeros = lambda *shape, **options: empty(*shape, **options).zero_()
            patch.setattr(module, "torch", own, raising=False)
        patch.setattr(Tensor, "new_empty", new_empty)
        patch.setattr(
            Tensor, "new_zeros", lambda self, *shape: guard.new(_lengths(shape), self.dtype).zero_()
        )
        yield guard
    guard.check()


def _lengths(shape: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(shape[0]) if shape and isinstance(shape[0], tuple | list) else shape
