"""Conversions of numbers: golden tables, the CUDA headers where they are, torch, and refusals.

`formats_golden.csv` holds what the CUDA headers (13.0) say about `numbers()`: the bits of a number,
then its codes in the order of `ENCODINGS`, hexadecimal. Where the headers are found, they are
compiled for the host and asked again, about many more numbers.
"""

from __future__ import annotations

import glob
import itertools
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from metabonk.ops import formats
from metabonk.ops.formats import NumberFormat, Rounding, decode, encode

HERE = Path(__file__).parent
GOLDEN = HERE / "formats_golden.csv"
ENCODINGS: tuple[tuple[NumberFormat, Rounding | None], ...] = (
    ("e4m3", None),
    ("e2m1", None),
    ("e8m0", "down"),
    ("e8m0", "up"),
    ("bf16", None),
)
CODES: dict[NumberFormat, int] = {"e4m3": 256, "e2m1": 16, "e8m0": 256, "bf16": 65536}
Floats = npt.NDArray[np.float32]


def e4m3_value(code: int) -> float:
    """By the standard's definition."""
    sign, exponent, mantissa = code >> 7, code >> 3 & 15, code & 7
    if (exponent, mantissa) == (15, 7):
        return float("nan")
    size = mantissa * 2.0**-9 if exponent == 0 else (8 + mantissa) * 2.0 ** (exponent - 10)
    return -size if sign else size


E2M1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
E2M1 += [-x for x in E2M1]


def numbers() -> Floats:
    """Every value of e4m3 and e2m1, the middles between neighbours, powers of two, the ends of
    float32, infinities, NaN, and the neighbours of all of these, of both signs."""
    sizes = sorted({e4m3_value(i) for i in range(127)} | set(E2M1[:8]))
    middles = [(a + b) / 2 for a, b in itertools.pairwise(sizes)]
    powers = [2.0**e for e in (-149, -133, -127, -126, -40, -1, 0, 1, 40, 127)]
    ties = [1 + 2.0**-8, 1 + 3 * 2.0**-8, 3.3895313892515355e38, 3.3961775292304957e38]
    base = np.float32([*sizes, *middles, *powers, *ties, 464.0, 480.0, 5e3, 7.0, 3.4028235e38])
    with np.errstate(over="ignore"):
        around = [np.nextafter(base, np.float32(0)), base, np.nextafter(base, np.float32(np.inf))]
    positive = np.unique(np.concatenate(around))
    positive = np.concatenate([positive, np.float32([np.inf, np.nan])])
    return np.concatenate([positive, -positive]).astype(np.float32)


def same(found: Floats, wanted: npt.NDArray[Any]) -> bool:
    """Equal bit for bit, but that any NaN is as good as any other."""
    wanted = np.asarray(wanted, np.float32)
    nan = np.isnan(wanted)
    return bool(
        np.array_equal(np.isnan(found), nan)
        and np.array_equal(found.view(np.uint32)[~nan], wanted.view(np.uint32)[~nan])
    )


def same_codes(format: NumberFormat, found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> bool:
    """As `same` for codes: of bf16 any NaN will do, of the others the very code."""
    if format == "bf16":
        return same(decode(found, format), decode(wanted, format))
    return bool(np.array_equal(found, wanted))


def test_every_value_is_the_standards() -> None:
    assert same(decode(np.arange(256, dtype=np.uint8), "e4m3"), list(map(e4m3_value, range(256))))
    assert same(decode(np.arange(16, dtype=np.uint8), "e2m1"), E2M1)
    powers = [2.0 ** (i - 127) for i in range(255)] + [float("nan")]
    assert same(decode(np.arange(256, dtype=np.uint8), "e8m0"), powers)
    bf16 = np.arange(65536, dtype=np.uint16)
    assert same(decode(bf16, "bf16"), (bf16.astype(np.uint32) << 16).view(np.float32))


@pytest.mark.parametrize(
    ("column", "format", "rounding"), [(i, *e) for i, e in enumerate(ENCODINGS)]
)
def test_codes_are_those_of_the_golden_table(
    column: int, format: NumberFormat, rounding: Rounding | None
) -> None:
    bits, codes = golden()
    found = encode(bits.view(np.float32), format, rounding)
    assert same_codes(format, found, codes[column])


@pytest.mark.parametrize("format", list(CODES))
def test_every_code_comes_back(format: NumberFormat) -> None:
    codes = np.arange(CODES[format]).astype(formats.code_type(format))
    back = encode(decode(codes, format), format)
    if format == "e4m3":  # its negative NaN becomes the positive one
        codes[0xFF] = 0x7F
    assert same_codes(format, back, codes)


def golden() -> tuple[npt.NDArray[np.uint32], list[npt.NDArray[Any]]]:
    rows = [line.split(",") for line in GOLDEN.read_text().splitlines()]
    columns = [[int(cell, 16) for cell in column] for column in zip(*rows, strict=True)]
    codes = [
        np.array(column).astype(formats.code_type(format))
        for column, (format, _) in zip(columns[1:], ENCODINGS, strict=True)
    ]
    return np.array(columns[0], np.uint32), codes


def headers() -> str | None:
    """A folder with the CUDA headers: beside nvcc, where they are usually installed, or of a
    Python package."""
    candidates = [os.environ.get("CUDA_HOME", "") + "/include"]
    if nvcc := shutil.which("nvcc"):
        candidates.append(str(Path(nvcc).resolve().parent.parent / "include"))
    candidates += sorted(glob.glob("/usr/local/cuda*/include"), reverse=True)
    candidates += glob.glob(sysconfig.get_path("purelib") + "/nvidia/*/include")
    names = ("cuda_fp8.h", "cuda_fp4.h", "cuda_bf16.h")
    return next((c for c in candidates if all(Path(c, name).exists() for name in names)), None)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Floats], bytes]:
    """Runs the CUDA headers' conversions on numbers; see formats_oracle.cc."""
    include, compiler = headers(), os.environ.get("CXX") or shutil.which("c++")
    if include is None:
        pytest.skip("needs the CUDA headers (cuda_fp8.h, cuda_fp4.h, of CUDA 12.8 or newer)")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    program = tmp_path_factory.mktemp("oracle") / "oracle"
    source = HERE / "formats_oracle.cc"
    subprocess.run(
        [compiler, "-std=c++17", "-O1", "-I", include, str(source), "-o", str(program)], check=True
    )

    def run(given: Floats) -> bytes:
        done = subprocess.run([program], input=given.tobytes(), check=True, capture_output=True)
        return done.stdout

    return run


