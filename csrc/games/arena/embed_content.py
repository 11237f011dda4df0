"""Turns content.toml into constant C++ tables. Run by CMake; knows TOML and nothing of the rules.

Usage: embed_content.py content.toml content_tables.inc

- `[kind.id]` sections become rows of `inline constexpr KindDef kKindDefs[]` in file order, so that
  a row's place is its index everywhere (records, level specifications, replays).
- A section without sub-sections becomes one constant: `[wave]` is `inline constexpr WaveDef kWave`.
- A key is the member of the same name in content.h; a key that is no member does not compile.
- Strings: `name`, `text` and `unit` stay text, a key that names a table is a reference to a row of
  it (`weapon = "bow"`), any other key is an enumerator (`behavior = "chase"`: `Behavior::kChase`).
- `changes = [{ stat = "damage", add = 0.1 }, { stat = "area", multiply = 0.2 }]` becomes
  StatChange entries; a list of numbers fills an array member.
The file's own text is embedded as well, so that Python reads what was compiled in.
"""

from __future__ import annotations

import pathlib
import sys
import tomllib
from typing import Any

TEXT_KEYS = ("name", "text", "unit")


class ContentError(ValueError):
    """Something in the content file that cannot become a table; starts with its place."""


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def number(value: bool | int | float) -> str:
    if isinstance(value, float):
        return f"{value!r}f"
    return str(int(value))


class Writer:
    """Holds the whole document because references point across tables."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.tables = {
            kind: list(rows)
            for kind, rows in document.items()
            if all(isinstance(row, dict) for row in rows.values())
        }
        self.document = document

    def index(self, table: str, name: str, where: str) -> int:
        if table not in self.tables or name not in self.tables[table]:
            raise ContentError(f"{where}: no [{table}.{name}] in the content file")
        return self.tables[table].index(name)

    def change(self, value: dict[str, Any], where: str) -> str:
        ways = [way for way in ("add", "multiply") if way in value]
        if "stat" not in value or len(ways) != 1 or len(value) != 2:
            raise ContentError(f"{where}: needs `stat` and one of `add`, `multiply`")
        stat = self.index("stat", value["stat"], where)
        amount = number(float(value[ways[0]]))
        return f"StatChange{{{stat}, {int(ways[0] == 'multiply')}, 0, {amount}}}"

    def scalar(self, key: str, value: Any, where: str) -> str:
        if isinstance(value, bool | int | float):
            return number(value)
        if isinstance(value, dict):
            return self.change(value, where)
        if not isinstance(value, str):
            raise ContentError(f"{where}: a {type(value).__name__} cannot be a member")
        if key in TEXT_KEYS:
            return quoted(value)
        if key in self.tables:
            return str(self.index(key, value, where))
        return f"{camel(key)}::k{camel(value)}"

    def row(self, struct: str, identifier: str, row: dict[str, Any], where: str) -> list[str]:
        lines = [f"[] {{ {struct} d{{}};", f"d.id = {quoted(identifier)};"]
        for key, value in row.items():
            place = f"{where}.{key}"
            if not isinstance(value, list):
                lines.append(f"d.{key} = {self.scalar(key, value, place)};")
                continue
            for i, item in enumerate(value):
                lines.append(f"d.{key}[{i}] = {self.scalar(key, item, f'{place}[{i}]')};")
            if key == "changes":
                lines.append(f"d.change_count = {len(value)};")
        return [*lines, "return d; }()"]

    def section(self, kind: str, rows: dict[str, Any]) -> list[str]:
        struct = f"{camel(kind)}Def"
        if kind not in self.tables:
            body = self.row(struct, kind, rows, kind)
            return [f"inline constexpr {struct} k{camel(kind)} =", *body, ";"]
        lines = [f"inline constexpr {struct} k{camel(kind)}Defs[] = {{"]
        for identifier, row in rows.items():
            lines += [*self.row(struct, identifier, row, f"{kind}.{identifier}"), ","]
        lines.append("};")
        lines.append(f"inline constexpr int k{camel(kind)}Count = {len(rows)};")
        if kind == "stat":
            lines += [
                f'static_assert(static_cast<int>(Stat::k{camel(name)}) == {i}, "order of stats");'
                for i, name in enumerate(rows)
            ]
        else:
            names = ", ".join(f"k{camel(kind)}{camel(name)}" for name in rows)
            lines.append(f"enum : uint8_t {{ {names} }};")
        return lines


def render(text: str) -> str:
    document = tomllib.loads(text)
    writer = Writer(document)
    lines = ["// Made from content.toml by embed_content.py.", "// clang-format off"]
    for kind, rows in document.items():
        lines += writer.section(kind, rows)
    lines.append("inline constexpr char kContentText[] =")
    lines += [quoted(line) for line in text.splitlines(keepends=True)]
    lines.append(";")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    source, target = (pathlib.Path(argument) for argument in arguments)
    try:
        tables = render(source.read_text("utf-8"))
    except (ContentError, tomllib.TOMLDecodeError) as error:
        sys.stderr.write(f"{source}: {error}\n")
        return 1
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(tables, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
