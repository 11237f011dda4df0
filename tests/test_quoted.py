"""What texts quote is there: commands with their flags and settings, variables, files, modules.

Reads the documentation, the verbs' help, what scripts say of themselves and messages in the code.
Runs nothing, but for reading command lines as the verbs themselves read them.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from metabonk import config
from metabonk.cli.main import VERBS
from metabonk.cli.serve import SERVICES
from metabonk.games.make import NAMES

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "plugins/README.md",
]
SOURCES = [
    path
    for room in ("metabonk", "bench", "kernels", "csrc", "plugins", "scripts", "docker")
    for path in sorted((ROOT / room).rglob("*"))
    if path.is_file() and path.suffix in ("", ".py", ".cc", ".h", ".cs", ".sh", ".yaml")
]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.M | re.S)
CODE = re.compile(r"`([^`]+)`")
BEFORE = r"(?:[A-Z_0-9]+=(?:\"[^\"]*\"|\S+) +)*(?:\./scripts/|\.venv/bin/)?"  # variables, a folder
COMMAND = re.compile(rf"{BEFORE}metabonk +(.*)")
AFTER = re.compile(r"\s{2,}.*|\s+(?:#|>|&|\||…).*")  # what it does, where its output goes
CONTINUED = re.compile(r"\s*\\+\n\s*")
NUMBERS = {"N": "1", "T": "1", "E": "1"}  # that stand for one
PLACEHOLDERS = {"VERB", "KEY=VALUE", "<name>"}


def text_of(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")


def documents() -> Iterator[tuple[str, str, str]]:
    """Of every document its name, its blocks of commands and all other text."""
    for path in DOCUMENTS:
        text = text_of(path)
        blocks = "\n".join(b for language, b in FENCE.findall(text) if language in ("", "sh"))
        yield str(path.relative_to(ROOT)), blocks, FENCE.sub("", text)


def spans(text: str) -> list[str]:
    """What stands between backticks, on one line; paragraph by paragraph, so that a backtick too
    many harms one only."""
    return [
        re.sub(r"\s+", " ", span)
        for paragraph in re.split(r"\n\s*\n", text)
        for span in CODE.findall(paragraph)
    ]


def command_lines() -> list[tuple[str, str]]:
    """(where, words after `metabonk`) of every whole command line that is shown to readers."""
    found = []
    for name, blocks, text in documents():
        shown = CONTINUED.sub(" ", blocks).splitlines()
        before = ""
        for line in [*(re.sub(r"^\$ ", "", s.strip()) for s in shown), *spans(text)]:
            if match := COMMAND.match(line):
                before = AFTER.sub("", match[1]).strip()
            elif line.startswith("… --"):  # the one before, and more
                before += line.removeprefix("…")
            else:
                continue
            found.append((name, before))
    for path in sorted((ROOT / "metabonk/cli").glob("*.py")):
        text = CONTINUED.sub(" ", text_of(path)).replace('"""', "")
        examples = re.findall(r"^ *\$ metabonk (.*?),?$", text, re.M)
        found += [(path.name, AFTER.sub("", example)) for example in examples]
    return sorted({pair for pair in found if not PLACEHOLDERS & set(pair[1].split())})


LINES = command_lines()


