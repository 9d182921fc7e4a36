"""Sizes: pixels, tokens and latents, the grids of a plan, and the size at which a reference image enters the model."""

from math import isqrt

from .errors import GLMImageError

TOKEN_PIXELS = 32  # one token of the target grid covers 32 x 32 pixels
LATENT_PIXELS = 8
TOKEN_LATENTS = TOKEN_PIXELS // LATENT_PIXELS
LATENT_CHANNELS = 16
SMALLEST_SIDE, LARGEST_SIDE = 32, 4096  # of a picture to draw, in pixels
COARSE_TOKENS = 256  # of the released model
SHORTEST, LONGEST = 512, 2048  # sides of a reference image in the released model, in pixels
LEAST_REFERENCE_SIDE = 16
MOST_REFERENCE_ASPECT = 4

Grid = tuple[int, int]  # rows, columns


def check_size(width: int, height: int) -> None:
    """Raise GLMImageError unless both sides are multiples of 32 from 32 to 4096 pixels."""
    for name, side in (("width", width), ("height", height)):
        if side % TOKEN_PIXELS or not SMALLEST_SIDE <= side <= LARGEST_SIDE:
            raise GLMImageError(f"{name} must be a multiple of {TOKEN_PIXELS} from {SMALLEST_SIDE} to {LARGEST_SIDE} "
                                f"(got {side})")


def default_side(trained_sides: tuple[int, int]) -> int:
    """Pixels between the smallest and the largest side that a model was trained for: 1024 for 512 and 2048."""
    smallest, largest = trained_sides
    return isqrt(smallest * largest) // TOKEN_PIXELS * TOKEN_PIXELS


def target_grid(width: int, height: int) -> Grid:
    """Rows and columns of the grid with one token for 32 x 32 pixels."""
    return height // TOKEN_PIXELS, width // TOKEN_PIXELS


def coarse_grid(rows: int, columns: int, tokens: int = COARSE_TOKENS) -> Grid:
    """Rows and columns of the grid that fixes the layout: about ``tokens`` of them at the target's aspect ratio.

    Integer form of transformers' ``GlmImageProcessor._get_target_shape``: trunc(16 * sqrt(rows / columns)).
    """
    coarse = isqrt(tokens * rows // columns), isqrt(tokens * columns // rows)
    if 0 in coarse:
        raise GLMImageError(f"size: the aspect ratio must be at most {tokens}:1 for this model "
                            f"(got {columns * TOKEN_PIXELS}x{rows * TOKEN_PIXELS} pixels)")
    return coarse


def plan_grids(width: int, height: int, coarse_tokens: int = COARSE_TOKENS) -> tuple[Grid, Grid]:
    """Target and coarse grid of a picture. Raises GLMImageError on a size that is not accepted."""
    check_size(width, height)
    target = target_grid(width, height)
    return target, coarse_grid(*target, coarse_tokens)


def latent_shape(batch: int, width: int, height: int) -> tuple[int, int, int, int]:
    """[B, 16, H/8, W/8] of the latents of pictures of width x height pixels."""
    return batch, LATENT_CHANNELS, height // LATENT_PIXELS, width // LATENT_PIXELS


def reference_size(width: int, height: int, shortest: int = SHORTEST, longest: int = LONGEST) -> tuple[int, int]:
    """Size in pixels, multiples of 32, for tokens and latent of a reference image alike.

    The short side is brought up to ``shortest``, then the long side down to ``longest``. transformers rounds so for the
    token side (smart_resize), but diffusers gives the latent side another size, and most images then fail or broadcast.
    Raises GLMImageError when a side is below 16 pixels or the aspect ratio above 4.
    """
    short, long = min(width, height), max(width, height)
    if short < LEAST_REFERENCE_SIDE:
        raise GLMImageError(f"reference image: both sides must be at least {LEAST_REFERENCE_SIDE} pixels "
                            f"(got {width}x{height})")
    if long > MOST_REFERENCE_ASPECT * short:
        raise GLMImageError(f"reference image: the aspect ratio must be at most {MOST_REFERENCE_ASPECT}:1 "
                            f"(got {width}x{height} pixels)")
    scale = max(1.0, shortest / short)
    if long * scale > longest:
        scale = longest / long
    half = TOKEN_PIXELS // 2  # the encoder sees half the pixels, in patches of 16
    fitted_width, fitted_height = (max(1, round(side // 2 * scale / half)) * TOKEN_PIXELS for side in (width, height))
    return fitted_width, fitted_height
