"""Settings' files of BepInEx's format: ours merged into what a game's folder has already.

Knows [Section], `key = value` and comments; does not know what a setting means: the plugins do
(plugins/Core/Options.cs), and each brings a file with its defaults.
"""

from __future__ import annotations

from collections.abc import Mapping

from metabonk.errors import GameError


def merged(present: str, defaults: str, settings: Mapping[str, str]) -> tuple[str, set[str]]:
    """`present` with every key of `defaults` that it lacks, and with `settings` set.

    settings: "Section.Key" -> value, in any case. What `present` says otherwise stays as it is,
    comments and unknown keys too. Returns the text and which of `settings` were keys of
    `defaults`. Raises GameError if `present` cannot be read, or a value has a line break.
    """
    order = _keys(defaults)
    known = {key.lower(): key for key in order}
    chosen: dict[str, str] = {}
    used = set()
    for key, value in settings.items():
        if "\n" in value or "\r" in value:
            raise GameError(f"set: {key} has a line break in its value")
        if key.lower() in known:
            chosen[key.lower()] = value
            used.add(key)
    blocks = _blocks(defaults)
    lines = (present or "").replace("\r\n", "\n").split("\n") if present.strip() else []
    if not lines:
        lines = defaults.rstrip("\n").split("\n")
    have = set()
    section = ""
    for index, line in enumerate(lines):
        section, name = _read(line, section)
        if name is None:
            continue
        full = f"{section}.{name}".lower()
        have.add(full)
        if full in chosen and line.split("=", 1)[1].strip() != chosen[full]:
            lines[index] = f"{name} = {chosen[full]}"
    for key in order:
        if key.lower() not in have:
            _add(lines, key, blocks[key], chosen.get(key.lower()))
    return "\n".join(lines).rstrip("\n") + "\n", used


def _read(line: str, section: str) -> tuple[str, str | None]:
    text = line.strip()
    if not text or text.startswith("#"):
        return section, None
    if text.startswith("[") and text.endswith("]"):
        return text[1:-1].strip(), None
    if "=" not in text:
        raise GameError(f"settings: {text!r} is neither [Section] nor key = value: mend the file")
    return section, text.split("=", 1)[0].strip()


def _keys(text: str) -> list[str]:
    """ "Section.Key" of every setting, in order."""
    keys, section = [], ""
    for line in text.split("\n"):
        section, key = _read(line, section)
        if key is not None:
            keys.append(f"{section}.{key}")
    return keys


def _blocks(text: str) -> dict[str, list[str]]:
    """ "Section.Key" -> its comments and its line."""
    blocks: dict[str, list[str]] = {}
    comments: list[str] = []
    section = ""
    for line in text.split("\n"):
        section, key = _read(line, section)
        if key is not None:
            blocks[f"{section}.{key}"] = [*comments, line]
        if line.startswith("#"):
            comments.append(line)
        else:
            comments = []
    return blocks


def _add(lines: list[str], key: str, block: list[str], value: str | None) -> None:
    """Puts a setting at the end of its section, which is made if there is none."""
    section, name = key.split(".", 1)
    added = [*block[:-1], block[-1] if value is None else f"{name} = {value}"]
    here, last = "", None
    for index, line in enumerate(lines):
        here, found = _read(line, here)
        if here.lower() == section.lower() and (found is not None or line.strip().startswith("[")):
            last = index
    if last is None:
        lines += ["", f"[{section}]", "", *added]
    else:
        lines[last + 1 : last + 1] = ["", *added]
