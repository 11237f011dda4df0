"""JSON lines of a data set: the layout of the known design's log, whose outcome is always there.

Knows that layout and files of lines; does not know where rows come from or who reads them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from metabonk.cognition import vocabulary as v
from metabonk.cognition.log.rows import Row
from metabonk.cognition.protocol import legacy
from metabonk.cognition.question import Frame, Press
from metabonk.records import FieldGroup

SPLITS = ("train", "validation", "test")


class Lines:
    """A file per split. suffix: of its name, as `.chat.jsonl`."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self._files: dict[str, IO[bytes]] = {
            split: (folder / f"{split}{suffix}").open("wb") for split in SPLITS
        }

    def write(self, split: str, value: Any) -> None:
        self._files[split].write(msgspec.json.encode(value) + b"\n")

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class JsonLines:
    """The known design's layout; `action` in its words, `directive` in ours."""

    def __init__(self, folder: Path) -> None:
        self._lines = Lines(folder, ".jsonl")

    def add(self, row: Row, split: str, pictures: Sequence[Frame]) -> None:
        self._lines.write(split, known_layout(row, pictures))

    def close(self) -> None:
        self._lines.close()


def known_layout(row: Row, pictures: Sequence[Frame] = ()) -> dict[str, Any]:
    """One row in the layout that the known design logs; its `outcome` is there, always.

    success: whether the agent lived to the end of the seconds. action: {} for what version 1 cannot
    say. goal: the operator's, of the question. pickups: of those that the journal keeps.
    """
    came, directive = row.came, row.directive
    # Of version 1's states, which have no entities, (0, 0) is the word for nowhere.
    placed = bool(row.state.fields & FieldGroup.ENTITIES) or any(row.state.position)
    action = {} if directive is None else legacy.directive_of(directive, row.state, placed)
    return {
        "timestamp": row.at,
        "agent_id": row.agent,
        "decision_id": row.id,
        "frames": [base64.b64encode(frame.jpeg).decode("ascii") for frame in pictures],
        "frame_times": [frame.time for frame in pictures],
        "state": _state(row),
        "reasoning": row.reasoning,
        "goal": row.goal,
        "action": action,
        "directive": None if directive is None else v.spell(directive),
        "press": None if row.press is None else spell_press(row.press),
        "confidence": row.confidence,
        "inference_time_ms": row.server_ms,
        "status": row.status,
        "mode": row.mode,
        "outcome": {
            "reward": came.reward, "success": came.alive,
            "damage_taken": max(0.0, -came.health_change), "health_change": came.health_change,
            "kills": came.kills, "xp": came.xp, "applied": came.applied, "seconds": came.seconds,
        },
    }  # fmt: skip


def _state(row: Row) -> dict[str, Any]:
    state = row.state
    return {
        "health": state.health, "max_health": state.max_health, "shield": state.shield,
        "position": state.position, "velocity": state.velocity, "level": state.level,
        "xp": state.xp, "gold": state.gold, "kills": state.kills, "time": state.time,
        "menu": state.menu, "enemies_nearby": row.near, "pickups": len(state.pickups),
    }  # fmt: skip


def spell_press(press: Press) -> dict[str, Any]:
    """A menu's press in the known design's words."""
    if press.kind == "click":
        return {"action": "click", "target_text": press.text, "choice": press.choice}
    if press.kind == "click_xy":
        return {"action": "click_xy", "x": press.x, "y": press.y}
    return {"action": "noop"}
