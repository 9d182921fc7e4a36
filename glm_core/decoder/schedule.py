"""Noise levels for the sampler, and the timesteps that the network gets."""

import torch
from torch import Tensor

from ..geometry import check_range

TRAIN_STEPS = 1000  # num_train_timesteps of scheduler_config.json
BASE_SHIFT, MAX_SHIFT, BASE_TOKENS = 0.25, 0.75, 256  # scheduler_config.json of the released checkpoint
MOST_STEPS, LEAST_DENOISE = 1000, 0.01
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
    shifted: mu / (mu + 1 / t - 1). The whole numbers are exact here; upstream's, in floating point, are in
    places one too low, first at 99 steps.
    Source: diffusers 0.42.1, GlmImagePipeline step 7 and FlowMatchEulerDiscreteScheduler (time_shift_type linear).
    """
    t = (1 - TRAIN_STEPS) * torch.arange(steps)
    t = TRAIN_STEPS + (t.div(steps, rounding_mode="floor") if steps < TRAIN_STEPS else t.double() / steps)
    return torch.cat((shifted_sigmas(t, shift), torch.zeros(1))).float()


def last_sigmas(steps: int, denoise: float, shift: float) -> Tensor:
    """The last ``steps`` of a schedule of steps / denoise: float32 [steps + 1].

    Raises GLMImageError unless steps is from 1 to 1000, and denoise from 0.01 to 1.
    """
    check_range("steps", steps, 1, MOST_STEPS)
    check_range("denoise", denoise, LEAST_DENOISE, 1.0)
    return official_sigmas(int(steps / denoise), shift)[-(steps + 1):]


def shifted_sigmas(timesteps: Tensor, shift: float) -> Tensor:
    """Noise levels of timesteps 1...1000, float64."""
    return shift / (shift + TRAIN_STEPS / timesteps.double() - 1)


def sigma_table(shift: float) -> Tensor:
    """Rising noise levels, float32 [999 * 1000], in which equal strides are the official schedule.

    Entry j from the end belongs to timestep 1000 - ceil(j / 1000). A stride of 999,000 / steps from the end, rounded
    down, then meets the timesteps of ``official_sigmas`` at any number of steps below 1000: 999 x / steps is either
    whole or at least 1 / steps above a whole number, so that rounding never crosses one. A table of the 1000 timesteps
    alone does so only where steps divides 1000.
    """
    counts = torch.tensor([TRAIN_STEPS - 1, *[TRAIN_STEPS] * (TRAIN_STEPS - 2), 1])
    return shifted_sigmas(torch.arange(1, TRAIN_STEPS + 1), shift).float().repeat_interleave(counts)


def network_timestep(sigma: Tensor, shift: float) -> Tensor:
    """Noise levels sigma [B] → timesteps 0...999 [B] that the network expects: the *unshifted* ones, minus one.

    The sampler integrates over shifted sigmas, but the model was trained with unshifted timesteps. diffusers 0.40 and
    0.41 passed sigma * 1000, and pictures turned magenta and grainy (vllm-omni #7951, diffusers #14461).
    """
    return TRAIN_STEPS * sigma / (shift - (shift - 1) * sigma) - 1
