"""Denoisers: EDM's coefficients, the consistency boundary, and the ODE between them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metabonk.models.consistency import (
    SIGMA_MAX,
    SIGMA_MIN,
    Denoiser,
    heun,
    heun_step,
    karras_sigmas,
)
from metabonk.models.points import SIGMA_DATA


def network(boundary: float) -> Denoiser:
    torch.manual_seed(0)
    made = Denoiser([3], 2, 16, 2, boundary)
    for parameter in made.parameters():  # also what begins at zero
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def seen(made: Denoiser, num: int) -> Tensor:
    return made.context([torch.randn(num, 3, generator=torch.Generator().manual_seed(1))])


def test_levels_are_those_of_the_paper() -> None:
    """Karras et al. 2022, eq. 5, computed here in float64 by the formula itself."""
    sigmas = karras_sigmas(18)
    assert sigmas[0] == torch.tensor(SIGMA_MAX)
    assert sigmas[-1] == torch.tensor(SIGMA_MIN)
    assert bool((sigmas[:-1] > sigmas[1:]).all())
    at_9 = (80 ** (1 / 7) + 9 / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    assert float(sigmas[9]) == pytest.approx(at_9, rel=1e-6)
    with pytest.raises(ValueError, match="steps"):
        karras_sigmas(1)


def test_at_the_boundary_a_student_changes_nothing() -> None:
    student = network(SIGMA_MIN)
    noisy = 3.0 * torch.randn(64, 2, generator=torch.Generator().manual_seed(2))
    least = karras_sigmas(40)[-1:].expand(64, 1)
    assert torch.equal(student(noisy, least, seen(student, 64)), noisy)
    above = student(noisy, 2.0 * least, seen(student, 64))
    assert not torch.equal(above, noisy)


def test_without_the_boundary_a_network_changes_something_there() -> None:
    """The control: EDM's own coefficients do not have that property."""
    teacher = network(0.0)
    noisy = torch.randn(64, 2, generator=torch.Generator().manual_seed(2))
    assert not torch.equal(teacher(noisy, torch.full((1,), SIGMA_MIN), seen(teacher, 64)), noisy)


def test_coefficients_are_those_of_the_papers() -> None:
    for boundary in (0.0, SIGMA_MIN):
        made = network(boundary)
        torch.nn.init.zeros_(made.out.weight)
        torch.nn.init.ones_(made.out.bias)  # F is 1 everywhere
        noisy, sigma, sd = torch.randn(8, 2), torch.full((8, 1), 1.7), SIGMA_DATA
        skip = sd**2 / ((1.7 - boundary) ** 2 + sd**2)
        gain = sd * (1.7 - boundary) / (1.7**2 + sd**2) ** 0.5
        found = made(noisy, sigma, seen(made, 8))
        torch.testing.assert_close(found, skip * noisy + gain, rtol=1e-5, atol=1e-6)


def test_heun_solves_an_ode_whose_answer_is_known() -> None:
    """Normal data of deviation 0.5: D = x 0.25 / (0.25 + sigma^2), and the ODE takes x at
    sigma to x sqrt((0.25 + lower^2) / (0.25 + sigma^2)). Twice the steps: a fourth of the error."""

    def ideal(noisy: Tensor, sigma: Tensor) -> Tensor:
        return noisy * 0.25 / (0.25 + sigma.square())

    noise = torch.linspace(-2.0, 2.0, 9)[:, None].double()
    wanted = noise * SIGMA_MAX * 0.5 / (0.25 + SIGMA_MAX**2) ** 0.5
    coarse = (heun(ideal, noise, 20) - wanted).abs().max()
    fine = (heun(ideal, noise, 40) - wanted).abs().max()
    assert float(fine) < 0.02
    assert float(fine) < 0.35 * float(coarse)
    one = heun_step(ideal, noise, torch.tensor([0.6]), torch.tensor([0.5]))
    torch.testing.assert_close(one, noise * (0.5 / 0.61) ** 0.5, rtol=2e-3, atol=1e-4)
