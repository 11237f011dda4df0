"""The state of the source behind a result changes with what it rests on, and with nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from metabonk.bench import provenance
from metabonk.bench.studies import STUDIES


def files_of(name: str) -> set[str]:
    module = provenance.ROOTS[provenance.BENCH] / f"study_{name}.py"
    return {"/".join(path.parts[-2:]) for path in provenance.rests_on(module)}


def test_a_study_rests_on_what_it_imports_also_within_functions() -> None:
    cells, dreams = files_of("cells"), files_of("dreams")
    assert {"bench/study_cells.py", "bench/dropped.py", "bench/copying.py"} <= cells
    assert {"models/cfc.py", "models/mamba.py"} <= cells
    assert {"bench/curves.py", "learn/trainer.py", "dreams/contest.py"} <= dreams
    assert not {"learn/trainer.py", "dreams/contest.py"} & cells
    for kept in ("study.py", "study_run.py", "provenance.py"):  # these say what is met, no more
        assert f"bench/{kept}" not in cells | dreams
    assert not [path for path in cells | dreams if path.startswith("cli/")]


def test_every_study_has_a_state_that_repeats() -> None:
    states = {name: provenance.source(study) for name, study in STUDIES.items()}
    assert states == {name: provenance.source(study) for name, study in STUDIES.items()}
    modules = {type(study).__module__ for study in STUDIES.values()}
    assert len(set(states.values())) == len(modules)


def made(bench: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Path, str]:
    """Files of a study in folders that stand for the roots, written there."""
    monkeypatch.setattr(provenance, "ROOTS", {"metabonk.bench": bench, "metabonk": package})
    texts = {
        bench / "study_one.py": "from .helper import x\nfrom . import other\nimport numpy\n",
        bench / "helper.py": "def f():\n    from metabonk.models import cell\n",
        bench / "other.py": "from .study import Cell\n",
        bench / "study.py": "",
        bench / "apart.py": "",
        package / "models" / "__init__.py": "",
        package / "models" / "cell.py": "from ..deep import y\n",
        package / "deep.py": "import metabonk.models.cell, metabonk.above\n",  # round and round
        package / "above.py": "",  # before bench, by name
    }
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return texts


def test_a_file_further_on_changes_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, package = tmp_path / "bench", tmp_path / "package"
    texts = made(bench, package, monkeypatch)
    start = bench / "study_one.py"
    found = provenance.rests_on(start)
    assert set(found) == texts.keys() - {bench / "study.py", bench / "apart.py"}
    before = provenance._digest(found)
    (bench / "apart.py").write_text("# changed")
    assert provenance._digest(provenance.rests_on(start)) == before
    (package / "deep.py").write_text(texts[package / "deep.py"] + "z = 1\n")
    assert provenance._digest(provenance.rests_on(start)) != before


def test_what_is_said_about_the_code_changes_nothing(tmp_path: Path) -> None:
    python, native = tmp_path / "a.py", tmp_path / "a.cc"
    plain = ("def f(x):\n    return x + 1\n", 'int f() { return g("//", 1 / 2); }\n')
    said = (
        '"""F."""\n\n\ndef f(\n    x,  # a number\n):\n    """Adds."""\n    return x + 1\n',
        '/* What f\n does. */int f() { return g("//", 1 / 2); }// so\n',
    )
    other = ("def f(x):\n    return x + 2\n", 'int f() { return g("/", 1 / 2); }\n')
    states = []
    for texts in (plain, said, other):
        for path, text in zip((python, native), texts, strict=True):
            path.write_text(text)
            os.utime(path, ns=(0, len(states)))  # however soon after the one before
        states.append([provenance._digest([path]) for path in (python, native)])
    assert states[0] == states[1]
    assert states[0][0] == "dc3e13de97e4"  # whatever version of Python
    assert all(one != now for one, now in zip(states[0], states[2], strict=True))


def test_games_that_are_made_by_name_count() -> None:
    assert {"games/gym.py", "games/grid64.py", "games/arena.py"} <= files_of("dreams")


def test_a_wheel_and_a_checkout_have_the_same_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []
    for name, inner in (("checkout", "../bench"), ("wheel", "bench")):
        package = tmp_path / name / "metabonk"
        bench = (package / inner).resolve()
        made(bench, package, monkeypatch)
        states.append(provenance._digest(provenance.rests_on(bench / "study_one.py")))
    assert states[0] == states[1]


def test_states_are_compared_as_far_as_both_know() -> None:
    assert provenance.changed([], "a-b") is None
    assert provenance.changed(["a-b"], "a-b") is False
    assert provenance.changed(["a"], "a-b") is False  # measured where there was no checkout
    assert provenance.changed(["a-b"], "a") is False
    assert provenance.changed(["a-c"], "a-b") is True
    assert provenance.changed(["a-b", "c-b"], "a-b") is True


def test_the_native_core_counts(tmp_path: Path) -> None:
    assert provenance._native(tmp_path / "none") == ""
    (tmp_path / "nn").mkdir()
    (tmp_path / "nn" / "cfc.cc").write_text("int x;")
    (tmp_path / "video").mkdir()
    before = provenance._native(tmp_path)
    (tmp_path / "video" / "encoder.cc").write_text("int y;")
    assert provenance._native(tmp_path) == before != ""
    (tmp_path / "nn" / "cfc.cc").write_text("int z;")
    assert provenance._native(tmp_path) != before
