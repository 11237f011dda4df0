"""protocol/jpeg.py: a header that was read is recognised, and nothing is let through by it that
libjpeg would not."""

from __future__ import annotations

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk.cognition.protocol.jpeg import HEAD_BYTES, Heads, check_jpeg, end_of_head
from metabonk.cognition.protocol.messages import WireError


def jpeg(height: int = 36, width: int = 64, seed: int = 0, quality: int = 85) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return bytes(simplejpeg.encode_jpeg(pixels, quality, "RGB", "420"))


JPEG = jpeg()
HEAD = end_of_head(JPEG[:HEAD_BYTES])


def libjpeg(data: bytes) -> tuple[int, int] | None:
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return int(height), int(width)


def told(heads: Heads, data: bytes) -> tuple[int, int] | None:
    try:
        return heads.size(data)
    except ValueError:
        return None


def test_the_frames_of_a_strip_have_their_header_read_once() -> None:
    heads = Heads()
    strip = [jpeg(360, 640, seed) for seed in range(9)]
    assert len(set(strip)) == 9
    assert {heads.size(memoryview(one)) for one in strip} == {(360, 640)}
    assert heads.read == 1
    assert heads.size(jpeg(360, 640, quality=40)) == (360, 640)
    assert heads.size(jpeg(640, 360)) == (640, 360)
    assert heads.read == 3, "other tables and other sizes are other headers"
    assert [heads.size(one) for one in strip] == [(360, 640)] * 9
    assert heads.read == 3


def test_only_so_many_are_remembered() -> None:
    heads = Heads(most=2)
    for height in (16, 32, 48):
        assert heads.size(jpeg(height)) == (height, 64)
    assert len(heads._known) == 2
    assert heads.size(jpeg(48)) == (48, 64)
    assert heads.read == 3
    assert heads.size(jpeg(16)) == (16, 64)
    assert heads.read == 4, "the oldest was forgotten"


def test_a_header_ends_where_its_first_scan_begins() -> None:
    assert 300 < HEAD < HEAD_BYTES
    assert JPEG[:HEAD] == jpeg(seed=1)[:HEAD]
    assert JPEG[HEAD : HEAD + 20] != jpeg(seed=1)[HEAD : HEAD + 20]
    assert end_of_head(JPEG[: HEAD - 1]) == 0
    assert end_of_head(b"\xff\xd8" + b"\x00" * 100) == 0
    assert end_of_head(b"\xff\xd8" + b"\xff\xe0\x00\x02" * 500) == 0, "and not after ever so many"
    restart = JPEG[:2] + b"\xff\xd0" + JPEG[2:]
    assert end_of_head(restart[:HEAD_BYTES]) == 0, "it has something between its segments"


def test_what_is_never_remembered_is_read_every_time() -> None:
    """A comment of four kilobytes before everything else: the header is longer than is kept."""
    length = (4098).to_bytes(2, "big")
    wordy = JPEG[:2] + b"\xff\xfe" + length + b"x" * 4096 + JPEG[2:]
    heads = Heads()
    assert [heads.size(wordy), heads.size(wordy)] == [(36, 64)] * 2
    assert (heads.read, heads._known) == (2, ())


@settings(max_examples=400)
@given(st.integers(0, HEAD + 40), st.integers(0, 255))
def test_a_changed_byte_is_judged_as_libjpeg_judges_it(at: int, value: int) -> None:
    changed = JPEG[:at] + bytes([value]) + JPEG[at + 1 :]
    heads = Heads()
    heads.size(JPEG)
    assert told(heads, changed) == libjpeg(changed)
    assert told(heads, changed) == libjpeg(changed), "and so it is the second time"
    assert told(heads, JPEG) == (36, 64)


def test_what_is_cut_off_is_refused_also_where_its_header_is_known() -> None:
    assert check_jpeg(JPEG) == (36, 64)
    for bad in (JPEG[:-2], JPEG[:HEAD], b"\x00" + JPEG[1:]):
        with pytest.raises(WireError):
            check_jpeg(bad)
    with pytest.raises(WireError, match="64x36 pixels, 2,303 are allowed"):
        check_jpeg(JPEG, 36 * 64 - 1)
