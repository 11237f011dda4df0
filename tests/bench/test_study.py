"""Studies: goals are met or not, and what studies are held against can fail."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from made_up_cells import figures
from metabonk.bench import studies, study
from metabonk.bench.study import Cell, Figure, Result, by_seed, mean_of, ratio_of


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure(name="x", value=1.0), None),
        (Figure(name="x", value=1.0, goal=1.0), True),
        (Figure(name="x", value=0.9, goal=1.0), False),
        (Figure(name="x", value=0.9, goal=1.0, sense="<="), True),
        (Figure(name="x", value=float("nan"), goal=1.0), False),
        (Figure(name="x", value=float("nan"), goal=1.0, sense="<="), False),
        (Figure(name="x", value=2.0, goal=1.0, interval=True, ci95=(0.5, 3.0)), False),
        (Figure(name="x", value=2.0, goal=1.0, interval=True, ci95=(1.5, 3.0)), True),
        (Figure(name="x", value=0.2, goal=1.0, sense="<=", interval=True, ci95=(0.1, 2.0)), False),
        (Figure(name="x", value=2.0, goal=1.0, interval=True), False),
        (Figure(name="x", value=1.0, goal=1.0, sense=">", interval=True, ci95=(1.0, 1.0)), False),
        (Figure(name="x", value=1.5, goal=1.0, sense=">", interval=True, ci95=(1.1, 2.0)), True),
    ],
)
def test_a_goal_is_met_or_not(figure: Figure, met: bool | None) -> None:
    assert figure.met is met


@pytest.mark.parametrize(
    ("figure", "unsure"),
    [
        (Figure(name="x", value=0.976, goal=0.95, ci95=(0.937, 1.016)), True),
        (Figure(name="x", value=0.976, goal=0.95, ci95=(0.951, 1.0)), False),
        (Figure(name="x", value=0.09, goal=0.1, sense="<=", ci95=(0.05, 0.13)), True),
        (Figure(name="x", value=0.09, goal=0.1, sense="<=", ci95=(0.08, 0.1)), False),
        (Figure(name="x", value=0.9, goal=0.95, ci95=(0.8, 1.0)), False),  # not met, which is said
        (Figure(name="x", value=0.976, goal=0.95), False),
        (Figure(name="x", value=0.976, ci95=(0.9, 1.0)), False),
        (Figure(name="x", value=2.0, goal=1.0, interval=True, ci95=(1.5, 3.0)), False),
    ],
)
def test_a_goal_that_only_the_mean_meets_is_told_apart(figure: Figure, unsure: bool) -> None:
    assert figure.unsure is unsure


def test_a_result_is_met_if_all_of_it_is() -> None:
    good, bad = Figure(name="a", value=2.0, goal=1.0), Figure(name="b", value=0.0, goal=1.0)
    shown = Figure(name="c", value=0.0)

    def met(*figures: Figure, label: str = "full") -> bool | None:
        return Result(study="s", label=label, seeds=1, seconds=0.0, figures=list(figures)).met

    assert met(good, shown)
    assert met(good, bad) is False
    assert met(shown) is None
    assert met(good, label=study.SMOKE) is None


def test_intervals_are_of_means_and_of_ratios() -> None:
    value, ci95 = mean_of([1.0, 2.0, 3.0, 4.0])
    assert value == 2.5
    half = 3.182 * (5.0 / 3.0 / 4.0) ** 0.5
    assert ci95 == pytest.approx((2.5 - half, 2.5 + half))
    assert mean_of([3.0]) == (3.0, None)
    assert mean_of([1.0, float("nan")])[1] is None
    ratio, ci95 = ratio_of([2.0, 8.0, 4.0], [1.0, 2.0, 2.0])
    assert ratio == pytest.approx(16.0 ** (1.0 / 3.0))
    assert ci95 is not None
    assert ci95[0] * ci95[1] == pytest.approx(ratio**2)  # even in proportion
    assert ci95[0] < 2.0 < 4.0 < ci95[1]
    value, ci95 = ratio_of([0.0, 1.0], [1.0, 1.0])
    assert np.isnan(value)  # and no error: a study that has run for an hour ends in figures
    assert ci95 is None


def test_what_json_keeps_as_null_is_no_number() -> None:
    found: dict[Cell, dict[str, Any]] = {Cell("a", 1): {"auc": None}, Cell("a", 0): {"auc": 0.5}}
    first, second = by_seed(found, "a", "auc")
    assert first == 0.5
    assert np.isnan(second)


def test_an_interval_of_five_seeds_holds_the_mean_as_often_as_it_says() -> None:
    """The control is a bootstrap, which of so few values is too sure."""
    from metabonk.learn.evaluate import bootstrap_ci95

    found = np.random.default_rng(0).standard_normal((1000, 5))
    ours = [mean_of(row.tolist())[1] for row in found]
    theirs = [bootstrap_ci95(row) for row in found[:300]]
    holds = [ci95 is not None and ci95[0] <= 0.0 <= ci95[1] for ci95 in ours]
    assert 0.93 < float(np.mean(holds)) < 0.97
    assert float(np.mean([low <= 0.0 <= high for low, high in theirs])) < 0.9


def test_cells_are_kept_by_all_that_they_learn_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preset that changes makes them others'; a server's settings do not."""
    from metabonk.learn.presets import PRESETS

    def settings() -> dict[str, bytes]:
        return {
            name: msgspec.json.encode(made.settings("full"), order="sorted")
            for name, made in studies.STUDIES.items()
        }

    before = settings()
    assert not any(b"chain" in text for text in before.values())
    for pattern in ("arena", "gym/Pendulum-v1", "gym/CartPole-v1"):
        changed = {**PRESETS[pattern], "ppo.entropy_coef": 0.123}
        monkeypatch.setitem(PRESETS, pattern, changed)
    others = {name for name, text in settings().items() if text != before[name]}
    assert others == {"arena", "dreams", "horizon", "pretrain", "ablate", "motor"}


