"""Flow-GRPO: some sampling steps are random, so that they have log-probabilities to learn from.

Liu et al. 2025, "Flow-GRPO"; the other sampler is that of Wang et al. 2025, "Coefficients-Preserving Sampling". Only a
window of steps is random (as in Flow-GRPO-Fast), never the first, whose SDE diverges, nor the last, which CPS leaves
without noise.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sin
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ..decoder import Velocity, official_sigmas
from ..errors import GLMImageError
from .settings import check_least, check_open, check_weight, setting


class Velocities(NamedTuple):
    """Of a task's latents. drawing: with which samples are drawn. learned: which is trained. start: the same, by the
    starting weights; None if there is no divergence from them.
    """

    drawing: Velocity
    learned: Velocity
    start: Velocity | None


class Step(NamedTuple):
    """A normal distribution of the next latent: mean [B, ...], and one deviation for all elements."""

    mean: Tensor
    std: float


def sde_step(x: Tensor, velocity: Tensor, sigma: float, next_sigma: float, noise: float) -> Step:
    """Flow-GRPO's: the Euler-Maruyama step of an SDE that has the same distributions as the ODE."""
    dt, g = next_sigma - sigma, noise * (sigma / (1 - sigma)) ** 0.5
    mean = x * (1 + g**2 * dt / (2 * sigma)) + velocity * (1 + g**2 * (1 - sigma) / (2 * sigma)) * dt
    return Step(mean, g * (-dt) ** 0.5)


def cps_step(x: Tensor, velocity: Tensor, sigma: float, next_sigma: float, noise: float) -> Step:
    """Coefficients-Preserving: part of the predicted noise is replaced by as much new noise."""
    std = next_sigma * sin(noise * pi / 2)
    picture, old_noise = x - sigma * velocity, x + (1 - sigma) * velocity
    return Step((1 - next_sigma) * picture + (next_sigma**2 - std**2) ** 0.5 * old_noise, std)


SAMPLERS: dict[str, Callable[[Tensor, Tensor, float, float, float], Step]] = {"cps": cps_step, "sde": sde_step}


def per_sample(x: Tensor) -> Tensor:
    """The mean over the elements of each sample: [B, ...] → [B]."""
    return x.flatten(1).mean(1)


def log_prob(x: Tensor, step: Step) -> Tensor:
    """The log-probability [B] of latents [B, ...], averaged over their elements; without the constant."""
    return -per_sample((x - step.mean).square()) / (2 * step.std**2)


@dataclass(frozen=True)
class Move:
    """A random step that was made: latents before and after, float32 [B, 16, h, w], with their noise levels.

    log_prob: [B], of the weights that made it. start: its mean by the starting weights, if there is a divergence.
    """

    x: Tensor
    sigma: Tensor
    next_x: Tensor
    next_sigma: Tensor
    log_prob: Tensor
    start: Tensor | None


@dataclass(frozen=True)
class FlowGRPO:
    """Settings of Flow-GRPO for the decoder. The first step of the window is drawn at random for every task.

    Raises GLMImageError on a value out of range.
    """

    sampler: str = setting("cps", "formula of the random steps: cps, or sde as in the Flow-GRPO paper")
    noise: float = setting(0.7, "noise level of these steps, above 0 and at most 1")
    window: int = setting(2, "number of random steps; the first and the last step are never random")
    clip: float = setting(1e-4, "how far the ratio of new to old probability may differ from 1")
    kl: float = setting(0.04, "weight of the divergence from the starting weights")
    averaged: ClassVar[bool] = False  # samples come from the current weights
    guided: ClassVar[bool] = True  # and are learned with guidance, if they are drawn so

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise GLMImageError(f"--sampler must be one of {', '.join(SAMPLERS)} (got {self.sampler})")
        check_open("noise", self.noise, 1.0)
        check_least("window", self.window, 1)
        check_open("clip", self.clip, 1.0)
        check_weight("kl", self.kl)

    def check_steps(self, steps: int) -> None:
        if steps < 3:
            raise GLMImageError(f"--steps must be at least 3 with --method flow-grpo (got {steps})")
        if self.window > steps - 2:
            raise GLMImageError(f"--window must be at most {steps - 2}, the steps between the first and the last "
                                f"(got {self.window})")

    def step(self, x: Tensor, velocity: Tensor, sigma: Tensor, next_sigma: Tensor) -> Step:
        return SAMPLERS[self.sampler](x, velocity, float(sigma), float(next_sigma), self.noise)

    def sample(self, velocities: Velocities, noise: Tensor, steps: int, shift: float,
               rng: random.Random) -> tuple[Tensor, list[Move]]:
        """Latents [B, 16, h, w] drawn from ``noise``, and the random steps on the way."""
        generator = torch.Generator().manual_seed(rng.getrandbits(63))
        first = rng.randint(1, steps - 1 - self.window)
        sigmas, x, moves = official_sigmas(steps, shift), noise, []
        for i, (sigma, next_sigma) in enumerate(zip(sigmas[:-1], sigmas[1:])):
            if first <= i < first + self.window:
                moves.append(self.move(velocities, x, sigma, next_sigma, generator))
                x = moves[-1].next_x
            else:
                x = x + (next_sigma - sigma) * velocities.drawing(x, sigma)
        return x, moves

    def move(self, velocities: Velocities, x: Tensor, sigma: Tensor, next_sigma: Tensor,
             generator: torch.Generator) -> Move:
        step = self.step(x, velocities.drawing(x, sigma), sigma, next_sigma)
        next_x = step.mean + step.std * torch.randn(x.shape, generator=generator).to(x.device)
        start = self.step(x, velocities.start(x, sigma), sigma, next_sigma).mean if velocities.start else None
        return Move(x, sigma, next_x, next_sigma, log_prob(next_x, step), start)

    def loss(self, point: Move, velocity: Tensor, advantages: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The loss of a step, of which the weights now say ``velocity``; with the share of samples that were clipped.

        advantages: [B]. The divergence is that of the two normal distributions, per element like the log-probabilities.
        """
        step = self.step(point.x, velocity, point.sigma, point.next_sigma)
        ratio = (log_prob(point.next_x, step) - point.log_prob).exp()
        gain, clipped = advantages * ratio, advantages * ratio.clamp(1 - self.clip, 1 + self.clip)
        loss, figures = -torch.minimum(gain, clipped).mean(), {"clipped": float((clipped < gain).float().mean())}
        if point.start is not None:
            divergence = per_sample((step.mean - point.start).square()).mean() / (2 * step.std**2)
            loss, figures = loss + self.kl * divergence, {**figures, "kl": float(divergence.detach())}
        return loss, figures