def split(answer: bytes, count: int) -> tuple[list[npt.NDArray[Any]], Floats]:
    """Codes in the order of ENCODINGS, and the values of all codes."""
    rows = np.frombuffer(answer, np.uint8, 6 * count).reshape(count, 6)
    bf16 = np.ascontiguousarray(rows[:, 4:]).view(np.uint16)[:, 0]
    codes = [np.ascontiguousarray(rows[:, i]) for i in range(4)]
    return [*codes, bf16], np.frombuffer(answer, np.float32, offset=6 * count)


def test_the_cuda_headers_agree(oracle: Callable[[Floats], bytes]) -> None:
    random = np.random.default_rng(0)
    given = np.concatenate(
        [
            numbers(),
            random.integers(0, 2**32, 200_000, np.uint32).view(np.float32),  # any bits at all
            np.exp2(random.uniform(-12, 10, 200_000)).astype(np.float32),  # where codes are
        ]
    )
    codes, values = split(oracle(given), len(given))
    for wanted, (format, rounding) in zip(codes, ENCODINGS, strict=True):
        assert same_codes(format, encode(given, format, rounding), wanted), (format, rounding)
    for format, count in CODES.items():
        found = decode(np.arange(count).astype(formats.code_type(format)), format)
        assert same(found, values[:count]), format
        values = values[count:]
    assert not len(values)


def test_the_golden_table_is_what_the_cuda_headers_say(oracle: Callable[[Floats], bytes]) -> None:
    bits, codes = golden()
    assert np.array_equal(bits, numbers().view(np.uint32))
    wanted, _ = split(oracle(bits.view(np.float32)), len(bits))
    for mine, theirs in zip(codes, wanted, strict=True):
        assert np.array_equal(mine, theirs)


def test_torch_agrees_where_it_has_the_format() -> None:
    given = numbers()
    mine = decode(encode(given, "bf16"), "bf16")
    assert same(mine, torch.from_numpy(given).bfloat16().float().numpy())
    below = given[np.abs(given) <= 448]  # above, torch's cast says NaN
    wanted = torch.from_numpy(below).to(torch.float8_e4m3fn).view(torch.uint8).numpy()
    assert np.array_equal(encode(below, "e4m3"), wanted)


@pytest.mark.parametrize("format", list(CODES))
def test_tensors_go_in_and_come_out(format: NumberFormat) -> None:
    given = numbers()[:60].reshape(3, 4, 5)
    codes = encode(torch.from_numpy(given), format)
    assert isinstance(codes, torch.Tensor)
    assert np.array_equal(codes.numpy(), encode(given, format))
    back = decode(codes, format)
    assert isinstance(back, torch.Tensor)
    assert same(back.numpy(), decode(encode(given, format), format))


def test_nothing_gives_nothing() -> None:
    assert encode(np.empty((0, 3), np.float32), "e4m3").shape == (0, 3)
    assert encode(np.array(1.5, np.float32), "e2m1").shape == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros(4, np.float64), "numbers is float64; wanted float32"),
        (np.zeros((4, 4), np.float32).T[:2], "numbers has strides"),
        (np.zeros(8, np.float32)[::2], "numbers has strides"),
        (np.zeros(9, np.uint8)[1:9].view(np.float32), "numbers is not aligned"),
        ([1.0, 2.0], "numbers is list"),
        (torch.zeros(4, dtype=torch.float16), "numbers is float16; wanted float32"),
        (torch.zeros(4, 4).t()[:2], "numbers has strides"),
        (torch.zeros(4, device="meta"), "numbers is on meta; wanted main memory"),
    ],
)
def test_what_cannot_be_read_is_refused(given: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        encode(given, "e4m3")


def test_wrong_formats_codes_and_roundings_are_refused() -> None:
    with pytest.raises(ValueError, match="'e5m2'; there are bf16, e4m3"):
        encode(np.zeros(1, np.float32), "e5m2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="codes is uint8; wanted uint16"):
        decode(np.zeros(1, np.uint8), "bf16")
    with pytest.raises(ValueError, match="rounding is 'up'; e4m3 rounds to 'nearest'"):
        encode(np.zeros(1, np.float32), "e4m3", "up")
    with pytest.raises(ValueError, match="rounding is 'nearest'; e8m0 rounds 'down' or 'up'"):
        encode(np.zeros(1, np.float32), "e8m0", "nearest")
