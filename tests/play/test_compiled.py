"""Compiled policies: torch's decisions to 1e-5, carried state, files, and refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import NETWORKS, observations

from metabonk import _core, artifact
from metabonk.errors import CompileError, CorruptError
from metabonk.models.actor import Actor
from metabonk.models.policy import ActorCritic
from metabonk.observations import OFFER_FEATURES
from metabonk.play import compiled
from metabonk.play.compiled import CompiledPolicy, Terms, compile, load
from metabonk.play.compiler.assembly import assemble
from metabonk.play.compiler.tracing import OUTPUTS, Decision
from metabonk.play.compiler.weights import PRECISIONS
from metabonk.protocols import Array

BATCH, STEPS = 3, 12
TIERS = ("baseline", "avx2", "avx512")


def terms(model: ActorCritic, batch: int = BATCH) -> Terms:
    columns = model.head.layout.columns
    return Terms(batch=batch, precision="fp32", sampled=True, seed=0, columns=columns)


def by_torch(
    model: ActorCritic, seen: list[dict[str, Array]], uniform: Array, normal: Array, first: Array
) -> list[dict[str, Array]]:
    """What torch decides, step after step, with the same random numbers."""
    state, found = model.initial_state(len(first[0])), []
    head = model.head
    for t, observation in enumerate(seen):
        tensors = {key: torch.from_numpy(array) for key, array in observation.items()}
        with torch.no_grad():
            out = model.step(tensors, state, torch.from_numpy(first[t]))
            rows = torch.zeros(len(first[t]), head.layout.columns)
            log_prob = torch.zeros(len(first[t]), len(head.layout.branches))
            drawn = torch.from_numpy(uniform[t]), torch.from_numpy(normal[t])
            head.sample(out.parameters, tensors.get("action_mask"), *drawn, rows, log_prob)
        state = out.state
        results = (rows, log_prob, out.value, out.state)
        found.append({k: v.numpy() for k, v in zip(OUTPUTS, results, strict=True)})
    return found


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_output_of_every_step_is_that_of_torch(name: str, tier: str) -> None:
    detected = str(_core.support.detected_tier())
    if TIERS.index(tier) > TIERS.index(detected):
        pytest.skip(f"this processor has no {tier}")
    model = NETWORKS[name]()
    head, generator = model.head, np.random.default_rng(1)
    seen = observations(model, BATCH, STEPS)
    uniform = generator.random((STEPS, BATCH, head.categorical), np.float32)
    normal = generator.standard_normal((STEPS, BATCH, head.continuous), np.float32)
    first = generator.random((STEPS, BATCH)) < 0.2
    want = by_torch(model, seen, uniform, normal, first)
    try:
        _core.support.cap_tier(tier)
        program = assemble(Decision(model, True), batch=BATCH, outputs=OUTPUTS)
        policy = CompiledPolicy(program, terms(model))
        assert policy.tier == ("portable" if tier == "baseline" else tier)
        for t in range(STEPS):
            out = {
                key: np.full(shape, np.nan, dtype) for key, (dtype, shape) in policy.outputs.items()
            }
            given = {**seen[t], "uniform": uniform[t], "normal": normal[t], "is_first": first[t]}
            read = {key: given[key] for key in policy.inputs}
            policy.bind_all(read, out).step()
            for key, array in out.items():
                np.testing.assert_allclose(array, want[t][key], atol=1e-5, rtol=1e-5, err_msg=key)
    finally:
        _core.support.cap_tier(detected)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_likeliest_actions_are_those_of_an_actor(name: str) -> None:
    model = NETWORKS[name]()
    actor, policy = Actor(model, sampled=False), compile(model, batch=BATCH, sampled=False)
    state, first = actor.reset(BATCH), np.array([True] * BATCH)
    policy.reset()
    for t, observation in enumerate(observations(model, BATCH, STEPS)):
        rows, state = actor.act(observation, state, first)
        np.testing.assert_allclose(policy.step(observation), rows, atol=1e-5)
        first = np.array([t % 4 == 0, False, t % 5 == 0])
        policy.reset(first)


def test_a_row_that_is_not_reset_remembers() -> None:
    """The control of the test above: the state does matter."""
    model = NETWORKS["pilot"]()
    policy = compile(model, sampled=False)
    seen = observations(model, 1, 3)
    policy.reset()
    for observation in seen:
        carried = policy.step(observation).copy()
    policy.reset()
    assert np.abs(policy.step(seen[-1]) - carried).max() > 1e-4


def test_random_numbers_follow_from_seed_and_counter() -> None:
    model = NETWORKS["mlp"]()
    (seen,) = observations(model, BATCH, 1)
    policy = compile(model, batch=BATCH, seed=5)
    rows = [policy.step(seen).copy() for _ in range(6)]
    assert not all(np.array_equal(rows[0], other) for other in rows[1:])
    assert policy.counter == 6
    policy.seed(5, 3)
    assert np.array_equal(policy.step(seen), rows[3])
    policy.seed(6, 3)
    assert not np.array_equal(policy.step(seen), rows[3])


def test_drawn_actions_have_the_distribution_of_the_head() -> None:
    model = NETWORKS["mlp"]()
    (one,) = observations(model, 1, 1)
    many = {key: np.repeat(array, 4000, 0) for key, array in one.items()}
    rows = compile(model, batch=4000, seed=1).step(many)
    with torch.no_grad():
        tensors = {key: torch.from_numpy(array) for key, array in many.items()}
        out = model.step(tensors, model.initial_state(4000), torch.zeros(4000, dtype=torch.bool))
        rest = torch.Generator().manual_seed(0)
        want = torch.zeros(4000, model.head.layout.columns)
        uniform = torch.rand(4000, model.head.categorical, generator=rest)
        normal = torch.randn(4000, model.head.continuous, generator=rest)
        log_prob = torch.zeros(4000, len(model.head.layout.branches))
        model.head.sample(out.parameters, tensors["action_mask"], uniform, normal, want, log_prob)
    theirs = want.numpy()
    assert np.abs(rows.mean(0) - theirs.mean(0)).max() < 0.12
    np.testing.assert_allclose(rows.std(0), theirs.std(0), rtol=0.1, atol=0.02)


@pytest.mark.parametrize("precision", [p for p in PRECISIONS if p != "fp32"])
def test_lower_precisions_decide_nearly_the_same(precision: str) -> None:
    """Observations on which weights in few bits choose otherwise are few: the share is bounded, and
    int4 is worse than bf16."""
    model = NETWORKS["arena"]()
    seen = observations(model, 16, 20)
    exact, few = (compile(model, p, batch=16, sampled=False) for p in ("fp32", precision))
    agree = np.mean([np.isclose(exact.step(o), few.step(o), atol=0.05).mean() for o in seen])
    assert agree > (0.97 if precision in ("bf16", "int8", "fp8", "mxfp8") else 0.85)
    held = [sum(a.nbytes for a in p.program.tensors.values()) for p in (exact, few)]
    assert held[1] < 0.8 * held[0]


LEVELS = {
    "baseline": ("portable", "portable", "portable"),
    "avx2": ("avx2", "avx2", "avx2"),
    "avx512": ("avx512", "avx512", "avx512"),
    "vnni": ("avx512", "vnni", "avx512"),
    "bf16": ("avx512", "vnni", "bf16"),
    "amx": ("avx512", "amx", "bf16"),
}


def reached() -> str:
    extension = str(_core.support.detected_extension())
    return str(_core.support.detected_tier()) if extension == "none" else extension


@pytest.mark.parametrize("level", LEVELS)
def test_the_variable_caps_programs_that_are_not_ours(level: str, tmp_path: Path) -> None:
    """A policy and an op, each in a process that only imports them."""
    levels = list(LEVELS)
    loops, int8, bf16 = LEVELS[min(level, reached(), key=levels.index)]
    compile(NETWORKS["mlp"]()).save(tmp_path / "policy")
    kept = str(tmp_path / "policy")
    programs = {
        f"from metabonk.play.compiled import load; print(load({kept!r}).tier)": [loops],
        "from metabonk.ops import qlinear as q; print(q.tier('int8'), q.tier('bf16'))": [
            int8,
            bf16,
        ],
    }
    environment = {**os.environ, "METABONK_CPU": level}
    for program, want in programs.items():
        done = subprocess.run(
            [sys.executable, "-c", program], check=True, env=environment, capture_output=True
        )
        assert done.stdout.decode().split() == want, program


@pytest.mark.parametrize("precision", ["fp32", "int8", "nvfp4"])
def test_a_saved_policy_decides_the_same_without_torch(precision: str, tmp_path: Path) -> None:
    model = NETWORKS["arena"]()
    policy = compile(model, precision, batch=2, seed=3)  # type: ignore[arg-type]
    seen = observations(model, 2, 4)
    policy.save(tmp_path / "policy", parents=("abc",))
    np.savez(
        tmp_path / "seen.npz", **{f"{t}.{k}": v for t, o in enumerate(seen) for k, v in o.items()}
    )
    program = """
