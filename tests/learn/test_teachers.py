"""A teacher that has to prove itself is heeded where what was earned speaks for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs

from metabonk.learn.minibatch import Targets
from metabonk.learn.rollout import Rollout
from metabonk.learn.teachers import Teacher, heeded, promise
from metabonk.models.heads import ActionHead
from metabonk.spaces import ActionLayout

SPACE = gs.Dict({"observation": gs.Box(-1, 1, (2,), np.float32)})
STEPS, ENVS = 64, 8
BOX = gs.Box(-1.0, 1.0, (2,), np.float32)


def alone(_: object) -> None:
    """One learner."""


def played(
    space: gs.Space[object], seed: int = 0
) -> tuple[ActionHead, Rollout, Targets, torch.Tensor]:
    """Steps of a head that knows nothing, their advantages larger the larger the action is, and its
    parameters."""
    layout = ActionLayout.of(space)
    generator = torch.Generator().manual_seed(seed)
    head = ActionHead(4, layout)
    out = Rollout.allocate(SPACE, layout, ENVS, STEPS)
    parameters = torch.zeros(STEPS * ENVS, head.outputs)
    rows, log_prob = torch.empty(STEPS * ENVS, layout.columns), torch.empty(STEPS * ENVS, 1)
    head.sample(
        parameters,
        None,
        torch.rand(len(rows), head.categorical, generator=generator),
        torch.randn(len(rows), head.continuous, generator=generator),
        rows,
        log_prob,
    )
    out.action[:STEPS] = rows.view(STEPS, ENVS, -1).numpy()
    good = rows.sum(1) - rows.sum(1).mean()
    noise = torch.randn(len(rows), generator=generator)
    advantage = (good + 0.5 * noise).view(STEPS, ENVS).numpy()
    zeros = np.zeros((STEPS, ENVS), np.float32)
    valid = np.ones((STEPS, ENVS), np.bool_)
    targets = Targets(advantage, zeros, log_prob.sum(1).view(STEPS, ENVS).numpy(), zeros, valid)
    return head, out, targets, parameters.view(STEPS, ENVS, -1)


@pytest.mark.parametrize("space", [gs.Discrete(2), BOX])
def test_who_takes_what_earned_more_promises_more(space: gs.Space[object]) -> None:
    head, out, targets, parameters = played(space)
    better, worse = parameters.clone(), parameters.clone()
    better[..., -1] = 0.7
    worse[..., -1] = -0.7
    log_std = head.log_std.detach()
    good = promise(Teacher(better, log_std, 1.0), head, out, targets, alone)
    bad = promise(Teacher(worse, log_std, 1.0), head, out, targets, alone)
    same = promise(Teacher(parameters, log_std, 1.0), head, out, targets, alone)
    assert good.clear
    assert good.gain > 3.0 * good.error
    assert bad.gain < -3.0 * bad.error
    assert not bad.clear
    assert same.gain == pytest.approx(0.0, abs=1e-5)
    assert not same.clear


def test_a_teacher_is_heeded_if_it_proves_itself_or_need_not() -> None:
    head, out, targets, parameters = played(gs.Discrete(2))
    worse = parameters.clone()
    worse[..., -1] = -0.7
    log_std = head.log_std.detach()
    asked = (
        Teacher(worse, log_std, 0.3, "dream", proven=True),
        Teacher(-worse, log_std, 0.4, "other", proven=True),
        Teacher(worse, log_std, 0.5, "trusted"),
    )
    kept, seen = heeded(asked, head, out, targets, alone)
    assert [teacher.weight for teacher in kept] == [0.0, 0.4, 0.5]
    assert sorted(seen) == ["dream_promise", "other_promise"]
    assert seen["dream_promise"] < 0.0 < seen["other_promise"]


def test_without_a_step_nothing_is_promised() -> None:
    head, out, targets, parameters = played(gs.Discrete(2))
    targets.valid[:] = False
    assert not promise(Teacher(parameters, head.log_std, 1.0), head, out, targets, alone).clear


def test_steps_that_do_not_count_are_not_asked() -> None:
    head, out, targets, parameters = played(gs.Discrete(2))
    better = parameters.clone()
    better[..., -1] = 0.7
    teacher = Teacher(better, head.log_std.detach(), 1.0)
    want = promise(teacher, head, out, targets, alone)
    targets.valid[::2] = False
    targets.advantage[::2] = -1e6 * targets.advantage[::2]
    seen = promise(teacher, head, out, targets, alone)
    assert seen.clear
    assert seen.error > want.error
