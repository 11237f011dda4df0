"""`.pt` rollouts of version 1, opened without running anything in them. Needs Torch for that.

Knows their keys (observations float32 [T, D], actions float32 [T, A], rewards, dones [T], meta) and
the Episode. The end of a file is a cut, as in `.npz` files: see npz.py.
"""

from __future__ import annotations

import importlib.util
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from metabonk.data.episode import Episode, Header
from metabonk.data.npz import ends_of, spans_of
from metabonk.errors import CorruptError, MissingExtraError
from metabonk.protocols import FloatArray

MOST_BYTES = 4 << 30
_NEEDED = ("observations", "actions")
_FLAGS = ("dones", "truncated", "is_first")


def read_pt(path: Path | str, *, most_bytes: int = MOST_BYTES) -> list[Episode]:
    """The episodes of a rollout, observations under `observation`; the last may go on elsewhere.

    Raises CorruptError for a file that only pickle could read, a key that is missing or of the
    wrong shape, or more than `most_bytes`; MissingExtraError without Torch.
    """
    path = Path(path)
    arrays = _load(path, most_bytes)
    for key in _NEEDED:
        if not isinstance(arrays.get(key), np.ndarray) or arrays[key].ndim != 2:
            raise CorruptError(f"{path}: {key} must be numbers [T, columns]")
    steps = len(arrays["observations"])
    for key in ("actions", "rewards", *_FLAGS):
        if key in arrays and np.shape(arrays[key])[:1] != (steps,):
            raise CorruptError(f"{path}: {key} has shape {np.shape(arrays[key])}, not ({steps}, …)")
    seen = np.asarray(arrays["observations"], np.float32)
    action = np.asarray(arrays["actions"], np.float32)
    reward = _column(path, arrays, "rewards", steps)
    flags = {key: _column(path, arrays, key, steps) for key in _FLAGS if key in arrays}
    ends = ends_of(path, flags, steps)
    header = _header(path, arrays, action.shape[1])
    return [
        Episode(
            0,
            number,
            header,
            {"observation": seen[a:b]},
            action[a:b],
            np.zeros((b - a, 0), np.float32),
            reward[a:b],
            ends.terminated[a:b],
            ends.truncated[a:b],
        )
        for number, (a, b) in enumerate(spans_of(ends))
    ]


def _column(path: Path, arrays: Mapping[str, Any], key: str, steps: int) -> FloatArray:
    """Numbers [steps], also where they are written as [steps, 1]; zeros where there are none."""
    found = np.asarray(arrays.get(key, np.zeros(steps)))
    if found.size != steps or found.dtype.kind not in "biuf":
        raise CorruptError(f"{path}: {key} has shape {found.shape}, not ({steps},)")
    return found.reshape(steps).astype(np.float32)


def _load(path: Path, most_bytes: int) -> dict[str, Any]:
    """Tensors as arrays, and `meta` as it is."""
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("torch", "train", f"reading {path.name}")
    import torch

    size = _unpacked(path)
    if size > most_bytes:
        raise CorruptError(f"{path}: {size:,} bytes, at most {most_bytes:,} are read: cut it up")
    try:
        # Only tensors and plain values are made: whatever else a pickle names is refused.
        found = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(found, Mapping):
            raise CorruptError(f"{path} holds a {type(found).__name__}, not tensors by name")
        return {str(k): _plain(path, str(k), v, size) for k, v in found.items()}
    except (CorruptError, OSError):
        raise
    except Exception as error:  # damaged files make its reader raise anything
        said = str(error).splitlines()
        raise CorruptError(
            f"{path} cannot be read without running code from it "
            f"({said[0] if said else type(error).__name__}): write it again as plain tensors"
        ) from error


def _plain(path: Path, key: str, value: Any, size: int) -> Any:
    """A tensor as float32 numbers; other values as they are."""
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    if value.numel() * value.element_size() > size:  # an expanded view of a few bytes
        raise CorruptError(f"{path}: {key} fills more memory than the file has bytes")
    return value.detach().to_dense().contiguous().float().numpy()


def _unpacked(path: Path) -> int:
    """Bytes of all that is in the file; those of the file itself where it is no archive."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            return max(size, sum(member.file_size for member in archive.infolist()))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error):
        return size


def _header(path: Path, arrays: Mapping[str, Any], columns: int) -> Header:
    raw: Any = arrays.get("meta", {})
    try:
        if isinstance(raw, str | bytes):
            raw = msgspec.json.decode(raw)
        meta = msgspec.convert(raw, dict[str, Any])
        return Header(
            source=str(meta.get("source") or meta.get("video_source") or path.stem),
            seed=int(meta.get("seed") or 0),
            actor=str(meta.get("actor") or "unknown"),
            num_envs=1,
            rate=float(meta.get("rate") or meta.get("hz") or 0.0),
            columns=columns,
            details=meta,
        )
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise CorruptError(f"{path}: meta does not say what it should ({error})") from error