import sys
sys.modules["torch"] = None
import numpy as np
from metabonk.play.compiled import load
folder = sys.argv[1]
policy, arrays = load(folder + "/policy"), np.load(folder + "/seen.npz")
rows = [
    policy.step({k.split(".", 1)[1]: v for k, v in arrays.items() if k.startswith(f"{t}.")}).copy()
    for t in range(4)
]
np.save(folder + "/rows.npy", np.stack(rows))
"""
    environment = {**os.environ, "METABONK_CPU": "auto"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, env=environment)
    assert np.array_equal(np.load(tmp_path / "rows.npy"), [policy.step(o).copy() for o in seen])
    assert artifact.load(tmp_path / "policy").card.parents == ("abc",)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    policy = compile(NETWORKS["mlp"]())
    policy.save(tmp_path / "policy")
    file = tmp_path / "policy" / compiled.TENSORS
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(CorruptError, match="damaged"):
        load(tmp_path / "policy")
    with pytest.raises(FileNotFoundError, match="no artifact"):
        load(tmp_path / "nowhere")
    words = policy.program.words.copy()
    for at in (0, 1, 2, 5, len(words) // 2):
        broken = words.copy()
        broken[at] = -7
        with pytest.raises(ValueError, match=r"program|name|size"):
            CompiledPolicy(compiled.Program(broken, policy.program.tensors), policy.terms)
    with pytest.raises(ValueError, match="ends in the middle"):
        CompiledPolicy(compiled.Program(words[:-1], policy.program.tensors), policy.terms)
    first = next(iter(policy.program.tensors))
    tensors = {**policy.program.tensors, first: np.zeros(3, np.float32)}
    with pytest.raises(CorruptError, match="tensor"):
        CompiledPolicy(compiled.Program(words, tensors), policy.terms)


def test_bad_input_is_named_and_changes_nothing() -> None:
    model = NETWORKS["pilot"]()
    policy = compile(model, batch=2)
    (seen,) = observations(model, 2, 1)
    action = np.full((2, policy.terms.columns), 7.0, np.float32)
    wrong = {
        "lacks 'x'": {k: v for k, v in seen.items() if k != "x"},
        r"'x' is float64": {**seen, "x": seen["x"].astype(np.float64)},
        r"'x' is float32 \[1, 7\]": {**seen, "x": seen["x"][:1]},
        "'x' is strided": {**seen, "x": np.zeros((2, 14), np.float32)[:, ::2]},
        "'x' is list": {**seen, "x": [1.0]},
    }
    for said, observation in wrong.items():
        with pytest.raises(ValueError, match=said):
            policy.bind(observation, action)
        with pytest.raises(ValueError, match=said):
            policy.step(observation)
    with pytest.raises(ValueError, match="'action' is float64"):
        policy.bind(seen, action.astype(np.float64))  # type: ignore[arg-type]
    frozen = action.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="cannot be written"):
        policy.bind(seen, frozen)
    with pytest.raises(ValueError, match=r"mask is bool \[3\]"):
        policy.reset(np.zeros(3, np.bool_))
    assert (action == 7.0).all()
    assert policy.counter == 0
    with pytest.raises(CompileError, match="batch"):
        compile(model, batch=0)
    with pytest.raises(CompileError, match="fp64"):
        compile(model, "fp64")  # type: ignore[arg-type]
    with pytest.raises(CompileError, match="swap"):
        CompiledPolicy(
            compiled.Program(policy.program.words, policy.program.tensors), policy.terms
        ).refresh()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_index_out_of_range_is_an_error_and_not_a_write(precision: str) -> None:
    """Offers name the choice that takes them; one that names choice 900 is refused."""
    model = NETWORKS["arena"]()
    policy, other = (compile(model, precision, sampled=False) for _ in range(2))  # type: ignore[arg-type]
    before, seen, after = observations(model, 1, 3)
    for one in (policy, other):
        one.reset()
        one.step(before)
    seen["offers"][..., OFFER_FEATURES.index("choice")] = 900.0
    seen["offers"][..., OFFER_FEATURES.index("selectable")] = 1.0
    seen["offers_mask"][:] = 1
    bound = policy.bind(seen)
    bound.action[:] = 7.0
    with pytest.raises(ValueError, match="out of range"):
        bound.step()
    assert (bound.action == 7.0).all()
    assert policy.counter == 1
    assert np.array_equal(policy.step(after), other.step(after))  # nothing of it is remembered


def test_what_cannot_be_compiled_is_named() -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.i0(x)

    model = NETWORKS["mlp"]()
    model.actor.add_module("odd", Odd())
    with pytest.raises(CompileError, match=r"i0.*odd"):
        compile(model)


@pytest.mark.parametrize("bad", [-1, 1 << 64, 1.5])
def test_random_numbers_want_seeds_that_there_are(bad: Any) -> None:
    model = NETWORKS["mlp"]()
    policy = compile(model)
    with pytest.raises(ValueError, match=f"seed: {bad}; wanted a whole number from 0 to"):
        policy.seed(bad)
    with pytest.raises(ValueError, match=f"counter: {bad}; wanted"):
        policy.seed(1, bad)
    with pytest.raises(ValueError, match=f"seed: {bad}; wanted"):
        compile(model, seed=bad)
    policy.seed((1 << 64) - 1, (1 << 64) - 1)
    assert policy.counter == (1 << 64) - 1


def test_a_batch_is_a_number_of_rows() -> None:
    for bad in (0, -1, 1.5):
        with pytest.raises(CompileError, match=f"batch: {bad} rows; wanted one or more"):
            compile(NETWORKS["mlp"](), batch=bad)  # type: ignore[arg-type]
