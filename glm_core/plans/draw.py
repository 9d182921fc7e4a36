"""Pictures of a plan's token grids."""

import torch
from torch import Tensor

from ..geometry import check_range
from .plan import DROPPED

LARGEST_CELL = 64
STEPS = 0.6180339887, 0.7548776662, 0.5698402910  # of hue, saturation and value from one id to the next, all irrational
TURN = 2**32  # parts of a full turn: whole numbers are exact, and Macs' GPUs have no float64


def colours(ids: Tensor) -> Tensor:
    """Ids [...] → a fixed colour for each, float32 [..., 3] in 0...1; DROPPED is black.

    From one id to the next the hue turns by the golden angle, and saturation and value move by other irrational steps,
    so that neighbouring ids look different.
    """
    hue, saturation, value = ((ids.long() * round(step * TURN) & (TURN - 1)).float() / TURN for step in STEPS)
    saturation, value = 0.35 + 0.5 * saturation, 0.45 + 0.5 * value
    channel = (torch.tensor([5.0, 3.0, 1.0], device=ids.device) + 6 * hue[..., None]) % 6
    shade = torch.minimum(channel, 4 - channel).clamp(0, 1)  # HSV to RGB without a case for each sector of the hue
    rgb = value[..., None] * (1 - saturation[..., None] * shade)
    return rgb * (ids != DROPPED)[..., None]


def draw_grid(ids: Tensor, cell: int) -> Tensor:
    """Draw token grids [B, h, w] as squares of ``cell`` pixels: float32 [B, h * cell, w * cell, 3] in 0...1.

    Raises GLMImageError unless cell is from 1 to 64.
    """
    check_range("cell", cell, 1, LARGEST_CELL)
    return colours(ids).repeat_interleave(cell, 1).repeat_interleave(cell, 2)