def test_world_models_are_held_against_persistence() -> None:
    def values(cell: Cell) -> dict[str, Any]:
        ratio = 0.3 + 0.01 * cell.seed if cell.arm.endswith("honest") else 1.1
        seen = {"to_mean": 2.0 * ratio, "to_others": 0.4 + 0.01 * cell.seed, "wm_kl": 0.01}
        auc = {"seen_auc": 0.98, "dreamed_auc": 0.97 if "grid64" in cell.arm else 0.6}
        formats = {"ratio fp32": ratio, "ratio int8": 1.1 * ratio}
        dreamed = {"dreamed fp32": 2.0, "dreamed int8": 1.9, "rounded": 0.9}
        return {"ratio": ratio, **seen, **auc, "trust": 15.0, **formats, **dreamed}

    def both(values: Any) -> dict[str, Figure]:
        return figures("world", values) | figures("arena", values)

    rows = both(values)
    assert all(f.met for f in rows.values() if f.goal is not None)
    cells = rows["grid64/ice_slide: error 15 steps ahead, of persistence's"]
    assert cells.baselines["shuffled actions"] == pytest.approx(1.1)
    assert rows["arena: steps for which it can be dreamed of (the trust horizon)"].value == 15.0
    rounded = rows["arena, weights in int8: that error, of float32's"]
    assert (rounded.value, rounded.met) == (pytest.approx(1.1), None)
    assert "90% of the weights" in rounded.note
    errors = {"ratio": 0.8, "to_mean": 1.0, "to_others": 1.0}
    wrong = {**errors, "seen_auc": 0.6, "dreamed_auc": 0.5, "wm_kl": 0.4, "trust": 0.0}
    assert not any(f.met for f in both(lambda cell: values(cell) | wrong).values())
    some = both(lambda cell: {**values(cell), "left_out": ["entities"]})
    assert some["arena: error 15 steps ahead, of persistence's"].note == "not judged: entities"
    near = {"ratio": 0.49, "to_mean": 0.98}  # whoever expects the mean has half of persistence's

    def blind(cell: Cell) -> dict[str, Any]:
        return values(cell) | (near if cell.arm.endswith("honest") else {})

    lost = [name for name, f in both(blind).items() if f.met is False]
    assert len(lost) == 2
    assert all(name.endswith("of that of the mean of what was seen") for name in lost)
    collapsed = both(lambda cell: {**values(cell), "to_others": 0.99})
    assert [n for n, f in collapsed.items() if f.met is False] == [
        f"{game}: the same error, of that after another sequence was watched"
        for game in ("grid64/ice_slide", "arena")
    ]
    deaf = both(lambda cell: {**values(cell), "ratio": 0.3})
    assert [n for n, f in deaf.items() if f.met is False] == [
        "grid64/ice_slide: what shuffled actions add to that error"
    ]


