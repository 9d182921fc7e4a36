"""Faint edges where a poster is flat, such as those of a grid that a decoder may leave."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

FAINTEST, STRONGEST = 0.6, 16.0  # levels of 255; a rounding step of one channel is 1/3
REACH = 4  # pixels around what is drawn that do not count


class FaintEdges(NamedTuple):
    """faint: number of pixels with a faint edge. flat: of pixels that were looked at."""

    faint: int
    flat: int


def edges(pixels: Tensor) -> Tensor:
    """The larger step to the right and lower neighbour of each pixel, as the mean over channels, in levels of 255.

    pixels: [H, W, 3] in 0...1. The result is [H, W].
    """
    grey = 255 * pixels.mean(-1)
    right = F.pad(grey.diff(dim=1).abs(), (0, 1))
    down = F.pad(grey.diff(dim=0).abs(), (0, 0, 0, 1))
    return torch.maximum(right, down)


def faint_edges(pixels: Tensor, drawn: Tensor) -> FaintEdges:
    """How many pixels of a picture have an edge from FAINTEST to STRONGEST, further than REACH from any edge of the
    drawn poster. pixels, drawn: [H, W, 3] in 0...1."""
    near = F.max_pool2d((edges(drawn) > 0).float()[None], 2 * REACH + 1, 1, REACH)[0] > 0
    found = edges(pixels)
    is_faint = (found >= FAINTEST) & (found <= STRONGEST) & ~near
    return FaintEdges(int(is_faint.sum()), int((~near).sum()))
