"""Floors: the least that one core must do for an op, measured in the same rounds as what is
compared with it, so that the ratio is the fraction of the peak. Knows the core's peak loops.
"""

from __future__ import annotations

from metabonk import _core

from .meter import Timed
from .peers import require
from .versus import AbsentError


def multiply_adds(macs: int) -> Timed:
    """How often a second so many float32 multiply-adds can be done in registers."""
    return Timed(lambda: _core.nn.peak_multiply_add(macs), 1.0)


def reads(floats: int) -> Timed:
    """How often a second so many float32 can be read, from whichever cache holds them."""
    torch = require("torch", "train")
    memory = torch.zeros(floats + 16)
    start = memory.data_ptr() + -memory.data_ptr() % 64  # as kernels keep their weights
    return Timed(lambda: _core.nn.peak_read(start, floats), 1.0, close=memory.numel)


def byte_products(products: int) -> Timed:
    """How often a second so many products of bytes can be added up in registers."""
    if not _core.nn.peak_byte_products(1):
        raise AbsentError("products of bytes need AVX512_VNNI")
    return Timed(lambda: _core.nn.peak_byte_products(products), 1.0)


def bf16_products(products: int) -> Timed:
    """How often a second so many products of bf16 can be added up in registers."""
    if not _core.nn.peak_bf16_products(1):
        raise AbsentError("products of bf16 need AVX512_BF16")
    return Timed(lambda: _core.nn.peak_bf16_products(products), 1.0)
