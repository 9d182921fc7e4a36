"""Sizes: pixels, tokens and latents, the grids of a plan, and the size at which a reference image enters the model."""

from math import isqrt
from numbers import Integral, Real

from .errors import GLMImageError

TOKEN_PIXELS = 32  # one token of the target grid covers 32 x 32 pixels
LATENT_PIXELS = 8  # one latent pixel covers 8 x 8 pixels
TOKEN_LATENTS = TOKEN_PIXELS // LATENT_PIXELS
LATENT_CHANNELS = 16
SMALLEST_SIDE, LARGEST_SIDE = 32, 4096  # of a picture to draw, in pixels
LARGEST_BATCH = 64
COARSE_TOKENS = 256  # about this many in the released model's coarse grid
MIN_REFERENCE_SIDE, MAX_REFERENCE_ASPECT = 16, 4  # of a reference image as it is given, in pixels
SHORTEST_SIDE, LONGEST_SIDE = 512, 2048  # of a reference image as the released model reads it, in pixels

Grid = tuple[int, int]  # rows, columns


def check_size(width: int, height: int) -> None:
    """Raise GLMImageError unless both sides are multiples of 32 from 32 to 4096 pixels."""
    for name, side in (("width", width), ("height", height)):
        to_tokens(name, side, SMALLEST_SIDE, LARGEST_SIDE)


def to_tokens(name: str, pixels: int, least: int, most: int, reason: str = "") -> int:
    """A length in pixels as a number of tokens.

    Raises GLMImageError unless it is a multiple of 32 from ``least`` to ``most``; ``reason`` says why these.
    """
    if not isinstance(pixels, Integral) or pixels % TOKEN_PIXELS or not least <= pixels <= most:
        raise GLMImageError(f"{name} must be a multiple of {TOKEN_PIXELS} from {least} to {most}{reason} "
                            f"(got {pixels!r})")
    return int(pixels) // TOKEN_PIXELS


def check_batch_size(batch_size: int) -> None:
    """Raise GLMImageError unless a batch has 1 to 64 pictures."""
    check_range("batch_size", batch_size, 1, LARGEST_BATCH)


def check_range(name: str, value: float, least: float, most: float) -> None:
    """Raise GLMImageError unless the value is from ``least`` to ``most``, a whole number if these are. NaN is not."""
    kind = Integral if isinstance(least, int) else Real
    if not isinstance(value, kind):
        raise GLMImageError(f"{name} must be a {'whole ' * (kind is Integral)}number (got {value!r})")
    if not least <= value <= most:
        raise GLMImageError(f"{name} must be from {least} to {most} (got {value})")


def default_side(trained_sides: tuple[int, int]) -> int:
    """Geometric mean, in pixels, of the smallest and largest side that a model was trained for: 1024 for 512 and 2048.

    Rounded down to a multiple of 32.
    """
    smallest, largest = trained_sides
    return isqrt(smallest * largest) // TOKEN_PIXELS * TOKEN_PIXELS


def target_grid(width: int, height: int) -> Grid:
    """Rows and columns of the grid with one token for every 32 x 32 pixels of the picture."""
    return height // TOKEN_PIXELS, width // TOKEN_PIXELS


def coarse_grid(rows: int, columns: int, tokens: int = COARSE_TOKENS) -> Grid:
    """Rows and columns of the grid that fixes the layout: about ``tokens`` tokens, at the target's aspect ratio.

    rows, columns: of the target grid. Integer form of transformers' ``GlmImageProcessor._get_target_shape``:
    trunc(16 * sqrt(rows / columns)). Raises GLMImageError if the aspect ratio is above ``tokens``.
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


def reference_size(width: int, height: int, shortest: int = SHORTEST_SIDE,
                   longest: int = LONGEST_SIDE) -> tuple[int, int]:
    """Width and height in pixels, multiples of 32, for both the tokens and the latent of a reference image.

    The short side is brought up to ``shortest``, then the long side down to ``longest``. transformers rounds the size
    for the tokens in this way (smart_resize). diffusers rounds differently for the latent, so that for most images the
    two sizes do not match, which fails or silently broadcasts.
    Raises GLMImageError if a side is below 16 pixels or the aspect ratio above 4.
    """
    short, long = min(width, height), max(width, height)
    if short < MIN_REFERENCE_SIDE:
        raise GLMImageError(f"reference image: both sides must be at least {MIN_REFERENCE_SIDE} pixels "
                            f"(got {width}x{height})")
    if long > MAX_REFERENCE_ASPECT * short:
        raise GLMImageError(f"reference image: the aspect ratio must be at most {MAX_REFERENCE_ASPECT}:1 "
                            f"(got {width}x{height} pixels)")
    scale = max(1.0, shortest / short)
    if long * scale > longest:
        scale = longest / long
    patch = TOKEN_PIXELS // 2  # the vision tower sees the image at half its size, in patches of 16 pixels
    columns, rows = (max(1, round(side // 2 * scale / patch)) for side in (width, height))
    return columns * TOKEN_PIXELS, rows * TOKEN_PIXELS
