"""The same episodes whatever the processor offers: its tier, and what glibc may use of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Plays both games for a while and prints a hash of every state, observation and reward.
PLAY = """
import hashlib
import numpy as np
from metabonk import _core
from metabonk.games import make
from metabonk.games.batch import allocate
from metabonk.games.source import Flags

print(_core.support.detected_tier())
level = {"enemies": {"at_start": 80}, "time": {"duration": 12.0, "skip_max": 7, "drop_rate": 0.1}}
for name, settings in (
    ("arena", {"level": level, "pixels": (32, 32)}),
    ("grid64/conveyor", {}),
    ("grid64/push_blocks", {}),
):
    game = make(name, 4, threads=1, **settings)
    observation, flags = allocate(game.observation_space, 4), Flags(4)
    game.reset_into(observation, range(4))
    rng, seen = np.random.default_rng(5), hashlib.sha256()
    for _ in range(150):
        rows = rng.integers(-2, 3, (4, game.action_layout.columns)).astype(np.float32) / 2
        rows[:, :1] += name != "arena"
        game.step_into(rows, observation, *flags.arrays())
        for array in (game.hashes(), *observation.values(), *flags.arrays()):
            seen.update(np.ascontiguousarray(array).tobytes())
    print(name, seen.hexdigest())
print(_core.support.active_tier())
"""


def play(**environ: str) -> list[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("METABONK_")}
    kept.pop("GLIBC_TUNABLES", None)
    done = subprocess.run(
        [sys.executable, "-c", PLAY],
        env={**kept, **environ}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert not done.stderr  # glibc warns of a tunable that it cannot parse
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def plain() -> list[str]:
    return play()


def test_what_glibc_may_use_does_not_matter(plain: list[str]) -> None:
    assert play(GLIBC_TUNABLES="glibc.cpu.hwcaps=-AVX2,-FMA") == plain


@pytest.mark.parametrize("tier", ["baseline", "avx2", "avx512"])
def test_a_library_honours_the_cap_and_plays_the_same(plain: list[str], tier: str) -> None:
    detected, *played, _ = plain
    tiers = ["baseline", "avx2", "avx512"]
    expected = min(tier, detected, key=tiers.index)
    assert play(METABONK_CPU=tier) == [detected, *played, expected]
