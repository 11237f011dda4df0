"""data/torch_dataset.py: the same windows for Torch, each read by one process only."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from recordings import record

from metabonk.data.batches import Batches, Windows
from metabonk.errors import BackendError

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader, Dataset  # noqa: E402

from metabonk.data.torch_dataset import SequenceDataset, SequenceStream, loader  # noqa: E402

LENGTHS = [7, 3, 40, 1, 16, 8]
TOTAL = sum(LENGTHS)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Windows:
    directory = tmp_path_factory.mktemp("recorded")
    record(directory, LENGTHS)
    return Windows(directory, 8)


def decisions(batches: Iterable[Any]) -> list[int]:
    found: list[int] = []
    for batch in batches:
        assert batch["action"].dtype == torch.float32
        assert batch["observation"]["pixels"].dtype == torch.uint8
        assert batch["action"].is_contiguous()
        found += batch["action"][..., 0][batch["mask"]].int().tolist()
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_gives_every_decision_once(windows: Windows, workers: int) -> None:
    batches = loader(windows, 3, workers=workers, seed=4)
    first, second = decisions(batches), decisions(batches)
    assert sorted(first) == sorted(second) == list(range(TOTAL))
    assert first != second
    assert len(batches) == -(-len(windows) // 3)
    plain = Batches(windows, 3, 4)
    expected = [int(n) for b in plain for n in b["action"][..., 0][b["mask"]]]
    assert first == expected  # the order does not depend on how many read


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_stream_deals_itself_out(windows: Windows, workers: int) -> None:
    stream = SequenceStream(windows, 3, seed=4)
    found = decisions(DataLoader(stream, batch_size=None, num_workers=workers))
    assert sorted(found) == list(range(TOTAL))
    stream.set_epoch(1)
    other = decisions(DataLoader(stream, batch_size=None, num_workers=workers))
    assert sorted(other) == list(range(TOTAL))
    assert other != found


@pytest.mark.parametrize("make", [loader, SequenceStream])
def test_ranks_and_their_workers_share(windows: Windows, make: Any) -> None:
    found = []
    for rank in range(2):
        made = make(windows, 2, seed=1, rank=rank, ranks=2)
        if make is SequenceStream:
            made = DataLoader(made, batch_size=None, num_workers=2)
        found.append(decisions(made))
    assert sorted(itertools.chain(*found)) == list(range(TOTAL))
    assert abs(len(found[0]) - len(found[1])) < TOTAL // 4


def test_torchs_own_sampler_works_too(windows: Windows) -> None:
    dataset = SequenceDataset(windows)
    found = decisions(DataLoader(dataset, batch_size=None, sampler=range(len(dataset))))
    assert found == list(range(TOTAL))


class Reporting(Dataset[Any]):
    """Says which process read an item."""

    def __init__(self, inner: SequenceDataset) -> None:
        self.inner = inner

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        time.sleep(0.05)  # long enough for the others to come to their turn
        return os.getpid(), self.inner[index]["reward"]


def test_several_processes_read(windows: Windows) -> None:
    dataset = Reporting(SequenceDataset(windows))
    pids = {pid for pid, _ in DataLoader(dataset, batch_size=None, num_workers=2)}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_pinned_memory_is_asked_for_where_it_is(
    windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not loader(windows, 3).pin_memory
    with pytest.raises(BackendError, match="page-locked memory needs CUDA"):
        loader(windows, 3, pin=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert loader(windows, 3).pin_memory
    assert not loader(windows, 3, pin=False).pin_memory


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a GPU")
def test_batches_are_pinned(windows: Windows) -> None:
    for batch in loader(windows, 3, workers=1):
        assert batch["action"].is_pinned()
        assert batch["observation"]["pixels"].is_pinned()
        moved = batch["action"].to("cuda", non_blocking=True)
        np.testing.assert_array_equal(moved.cpu(), batch["action"])
