"""What a setting means, beside its type.

Knows msgspec's annotations. Does not know any setting.
"""

from __future__ import annotations

from typing import Any

from msgspec import Meta


def means(text: str, *, expected: str = "", **bounds: Any) -> Meta:
    """The annotation of a setting: its meaning in one sentence, and Meta's bounds (ge, lt, ...).
    expected: what a value must be, where the type and the bounds do not tell it in words."""
    return Meta(description=text, extra={"expected": expected} if expected else None, **bounds)
