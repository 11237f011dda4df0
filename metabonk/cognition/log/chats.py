"""Decisions as conversations: what a model was asked, what it answered, what that brought.

Knows prompts and the layout that fine-tuning programs read (`messages` whose contents are parts,
`images` beside them), and rows for reward models (`prompt`, `completion`, `reward`, `label`). Does
not know where rows come from. The answer stands in the very form in which a server's would be read:
who learns from these answers what the broker takes. A reward is only of an answer that was
followed; what was tried at random has one, and is in no conversation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends import scene
from metabonk.cognition.backends.dialect import caption
from metabonk.cognition.backends.prompt import NO_PRESS, MenuPrompt, StrategyPrompt
from metabonk.cognition.log.jsonlines import Lines
from metabonk.cognition.log.rows import Log, Row
from metabonk.cognition.log.store import name_of
from metabonk.cognition.question import Frame, Press
from metabonk.errors import CorruptError


class Chats:
    """Conversations to learn from, and the same with what they brought.

    rewards: mean and deviation by kind of question. without_chat, without_reward: answers that no
    conversation, no row for reward models was made of, counted here by reason.
    """

    def __init__(
        self,
        folder: Path,
        rewards: Mapping[str, tuple[float, float]],
        without_chat: Counter[str],
        without_reward: Counter[str],
    ) -> None:
        self._chats = Lines(folder, ".chat.jsonl")
        self._rewards = Lines(folder, ".reward.jsonl")
        self._scales = rewards
        self._without_chat, self._without_reward = without_chat, without_reward

    def add(self, row: Row, split: str, pictures: Sequence[Frame]) -> None:
        try:
            messages, images = chat(row, pictures)
        except CorruptError as error:
            self._without_chat[str(error).partition(":")[0]] += 1
            return
        if row.explored:
            self._without_chat["tried at random"] += 1
        else:
            self._chats.write(split, {"id": row.id, "messages": messages, "images": images})
        if not row.came.applied:
            self._without_reward["not followed"] += 1
            return
        mean, deviation = self._scales[row.question]
        advantage = (row.came.reward - mean) / deviation
        self._rewards.write(
            split,
            {
                "id": row.id, "prompt": messages[:-1], "completion": messages[-1:],
                "images": images, "reward": row.came.reward, "advantage": advantage,
                "label": advantage > 0.0,
            },
        )  # fmt: skip

    def close(self) -> None:
        self._chats.close()
        self._rewards.close()


def chat(row: Row, pictures: Sequence[Frame] = ()) -> tuple[list[dict[str, Any]], list[str]]:
    """A row as a conversation: what a model server would be asked, and the answer that was given,
    in the very form in which it would be read. And the pictures' paths. The line that says when the
    answer takes effect is missing: the journal does not keep how late it was expected.

    Raises CorruptError, its reason first, for a row without an answer, or with one that was not
    among those that fit.
    """
    question = row.asked(tuple(pictures))
    seen = scene.read(row.packed, question.crowd)
    prompt: StrategyPrompt | MenuPrompt
    if row.directive is not None:
        prompt = StrategyPrompt(question, seen)
        answer = _directive(row.directive)
    elif row.press is not None:
        prompt = MenuPrompt(question, seen)
        answer = _press(row.press, bool(seen.widgets))
    else:
        raise CorruptError(f"{row.status}: no answer")
    try:
        prompt.from_json(answer)
    except CorruptError as error:
        raise CorruptError(f"not among the options: {error}") from error
    asked = prompt.asked(question.frames)
    parts: list[dict[str, Any]] = []
    for frame in asked.frames:
        parts += [{"type": "text", "text": caption(frame)}, {"type": "image"}]
    told = "\n\n".join(part for part in (asked.situation, asked.task) if part)
    parts.append({"type": "text", "text": told})
    said = msgspec.json.encode(answer).decode()
    messages = [
        {"role": "system", "content": [{"type": "text", "text": asked.rules}]},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": [{"type": "text", "text": said}]},
    ]
    return messages, [f"{Log.FRAMES}/{name_of(f.jpeg).hex()}.jpg" for f in asked.frames]


def _directive(directive: v.Directive) -> dict[str, Any]:
    order = v.spell_order(directive.action, directive.target)
    priority = directive.priority.name.lower()
    return {"directive": order, "seconds": directive.seconds, "priority": priority}


def _press(press: Press, widgets: bool) -> dict[str, Any]:
    if press.kind == "click":
        return {"press": v.spell_target(v.Widget(press.choice))}
    if widgets:
        return {"press": NO_PRESS}
    return {"press": press.kind, "x": press.x, "y": press.y}
