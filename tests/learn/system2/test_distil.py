"""Distilling System 2: what a log teaches, what is served, and that advantage counts."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from decision_logs import Log as Written
from decision_logs import arena_states, menu_state, write

from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends import choice as backends
from metabonk.cognition.backends import features, policy
from metabonk.cognition.backends.policy import PolicyBackend, StrategyNetwork
from metabonk.cognition.log.export import Plan
from metabonk.cognition.log.rows import Log
from metabonk.cognition.protocol.wire import RequestId
from metabonk.cognition.question import Question, Undecided
from metabonk.config import BackendConfig, DistilConfig
from metabonk.errors import ConfigError, CorruptError, DivergedError
from metabonk.learn.system2 import versions as strategies
from metabonk.learn.system2.distil import Distiller, Lessons, StrategyModule, lessons
from metabonk.records import Entity, FieldGroup, GameState, Pickup, PickupKind

SMALL = DistilConfig(hidden=32, updates=450, batch=64, learning_rate=5e-3)


def taught(folder: Path, most: int = 10_000) -> Lessons:
    with Log(folder) as log:
        return lessons(log.rows(), Plan(), most)


def log_of(folder: Path, rows: Sequence[tuple[bytes, v.Directive, float]], each: int = 5) -> None:
    """A log of answers without probabilities, with these rewards."""
    log = Written(folder)
    for number, (packed, directive, reward) in enumerate(rows):
        id = RequestId("a", 1, number)
        log.add(id, packed, v.spell(directive), reward, episode=number // each)
    log.close()


def test_a_log_becomes_lessons(tmp_path: Path) -> None:
    write(tmp_path, episodes=20, each=3)
    data = taught(tmp_path)
    assert len(data) == 60
    assert data.situation.shape == (60, features.SITUATION)
    assert data.targets.shape == (60, features.TARGETS, features.TARGET)
    assert 0 < data.held.sum() < 60
    np.testing.assert_allclose(data.shares.sum(1), 1.0, atol=1e-5)
    assert (data.shares.argmax(1) == data.verb).mean() > 0.9
    options = data.option[data.option >= 0]
    assert len(options) > 50
    verbs = features.PAIRS[options, 0]
    np.testing.assert_array_equal(verbs, data.verb[data.option >= 0])
    assert len(taught(tmp_path, most=7)) == 7


def test_of_a_long_log_the_newest_decisions_teach_whoever_asked(tmp_path: Path) -> None:
    """Rows come by agent: the last ones that are read are not the newest."""
    log, states = Written(tmp_path), arena_states(8)
    old, new = v.spell(v.Directive(v.Verb.HOLD)), v.spell(v.Directive(v.Verb.COLLECT))
    for number, packed in enumerate(states):
        log.add(RequestId("a", 1, number), packed, new, 1.0, at=2000.0 + number)
        log.add(RequestId("b", 1, number), packed, old, 1.0, at=1000.0 + number)
    log.close()
    data = taught(tmp_path, most=8)
    assert {features.VERBS[verb] for verb in data.verb} == {v.Verb.COLLECT}
    np.testing.assert_array_equal(data.situation, [features.of(p).situation for p in states])
    assert len(taught(tmp_path, most=16)) == 16


def test_a_log_without_directives_teaches_nothing(tmp_path: Path) -> None:
    log = Written(tmp_path)
    log.add(RequestId("a", 1, 1), arena_states(1)[0], {}, 1.0, status="rejected")
    log.close()
    with pytest.raises(ConfigError, match="metabonk cognition rehearse"):
        taught(tmp_path)


def test_what_is_served_is_what_was_trained() -> None:
    torch.manual_seed(1)
    module = StrategyModule(24)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    network = module.network()
    for packed in arena_states(20):
        seen = features.of(packed, v.Directive(v.Verb.COLLECT))
        logits, _ = network.scores(seen)
        with torch.no_grad():
            options, units = module(
                torch.from_numpy(seen.situation)[None],
                torch.from_numpy(seen.targets)[None],
                torch.from_numpy(seen.mask)[None],
            )
            seconds, priority = module.seconds(units[0]), module.priority(units[0])
        ours = logits - np.logaddexp.reduce(logits.astype(np.float64))
        here = seen.mask
        np.testing.assert_allclose(ours[here], options[0].numpy()[here], rtol=1e-4, atol=1e-4)
        directive, shares = network.decide(seen)
        option = seen.option(directive)
        assert option is not None
        assert directive.seconds == v.SECONDS[int(seconds[option].argmax())]
        assert directive.priority == policy.PRIORITIES[int(priority[option].argmax())]
        assert sum(shares.values()) == pytest.approx(1.0, abs=1e-4)
        v.read(v.spell(directive))


def test_features_are_the_same_of_a_state_and_of_what_the_journal_keeps(tmp_path: Path) -> None:
    """Also where the journal leaves most of it out."""
    told = v.spell(v.Directive(v.Verb.COLLECT))
    states = [crowded(seed) for seed in range(6)] + list(arena_states(6))
    log = Written(tmp_path)
    for number, packed in enumerate(states):
        log.add(RequestId("a", 1, number), packed, told, 1.0)
    log.close()
    with Log(tmp_path) as opened:
        rows = sorted(opened.rows(), key=lambda row: row.sequence)
    assert len(rows) == len(states)
    for row, packed in zip(rows, states, strict=True):
        kept, whole = features.of(row.packed, outlook=row.outlook), features.of(packed)
        np.testing.assert_array_equal(kept.situation, whole.situation)
        np.testing.assert_array_equal(kept.targets, whole.targets)
        assert kept.named == whole.named
    without = features.of(rows[0].packed)
    assert not np.array_equal(without.situation, features.of(states[0]).situation), "the control"


def crowded(seed: int) -> bytes:
    """More of everything than is kept, all around."""
    random = np.random.default_rng(seed)

    def place() -> tuple[float, float, float]:
        x, y = (float(value) for value in np.float32(random.uniform(20.0, 60.0, 2)))
        return x, y, 0.0

    return GameState(
        fields=FieldGroup.EVERYTHING, position=(40.0, 40.0, 0.0), health=50.0, max_health=100.0,
        entities=[Entity(i, 1, position=place(), health=1.0, max_health=1.0) for i in range(40)],
        pickups=[Pickup(i, PickupKind.XP, place(), 1.0) for i in range(40)],
    ).pack()  # fmt: skip


def test_how_long_is_of_the_target_too(tmp_path: Path) -> None:
    """To a heart one flees as long as the way is, without one only until the next answer."""
    heart = Pickup(7, PickupKind.HEAL, (44.0, 40.0, 0.0), 20.0)
    base = GameState.unpack(crowded(1))
    to_heart = v.Directive(v.Verb.RETREAT, v.Pickup(7), 4.0, v.Priority.HIGH)
    nowhere = v.Directive(v.Verb.RETREAT, v.Compass(4), 0.5, v.Priority.CRITICAL)
    rows = []
    for number in range(40):
        base.health = 20.0 + number
        base.pickups = [heart] if number % 2 else []
        rows.append((base.pack(), to_heart if number % 2 else nowhere, 1.0))
    log_of(tmp_path, rows, each=40)
    distiller = Distiller(
        taught(tmp_path), DistilConfig(hidden=32, updates=300, batch=40, learning_rate=1e-2)
    )
    distiller.train()
    network = distiller.module.network()
    for packed, directive, _ in rows:
        assert network.decide(features.of(packed))[0] == directive


def test_nothing_is_judged_by_what_was_learned_from(tmp_path: Path) -> None:
    """Where every episode would be held out, all of it teaches; the control holds one of two."""
    few = DistilConfig(hidden=8, updates=2)
    out = next(n for n in range(1, 99) if Plan().split_of(f"a/run/{n}") != "train")
    kept = next(n for n in range(1, 99) if Plan().split_of(f"a/run/{n}") == "train")
    for name, runs in (("alone", [out]), ("both", [out, kept])):
        log = Written(tmp_path / name)
        for number, packed in enumerate(arena_states(8)):
            told = v.spell(v.Directive(v.Verb.COLLECT))
            log.add(RequestId("a", 1, number), packed, told, 1.0, run=runs[number % len(runs)])
        log.close()
    alone = strategies.distil([tmp_path / "alone"], tmp_path / "a", few)
    assert (alone.decisions, alone.judged) == (8, None)
    assert "agreement" not in alone.strategy.card.metrics
    both = strategies.distil([tmp_path / "both"], tmp_path / "b", few).judged
    assert both is not None
    assert both.rows == 4


def explored(folder: Path, *, followed: bool, reward: float = 10.0) -> Lessons:
    """Thirty episodes; every second answer was tried at random, and brought `reward` where the
    others brought nothing."""
    log = Written(folder)
    for number, packed in enumerate(arena_states(30) * 4):
        tried = number % 2 == 1
        told = v.Directive(v.Verb.COLLECT if tried else v.Verb.HOLD)
        log.add(
            RequestId("a", 1, number), packed, v.spell(told), reward * tried,
            episode=number // 4, mode="explore" if tried else "rules",
            probabilities={"hold": 0.9, "collect": 0.1}, applied=followed or not tried,
        )  # fmt: skip
    log.close()
    return taught(folder)


def test_what_was_tried_at_random_is_not_what_the_backend_says(tmp_path: Path) -> None:
    data = explored(tmp_path, followed=True)
    assert data.explored.mean() == 0.5
    distiller = Distiller(data, DistilConfig(hidden=32, updates=200, batch=64, beta=0.0))
    distiller.train()
    judged = distiller.judge()
    assert judged is not None
    assert judged.rows == (data.held & ~data.explored).sum() > 0
    assert (judged.agreement, judged.majority) == (1.0, 1.0), "by the backend's own answers"


def test_what_came_of_a_try_says_nothing_of_the_backend(tmp_path: Path) -> None:
    """Its outcome weighs what was tried, and not the probabilities of who would not have."""
    distiller = Distiller(explored(tmp_path, followed=True), SMALL)
    advantage, followed = (
        torch.tensor([0.0, 2.0, 2.0, 2.0]),
        torch.tensor([True, True, True, False]),
    )
    tried = torch.tensor([False, False, True, True])
    soft, own = distiller._weights(advantage, followed, tried)
    plain, better = float(soft[0]), float(soft[1])
    assert better > plain
    torch.testing.assert_close(soft, torch.tensor([plain, better, plain, plain]))
    torch.testing.assert_close(own, torch.tensor([plain, better, better, 0.0]))


@pytest.mark.parametrize(
    ("followed", "beta", "wanted"),
    [(True, 0.5, v.Verb.COLLECT), (False, 0.5, v.Verb.HOLD), (True, 0.0, v.Verb.HOLD)],
)
def test_what_was_tried_teaches_by_its_outcome_alone(
    tmp_path: Path, followed: bool, beta: float, wanted: v.Verb
) -> None:
    data = explored(tmp_path, followed=followed)
    distiller = Distiller(data, DistilConfig(hidden=32, updates=200, batch=64, beta=beta))
    distiller.train()
    network = distiller.module.network()
    shares = [network.decide(features.of(packed))[1] for packed in arena_states(30)]
    tried = float(np.mean([share["collect"] for share in shares]))
    # Beside the probabilities, of a tenth, the answers themselves: nobody's, or weighed by far.
    assert (tried > 0.5) == (wanted is v.Verb.COLLECT)
    assert tried > 0.5 or tried < 0.12


def test_the_rules_are_learned(tmp_path: Path) -> None:
    write(tmp_path, episodes=60, each=3)
    data = taught(tmp_path)
    distiller = Distiller(data, SMALL)
    before = distiller.judge()
    distiller.train()
    after = distiller.judge()
    assert before is not None
    assert after is not None
    assert after.agreement >= max(0.75, after.majority + 0.3)
    assert before.agreement < 0.6
    assert after.divergence < 0.5 * before.divergence


def test_the_same_log_and_seed_give_the_same_policy(tmp_path: Path) -> None:
    write(tmp_path, episodes=6, each=3)
    data = taught(tmp_path)
    states = []
    for seed in (1, 1, 2):
        distiller = Distiller(data, DistilConfig(hidden=8, updates=10, batch=16), seed=seed)
        distiller.train()
        states.append(torch.cat([p.flatten() for p in distiller.module.parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_what_went_well_counts_more(tmp_path: Path) -> None:
    states = arena_states(40)
    often, seldom = v.Directive(v.Verb.HOLD), v.Directive(v.Verb.COLLECT)
    rows = [
        (states[i % 40], seldom if i % 3 == 0 else often, 10.0 * (i % 3 == 0)) for i in range(240)
    ]
    log_of(tmp_path, rows)
    data = taught(tmp_path)
    chosen = {}
    for beta in (0.0, 0.5):
        distiller = Distiller(data, DistilConfig(hidden=32, updates=200, batch=64, beta=beta))
        distiller.train()
        network = distiller.module.network()
        chosen[beta] = {network.decide(features.of(packed))[0].action for packed in states}
    assert chosen == {0.0: {v.Verb.HOLD}, 0.5: {v.Verb.COLLECT}}
    # What nobody followed says nothing about its answer.
    ignored = dataclasses.replace(data, followed=np.zeros_like(data.followed))
    distiller = Distiller(ignored, DistilConfig(hidden=32, updates=200, batch=64, beta=0.5))
    distiller.train()
    assert distiller.module.network().decide(features.of(states[0]))[0].action is v.Verb.HOLD


def test_a_near_tie_is_decided_by_the_answer(tmp_path: Path) -> None:
    """By the probabilities alone the student would give the other action nearly as much."""
    log, states = Written(tmp_path), arena_states(12)
    told, shares = v.spell(v.Directive(v.Verb.EXPLORE)), {"explore": 0.51, "hold": 0.49}
    for number, packed in enumerate(states):
        log.add(RequestId("a", 1, number), packed, told, 1.0, probabilities=shares)
    log.close()
    distiller = Distiller(
        taught(tmp_path), DistilConfig(hidden=32, updates=300, batch=12, learning_rate=1e-2)
    )
    distiller.train()
    _, found = distiller.module.network().decide(features.of(states[0]))
    assert found["explore"] == pytest.approx((0.51 + 1.0) / 2.0, abs=0.1)


def test_a_reward_that_is_none_ends_it(tmp_path: Path) -> None:
    write(tmp_path, episodes=4, each=3)
    data = taught(tmp_path)
    broken = dataclasses.replace(data, situation=data.situation * np.float32(np.nan))
    with pytest.raises(DivergedError, match="3 updates in a row"):
        Distiller(broken, SMALL).train()


def test_the_backend_answers_within_the_vocabulary(tmp_path: Path) -> None:
    write(tmp_path / "log", episodes=12, each=3)
    found = strategies.distil(
        [tmp_path / "log"], tmp_path / "strategy", DistilConfig(hidden=16, updates=60)
    )
    assert found.decisions == 36
    assert found.latency > 0.0
    backend = PolicyBackend(tmp_path / "strategy")
    for packed in arena_states(12):
        answer = asyncio.run(backend.decide(Question("a", packed=packed)))
        assert answer.directive is not None
        assert answer.confidence == max(answer.probabilities.values())
    for question in (Question("a", "menu"), Question("a", packed=b"short")):
        with pytest.raises(Undecided):
            asyncio.run(backend.decide(question))
    assert backend.metrics()["answered_total"] == 12
    packed = arena_states(1)[0]
    alone, among = (
        asyncio.run(backend.decide(Question("a", packed=packed, crowd=crowd))).probabilities
        for crowd in (0, 12)
    )
    assert alone != among, "who is only said to be near counts as near"
    chain = backends.make(BackendConfig(chain="policy", policy=str(tmp_path / "strategy")))
    asyncio.run(chain.open())
    answer = asyncio.run(chain.decide(Question("a", packed=arena_states(3)[2])))
    assert (answer.backend, answer.path) == ("policy", ())
    menu = Question("a", "menu", packed=menu_state(), goal="start a game")
    answer = asyncio.run(chain.decide(menu))
    assert answer.press is not None
    assert (answer.press.text, answer.path) == ("Play", ())
    (tmp_path / "strategy" / policy.WEIGHTS).unlink()
    with pytest.raises(ConfigError, match=r"backend\.policy"):
        backends.make(BackendConfig(chain="policy", policy=str(tmp_path / "strategy")))
    with pytest.raises(FileExistsError, match="choose another directory"):
        strategies.distil([tmp_path / "log"], tmp_path / "strategy", SMALL)


def test_several_logs_teach_together(tmp_path: Path) -> None:
    few = DistilConfig(hidden=8, updates=2)
    for name, episodes in (("a", 3), ("b", 4)):
        write(tmp_path / name, episodes=episodes, each=3)
    found = strategies.distil([tmp_path / "a", tmp_path / "b"], tmp_path / "both", few)
    assert found.decisions == 21
    alone = strategies.distil([tmp_path / "a"], tmp_path / "alone", few)
    assert (alone.decisions, alone.strategy.card.data) != (21, found.strategy.card.data)
    turned = strategies.distil([tmp_path / "b", tmp_path / "a"], tmp_path / "turned", few)
    assert turned.strategy.card.data == found.strategy.card.data
    with pytest.raises(ConfigError, match="named twice"):
        strategies.distil([tmp_path / "a", tmp_path / "b" / ".." / "a"], tmp_path / "c", few)


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    weights = StrategyModule(8).network().weights
    for name, value in (
        ("score.weight", None),
        ("second.weight", np.zeros((8, 9), np.float32)),
        ("bias", np.full(len(features.VERBS), np.nan, np.float32)),
        ("first.bias", np.zeros((0,), np.float32)),
        ("targets.weight", np.zeros((8, features.TARGET), np.float64)),
    ):
        wrong = {**weights, name: value}
        with pytest.raises(CorruptError, match="strategy: "):
            StrategyNetwork({k: w for k, w in wrong.items() if w is not None})
    write(tmp_path / "log", episodes=2, each=2)
    strategies.distil([tmp_path / "log"], tmp_path / "out", DistilConfig(hidden=8, updates=2))
    file = tmp_path / "out" / policy.WEIGHTS
    file.write_bytes(file.read_bytes()[:-4] + b"\x00\x00\x80\x7f")
    with pytest.raises(CorruptError, match="damaged"):
        policy.load(tmp_path / "out")
