"""Random steps, on fields whose velocities are known, and the loss of a step."""

import random

import pytest
import torch

from glm_core.decoder import euler, official_sigmas
from glm_core.errors import GLMImageError
from glm_core.rl.flow_grpo import SAMPLERS, FlowGRPO, Move, Step, Velocities, cps_step, log_prob, sde_step

MEAN, STD = 2.0, 0.5  # of the pictures' numbers in the toy


def gaussian_velocity(std: float):
    """Of numbers that are normally distributed around MEAN: noise - picture, as expected at x."""

    def velocity(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        variance = ((1 - sigma) * std) ** 2 + sigma**2
        return -MEAN + (sigma - (1 - sigma) * std**2) / variance * (x - (1 - sigma) * MEAN)

    return velocity


def drawn(step, std: float, steps: int, noise: float) -> torch.Tensor:
    """20,000 numbers, by random steps between an Euler step first and one last."""
    torch.manual_seed(0)
    velocity, sigmas = gaussian_velocity(std), official_sigmas(steps, 1.0)
    x = euler(velocity, torch.randn(20000), sigmas[:2], lambda i: None)
    for sigma, next_sigma in zip(sigmas[1:-2], sigmas[2:-1]):
        mean, spread = step(x, velocity(x, sigma), float(sigma), float(next_sigma), noise)
        x = mean + spread * torch.randn(20000)
    return euler(velocity, x, sigmas[-2:], lambda i: None)


def test_the_sde_draws_what_the_ode_draws():
    by_ode = euler(gaussian_velocity(STD), torch.randn(20000, generator=torch.Generator().manual_seed(0)),
                   official_sigmas(400, 1.0), lambda i: None)
    by_sde = drawn(sde_step, STD, 400, 0.7)
    for values in (by_ode, by_sde):
        assert values.mean().item() == pytest.approx(MEAN, abs=0.02)
        assert values.std().item() == pytest.approx(STD, abs=0.02)


@pytest.mark.parametrize("noise", [0.3, 0.7, 1.0])
def test_cps_keeps_the_noise_level_at_any_number_of_steps(noise):
    """If the prediction is right, the next latent has as much noise as its level says."""
    torch.manual_seed(0)
    x0, eps = torch.full((20000,), MEAN), torch.randn(20000)
    step = cps_step(0.4 * x0 + 0.6 * eps, eps - x0, 0.6, 0.3, noise)
    next_x = step.mean + step.std * torch.randn(20000)
    assert next_x.mean().item() == pytest.approx(0.7 * MEAN, abs=0.01)
    assert next_x.std().item() == pytest.approx(0.3, abs=0.01)
    assert drawn(cps_step, 0.0, 6, noise).sub(MEAN).abs().max() < 1e-4


@pytest.mark.parametrize("name", SAMPLERS)
def test_without_noise_a_step_is_eulers(name):
    x, velocity = torch.randn(2, 3), torch.randn(2, 3)
    step = SAMPLERS[name](x, velocity, 0.6, 0.3, 0.0)
    assert torch.allclose(step.mean, x - 0.3 * velocity, atol=1e-6) and step.std == 0


def test_the_log_probability_is_the_mean_over_elements():
    step = Step(torch.zeros(2, 3, 4), 0.5)
    normal = torch.distributions.Normal(step.mean, step.std)
    x = torch.randn(2, 3, 4)
    difference = (normal.log_prob(x) - normal.log_prob(step.mean)).mean((1, 2))
    assert torch.allclose(log_prob(x, step), difference)


def no_velocity(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(x)


def test_only_a_window_of_steps_is_random_and_never_the_first_or_last():
    method, velocities, seen = FlowGRPO(window=2), Velocities(no_velocity, no_velocity, None), set()
    sigmas = official_sigmas(6, 1.0)
    for seed in range(20):
        _, moves = method.sample(velocities, torch.ones(1, 1, 2, 2), 6, 1.0, random.Random(seed))
        indices = [sigmas.tolist().index(move.sigma.item()) for move in moves]
        assert len(indices) == 2 and indices[1] == indices[0] + 1
        seen |= set(indices)
    assert seen == {1, 2, 3, 4}


def gradients(velocity: float, advantage: float, clip: float = 0.1, kl: float = 0.0) -> tuple[float, dict[str, float]]:
    """Of the loss by the velocity, at a step that a velocity of 0 made, to where a velocity of 1 leads on average."""
    x, method = torch.zeros(1, 1, 2, 2), FlowGRPO("sde", clip=clip, kl=kl)
    sigma, next_sigma = torch.tensor(0.6), torch.tensor(0.3)
    old, wanted = (method.step(x, x + value, sigma, next_sigma) for value in (0.0, 1.0))
    move = Move(x, sigma, wanted.mean, next_sigma, log_prob(wanted.mean, old), old.mean if kl else None)
    now = (x + velocity).requires_grad_()
    loss, figures = method.loss(move, now, torch.tensor([advantage]))
    loss.backward()
    assert now.grad is not None
    return now.grad.sum().item(), figures


def test_a_good_step_becomes_more_likely_and_a_bad_one_less():
    assert gradients(0.0, 1.0)[0] < 0 < gradients(0.0, -1.0)[0]


def test_the_loss_is_flat_where_the_step_is_likely_enough():
    assert gradients(0.9, 1.0) == (0.0, {"clipped": 1.0})
    pushed, figures = gradients(0.9, -1.0)  # far on the wrong side: pushed back
    assert pushed > 0 and figures == {"clipped": 0.0}


def test_the_divergence_is_that_of_the_two_steps_and_pulls_to_the_start():
    assert gradients(0.0, 0.0, kl=1.0) == (0.0, {"clipped": 0.0, "kl": 0.0})
    pull, figures = gradients(0.9, 0.0, kl=1.0)
    method, x = FlowGRPO("sde"), torch.zeros(1)
    steps = [method.step(x, x + value, torch.tensor(0.6), torch.tensor(0.3)) for value in (0.9, 0.0)]
    normals = [torch.distributions.Normal(step.mean, step.std) for step in steps]
    assert figures["kl"] == pytest.approx(torch.distributions.kl_divergence(*normals).item(), rel=1e-5)
    assert pull > 0


@pytest.mark.parametrize("options, message", [
    ({"sampler": "ddim"}, "--sampler must be one of cps, sde"), ({"noise": 0.0}, "--noise must be above 0"),
    ({"noise": 1.5}, "--noise must be above 0 and at most 1"), ({"window": 0}, "--window must be at least 1"),
    ({"clip": 0.0}, "--clip must be above 0"), ({"kl": -1.0}, "--kl must be at least 0"),
])
def test_bad_settings_are_refused(options, message):
    with pytest.raises(GLMImageError, match=message):
        FlowGRPO(**options)
