"""One setting: a key of the configuration, its type, default and meaning, and what it may be.

Knows the schema. Does not know where values come from.
"""

from __future__ import annotations

import difflib
import functools
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Meta

from metabonk.errors import ConfigError
from metabonk.schema import Config

PREFIX = "METABONK_"


@dataclass(frozen=True)
class Setting:
    """One key of the configuration. variable: its METABONK_* name."""

    key: str
    type: Any
    default: Any
    help: str

    @property
    def variable(self) -> str:
        return PREFIX + self.key.upper().replace(".", "_")

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        kind, meta = typing.get_args(self.type)
        if meta.extra:
            return str(meta.extra["expected"])
        if typing.get_origin(kind) is Literal:
            return "one of " + ", ".join(typing.get_args(kind))
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        bounds = {">": meta.gt, ">=": meta.ge, "<=": meta.le}
        limits = " and ".join(
            f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None
        )
        return f"{names.get(kind, 'two whole numbers, as 84x84')} {limits}".rstrip()


def settings() -> dict[str, Setting]:
    """Every key with type, default and meaning, in the order of the schema."""
    return {setting.key: setting for setting in _all_settings()}


@functools.cache  # reading the schema's annotations takes ten milliseconds
def _all_settings() -> tuple[Setting, ...]:
    found: list[Setting] = []
    for section in msgspec.structs.fields(Config):
        hints = typing.get_type_hints(section.type, include_extras=True)
        defaults = section.type()
        for field in msgspec.structs.fields(section.type):
            key = f"{section.name}.{field.name}"
            meta = next(m for m in hints[field.name].__metadata__ if isinstance(m, Meta))
            default = getattr(defaults, field.name)
            found.append(Setting(key, hints[field.name], default, meta.description or ""))
    return tuple(found)


def checked(key: str, value: Any, source: str) -> Any:
    """What a source says of a setting, as the setting's type. value: text, or of that type.

    Raises ConfigError naming source, key and what the value must be.
    """
    known = settings()
    setting = known.get(key)
    if setting is None:
        raise ConfigError(f"{source}: there is no setting {key!r}{_nearest(known, key)}")
    try:
        if isinstance(value, str):
            found = msgspec.convert(_from_text(value, setting), setting.type, strict=False)
        else:
            found = msgspec.convert(value, setting.type)
        if isinstance(found, float) and not math.isfinite(found):  # no file could say it again
            raise msgspec.ValidationError(f"{found} is not finite")
        return found
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{source}: {key} = {as_text(value)!r}: must be {setting.expected} "
            f"({setting.help.rstrip('.')})"
        ) from error


def as_text(value: Any) -> str:
    """A value as it is written in a variable or a flag."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, tuple):
        return "x".join(str(v) for v in value)
    return str(value)


def _from_text(text: str, setting: Setting) -> Any:
    if isinstance(setting.default, tuple):
        return text.strip("()[] ").replace(",", "x").replace(" ", "").split("x")
    if isinstance(setting.default, bool):
        return {"yes": "1", "on": "1", "no": "0", "off": "0"}.get(text.lower(), text)
    return text


def _nearest(known: Mapping[str, Setting], key: str) -> str:
    near = difflib.get_close_matches(key, known, 1, 0.6)
    if not near:
        last = {k.split(".")[1]: k for k in known}
        near = [last[n] for n in difflib.get_close_matches(key.rsplit(".", 1)[-1], last, 1, 0.6)]
    return f": did you mean {near[0]!r}?" if near else ": `metabonk config` lists them all"
