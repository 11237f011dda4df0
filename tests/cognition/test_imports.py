"""What a cognitive server loads before it answers: agents wait for it after a kill."""

from __future__ import annotations

import subprocess
import sys

import pytest

START = """
import sys
import metabonk.cli.main, metabonk.cli.serve, metabonk.cli.serve_cognitive
from metabonk.cognition.backends import choice
from metabonk.cognition.broker import serving
from metabonk.schema import BackendConfig
choice.make(BackendConfig(chain=sys.argv[1], model="m"))
print(*sys.modules)
"""
# What only other verbs, other backends or people at a terminal need.
NEVER = {"gymnasium", "torch", "matplotlib", "PIL", "importlib.resources",
         "metabonk.cognition.agent.client", "metabonk.cognition.log.export",
         "metabonk.cognition.servers.standin"}  # fmt: skip
ADAPTERS = {
    "openai": "metabonk.cognition.backends.openai", "policy": "metabonk.cognition.backends.policy",
}  # fmt: skip


def loaded(chain: str) -> set[str]:
    words = [sys.executable, "-c", START, chain]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("chain", ["rules", "openai"])
def test_a_server_loads_what_answers_and_no_more(chain: str) -> None:
    found = loaded(chain)
    assert "metabonk.cognition.backends.rules" in found
    assert not found & NEVER
    assert {name for name, module in ADAPTERS.items() if module in found} == {chain} - {"rules"}
