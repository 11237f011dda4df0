"""Named ranges: round every op and every step where a profiler is attached, balanced also where an
op raises; nothing at all where none is.

A profiler is played by fake_nvtx.c, in a process of its own each.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from metabonk.kernels import ranges as sinks

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import library, ranges, vq

HERE = Path(__file__).parent
PRELUDE = """
import torch
from metabonk.ops import frames, frames_torch, merge, qlinear, ranges, returns, vq
torch.set_num_threads(1)
x, codes = torch.ones(4, 3), torch.arange(15.0).view(5, 3)
"""
pytestmark = pytest.mark.skipif(ranges.SINK is not None, reason="a profiler is attached")


class Recorded:
    """A sink that keeps what every thread pushed and popped."""

    def __init__(self) -> None:
        self.calls: dict[int, list[str]] = {}

    def push(self, name: str) -> None:
        self.calls.setdefault(threading.get_ident(), []).append(name)

    def pop(self) -> None:
        self.push("pop")

    def here(self) -> list[str]:
        return self.calls.get(threading.get_ident(), [])


@pytest.fixture
def seen() -> Iterator[Recorded]:
    """Ranges are on in this process, and go here."""
    recorded = Recorded()
    sinks.enable(recorded)
    yield recorded
    sinks.enable(None)


@pytest.fixture(scope="module")
def profiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of the profiler, in a folder of its own under the name that ops look for."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = tmp_path_factory.mktemp("nvtx") / sinks.LIBRARIES[0]
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", str(HERE / "fake_nvtx.c")]
    subprocess.run([*command, "-o", str(library)], check=True)
    return library


def profile(
    code: str, log: Path, libraries: Path, tool: Path
) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """What a profiler sees of a process that runs `code`. libraries: a folder that is searched
    first; tool: the library by which the profiler is attached."""
    environment = {"LD_LIBRARY_PATH": str(libraries), "NVTX_INJECTION64_PATH": str(tool)}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        env=os.environ | environment | {"FAKE_NVTX": str(log)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (log.read_text().splitlines() if log.exists() else []), done


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory, profiler: Path) -> list[str]:
    """What the profiler sees of ops, steps and of what raises, one process for all."""
    if torch.version.cuda is not None:
        pytest.skip("torch has an NVTX of its own, which loads its tool itself")
    code = """
vq.vq_lookup(x, codes)
vq.vq_lookup(x, codes, backend="torch")
weight = qlinear.pack(torch.ones(2, 3), "int8")
qlinear.qlinear(x.requires_grad_(), weight).sum().backward()
x = x.detach()
returns.lambda_returns(x, torch.ones(5, 3), x, 0.5)
merge.weighted([x[0], x[1]], [0.5, 0.5])
frames_torch.grey(torch.zeros(2, 6, 8, 3, dtype=torch.uint8))
plan = qlinear.plan(x, weight)
plan.step()
frames.grey(torch.zeros(6, 8, 3, dtype=torch.uint8).numpy())
ranges.ranges.sink().push("what follows raises")
ranges.ranges.sink().pop()
for wrong, backend in ((x * torch.nan, "native"), (x * torch.nan, "torch"), (x, "cuda")):
    try:
        vq.vq_lookup(wrong, codes, backend=backend)
    except (ValueError, RuntimeError):
        continue
    raise SystemExit("it did not raise")
