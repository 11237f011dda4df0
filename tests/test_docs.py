"""What the documentation shows is run: examples under both imports, tables as they are measured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parent.parent
DROP_INS = (ROOT / "docs/drop_ins.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", DROP_INS, re.S)
WAS = re.compile(r"^# was: (.*)\n(from metabonk\S* import \w+)$", re.M)


def parts(block: str) -> tuple[str, str]:
    """All but the last statement, and the last one."""
    lines = block.rstrip().splitlines()
    return "\n".join(lines[:-1]), lines[-1]


def prepared(block: str) -> dict[str, Any]:
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(parts(block)[0], names)
    return names


def module_of(names: dict[str, Any]) -> Any:
    return next(v for v in names.values() if isinstance(v, torch.nn.Module))


def results(block: str, names: dict[str, Any]) -> list[Any]:
    """The numbers that the last statement gives, gradients of their sum to x included."""
    last = parts(block)[1]
    names["x"].requires_grad_()
    torch.manual_seed(1)  # both draw in the same order
    exec(last, names)
    targets = re.findall(r"\w+", last.split(" = ")[0])
    tensors = [names[t] for t in targets]
    floats = [t for t in tensors if t.is_floating_point() and t.requires_grad]
    gradient = torch.autograd.grad([t.square().sum() for t in floats], names["x"])
    return [*(t.detach() for t in tensors), *gradient]


@pytest.mark.parametrize("block", [b for b in BLOCKS if WAS.search(b)], ids=lambda b: parts(b)[1])
def test_one_changed_import_gives_the_same(block: str) -> None:
    found = WAS.search(block)
    assert found is not None
    package = re.findall(r"(?:from|import) (\w+)", found[1])[0]
    pytest.importorskip(package, reason="the extra `bench` has it")
    before = block.replace(found[0], found[1])
    assert before != block
    theirs, ours = prepared(before), prepared(block)
    assert type(module_of(theirs)).__module__.split(".")[0] == package
    assert type(module_of(ours)).__module__.split(".")[0] == "metabonk"
    with torch.no_grad():
        for parameter in module_of(theirs).parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    module_of(ours).load_state_dict(module_of(theirs).state_dict(), strict=True)
    ours["x"] = theirs["x"].detach().clone()
    for mine, other in zip(results(block, ours), results(before, theirs), strict=True):
        assert mine.shape == other.shape
        assert mine.dtype == other.dtype
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)


def test_the_other_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    plain = [b for b in BLOCKS if not WAS.search(b)]
    assert plain
    for block in plain:
        names = prepared(block)
        exec(parts(block)[1], names)
    assert "int8: 1 layers" in capsys.readouterr().out


def test_the_table_of_formats_is_what_is_measured() -> None:
    from metabonk.ops import qlinear
    from metabonk.ops.qweight import FORMATS

    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(512, 512, generator=generator)
    x = torch.randn(64, 512, generator=generator)
    exact = x.double() @ weight.double().t()
    rows = []
    for name in FORMATS:
        packed = qlinear.pack(weight, name)
        loss = packed.unpack().loss(weight.numpy())
        error = float((qlinear.qlinear(x, packed) - exact).norm() / exact.norm())
        rows.append(f"| {name} | {loss.bits:.2f} | {loss.relative:.2%} | {error:.2%} |")
    shown = [line for line in DROP_INS.splitlines() if line.split(" | ")[0][2:] in FORMATS]
    assert [line.replace(" %", "%") for line in shown] == rows
