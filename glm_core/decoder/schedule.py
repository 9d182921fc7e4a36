"""Noise levels for the sampler, and the timesteps that the network gets."""

import torch
from torch import Tensor

TRAIN_STEPS = 1000  # num_train_timesteps of scheduler_config.json
BASE_SHIFT, MAX_SHIFT, BASE_TOKENS = 0.25, 0.75, 256  # scheduler_config.json of the released checkpoint
PATCH_PIXELS = 16  # side of the pixels that one of the decoder's tokens covers


def resolution_shift(width: int, height: int) -> float:
    """mu = 0.25 + 0.75 * sqrt(tokens / 256) for an image of width x height pixels: 3.25 at 1024 x 1024.

    Source: diffusers, pipeline_glm_image.calculate_shift.
    """
    tokens = (height // PATCH_PIXELS) * (width // PATCH_PIXELS)
    return MAX_SHIFT * (tokens / BASE_TOKENS) ** 0.5 + BASE_SHIFT


def official_sigmas(steps: int, shift: float) -> Tensor:
    """Upstream's schedule: float32 [steps + 1], from 1 down to 0. shift: see ``resolution_shift``.

    Timesteps from 1000 down to 1, rounded down to whole numbers if there are fewer than 1000 steps, divided by 1000 and
    shifted: mu / (mu + 1 / t - 1).
    Source: diffusers 0.42.1, GlmImagePipeline step 7 and FlowMatchEulerDiscreteScheduler (time_shift_type linear).
    """
    t = torch.linspace(TRAIN_STEPS, 1, steps + 1, dtype=torch.float64)[:-1]
    if steps < TRAIN_STEPS:
        t = t.floor()
    t = t / TRAIN_STEPS
    return torch.cat((shift / (shift + 1 / t - 1), torch.zeros(1))).float()


def network_timestep(sigma: Tensor, shift: float) -> Tensor:
    """Noise levels sigma [B] → timesteps 0...999 [B] that the network expects: the *unshifted* ones, minus one.

    The sampler integrates over shifted sigmas, but the model was trained with unshifted timesteps. diffusers 0.40 and
    0.41 passed sigma * 1000, and pictures turned magenta and grainy (vllm-omni #7951, diffusers #14461).
    """
    return TRAIN_STEPS * sigma / (shift - (shift - 1) * sigma) - 1
