"""Action heads against torch.distributions, over a space with every kind of branch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs
from torch import Tensor
from torch.distributions import Categorical, Normal

from metabonk.errors import ConfigError
from metabonk.models.heads import ActionHead
from metabonk.spaces import ActionLayout

SPACE = gs.Dict(
    [
        ("move", gs.Box(-1.0, 1.0, (2,), np.float32)),
        ("jump", gs.Discrete(2)),
        ("gear", gs.Discrete(4)),
        ("fire", gs.Discrete(2)),
        ("aim", gs.Box(np.array([0.0, -np.inf], "f4"), np.array([4.0, np.inf], "f4"))),
    ]
)
LAYOUT = ActionLayout.of(SPACE, masked=("jump", "gear"))
BATCH = 64


def make_head(fixed: dict[str, float] | None = None) -> ActionHead:
    torch.manual_seed(0)
    head = ActionHead(8, LAYOUT, fixed)
    torch.nn.init.normal_(head.linear.weight)
    torch.nn.init.normal_(head.log_std, std=0.3)
    return head


def make_inputs(head: ActionHead) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    parameters = head(torch.randn(BATCH, 8, generator=generator)).detach()
    mask = (torch.rand(BATCH, 6, generator=generator) > 0.4).to(torch.uint8)
    mask[:, 0] = 1
    mask[:, 2] = 1
    uniform = torch.rand(BATCH, head.categorical, generator=generator)
    normal = torch.randn(BATCH, head.continuous, generator=generator)
    return parameters, mask, uniform, normal


def draw(head: ActionHead, parameters: Tensor, mask: Tensor | None, u: Tensor, n: Tensor):
    rows = torch.full((len(u), LAYOUT.columns), np.nan)
    log_prob = torch.zeros(len(u), len(LAYOUT.branches))
    head.sample(parameters, mask, u, n, rows, log_prob)
    return rows, log_prob


def reference(head: ActionHead, parameters: Tensor, mask: Tensor, rows: Tensor):
    """Log-probability per branch and entropy, branch by branch with torch.distributions.

    The head's parameters are the means of move (2) and aim (2), then the logits of the branches of
    two choices (jump, fire), then those of gear.
    """
    mean = parameters[:, :4].clone()
    mean[:, :2] = torch.tanh(mean[:, :2])
    mean[:, 2] = 2.0 + 2.0 * torch.tanh(mean[:, 2])
    half = torch.tensor([1.0, 1.0, 2.0, 1.0])
    gaussian = Normal(mean, half * head.log_std.detach().exp())
    columns = rows[:, [0, 1, 5, 6]]
    each = gaussian.log_prob(columns)
    jump = parameters[:, 4:6].masked_fill(mask[:, 0:2] == 0, -torch.inf)
    fire = parameters[:, 6:8]
    gear = parameters[:, 8:12].masked_fill(mask[:, 2:6] == 0, -torch.inf)
    choices = [Categorical(logits=x) for x in (jump, gear, fire)]
    chosen = [rows[:, 2], rows[:, 3], rows[:, 4]]
    log_probs = [d.log_prob(c) for d, c in zip(choices, chosen, strict=True)]
    branches = [each[:, :2].sum(1), *log_probs, each[:, 2:].sum(1)]
    entropy = gaussian.entropy().sum(1)
    for d in choices:
        p = d.probs
        entropy = entropy - torch.where(p > 0, p * p.clamp_min(1e-30).log(), 0.0).sum(-1)
    return torch.stack(branches, 1), entropy


def test_log_probability_and_entropy_equal_torch_distributions() -> None:
    head = make_head()
    parameters, mask, u, n = make_inputs(head)
    rows, branches = draw(head, parameters, mask, u, n)
    expected, expected_entropy = reference(head, parameters, mask, rows)
    torch.testing.assert_close(branches, expected, atol=1e-5, rtol=1e-5)
    total, entropy = head.log_prob(parameters, mask, rows)
    torch.testing.assert_close(total.detach(), expected.sum(1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(entropy.detach(), expected_entropy, atol=1e-5, rtol=1e-5)


def test_gradients_equal_those_of_torch_distributions() -> None:
    head = make_head()
    parameters, mask, u, n = make_inputs(head)
    rows, _ = draw(head, parameters, mask, u, n)
    ours, theirs = parameters.clone().requires_grad_(), parameters.clone().requires_grad_()
    total, entropy = head.log_prob(ours, mask, rows)
    (total.sum() + 0.3 * entropy.sum()).backward()
    expected, expected_entropy = reference(head, theirs, mask, rows)
    (expected.sum() + 0.3 * expected_entropy.sum()).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=2e-4, rtol=1e-4)


def test_forbidden_choices_are_never_drawn_and_allowed_ones_as_often_as_they_should() -> None:
    head = make_head()
    count = 40_000
    parameters, mask, _, _ = make_inputs(head)
    parameters, mask = parameters[:1].expand(count, -1), mask[:1].clone()
    mask[0, 2:] = torch.tensor([1, 0, 1, 0])
    mask = mask.expand(count, -1)
    generator = torch.Generator().manual_seed(5)
    u = torch.rand(count, head.categorical, generator=generator)
    rows, _ = draw(head, parameters, mask, u, torch.zeros(count, head.continuous))
    gear = rows[:, 3].long()
    seen = torch.bincount(gear, minlength=4).float() / count
    logits = parameters[0, 8:12].masked_fill(mask[0, 2:6] == 0, -torch.inf)
    torch.testing.assert_close(seen, logits.softmax(0), atol=0.01, rtol=0)
    assert seen[1] == 0
    assert seen[3] == 0


@pytest.mark.parametrize("point", [0.0, 1.0 - 2.0**-24])
@pytest.mark.parametrize("allowed", [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 1, 0]])
def test_the_ends_of_the_unit_interval_fall_on_allowed_choices(
    point: float, allowed: list[int]
) -> None:
    head = make_head()
    parameters, mask, u, n = make_inputs(head)
    mask[:, 2:] = torch.tensor(allowed)
    rows, _ = draw(head, parameters, mask, torch.full_like(u, point), n)
    assert all(allowed[int(g)] for g in rows[:, 3])


def test_mode_is_the_likeliest_row() -> None:
    head = make_head()
    parameters, mask, u, n = make_inputs(head)
    best, _ = head.log_prob(parameters, mask, head.mode(parameters, mask))
    for shift in range(20):
        rows, _ = draw(head, parameters, mask, u.roll(shift, 0), n.roll(shift, 0))
        assert (head.log_prob(parameters, mask, rows)[0] <= best + 1e-5).all()


def test_a_fixed_branch_keeps_its_value_and_has_no_probability() -> None:
    head = make_head({"aim": 1.5, "fire": 1.0})
    parameters, mask, u, n = make_inputs(head)
    rows, log_prob = draw(head, parameters, mask, u, n)
    assert (rows[:, 4:] == torch.tensor([1.0, 1.5, 1.5])).all()
    assert (head.mode(parameters, mask)[:, 4:] == torch.tensor([1.0, 1.5, 1.5])).all()
    assert (log_prob[:, 3:] == 0).all()
    torch.testing.assert_close(head.log_prob(parameters, mask, rows)[0], log_prob.sum(1))
    with pytest.raises(ConfigError, match="no action branch 'aimm'"):
        make_head({"aimm": 0.0})


def test_a_decisive_branch_passes_only_where_nothing_else_is_allowed() -> None:
    torch.manual_seed(0)
    head = ActionHead(8, LAYOUT, decisive=["gear"])
    _, mask, _, _ = make_inputs(head)
    parameters = torch.zeros(BATCH, head.outputs)
    parameters[:, 8] = 50.0  # would always pass
    mask[:, 2:] = torch.tensor([1, 0, 1, 0])
    mask[::2, 2:] = torch.tensor([1, 0, 0, 0])
    u, n = torch.rand(BATCH, head.categorical), torch.zeros(BATCH, head.continuous)
    before = mask.clone()
    rows, log_prob = draw(head, parameters, mask, u, n)
    assert (rows[::2, 3] == 0).all()
    assert (rows[1::2, 3] == 2).all()
    assert (log_prob[:, 2].abs() < 1e-6).all()
    assert torch.equal(mask, before)
    with pytest.raises(ConfigError, match="'fire'"):
        ActionHead(8, LAYOUT, decisive=["fire"])


def test_without_a_mask_everything_is_allowed() -> None:
    head = make_head()
    parameters, mask, u, n = make_inputs(head)
    rows, free = draw(head, parameters, None, u, n)
    also, same = draw(head, parameters, torch.ones_like(mask), u, n)
    torch.testing.assert_close(rows, also)
    torch.testing.assert_close(free, same)


def steered(**settings: object) -> ActionHead:
    torch.manual_seed(0)
    head = ActionHead(8, LAYOUT, steer="move", **settings)  # type: ignore[arg-type]
    torch.nn.init.normal_(head.linear.weight)
    return head


def test_steered_directions_are_what_was_drawn() -> None:
    head = steered()
    parameters, mask, uniform, normal = make_inputs(head)
    rows, log_prob = draw(head, parameters, mask, uniform, normal)
    length = rows[:, :2].norm(dim=1)
    standing = length == 0
    assert 0 < standing.sum() < BATCH
    torch.testing.assert_close(length[~standing], torch.ones_like(length[~standing]))
    where = head.logits_of("move")
    assert where is not None
    turns = torch.atan2(rows[:, 1], rows[:, 0]) * 8 / np.pi
    choice = torch.where(standing, 16, turns.round().long() % 16)
    expected = parameters[:, where].log_softmax(-1).gather(1, choice[:, None])[:, 0]
    torch.testing.assert_close(log_prob[:, 0], expected)
    total, _ = head.log_prob(parameters, mask, rows)
    torch.testing.assert_close(total, log_prob.sum(1), atol=1e-4, rtol=1e-5)
    best = head.mode(parameters, mask)
    assert head.log_prob(parameters, mask, best)[0].sum() > total.sum()


def test_only_a_disc_can_be_steered() -> None:
    for name in ("aim", "gear", "fly"):
        with pytest.raises(ConfigError, match=rf"steer: '{name}' is not"):
            ActionHead(8, LAYOUT, steer=name)
    with pytest.raises(ConfigError, match="steer"):
        ActionHead(8, LAYOUT, {"move": 0.0}, steer="move")


def test_press_is_how_it_begins() -> None:
    head = ActionHead(8, LAYOUT, press=0.1)
    parameters = head(torch.zeros(1, 8))
    for button in ("jump", "fire"):
        where = head.logits_of(button)
        assert where is not None
        torch.testing.assert_close(parameters[0, where].softmax(-1)[1], torch.tensor(0.1))
    gear = head.logits_of("gear")
    assert gear is not None
    assert (parameters[0, gear] == 0).all()
    assert head.logits_of("aim") is None


def test_divergence_is_torchs_own_and_zero_from_itself() -> None:
    head, teacher = make_head(), make_head()
    parameters, mask, _, _ = make_inputs(head)
    other = parameters.flip(0)
    with torch.no_grad():
        teacher.log_std += 0.3
    got = head.divergence(other, teacher.log_std, parameters, mask)
    expected = torch.zeros(BATCH)
    half = head._half
    expected += torch.distributions.kl_divergence(
        Normal(head._mean(other), half * teacher.log_std.exp()),
        Normal(head._mean(parameters), half * head.log_std.exp()),
    ).sum(-1)
    pairs = zip(head._log_probs(other, mask), head._log_probs(parameters, mask), strict=True)
    for (_, wanted), (_, had) in pairs:
        expected += torch.distributions.kl_divergence(
            Categorical(logits=wanted), Categorical(logits=had)
        ).sum(-1)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert float(got.detach().min()) > 0.0
    same = head.divergence(parameters, head.log_std, parameters, mask)
    torch.testing.assert_close(same, torch.zeros(BATCH), rtol=0, atol=1e-5)
