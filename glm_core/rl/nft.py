"""DiffusionNFT: learn by flow matching on the decoder's own pictures, towards good ones and away from bad ones.

Zheng et al. 2025, "DiffusionNFT: Online Diffusion Reinforcement with Forward Process". Any sampler may draw them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..decoder import euler, official_sigmas, shifted_sigmas
from ..decoder.schedule import TRAIN_STEPS
from .advantages import LARGEST
from .flow_grpo import Velocities, per_sample
from .settings import check_least, check_open, check_weight, setting

MOST_BETA = 10.0
SMALLEST_ERROR = 1e-5  # by which a squared error is divided


@dataclass(frozen=True)
class NoisyLatent:
    """Latents x0 [B, 16, h, w] and the same with noise, x, at the levels sigma [B].

    old, start: velocities at x by the weights that drew x0 and, if there is a divergence, by the starting weights.
    """

    x0: Tensor
    x: Tensor
    sigma: Tensor
    old: Tensor
    start: Tensor | None


@dataclass(frozen=True)
class NFT:
    """How the decoder learns by DiffusionNFT. Raises GLMImageError on a value out of range."""

    levels: int = setting(2, "noise levels at which each picture is learned")
    beta: float = setting(1.0, "how far the good and the bad velocity, with the old one between them, lie from it")
    kl: float = setting(0.3, "weight of the divergence from the starting weights")
    averaged: ClassVar[bool] = True  # samples come from the averaged weights
    guided: ClassVar[bool] = False  # what is learned is the velocity without guidance

    def __post_init__(self) -> None:
        check_least("levels", self.levels, 1)
        check_open("beta", self.beta, MOST_BETA)
        check_weight("kl", self.kl)

    def check_steps(self, steps: int) -> None:
        """Any number will do."""

    def sample(self, velocities: Velocities, noise: Tensor, steps: int, shift: float,
               rng: random.Random) -> tuple[Tensor, list[NoisyLatent]]:
        """Latents [B, 16, h, w] drawn from ``noise``, and the same with new noise at several levels."""
        generator = torch.Generator().manual_seed(rng.getrandbits(63))
        x0 = euler(velocities.drawing, noise, official_sigmas(steps, shift), lambda i: None)
        return x0, [self.add_noise(velocities, x0, shift, generator) for _ in range(self.levels)]

    def add_noise(self, velocities: Velocities, x0: Tensor, shift: float, generator: torch.Generator) -> NoisyLatent:
        """At levels that the sampler visits equally often at many steps."""
        timesteps = 1 + (TRAIN_STEPS - 1) * torch.rand(len(x0), generator=generator)
        sigma = shifted_sigmas(timesteps, shift).float().to(x0.device)
        x = torch.lerp(x0, torch.randn(x0.shape, generator=generator).to(x0.device), on_latents(sigma))
        start = velocities.start(x, sigma) if velocities.start else None
        return NoisyLatent(x0, x, sigma, velocities.learned(x, sigma), start)

    def loss(self, point: NoisyLatent, velocity: Tensor, advantages: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The loss at a noise level, of which the weights now say ``velocity``. advantages: [B]."""
        goodness = 0.5 + advantages.clamp(-LARGEST, LARGEST) / (2 * LARGEST)
        change = self.beta * (velocity - point.old)
        good, bad = relative_error(point, point.old + change), relative_error(point, point.old - change)
        loss = (goodness * good + (1 - goodness) * bad).mean()
        if point.start is None:
            return loss, {}
        distance = per_sample((velocity - point.start).square()).mean()
        return loss + self.kl * distance, {"kl": float(distance.detach())}


def on_latents(values: Tensor) -> Tensor:
    """[B] → [B, 1, 1, 1]"""
    return values[:, None, None, None]


def relative_error(point: NoisyLatent, velocity: Tensor) -> Tensor:
    """The squared error [B] of the latents that a velocity predicts, divided by the mean error, so that all count."""
    error = point.x - on_latents(point.sigma) * velocity - point.x0
    return per_sample(error.square()) / per_sample(error.detach().abs()).clamp(min=SMALLEST_ERROR)
