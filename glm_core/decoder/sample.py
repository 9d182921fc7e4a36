"""Noise → latent: Euler's method over the official schedule, with guidance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..geometry import latent_shape
from ..plans import Plan, check_batch, prior_map
from .dit import GLMImageDiT
from .schedule import network_timestep, official_sigmas, resolution_shift

OnStep = Callable[[int], object]  # called with i after step i
Velocity = Callable[[Tensor, Tensor], Tensor]  # x [B, ...] and sigma [] or [B] → dx / dsigma [B, ...]


def draw_noise(seed: int, batch: int, width: int, height: int) -> Tensor:
    """float32 [B, 16, H/8, W/8], drawn on the CPU: the numbers that ComfyUI's samplers draw for this seed.

    width, height: of the picture, in pixels.
    """
    return torch.randn(latent_shape(batch, width, height), generator=torch.Generator().manual_seed(seed))


def euler(velocity: Velocity, x: Tensor, sigmas: Tensor, on_step: OnStep) -> Tensor:
    """Integrate from noise x [B, ...] at sigmas[0] to the latent at sigmas[-1] = 0.

    sigmas: [steps + 1], decreasing.
    """
    for i, (sigma, next_sigma) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        x = x + (next_sigma - sigma) * velocity(x, sigma)
        on_step(i)
    return x


def check_plans(dit: GLMImageDiT, plan: Plan, references: Sequence[Plan], batch: int) -> None:
    """Raise GLMImageError unless the decoder can draw ``batch`` latents of the plan and the references' tokens."""
    for name, tokens in [("plan", plan), *((f"reference {i}", tokens) for i, tokens in enumerate(references, 1))]:
        check_batch(name, tokens.batch, batch, "like the noise's")
        tokens.check_codes(dit.config.prior_vq_quantizer_codebook_size, name)


def plan_velocity(dit: GLMImageDiT, plan: Plan, glyphs: Tensor, no_glyphs: Tensor, size: tuple[int, int], *,
                  guidance: float, references: Sequence[tuple[Tensor, Plan]] = (), device: torch.device | str = "cpu",
                  dtype: torch.dtype = torch.float32) -> Velocity:
    """The velocity of latents for a plan. With guidance of 1 or less the unconditional branch does not run.

    size: height and width of the latents. Others as in ``sample_latent``. The keys and values of reference images are
    computed now, with the present weights.
    """
    prior = prior_map(plan.ids, *size).to(device)
    shift = resolution_shift(plan.width, plan.height)
    keys_values = [list(dit.reference_keys_values(latent, prior_map(tokens.ids, *latent.shape[-2:]).to(device)))
                   for latent, tokens in references]

    def velocity(x: Tensor, sigma: Tensor) -> Tensor:
        timestep = network_timestep(sigma, shift).to(device).expand(len(x))
        x = x.to(dtype)
        conditional = dit(x, timestep, glyphs.expand(len(x), -1, -1), prior, references=keys_values).float()
        if guidance <= 1:
            return conditional
        unconditional = dit(x, timestep, no_glyphs.expand(len(x), -1, -1)).float()
        return unconditional + guidance * (conditional - unconditional)

    return velocity


def sample_latent(dit: GLMImageDiT, plan: Plan, glyphs: Tensor, no_glyphs: Tensor, noise: Tensor, *, steps: int,
                  guidance: float, references: Sequence[tuple[Tensor, Plan]] = (), device: torch.device | str = "cpu",
                  dtype: torch.dtype = torch.float32, on_step: OnStep = lambda i: None) -> Tensor:
    """Normalised latent, float32 [B, 16, H/8, W/8]. guidance: as for ``plan_velocity``.

    glyphs, no_glyphs: embeddings [1, n, width] of the quoted texts, and of no text. noise: float32 [B, 16, H/8, W/8].
    references: latent [b, 16, h, w] (normalised) and tokens of each reference image, for the conditional branch only.
    device, dtype: those of the activations.
    Raises GLMImageError if plan and noise are of different sizes, if the batch of plan or reference is neither 1 nor
    the noise's, or if an id is not in the codebook.
    """
    check_plans(dit, plan, [tokens for _, tokens in references], len(noise))
    velocity = plan_velocity(dit, plan, glyphs, no_glyphs, (noise.shape[-2], noise.shape[-1]), guidance=guidance,
                             references=references, device=device, dtype=dtype)
    sigmas = official_sigmas(steps, resolution_shift(plan.width, plan.height))
    return euler(velocity, noise.to(device), sigmas, on_step)
