"""`.pt` rollouts of version 1, opened without running anything in them. Needs Torch for that.

Knows their keys (observations float32 [T, D], actions float32 [T, A], rewards, dones [T], meta) and
the Episode. The end of a file is a cut, as in `.npz` files: see npz.py.
"""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from metabonk.data.episode import Episode, Header
from metabonk.data.npz import ends_of, spans_of
from metabonk.errors import CorruptError, MissingExtraError

MOST_BYTES = 4 << 30
_NEEDED = ("observations", "actions")


def read_pt(path: Path | str, *, most_bytes: int = MOST_BYTES) -> list[Episode]:
    """The episodes of a rollout, observations under `observation`; the last may go on elsewhere.

    Raises CorruptError for a file that only pickle could read, a key that is missing or of the
    wrong shape, or more than `most_bytes`; MissingExtraError without Torch.
    """
    path = Path(path)
    arrays = _load(path, most_bytes)
    for key in _NEEDED:
        if key not in arrays or arrays[key].ndim != 2 or arrays[key].dtype.kind not in "fiu":
            raise CorruptError(f"{path}: {key} must be numbers [T, columns]")
    steps = len(arrays["observations"])
    for key in ("actions", "rewards", "dones", "truncated", "is_first"):
        if key in arrays and len(arrays[key]) != steps:
            raise CorruptError(f"{path}: {key} has {len(arrays[key])} rows, not {steps}")
    seen = np.asarray(arrays["observations"], np.float32)
    action = np.asarray(arrays["actions"], np.float32)
    reward = np.asarray(arrays.get("rewards", np.zeros(steps)), np.float32).reshape(steps)
    ends = ends_of(path, {k: v.reshape(steps) for k, v in arrays.items() if k in _FLAGS}, steps)
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


_FLAGS = ("dones", "truncated", "is_first")


def _load(path: Path, most_bytes: int) -> dict[str, Any]:
    """Tensors as arrays, and `meta` as it is."""
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("torch", "train", f"reading {path.name}")
    import torch

    size = path.stat().st_size
    if size > most_bytes:
        raise CorruptError(f"{path}: {size:,} bytes, at most {most_bytes:,} are read: cut it up")
    try:
        # Only tensors and plain values are made: whatever else a pickle names is refused.
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CorruptError(
            f"{path} cannot be read without running code from it "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}): "
            "write it again as plain tensors"
        ) from error
    if not isinstance(found, Mapping):
        raise CorruptError(f"{path} holds a {type(found).__name__}, not tensors by name")
    arrays: dict[str, Any] = {}
    for key, value in found.items():
        if isinstance(value, torch.Tensor):
            if value.numel() * value.element_size() > size:  # an expanded view of a few bytes
                raise CorruptError(f"{path}: {key} fills more memory than the file has bytes")
            arrays[str(key)] = value.detach().to_dense().contiguous().float().numpy()
        elif key == "meta":
            arrays["meta"] = value
    return arrays


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
