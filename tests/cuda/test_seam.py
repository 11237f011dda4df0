"""The ops' `cuda` backends down to the kernels: their tensors, sizes and order of arguments, with
the module played by the emulated device."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from emulated_device import BLACKWELL, HOPPER, Emulated
from test_cfc import Cfc
from test_dreams import structure
from test_frames import Affine, Resize, axis, colours
from test_linear import Linear
from test_linear_fp4 import LinearFp4
from test_rssm import POINTERS, Rssm

from metabonk.ops import (
    cfc_cuda,
    cfc_scan,
    cuda,
    frames_cuda,
    frames_torch,
    imagine,
    imagine_cuda,
    qlinear,
    qlinear_cuda,
    qlinear_narrow,
    rssm_cuda,
    rssm_scan,
)

SMALL = (9, 0, 6, HOPPER[3])


class Played:
    """metabonk._cuda as csrc/bindings/cuda binds it, over the emulated device."""

    LINEAR_ROWS = 64

    def __init__(self, emulated: Emulated) -> None:
        self._emulated = emulated

    def why_not(self) -> str:
        return ""

    def _call(self, name: str, structure: ctypes.Structure, device: Any = HOPPER) -> None:
        assert self._emulated.call(f"metabonk_cuda_{name}", structure, device) == 0

    def cfc(
        self, sizes: Any, sequence: Any, weights: Any, bf16: bool, out: Any, stream: int
    ) -> None:
        self._call("cfc", Cfc(*sizes, int(bf16), *sequence, *weights, *out))

    def linear(
        self, format: int, sizes: Any, x: int, weights: Any, bias: int, y: int, stream: int
    ) -> None:
        self._call("linear", Linear(*sizes, format, x, *weights, bias, y))

    def linear_fp4(
        self, sizes: Any, x: int, weights: Any, bias: int, y: int, scratch: int, stream: int
    ) -> None:
        self._call("linear_fp4", LinearFp4(*sizes, x, *weights, bias, y, scratch), BLACKWELL)

    def linear_fp4_scratch(self, inputs: int) -> int:
        return self._emulated.size("metabonk_cuda_linear_fp4_scratch", inputs)

    def rssm(
        self,
        sizes: Any,
        mix: float,
        sequence: Any,
        weights: Any,
        out: Any,
        scratch: int,
        stream: int,
    ) -> None:
        self._call("rssm", Rssm(*sizes, mix, *sequence, *weights, *out, scratch), SMALL)

    def rssm_scratch(self, sizes: Any) -> int:
        return self._emulated.size_of("metabonk_cuda_rssm_scratch", Rssm(*sizes))

    def imagine(
        self, sizes: Any, mix: float, sequence: Any, weights: Any, out: Any, actor: Any,
        table: int, squashed: bool, floor: float, action_noise: int, acted: Any, scratch: int,
        stream: int,
    ) -> None:  # fmt: skip
        model = dict(zip(POINTERS, (*sequence, *weights, *out, scratch), strict=True))
        first, biases, units = zip(*actor, strict=True)
        made = structure(
            sizes, mix, model, units, squashed, floor, weights=first, biases=biases, table=table,
            action_noise=action_noise,
            **dict(zip(("out_action", "out_log_prob", "out_policy"), acted, strict=True)),
        )  # fmt: skip
        self._call("imagine", made, SMALL)

    def imagine_scratch(self, sizes: Any, units: list[int]) -> int:
        made = structure(sizes, 0.0, {}, units, False, 0.0)
        return self._emulated.size_of("metabonk_cuda_imagine_scratch", made)

    def resize_axis(self, source: int, target: int, area: bool) -> tuple[int, Any, Any]:
        taps, first, weights = axis(source, target, "area" if area else "bilinear")
        return taps, first.tolist(), weights.ravel().tolist()

    def resize(
        self, frames: int, count: int, sizes: Any, taps: Any, rows: Any, columns: Any, out: int,
        stream: int,
    ) -> None:  # fmt: skip
        arrays = frames, rows[0], columns[0], rows[1], columns[1], out
        self._call("resize", Resize(count, *sizes, *taps, *arrays))

    def _plain(self, name: str, *arguments: Any) -> None:
        assert self._emulated.plain(f"metabonk_cuda_{name}", *arguments) == 0

    def grey(self, rgb: int, pixels: int, out: int, stream: int) -> None:
        self._plain("grey", _at(rgb), ctypes.c_int64(pixels), _at(out))

    def flip(
        self, frames: int, count: int, sizes: Any, across: bool, down: bool, out: int, stream: int
    ) -> None:
        self._plain("flip", _at(frames), ctypes.c_int64(count), *sizes, across, down, _at(out))

    def normalise(
        self, frames: int, count: int, pixels: int, scale: Sequence[float], shift: Sequence[float],
        planar: bool, out: int, stream: int,
    ) -> None:  # fmt: skip
        affine = Affine()
        affine.scale[: len(scale)], affine.shift[: len(shift)] = scale, shift
        sizes = ctypes.c_int64(count), ctypes.c_int64(pixels), len(scale)
        self._plain("normalise", _at(frames), *sizes, ctypes.byref(affine), planar, _at(out))

    def _convert(self, name: str, given: int, sizes: Any, bt709: bool, out: int) -> None:
        matrix = colours("bt709" if bt709 else "bt601")
        count, *sides = sizes
        rest = ctypes.c_int64(count), *sides, ctypes.byref(matrix), _at(out)
        self._plain(name, _at(given), *rest)

    def rgb_to_nv12(self, rgb: int, n: int, h: int, w: int, bt709: bool, out: int, s: int) -> None:
        self._convert("rgb_to_nv12", rgb, (n, h, w), bt709, out)

    def nv12_to_rgb(self, nv12: int, n: int, h: int, w: int, bt709: bool, out: int, s: int) -> None:
        self._convert("nv12_to_rgb", nv12, (n, h, w), bt709, out)


def _at(address: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(address)


@pytest.fixture(autouse=True)
def played(emulated: Emulated, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "metabonk._cuda", Played(emulated))
    monkeypatch.setattr(cuda, "problem", lambda: "")
    frames_cuda._axis.cache_clear()
    yield
    frames_cuda._axis.cache_clear()


def randn(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.mark.parametrize("saving", [False, True])
def test_cfc(saving: bool) -> None:
    shapes = [(3, 5, 7), (5, 9), (3, 5, 1), (3, 5, 1), (11, 16), (11,), (36, 11), (36,)]
    given = tuple(randn(*shape, seed=i, scale=0.4) for i, shape in enumerate(shapes))
    out, z, heads = cfc_cuda.forward(*given, saving)  # type: ignore[arg-type]
    wanted = cfc_scan.forward(*given, saving, "torch")  # type: ignore[arg-type]
    for found, want in zip((out, z, heads), wanted, strict=True):
        assert found.shape == want.shape
        assert not found.numel() or (found - want).abs().max() < 0.02


@pytest.mark.parametrize("format", ["int8", "bf16", "fp8", "nvfp4", "mxfp8"])
@pytest.mark.parametrize("shape", [(5, 30), (2, 3, 96)], ids=str)
def test_qlinear(format: Any, shape: tuple[int, ...]) -> None:
    weight = qlinear.pack(randn(24, shape[-1]), format)
    x, bias = randn(*shape, seed=1), randn(24, seed=2)
    found = qlinear_cuda.forward(x, weight.panels, bias, format, 24)
    wanted = qlinear.reference(x.double(), weight, bias.double())
    assert found.shape == wanted.shape
    assert (found - wanted).norm() < 1e-5 * wanted.norm()


def test_qlinear_narrow() -> None:
    weight = qlinear.pack(randn(40, 128), "nvfp4")
    x, bias = randn(2, 3, 128, seed=1), randn(40, seed=2)
    found = qlinear_cuda.forward_narrow(x, weight.panels, bias, "nvfp4", 40)
    wanted = qlinear_narrow.reference(x, weight, bias)
    assert (found - wanted).norm() < 1e-5 * wanted.norm()


def test_rssm() -> None:
    steps, rows, actions, hidden, deter, groups, classes = 1, 9, 5, 24, 40, 4, 8
    stoch = groups * classes
    shapes = [(hidden, stoch + actions), (hidden,), (3 * deter, hidden), (3 * deter, deter)]
    shapes += [(3 * deter,), (3 * deter,), (hidden, deter), (hidden,), (stoch, hidden), (stoch,)]
    weights = [randn(*s, seed=i, scale=0.3) for i, s in enumerate(shapes)]
    state = randn(rows, deter, seed=20).tanh()
    latent = torch.randint(classes, (rows, groups), dtype=torch.int32)
    action, noise = randn(steps, rows, actions, seed=21), torch.rand(steps, rows, groups)
    tensors = state, latent, action, None, None, noise
    out = rssm_scan.fake(*tensors, weights, classes, 0.01, 0.1, False, "cuda")
    rssm_cuda.forward(state, latent, action, noise, weights, classes, 0.01, out)
    wanted = rssm_scan.forward(*tensors, weights, classes, 0.01, 0.1, False, "torch")
    assert (out[0] - wanted[0]).abs().max() < 0.02
    assert (out[2] - wanted[2]).abs().max() < 0.1
    assert (out[4] == wanted[4]).float().mean() > 0.9
    assert torch.equal(out[1].view(steps, rows, groups, classes).argmax(-1), out[4].long())
    assert torch.equal(out[1].sum(-1), torch.full((steps, rows), float(groups)))


@pytest.mark.parametrize("squashed", [False, True])
def test_imagine(squashed: bool) -> None:
    steps, rows, actions, hidden, deter, groups, classes = 2, 9, 5, 24, 40, 4, 8
    stoch, outputs = groups * classes, 10 if squashed else 5
    shapes = [(hidden, stoch + actions), (hidden,), (3 * deter, hidden), (3 * deter, deter)]
    shapes += [(3 * deter,), (3 * deter,), (hidden, deter), (hidden,), (stoch, hidden), (stoch,)]
    weights = [randn(*s, seed=i, scale=0.3) for i, s in enumerate(shapes)]
    layers = [(12, deter + stoch), (12,), (outputs, 12), (outputs,)]
    actor = [randn(*s, seed=30 + i, scale=0.2) for i, s in enumerate(layers)]
    latent = torch.randint(classes, (rows, groups), dtype=torch.int32)
    noise = randn(steps, rows, 5, seed=21) if squashed else torch.rand(steps, rows, 1)
    tensors = randn(rows, deter, seed=20).tanh(), latent, torch.rand(steps, rows, groups), noise
    arguments = (*tensors, weights, actor, squashed, classes, 0.01, 0.1, 0.1, False)
    out = imagine._fake(*arguments, "cuda")
    imagine_cuda.forward(*tensors, weights, actor, squashed, classes, 0.01, 0.1, out)
    wanted = imagine._forward(*arguments, "torch")
    # Of the first step, where no sample was near enough to an edge to be another one yet.
    for i, error in ((0, 0.02), (2, 0.1), (4, 0.02), (5, 0.1), (6, 0.05)):
        near = (out[i][0] - wanted[i][0]).abs() < error
        assert near.float().mean() > 0.9
    assert (out[3][0] == wanted[3][0]).float().mean() > 0.9
    assert torch.equal(out[1].view(*out[3].shape, classes).argmax(-1), out[3].long())


def test_an_actor_is_rounded_again_when_it_changes() -> None:
    actor = [randn(6, 4 + 2 * 3), randn(6), randn(2, 6), randn(2)]
    first = imagine_cuda.arranged(actor, 4, 2, 3)
    assert imagine_cuda.arranged(actor, 4, 2, 3) is first
    assert torch.equal(first.table.flatten(0, 1).t(), actor[0][:, 4:].bfloat16())
    actor[2].add_(1.0)
    assert torch.equal(imagine_cuda.arranged(actor, 4, 2, 3).weights[1], actor[2].bfloat16())


def test_weights_are_rounded_again_when_they_change() -> None:
    weights = [randn(4, 6), randn(4), randn(6, 4), randn(6, 2), randn(6), randn(6)]
    weights += [randn(4, 2), randn(4), randn(4, 4), randn(4)]
    first = rssm_cuda.arranged(rssm_scan.RssmWeights(*weights), 2, 2)
    again = rssm_cuda.arranged(rssm_scan.RssmWeights(*weights), 2, 2)
    assert all(a is b for a, b in zip(first, again, strict=True))
    weights[2].add_(1.0)
    other = rssm_cuda.arranged(rssm_scan.RssmWeights(*weights), 2, 2)
    assert torch.equal(other[3], weights[2].bfloat16())


def test_frames() -> None:
    numbers = np.random.default_rng(0)
    rgb = torch.from_numpy(numbers.integers(0, 256, (2, 3, 12, 20, 3)).astype(np.uint8))
    nv12 = frames_torch.rgb_to_nv12(rgb)
    small, floats = rgb.new_empty(2, 3, 5, 7, 3), torch.empty(2, 3, 3, 12, 20)
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    pairs = [
        (frames_cuda.resize(rgb, small, "area"), frames_torch.resize(rgb, 5, 7)),
        (frames_cuda.grey(rgb, rgb.new_empty(rgb.shape[:-1])), frames_torch.grey(rgb)),
        (frames_cuda.flip(rgb, rgb.new_empty(rgb.shape), False, True),
         frames_torch.flip(rgb, horizontal=False, vertical=True)),
        (frames_cuda.normalise(rgb, floats, mean, std, True),
         frames_torch.normalise(rgb, mean, std, planar=True)),
        (frames_cuda.rgb_to_nv12(rgb, nv12.new_empty(nv12.shape), "bt709"), nv12),
        (frames_cuda.nv12_to_rgb(nv12, rgb.new_empty(rgb.shape), "bt601"),
         frames_torch.nv12_to_rgb(nv12, matrix="bt601")),
    ]  # fmt: skip
    for found, wanted in pairs:
        assert torch.equal(found, wanted)
