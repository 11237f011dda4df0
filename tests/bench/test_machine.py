"""Figures say where they were taken, and with which versions of everybody who took part."""

from __future__ import annotations

import ast
import importlib.metadata
from pathlib import Path

from metabonk.bench import machine

from metabonk import _core

BENCH = Path(__file__).resolve().parents[2] / "bench"
OURS = {"metabonk"}
# By the name that is imported; what is not installed here says nothing of itself.
KNOWN = {"faiss": "faiss-cpu", "cv2": "opencv-python-headless", "iceoryx2": "iceoryx2"}


def required() -> set[str]:
    """Packages that benchmarks ask for by name, and may do without."""
    found = set()
    for path in BENCH.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
                found |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant)}
    return {str(name).split(".")[0] for name in found} - OURS


def test_the_versions_of_all_peers_are_kept() -> None:
    by_module = importlib.metadata.packages_distributions()
    asked = required()
    assert {"onnxruntime", "ncps", "torch"} <= asked
    for name in asked:
        found = by_module.get(name, [KNOWN.get(name, name)])
        distributions = {one.replace("_", "-").lower() for one in found}
        assert distributions & set(machine.PACKAGES), name


def test_what_the_processor_has_beyond_its_tier_is_said() -> None:
    here = machine.description()
    assert here["extension"] == _core.support.active_extension()
    assert set(here["versions"]) == set(machine.PACKAGES)
