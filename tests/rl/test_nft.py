import random
from dataclasses import replace

import pytest
import torch

from glm_core.errors import GLMImageError
from glm_core.rl.flow_grpo import Velocities
from glm_core.rl.nft import NFT, NoisyLatent

SHAPE = 2, 1, 2, 2


def point(start: torch.Tensor | None = None) -> NoisyLatent:
    """Two samples with the picture 0 and the noise 1, of whose velocity, 1, the old weights say 0.5."""
    sigma = torch.tensor([0.25, 0.75])
    x = sigma.view(2, 1, 1, 1).expand(SHAPE)
    return NoisyLatent(torch.zeros(SHAPE), x, sigma, torch.full(SHAPE, 0.5), start)


def loss_and_gradient(velocity: float, advantages: list[float], method=NFT(kl=0.0), at=point()):
    now = torch.full(SHAPE, velocity, requires_grad=True)
    loss, figures = method.loss(at, now, torch.tensor(advantages))
    loss.backward()
    assert now.grad is not None
    return loss.item(), now.grad.flatten(1).sum(1).tolist(), figures


def test_good_samples_draw_the_velocity_to_theirs_and_bad_ones_away():
    _, (good, bad), _ = loss_and_gradient(0.5, [5.0, -5.0])
    assert good < 0 < bad


def test_samples_that_are_neither_good_nor_bad_leave_the_old_velocity():
    assert loss_and_gradient(0.5, [0.0, 0.0])[1] == [0, 0]
    old = torch.tensor([0.5, 1.5]).expand(SHAPE)  # off by as much in both directions
    method, at, now = NFT(kl=0.0), replace(point(), old=old), (old + 0.1).requires_grad_()
    loss, _ = method.loss(at, now, torch.zeros(2))
    assert torch.autograd.grad(loss, now)[0].sum() > 0  # back to the old one


def test_the_loss_is_the_weighted_error_of_both_predictions():
    """With r = 0.8, 0.2: v+ = 0.7 and v- = 0.3 predict pictures that are off by sigma (1 - v)."""
    def relative(sigma: float, velocity: float) -> float:
        error = sigma * (1 - velocity)
        return error**2 / error

    expected = (0.8 * relative(0.25, 0.7) + 0.2 * relative(0.25, 0.3)
                + 0.2 * relative(0.75, 0.7) + 0.8 * relative(0.75, 0.3)) / 2
    assert loss_and_gradient(0.7, [3.0, -3.0])[0] == pytest.approx(expected)


def test_the_divergence_pulls_to_the_starting_velocity():
    method, at = NFT(kl=2.0), point(torch.full(SHAPE, 0.4))
    loss, gradient, figures = loss_and_gradient(0.5, [0.0, 0.0], method, at)
    plain = loss_and_gradient(0.5, [0.0, 0.0])[0]
    assert figures["kl"] == pytest.approx(0.01) and loss == pytest.approx(plain + 0.02)
    assert min(gradient) > 0


def test_points_are_the_samples_with_noise():
    def velocity(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return torch.full_like(x, 3.0)

    noise = torch.randn(5, 1, 8, 8)
    x0, points = NFT(levels=3).sample(Velocities(velocity, velocity, velocity), noise, 4, 1.0, random.Random(0))
    assert torch.allclose(x0, noise - 3, atol=1e-5) and len(points) == 3
    for at in points:
        sigma = at.sigma.view(-1, 1, 1, 1)
        eps = (at.x - (1 - sigma) * x0) / sigma
        assert at.sigma.min() > 0 and at.sigma.max() <= 1 and len(set(at.sigma.tolist())) == 5
        assert eps.std().item() == pytest.approx(1, abs=0.2) and torch.equal(at.old, torch.full_like(x0, 3.0))


@pytest.mark.parametrize("options, message", [({"levels": 0}, "--levels must be at least 1"),
                                              ({"beta": 0.0}, "--beta must be above 0"),
                                              ({"kl": float("nan")}, "--kl must be at least 0")])
def test_bad_settings_are_refused(options, message):
    with pytest.raises(GLMImageError, match=message):
        NFT(**options)
