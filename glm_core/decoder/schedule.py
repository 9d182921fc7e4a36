"""Noise levels for the sampler, and the timesteps that the network is told."""

import torch
from torch import Tensor

STEPS = 1000  # num_train_timesteps
BASE_SHIFT, MAX_SHIFT, BASE_TOKENS = 0.25, 0.75, 256  # scheduler_config.json of the released checkpoint
PATCH_PIXELS = 16


def resolution_shift(width: int, height: int) -> float:
    """mu = 0.25 + 0.75 * sqrt(tokens / 256) for an image of width x height pixels: 3.25 at 1024 x 1024.

    Source: diffusers, pipeline_glm_image.calculate_shift.
    """
    tokens = (height // PATCH_PIXELS) * (width // PATCH_PIXELS)
    return MAX_SHIFT * (tokens / BASE_TOKENS) ** 0.5 + BASE_SHIFT


def official_sigmas(steps: int, shift: float) -> Tensor:
    """Upstream's schedule: float32 [steps + 1], from 1 down to 0.

    Whole timesteps between 1000 and 1 (as long as there are enough of them), shifted linearly: mu / (mu + 1 / t - 1).
    Source: diffusers 0.42.1, GlmImagePipeline step 7 and FlowMatchEulerDiscreteScheduler (time_shift_type linear).
    """
    t = torch.linspace(STEPS, 1, steps + 1, dtype=torch.float64)[:-1]
    if steps < STEPS:
        t = t.floor()
    t = t / STEPS
    return torch.cat((shift / (shift + 1 / t - 1), torch.zeros(1))).float()


def network_timestep(sigma: Tensor, shift: float) -> Tensor:
    """Timestep 0 ... 999 that the network expects beside the noise level sigma: the *unshifted* one, minus one.

    The sampler integrates over shifted sigmas, but the model was trained with unshifted labels. diffusers 0.40 and
    0.41 fed sigma * 1000, and pictures turned magenta and grainy (vllm-omni #7951, diffusers #14461).
    """
    return STEPS * sigma / (shift - (shift - 1) * sigma) - 1