vq.vq_lookup(x[:2], codes)
"""
    log = tmp_path_factory.mktemp("seen") / "log"
    return profile(code, log, profiler.parent, profiler)[0]


def names(lines: list[str]) -> list[tuple[int, str]]:
    """Every range with how many stand round it; fails where one ends that has not begun."""
    found, depth = [], 0
    for line in lines:
        if line != "pop":
            found.append((depth, line))
        depth += -1 if line == "pop" else 1
        assert depth >= 0
    assert depth == 0
    return found


def test_ops_and_steps_are_named_by_op_backend_and_shapes(lines: list[str]) -> None:
    loops, video = _core.nn.qlinear_kernels(0, 1), _core.video.frame_kernels()
    panels = _core.nn.weight_bytes(0, 2, 3)[2]
    assert names(lines)[:10] == [
        (0, "vq_lookup native 4x3 5x3"),
        (0, "vq_lookup torch 4x3 5x3"),
        (0, f"qlinear native 4x3 {panels}"),
        (0, f"qlinear_backward torch 4x2 {panels}"),
        (0, "lambda_returns native 4x3 5x3 4x3"),
        (0, "merge_weighted native"),
        (0, "frames_grey native 2x6x8x3"),
        (1, f"frames_grey.step {video} 2x6x8x3 2x6x8"),  # the traced door takes the arrays' plan
        (0, f"qlinear int8.step {loops} 4x3 4x2"),
        (0, f"frames_grey.step {video} 6x8x3 6x8"),
    ]


def test_an_op_that_raises_ends_its_range(lines: list[str]) -> None:
    assert names(lines)[10:] == [
        (0, "what follows raises"),
        (0, "vq_lookup native 4x3 5x3"),
        (0, "vq_lookup torch 4x3 5x3"),
        (0, "vq_lookup native 2x3 5x3"),  # before it one asked for a backend that is not here
    ]


def test_nvtx_s_own_library_hands_ranges_to_the_tool_that_is_attached(
    tmp_path: Path, profiler: Path
) -> None:
    toolkits = [Path("/usr/local/cuda")]  # where it is usually installed
    if nvcc := shutil.which("nvcc"):
        toolkits.append(Path(nvcc).resolve().parent.parent)
    found = [lib for root in toolkits for lib in root.glob(f"lib*/{sinks.LIBRARIES[0]}")]
    if torch.version.cuda is None and not found:
        pytest.skip(f"needs a torch with CUDA, or {sinks.LIBRARIES[0]}")
    libraries = found[0].parent if found else tmp_path
    lines, _ = profile("vq.vq_lookup(x, codes)", tmp_path / "log", libraries, profiler)
    assert lines == ["vq_lookup native 4x3 5x3", "pop"]


def test_a_profiler_that_nothing_can_speak_to_is_told_and_ops_run(tmp_path: Path) -> None:
    if torch.version.cuda is not None:
        pytest.skip("torch has an NVTX of its own")
    for name in sinks.LIBRARIES:
        (tmp_path / name).write_text("not a library")
    code = "assert vq.vq_lookup(x, codes).indices.tolist() == [0] * 4"
    lines, done = profile(code, tmp_path / "log", tmp_path, tmp_path / "tool.so")
    assert not lines
    assert "a profiler is attached, but sees no ops: ranges: torch" in done.stderr
    assert "LD_LIBRARY_PATH" in done.stderr


def test_without_a_profiler_nothing_stands_round_anything() -> None:
    def run() -> None: ...

    assert ranges.watched("op", run) is run
    assert ranges.telling(run) is run
    assert ranges.stepping("op", str, (), run) is run
    assert not hasattr(library.choose, "__wrapped__")
    index = torch.empty(4, dtype=torch.int64)
    step = vq.plan(torch.ones(4, 3), torch.ones(5, 3), index).step
    assert type(step).__module__ == "nanobind"


def test_a_plan_that_is_made_under_a_profiler_names_its_steps(seen: Recorded) -> None:
    index = torch.empty(4, dtype=torch.int64)
    x = torch.full((4, 3), torch.nan)
    plan = vq.plan(x, torch.ones(5, 3), index)
    with pytest.raises(ValueError, match="x: row 0 holds NaN"):
        plan.step()
    sinks.enable(None)
    x.fill_(1.0)
    plan.step()  # made to be watched: its ranges go where they went
    assert seen.here() == [f"vq_lookup.step {_core.nn.vq_kernels()} 4x3 5x3 4", "pop"] * 2
    assert index.tolist() == [0] * 4


def test_ops_within_ops_and_threads_beside_each_other_keep_their_names() -> None:
    sink = Recorded()
    choose = ranges.telling(library.choose, sink)
    together = threading.Barrier(2, timeout=60)

    def inner(x: torch.Tensor) -> str:
        return choose("inner", "auto", ("torch",))

    def outer(x: torch.Tensor, rows: list[torch.Tensor], none: None, deep: bool) -> None:
        choose("outer", "auto", ("native", "torch"))
        together.wait()
        if deep:
            ranges.watched("inner", inner, sink)(x[0])
        choose("again", "auto", ("torch",))
        together.wait()
        if not deep:
            raise ZeroDivisionError

    def beside() -> None:
        with pytest.raises(ZeroDivisionError):
            ranges.watched("shallow", outer, sink)(torch.ones(7), [], None, False)

    other = threading.Thread(target=beside)
    other.start()
    ranges.watched("deep", outer, sink)(torch.ones(2, 3), [torch.ones(9)], None, deep=True)
    other.join()
    assert sink.here() == ["deep native 2x3", "inner torch 3", "pop", "pop"]
    (theirs,) = [calls for calls in sink.calls.values() if calls is not sink.here()]
    assert theirs == ["shallow native 7", "pop"]
    choose("nobody's", "auto", ("torch",))
    assert sink.here()[-1] == "pop"


def test_an_op_that_chooses_nothing_has_no_range_and_ends_none() -> None:
    sink = Recorded()

    def refuse(x: torch.Tensor) -> str:
        return ranges.telling(library.choose, sink)("op", "cuda", ("torch",))

    with pytest.raises(BackendError):
        ranges.watched("op", refuse, sink)(torch.ones(1))
    assert not sink.here()


def test_named_and_around_end_what_they_began(seen: Recorded) -> None:
    def wrong(x: int) -> float:
        return 1 / x

    with sinks.named("tick"):
        assert sinks.around("inverse", wrong)(2) == 0.5
        with pytest.raises(ZeroDivisionError):
            sinks.around("inverse", wrong)(0)
        sinks.enable(None)  # what has begun goes on to where it began
    assert seen.here() == ["tick", "inverse", "pop", "inverse", "pop", "pop"]
    assert sinks.around("inverse", wrong) is wrong
    with sinks.named("nothing"):
        pass
    assert len(seen.here()) == 6


def test_torch_s_profiler_has_the_ranges_in_its_table() -> None:
    sinks.enable(sinks.TorchProfiler())
    try:
        with (
            torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile,
            sinks.named("case"),
            sinks.named("case of three"),
        ):
            torch.ones(3).sum()
    finally:
        sinks.enable(None)
    names = {row.key for row in profile.key_averages()}
    assert {"case", "case of three"} <= names