@functools.cache
def app_of(module: str) -> Any:
    return typer.main.get_command(importlib.import_module(f"metabonk.cli.{module}").app)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words ask for, and those that are its own."""
    verb, *rest = words
    assert verb in VERBS, f"there is no verb {verb}"
    if verb == "serve" and rest and not rest[0].startswith("-"):
        verb, *rest = f"serve_{rest[0]}", *rest[1:]
        assert verb.removeprefix("serve_") in SERVICES, f"there is no {verb}"
    command = app_of(verb)
    while rest and not rest[0].startswith("-") and hasattr(command, "commands"):
        assert rest[0] in command.commands, f"{verb} has no {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def flags_of(command: Any) -> set[str]:
    return {flag for p in command.params for flag in [*p.opts, *p.secondary_opts]} | {"--help"}


def all_commands() -> Iterator[Any]:
    waiting = [app_of(verb) for verb in [*VERBS, *(f"serve_{name}" for name in SERVICES)]]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        yield command


def read_as_it_would_be(line: str) -> None:
    """Raises what the verb would say about a command line that it cannot read."""
    command, rest = command_of([NUMBERS.get(word, word) for word in shlex.split(line)])
    if not rest or "--help" in rest:
        return
    parsed = command.make_context("metabonk", list(rest)).params
    flags = config.flags_of(list(parsed.get("set_") or parsed.get("sets") or []), {})
    if not line.startswith("plugins"):  # whose settings are the plugins' own
        config.load(flags=flags, environ={})
    if parsed.get("game"):
        kind, _, name = parsed["game"].partition("/")
        assert kind in NAMES, f"there is no game {kind}"
        if kind in ("grid64", "doom"):
            assert name in importlib.import_module(NAMES[kind][0]).names(), f"no {kind} {name}"


@pytest.mark.parametrize(("where", "line"), LINES, ids=lambda value: str(value)[:60])
def test_a_command_line_that_is_shown_can_be_read(where: str, line: str) -> None:
    if "doom/" in line:
        pytest.importorskip("vizdoom")
    read_as_it_would_be(line)


def test_there_are_command_lines_from_everywhere() -> None:
    shown = {where for where, _ in LINES}
    assert {"README.md", "CONTRIBUTING.md", "plugins/README.md", "train.py"} <= shown
    assert len([name for name in shown if name.startswith("docs/")]) >= 9
    assert len(LINES) >= 150


@pytest.mark.parametrize(
    "line",
    [
        "trian",
        "train --minuts 3",
        "train --minutes three",
        "train --set ppo.clp=1",
        "train --game doom2/basic",
        "strips --record",
        "compile --episodes 3",
        "serve cognitve --http x",
        "pretrain cpq runs/long",
    ],
)
def test_a_command_line_that_is_wrong_is_told(line: str) -> None:
    with pytest.raises(Exception, match=r".+"):
        read_as_it_would_be(line)


def test_flags_that_are_named_alone_exist() -> None:
    known = {flag for command in all_commands() for flag in flags_of(command)}
    for path in [*SOURCES, *(ROOT / "tests").rglob("conftest.py")]:  # of scripts, of `python -m`
        if path.parent.name == "scripts" or path.name in ("__main__.py", "conftest.py"):
            known |= set(re.findall(r"--[a-z][a-z0-9-]+", text_of(path)))
    for name, _, text in documents():
        for span in spans(text):
            if re.match(r"--|[a-z0-9]+ --", span):
                for flag in re.findall(r"(?<!\S)--[a-z][a-z0-9-]+", span):
                    assert flag in known, f"{name}: {span}"


def test_messages_name_commands_that_exist() -> None:
    looked = 0
    for path in SOURCES:
        for span in spans(text_of(path)):
            match = COMMAND.match(re.sub(r'" *f?"|\{[^}]*\}', "", span).strip("\"'"))
            words = match[1].split() if match else []
            if not words or PLACEHOLDERS & set(words) or words[0].startswith("-"):
                continue
            command, rest = command_of(words)
            named = {word.partition("=")[0] for word in rest if word.startswith("--")}
            assert named <= flags_of(command), f"{path}: {span}"
            looked += 1
    assert looked >= 40


def test_settings_that_are_named_exist() -> None:
    known = set(config.settings())
    sections = {key.split(".")[0] for key in known}
    looked = 0
    for name, blocks, text in documents():
        for span in [*spans(text), *re.findall(r"--set ([\w.]+)=", blocks)]:
            key = re.match(r"([a-z0-9]+)\.([a-z_0-9]+)(?: ?=.*)?$", span)
            if key and key[1] in sections and key[2] not in ("py", "md", "toml", "key", "pub"):
                looked += 1
                assert f"{key[1]}.{key[2]}" in known, f"{name}: {span}"
    assert looked >= 60


def test_variables_that_are_named_are_read() -> None:
    known = {variable.name for variable, read_by in config.variables() if read_by}
    for header in (ROOT / "csrc/include").rglob("*.h"):
        known |= set(re.findall(r"\bMETABONK_[A-Z0-9_]+", text_of(header)))
    known |= set(re.findall(r"METABONK_[A-Z0-9_]+", text_of(ROOT / "CMakeLists.txt")))
    for path in DOCUMENTS:
        for name in re.findall(r"\bMETABONK_[A-Z0-9_]+\b(?!\*)", text_of(path)):
            assert name in known, f"{path.name}: {name}"


def test_tables_of_variables_name_the_settings_that_they_set() -> None:
    sets = {variable.name: key for variable, key in config.variables()}
    looked = 0
    for path in DOCUMENTS:
        rows = re.findall(r"^\| `(ME\w+_\w+)(?:=1)?`.*? \| `([a-z0-9_.]+)", text_of(path), re.M)
        for variable, key in rows:
            looked += 1
            assert sets[variable] == key, f"{path.name}: {variable}"
    assert looked >= 8


def is_there(name: str) -> bool:
    if "<" in name or "rms_norm" in name:  # stands for another
        return True
    if name.endswith(".h") and name.startswith("metabonk/"):  # as programs include it
        name = f"csrc/include/{name}"
    return any(ROOT.glob(name.rstrip("/"))) if "*" in name else (ROOT / name).exists()


def test_files_that_are_named_exist() -> None:
    tops = "csrc|metabonk|tests|bench|docs|docker|scripts|plugins|kernels"
    made = {"plugins/build"}  # by a command that is shown there
    shown = set[Path]()
    looked = 0
    for name, blocks, text in documents():
        if name == "CHANGELOG.md":  # of the time of the entry
            continue
        words = [w for s in [*spans(text), *blocks.splitlines()] for w in s.split()]
        beside = set[Path]()  # folders of files that were named whole
        for word in words:
            if re.fullmatch(r"\w+\.(?:py|cc|h|inl|cs)", word) and "rms_norm" not in word:
                assert any((place / word).exists() for place in beside), f"{name}: {word}"
            found = re.match(rf"(?:\./)?((?:{tops})/[\w./*<>-]+)$", word.strip("\"'(),:;"))
            if found and found[1] not in made and not found[1].endswith("-v0"):
                looked += 1
                assert is_there(found[1].rstrip(".")), f"{name}: {word}"
                beside.add((ROOT / found[1]).parent)
        folder = (ROOT / name).parent
        for link in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", text):
            assert (folder / link).exists(), f"{name}: {link}"
        shown |= {(folder / link).resolve() for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)}
    assert set((ROOT / "docs/pictures").iterdir()) == shown
    assert looked >= 60
    assert not is_there("metabonk/cognition/broker.py")


def defines(module: Path, name: str) -> bool:
    """Whether a module's top level has a name; nothing is imported."""
    for node in ast.walk(ast.parse(text_of(module))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return True
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
            return True
        if isinstance(node, ast.alias) and (node.asname or node.name) == name:
            return True
    return False


def importable(dotted: str) -> bool:
    """Whether `metabonk.room.module.name` is a module of the tree, or a name in one."""
    parts = dotted.split(".")[1:]
    place = ROOT / "metabonk"
    if parts[0] in ("_core", "_cuda"):
        return True
    if parts[0] in ("bench", "kernels"):
        place = ROOT
    while parts:
        place, rest = place / parts[0], parts[1:]
        if place.is_dir():
            parts = rest
            continue
        if place.with_suffix(".py").exists():
            return not rest or defines(place.with_suffix(".py"), rest[0])
        return defines(place.parent / "__init__.py", parts[0])
    return True


def test_modules_that_are_named_exist() -> None:
    looked = 0
    for path in DOCUMENTS:
        for dotted in re.findall(r"(?<![\w/.])metabonk\.[a-z_]+(?:\.\w+)*", text_of(path)):
            looked += 1
            assert importable(dotted), f"{path.name}: {dotted}"
    assert looked >= 30
    assert importable("metabonk.models.cfc.CfC")
    assert not importable("metabonk.models.cfc.CfD")
    assert not importable("metabonk.cognition.broker2")


def test_environments_that_are_named_are_registered() -> None:
    registered = importlib.import_module("gymnasium").registry
    importlib.import_module("metabonk")
    named = {i for path in DOCUMENTS for i in re.findall(r"metabonk/[A-Z]\w+-v\d", text_of(path))}
    assert "metabonk/Arena-v0" in named
    assert named <= registered.keys(), named - registered.keys()


README = text_of(ROOT / "README.md")


def test_every_document_can_be_reached_from_the_readme() -> None:
    seen, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        links = re.findall(r"\]\(([\w./-]+\.md)\)", text_of(path))
        waiting += [(path.parent / link).resolve() for link in links]
    assert set(DOCUMENTS) - {ROOT / "CHANGELOG.md"} <= seen


def test_every_figure_of_the_readme_has_its_command() -> None:
    table = README.partition("| what | figure | command |")[2].partition("\n\n")[0]
    rows = [row.split(" | ") for row in table.splitlines()[2:]]
    assert len(rows) >= 20
    for row in rows:
        assert CODE.search(row[-1]) or row[-1].startswith("event "), row


def test_every_verb_stands_in_the_readme() -> None:
    named = {word for span in spans(README) for word in span.split()}
    assert set(VERBS) <= named, set(VERBS) - named


def test_every_folder_has_its_sentence() -> None:
    table = README.partition("| folder | what it is |")[2].partition("\n\n")[0]
    told = {span for row in table.splitlines()[2:] for span in CODE.findall(row.split("|")[1])}
    rooms = {
        f"{top}/{path.name}"
        for top in ("csrc", "metabonk")
        for path in (ROOT / top).iterdir()
        if path.is_dir() and not path.name.startswith("_")
    }
    assert rooms <= told, rooms - told
    assert told - rooms <= {"kernels", "metabonk/*.py", "plugins", "bench", "tests", "docs"}


def test_every_extra_is_explained() -> None:
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    table = README.partition("| extra | for |")[2].partition("\n\n")[0]
    told = {span for row in table.splitlines()[2:] for span in CODE.findall(row.split("|")[1])}
    assert told == set(extras["optional-dependencies"])


def test_every_study_is_in_the_table() -> None:
    studies = importlib.import_module("metabonk.bench.studies").STUDIES
    table = text_of(ROOT / "docs/dreams.md").partition("| study | what it holds |")[2]
    rows = table.partition("\n\n")[0].splitlines()[2:]
    assert [CODE.findall(row)[0] for row in rows] == list(studies)