def test_what_pays_is_judged_dreamed_where_little_is_left_to_chance() -> None:
    def values(cell: Cell) -> dict[str, Any]:
        errors = {"ratio": 0.3, "to_mean": 0.3, "to_others": 0.3, "wm_kl": 0.1, "trust": 15.0}
        exact = {"ratio fp32": 0.3, "dreamed fp32": 1.0, "rounded": 1.0}
        return {**errors, **exact, "seen_auc": 0.98, "dreamed_auc": 0.7}

    (cells,) = (f for name, f in figures("world", values).items() if "steps that pay" in name)
    (state,) = (f for name, f in figures("arena", values).items() if "steps that pay" in name)
    assert (cells.value, cells.met) == (pytest.approx(0.7), False)
    assert cells.baselines["of steps that are seen"] == pytest.approx(0.98)
    assert (state.value, state.met) == (pytest.approx(0.98), True)
    assert state.baselines["of steps that are dreamed"] == pytest.approx(0.7)


def test_expected_free_energy_is_held_against_its_mistakes() -> None:
    from metabonk.bench import study_efe as efe

    def values(cell: Cell) -> dict[str, Any]:
        if cell.arm == "television":
            shares = {f"television {efe.SEEKER}": 0.01, f"television {efe.NAIVE}": 0.6}
            return {f"ignored {efe.SEEKER}": 1.0, f"ignored {efe.NAIVE}": 0.0, **shares}
        names = (efe.OURS, efe.CONSTANT, efe.PLANNER, efe.RANDOM)
        rows = {f"{what} {name}": 0.3 for name in names for what in ("cue", "win")}
        return {**rows, f"cue {efe.OURS}": 0.99}

    rows = figures("efe", values)
    assert all(f.met for f in rows.values() if f.goal is not None)
    wrong = figures("efe", lambda cell: {k: 1.0 - v for k, v in values(cell).items()})
    watched = "noisy television: how much more often predictive entropy goes to it"
    assert not any(f.met for f in wrong.values() if f.goal is not None)

    def unsure(cell: Cell) -> dict[str, Any]:  # who goes there in some seeds alone
        return {**values(cell), f"television {efe.NAIVE}": 0.6 if cell.seed < 2 else 0.01}

    blind = figures("efe", unsure)
    assert [name for name, f in blind.items() if f.met is False] == [watched]


def test_ablations_have_to_find_both_planted_parts_and_no_other() -> None:
    inert: dict[str, set[str]] = {"heard": set(), "planted": {"efe"}, "useless": {"dream"}}

    def values(cell: Cell, wrong: dict[str, set[str]]) -> dict[str, Any]:
        mine = (inert | wrong)[cell.arm]
        told = {f"{part} inert": float(part in mine) for part in ("dream", "efe")}
        return {**told, "inert": float(len(mine)), "parts": 4.0, "repeats": 1.0}

    def met(wrong: dict[str, set[str]]) -> list[bool | None]:
        return [f.met for f in figures("ablate", lambda cell: values(cell, wrong)).values()]

    assert met({}) == [True, True, True, True]
    assert met({"planted": set()}) == [False, True, True, True]
    assert met({"useless": set()}) == [True, False, True, True]
    assert met({"heard": {"dream"}}) == [True, True, False, True]
    rows = figures("ablate", lambda cell: values(cell, {}))
    said = rows["parts found inert where all are heard, per run"].note
    assert "teaches nobody (dream.distill_coef = 0): nothing is said of one who teaches" in said


