"""What rounds: kept in the checkpoint, taken up again where possible, told in words where not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_games import Walk

from metabonk import _core, artifact
from metabonk import config as config_module
from metabonk.config import Config
from metabonk.learn import backends, checkpoint
from metabonk.learn.trainer import Trainer
from metabonk.ops import dense

DETECTED = str(_core.support.detected_tier())
vector = pytest.mark.skipif(DETECTED == "baseline", reason="this processor has one tier only")


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(config_module, "_CONFIGURED", [])
    yield
    torch.set_num_threads(1)
    _core.support.cap_tier(DETECTED)


def saved(tmp_path: Path, **changed: object) -> checkpoint.Snapshot:
    """A checkpoint whose backends are those of now but for `changed`."""
    trainer = Trainer(Walk(4), Config())
    trainer.start()
    trainer.iterate()
    snapshot = trainer.snapshot()
    snapshot.details["backends"] |= changed
    return checkpoint.read(artifact.load(checkpoint.save(tmp_path, snapshot).path))


def restored(snapshot: checkpoint.Snapshot, config: Config | None = None) -> Trainer:
    trainer = Trainer(Walk(4), config or Config())
    trainer.restore(snapshot)
    return trainer


def test_a_checkpoint_names_everything_that_rounds(tmp_path: Path) -> None:
    kept = saved(tmp_path).details["backends"]
    assert kept == backends.here()
    assert set(kept) == set(backends.NAMES)
    assert kept["tier"] == DETECTED
    assert restored(saved(tmp_path)).differs == []


@vector
def test_the_tier_and_the_threads_of_the_checkpoint_are_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _core.support.cap_tier("baseline")
    torch.set_num_threads(2)
    snapshot = saved(tmp_path)
    _core.support.cap_tier(DETECTED)
    torch.set_num_threads(1)
    assert restored(snapshot).differs == []
    assert torch.get_num_threads() == 2
    assert _core.support.active_tier() == "baseline"
    monkeypatch.setenv("METABONK_CPU", DETECTED)
    assert config_module.cap_cpu() == "baseline"  # whoever makes a game later asks this
    assert dense.backends()[0] == "torch"
    assert snapshot.details["backends"]["dense"] == "torch"


@vector
def test_what_the_user_asks_for_wins_and_is_told(tmp_path: Path) -> None:
    config = Config()
    config.native.cpu, config.run.torch_threads = "baseline", 2
    differs = " ".join(restored(saved(tmp_path), config).differs)
    assert torch.get_num_threads() == 2
    assert _core.support.active_tier() == "baseline"
    assert "threads of the network: was 1, now 2 (set run.torch_threads" in differs
    assert f"instruction set of the native core: was {DETECTED}, now baseline" in differs
    assert "kernels of dense layers: was native" in differs


def test_what_the_machine_lacks_is_told_with_a_remedy(tmp_path: Path) -> None:
    here = backends.here()
    snapshot = saved(tmp_path, torch="1.0", torch_cpu="altivec", metabonk="0")
    assert restored(snapshot).differs == [
        f"version of torch: was 1.0, now {here['torch']} (install the former for the same "
        "rounding)",
        f"instruction set of torch: was altivec, now {here['torch_cpu']} (on a processor that has "
        "the former, start with ATEN_CPU_CAPABILITY set to it)",
        f"version of metabonk: was 0, now {here['metabonk']} (install the former for the same "
        "rounding)",
    ]


@pytest.mark.skipif(DETECTED == "avx512", reason="this processor has every tier")
def test_a_tier_that_is_not_here_is_told(tmp_path: Path) -> None:
    (tier, *_) = restored(saved(tmp_path, tier="avx512")).differs
    assert "was avx512" in tier
