"""bench.gpu without a GPU: its reports, its arithmetic, its list of what no GPU has seen, and that
it imports where only torch and Triton are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from metabonk.bench.gpu import __main__ as gpu
from metabonk.bench.gpu import clock, cuda_frames, cuda_rssm, profile, report
from metabonk.bench.gpu.floors import floor
from metabonk.bench.gpu.report import Row
from metabonk.kernels.architectures import BF16, FP4, Architecture
from metabonk.kernels.cost import Cost

ROOT = Path(__file__).resolve().parent.parent.parent
pytest.importorskip("triton", reason="needs Triton")

RIGHT = Row("cfc_scan", "cfc", 0.5, 1e-6, "bandwidth", True, 2e-6, 3e-6, 1e-7, {"eager": 8e-6})


def test_a_machine_without_a_gpu_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    arguments = ["--results", str(tmp_path), "--pending", str(tmp_path / "pending.json")]
    assert gpu.main(arguments) == gpu.NO_DEVICE
    assert "nothing was measured: torch" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_machine_without_a_gpu_profiles_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert profile.main(["--only", "cfc", "--out", str(tmp_path)]) == gpu.NO_DEVICE
    assert "gpu_profile: nothing was run: torch" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_no_gpu_has_seen_is_listed() -> None:
    cuda = gpu.load_cuda()
    if cuda is None:
        pytest.skip("metabonk._cuda is not built: no nvcc, or METABONK_CUDA is OFF")
    names = [(case.op, case.name) for case in gpu.all_cases(cuda)]
    assert len({name for _, name in names}) == len(names)
    wanted = report.pending(names, report.met(ROOT / "bench" / "results"))
    listed = json.loads((ROOT / "bench" / "pending.json").read_text())
    assert listed == wanted, "run: python -m metabonk.bench.gpu --list-pending"


def test_a_result_takes_its_right_cases_off_the_list(tmp_path: Path) -> None:
    wrong = Row("vq_lookup", "vq", 1.5)
    absent = Row("qlinear", "fp4", note="needs 10.0")
    device = {"name": "NVIDIA H100 80GB HBM3"}
    rows = [RIGHT, wrong, absent]
    path = report.write(tmp_path, device, "2026-01-31", {"bandwidth": 3e12}, rows, ["a note"])
    assert path.name == "nvidia-h100-80gb-hbm3-2026-01-31.json"
    assert json.loads(path.read_text())["rows"][0]["peers"] == {"eager": 8e-6}
    names = [(row.op, row.case) for row in rows]
    assert report.pending(names, report.met(tmp_path)) == {"qlinear": ["fp4"], "vq_lookup": ["vq"]}


def test_a_wrong_result_is_not_met(tmp_path: Path) -> None:
    rows = [Row("a", "nan", float("inf")), Row("a", "none")]
    report.write(tmp_path, {"name": "G"}, "2026-01-31", {}, rows, [])
    assert not report.met(tmp_path)


def test_the_table_shows_what_is_wrong_and_what_is_from_papers() -> None:
    from_paper = Row("a", "paper", 0.1, 1e-6, "node", False, 2e-6)
    text = report.table(
        [RIGHT, Row("a", "bad", 3.0), from_paper, Row("a", "gone", note="needs 10.0")]
    )
    lines = text.splitlines()
    assert "2.00" in lines[1]
    assert lines[1].split()[-2:] == ["eager", "4.00"]
    assert "WRONG" in lines[2]
    assert "(1.00)" in lines[3]
    assert "needs 10.0" in lines[4]


def test_a_floor_is_the_longest_of_what_binds() -> None:
    device = Architecture("g", "G", 90, 1e12, {BF16: 1e15}, 0, 1e-6, frozenset({"bandwidth"}))
    found = floor(Cost(3_000_000, 1_000_000, {BF16: 10**9}), device)
    assert found is not None
    assert (found.seconds, found.bound, found.measured) == (4e-6, "bandwidth", True)
    found = floor(Cost(1, 1, {BF16: 10}, nodes=2), device)
    assert found is not None
    assert (found.seconds, found.bound, found.measured) == (2e-6, "node", False)
    assert floor(Cost(1, 1, {FP4: 1}), device) is None


def test_cold_inputs_have_left_the_cache() -> None:
    cache = 50 << 20
    for size in (1 << 20, 3 << 20, 200 << 20):
        assert clock.sets_for_cold(size, cache) * size >= 2 * cache
    assert clock.sets_for_cold(1, cache) == 192  # there is a limit to what is held


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"msgspec", "zmq", "simplejpeg", "gymnasium", "typer", "rich"}:
            raise ModuleNotFoundError(name + " is blocked in this test", name=name)
sys.meta_path.insert(0, Blocked())
from metabonk.bench.gpu import __main__ as gpu
import metabonk.bench.gpu.profile
assert gpu.all_cases(gpu.load_cuda())
"""


def test_torch_and_triton_are_enough() -> None:
    subprocess.run([sys.executable, "-c", BLOCKED], check=True)


class Sizes:
    """As much of metabonk._cuda as making inputs needs."""

    @staticmethod
    def rssm_scratch(sizes: tuple[int, ...]) -> int:
        return 64


def test_a_rollout_is_judged_by_its_own_samples() -> None:
    """Exact results are right; a wrong state, a sample that was not drawn and NaN are not."""
    sizes = cuda_rssm.SMALL[0]
    case = cuda_rssm._case(Sizes, sizes, small=True)
    given = case.make("cpu", 3)
    index = torch.zeros(sizes[0], sizes[1], sizes[6], dtype=torch.int32)
    for step in range(sizes[0]):  # each step's samples follow from those before
        states, log_probs = cuda_rssm.with_samples(given, index)
        running = log_probs[step].exp().cumsum(-1)
        u = given["uniform"][step].double()
        index[step] = (running <= u[..., None]).sum(-1).clamp(max=sizes[7] - 1).int()
    states, log_probs = cuda_rssm.with_samples(given, index)
    found = states.float(), log_probs.float(), index
    assert case.error(given, found) < 0.01
    other = index.clone()
    other[-1, 0, 0] = (other[-1, 0, 0] + 1) % sizes[7]
    assert case.error(given, (*found[:2], other)) == float("inf")
    assert case.error(given, (found[0] * 1.1, *found[1:])) > 1.0
    assert case.error(given, (found[0] * float("nan"), *found[1:])) == float("inf")
    assert case.error(given, (*found[:2], index - 1)) == float("inf")


def test_frames_must_be_the_same_bytes() -> None:
    case = cuda_frames._case(None, "grey", cuda_frames._grey, (2, 12, 20), small=True)
    given = case.make("cpu", 0)
    right = case.reference(given)
    assert case.error(given, right) == 0.0
    wrong = right[0].clone()
    wrong[1, 3, 4] ^= 1
    assert case.error(given, (wrong,)) == float("inf")


def test_what_a_device_cannot_run_is_not_wrong() -> None:
    absent = Row("qlinear", "fp4", note="needs 10.0")
    failed = Row("qlinear", "broken", float("inf"), note="RuntimeError: launch failed")
    assert not gpu.wrong([RIGHT, absent])
    assert gpu.wrong([RIGHT, failed])
    assert gpu.wrong([RIGHT, Row("vq_lookup", "off", 1.01)])
