"""Regions of a plan: which cells a mask touches, the mask that covers them, and the least certain ones."""

from heapq import heappop, heappush

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GLMImageError
from ..geometry import TOKEN_PIXELS, check_range
from .batch import check_batch
from .plan import Plan

THRESHOLD = 0.5  # from this value on, a mask's pixel is inside


def token_region(mask: Tensor, batch: int, rows: int, columns: int) -> Tensor:
    """The cells of ``batch`` grids in which any pixel of a mask is at least 0.5: bool [B, rows, columns], on the CPU.

    mask: numbers in 0...1, [H, W] or [1 or B, H, W]. It covers the whole picture, whatever its size; if it is smaller
    than the grid, a pixel fills all cells that it overlaps with.
    Raises GLMImageError if the mask has another shape or batch size, is empty or complex, or has NaN or infinity.
    """
    if mask.ndim not in (2, 3) or 0 in mask.shape:
        raise GLMImageError(f"mask must be [H, W] or [B, H, W] and not empty (got {list(mask.shape)})")
    if mask.is_complex():
        raise GLMImageError(f"mask must have real numbers (got {mask.dtype})")
    mask = mask.float()  # torch compares no numbers of 8 bits
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


def uncertain_region(plan: Plan, share: float) -> Tensor:
    """The planner's least certain part of each item, connected: bool [B, h, w], on the CPU.

    It begins at the least certain cell, and grows by the least certain cell beside it until it has ``share`` of all
    cells, at least one.
    Raises GLMImageError if the plan has no log-probabilities or not finite ones, or if share is not from 0 to 1.
    """
    check_range("share", share, 0.0, 1.0)
    log_probs = plan.require_log_probs("cropping, composing and padding drop them")
    rows, columns = plan.ids.shape[1:]
    surprise = -log_probs[:, -rows * columns :].view(-1, rows, columns).cpu()
    count = max(1, round(share * rows * columns))
    return torch.stack([grow_from_peak(values, count) for values in surprise])


def grow_from_peak(values: Tensor, count: int) -> Tensor:
    """``count`` connected cells of values [h, w] as bool [h, w]: the highest one, then each time the highest beside."""
    rows, columns = values.shape
    heights = values.tolist()
    inside, seen = torch.zeros(rows, columns, dtype=torch.bool), {divmod(int(values.argmax()), columns)}
    beside = [(-heights[row][column], row, column) for row, column in seen]
    for _ in range(count):
        _, row, column = heappop(beside)
        inside[row, column] = True
        for i, j in ((row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column)):
            if 0 <= i < rows and 0 <= j < columns and (i, j) not in seen:
                seen.add((i, j))
                heappush(beside, (-heights[i][j], i, j))
    return inside


def touched_cells(inside: Tensor, rows: int, columns: int) -> Tensor:
    """The cells of a grid that overlap with cells of another grid, bool [b, H, W]: bool [b, rows, columns].

    Adaptive pooling takes exactly the cells that overlap, computed in whole numbers. Macs' GPUs have it for whole
    ratios only, so the CPU does it.
    """
    return F.adaptive_max_pool2d(inside.cpu().float(), (rows, columns)).bool()