def test_a_motor_is_held_against_its_teacher() -> None:
    known = ("near", "near_teacher", "near_reversed", "unsure", "unsure_mean")

    def values(cell: Cell) -> dict[str, Any]:
        means = {"teacher": 20.0, "policy": 21.0, "random": 2.0}
        means |= {"unjudged": 15.0, "teacher, unjudged": 15.5}
        if cell.arm == "known":
            near, unsure = 0.9 + 0.01 * cell.seed, 40.0 + cell.seed
            return dict(zip(known, (near, 0.9, 0.02, unsure, 3.0), strict=True))
        seconds = {"student_seconds": 1e-3 + 1e-5 * cell.seed, "teacher_seconds": 3e-2}
        slow = {"student_p99": 2e-3, "compiled_p99": 1e-3, "compiled_most": 3e-3}
        found = {"return": 19.0 + 0.1 * cell.seed, "candidates": 8}
        return {**found, **means, **seconds, **slow}

    def met(values: Any) -> list[bool | None]:
        return [f.met for f in figures("motor", values).values() if f.goal is not None]

    assert met(values) == [True] * 8
    assert met(lambda c: {**values(c), "return": 10.0, "student_seconds": 1e-2})[:5] == [
        True, False, True, False, True
    ]  # fmt: skip
    # A poor student among good judges is as good as its teacher is.
    assert met(lambda c: {**values(c), "unjudged": 9.0})[:4] == [True, True, False, True]
    assert met(lambda c: {**values(c), "compiled_p99": 2e-2})[3:5] == [True, False]
    assert met(lambda c: {**values(c), "teacher": 2.0, "return": 2.0}) == [False] + [True] * 7
    nothing = {"teacher": 0.0, "return": 0.0, "random": 0.0}  # a share of which there is none
    assert met(lambda c: {**values(c), **nothing})[:5] == [False, False, True, True, True]
    wrong = {"near": 0.3, "near_reversed": 0.3, "unsure": 3.0}
    assert met(lambda c: {**values(c), **wrong})[5:] == [False] * 3


def test_cells_are_held_against_time_and_constants() -> None:
    from metabonk.bench.dropped import SHARES
    from metabonk.bench.study_cells import CONSTANT, SELECTIVE

    def values(cell: Cell, slope: float = 0.1) -> dict[str, Any]:
        if cell.arm in (SELECTIVE, CONSTANT):
            return {"accuracy": 0.99 if cell.arm == SELECTIVE else 0.3, "chance": 0.06}
        steep = slope if cell.arm == "cfc" else 0.4
        rows = {f"{s:g}": 0.01 + steep * s + 1e-4 * cell.seed for s in SHARES}
        return {**rows, **{f"still {s:g}": 0.3 for s in SHARES}, "parameters": 5000.0}

    rows = figures("cells", values)
    judged = [f for f in rows.values() if f.goal is not None]
    assert len(judged) == 4
    assert all(f.met for f in judged)
    worse = figures("cells", lambda cell: values(cell, slope=0.6))
    assert [f.met for f in worse.values() if f.goal is not None] == [False, False, True, True]

    def blind(cell: Cell) -> dict[str, Any]:
        own = {f"{s:g}": 0.3 + 1e-4 * cell.seed for s in SHARES}
        return values(cell) | (own if cell.arm == "cfc" else {})

    flat = figures("cells", blind)  # what sees nothing loses nothing by what it does not see
    assert [f.met for f in flat.values() if f.goal is not None] == [False, True, True, True]


def test_dropped_frames_are_as_many_as_asked_and_only_time_tells_them() -> None:
    torch = pytest.importorskip("torch")
    from metabonk.bench import dropped

    generator = torch.Generator().manual_seed(0)
    for share in (0.0, 0.3, 0.5):
        _, passed, _ = dropped.draw(4000, torch.full((4000,), share), generator)
        ticks = float((passed / dropped.TICK).mean())
        assert ticks == pytest.approx(1.0 / (1.0 - share), rel=0.03)
    told = dropped.errors("gru told the time", updates=120, hidden=24, shares=(0.0, 0.5))
    assert told["0"] < 0.7 * told["still 0"]


def test_every_study_says_what_it_costs_and_pairs_its_seeds() -> None:
    assert sum(made.minutes["quick"] for made in studies.STUDIES.values()) <= 20.0
    for made in studies.STUDIES.values():
        assert made.minutes["full"] <= 60.0
        for scale, seeds in study.SEEDS.items():
            cells = made.cells(scale)  # type: ignore[arg-type]
            if not cells:
                assert (made.name, scale) in {("doom", "quick"), ("arena", "quick")}
                continue
            assert len(set(cells)) == len(cells)
            alone = {c.seed for c in cells} - set(range(seeds))  # of an arm that needs more of them
            assert not alone or {c.arm for c in cells if c.seed in alone} == {"television"}
            arms = [{c.arm for c in cells if c.seed == seed} for seed in range(seeds)]
            assert all(arms)
            assert all(arm == arms[0] for arm in arms)
            assert made.settings(scale)  # type: ignore[arg-type]
    assert sum(made.minutes["quick"] for made in studies.STUDIES.values()) <= 20.0
