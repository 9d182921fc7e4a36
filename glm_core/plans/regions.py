"""Regions of a plan: which cells a mask touches, and the mask that covers these cells."""

import torch.nn.functional as F
from torch import Tensor

from ..errors import GLMImageError
from ..geometry import TOKEN_PIXELS
from .batch import check_batch

THRESHOLD = 0.5  # from this value on, a mask's pixel is inside


def token_region(mask: Tensor, batch: int, rows: int, columns: int) -> Tensor:
    """The cells of ``batch`` grids in which any pixel of a mask is at least 0.5: bool [B, rows, columns], on the CPU.

    mask: numbers in 0...1, [H, W] or [1 or B, H, W]. It covers the whole picture, whatever its size; if it is smaller
    than the grid, a pixel fills all cells that it overlaps with.
    Raises GLMImageError if the mask has another shape or batch size, is empty, or has NaN or infinity.
    """
    if mask.ndim not in (2, 3) or 0 in mask.shape:
        raise GLMImageError(f"mask must be [H, W] or [B, H, W] and not empty (got {list(mask.shape)})")
    if not mask.isfinite().all():
        raise GLMImageError(f"mask must have finite numbers only (got {int((~mask.isfinite()).sum())} others)")
    inside = mask.reshape(-1, *mask.shape[-2:]) >= THRESHOLD
    check_batch("mask", len(inside), batch, "the number of plans")
    return touched_cells(inside, rows, columns).expand(batch, -1, -1)


def pixel_mask(region: Tensor) -> Tensor:
    """A region, bool [B, rows, columns], as a mask of the picture: float32 [B, rows * 32, columns * 32] of 0 and 1."""
    return region.float().repeat_interleave(TOKEN_PIXELS, 1).repeat_interleave(TOKEN_PIXELS, 2)


def grow(region: Tensor, rows: int, columns: int) -> Tensor:
    """A region, bool [B, h, w], and all cells at most so many rows and columns away from one of its cells."""
    taller = F.max_pool2d(region.float(), (2 * rows + 1, 1), 1, (rows, 0))
    return F.max_pool2d(taller, (1, 2 * columns + 1), 1, (0, columns)).bool()


def coarse_region(region: Tensor, rows: int, columns: int) -> Tensor:
    """The cells of the coarse grid that overlap with a region of the target grid, bool [B, h, w].

    Bool [B, rows, columns], on the CPU. Both grids cover the whole picture, so that their cells may overlap in part.
    """
    return touched_cells(region, rows, columns)


def touched_cells(inside: Tensor, rows: int, columns: int) -> Tensor:
    """The cells of a grid that overlap with cells of another grid, bool [b, H, W]: bool [b, rows, columns].

    Adaptive pooling takes exactly the cells that overlap, computed in whole numbers. Macs' GPUs have it for whole
    ratios only, so the CPU does it.
    """
    return F.adaptive_max_pool2d(inside.cpu().float(), (rows, columns)).bool()
