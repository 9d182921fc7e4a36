"""Picture sizes, token grids and the three-axis positions of their tokens."""

from math import isqrt

import torch
from torch import Tensor

from ..errors import GLMImageError
from ..plan import TOKEN_PIXELS

SMALLEST, LARGEST = 32, 4096
PREVIEW_TOKENS = 256  # of the released model
Grid = tuple[int, int]  # rows, columns


def check_size(width: int, height: int) -> None:
    """Accept sides in steps of 32 from 32 to 4096 pixels; raise GLMImageError otherwise."""
    for name, side in (("width", width), ("height", height)):
        if side % TOKEN_PIXELS or not SMALLEST <= side <= LARGEST:
            raise GLMImageError(f"{name}: found {side}, accepted are multiples of {TOKEN_PIXELS} "
                                f"from {SMALLEST} to {LARGEST}")


def usual_side(trained_sides: tuple[int, int]) -> int:
    """Pixels between the smallest and the largest side a model was trained for: 1024 of 512 and 2048."""
    smallest, largest = trained_sides
    return isqrt(smallest * largest) // TOKEN_PIXELS * TOKEN_PIXELS


def token_grid(width: int, height: int) -> Grid:
    """Rows and columns of the target grid."""
    return height // TOKEN_PIXELS, width // TOKEN_PIXELS


def preview_grid(rows: int, columns: int, tokens: int = PREVIEW_TOKENS) -> Grid:
    """Rows and columns of the preview: about ``tokens`` of them at the target's aspect ratio.

    Integer form of transformers' ``GlmImageProcessor._get_target_shape``: trunc(16 * sqrt(rows / columns)).
    """
    preview = isqrt(tokens * rows // columns), isqrt(tokens * columns // rows)
    if 0 in preview:
        raise GLMImageError(f"size: a grid of {rows}x{columns} tokens leaves an empty preview grid; "
                            f"accepted are aspect ratios up to {tokens}")
    return preview


def plan_grids(width: int, height: int, preview_tokens: int = PREVIEW_TOKENS) -> tuple[Grid, Grid]:
    """Target and preview grid of a picture; raises GLMImageError on a size that is not accepted."""
    check_size(width, height)
    target = token_grid(width, height)
    return target, preview_grid(*target, preview_tokens)


def positions(segments: list[int | Grid]) -> Tensor:
    """Positions (time, row, column) of a run of segments: int64 [3, tokens].

    A number stands for so many tokens of text, which count up on all three axes; a grid keeps the time it starts at,
    and what follows it starts max(rows, columns) later (transformers, GlmImageModel.get_rope_index).
    """
    parts, start = [], 0
    for segment in segments:
        if isinstance(segment, int):
            parts.append((start + torch.arange(segment)).expand(3, -1))
            start += segment
        else:
            rows, columns = segment
            row = torch.arange(rows).repeat_interleave(columns)
            column = torch.arange(columns).repeat(rows)
            parts.append(start + torch.stack((torch.zeros_like(row), row, column)))
            start += max(rows, columns)
    return torch.cat(parts, dim=1)
