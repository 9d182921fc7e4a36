"""Colours of tokens and of probabilities, float32 [..., 3] in 0...1."""

from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GLMImageError
from .plan import DROPPED

STEPS = 0.6180339887, 0.7548776662, 0.5698402910  # of hue, saturation and value from one id to the next, all irrational
TURN = 2**32  # parts of a full turn: whole numbers are exact, and Macs' GPUs have no float64
COMPONENTS, EXTRA_DIRECTIONS, ROUNDS = 3, 5, 8  # of the subspace iteration
LEAST_SPREAD = 1e-3  # of a component of unit vectors; below that it is rounding
LIGHTNESS, CONTRAST, CHROMA = 0.69, 0.25, 0.11  # in Oklab: nothing is so dark that it looks like a missing token
SHARE_OF_ONE_SPREAD = 0.8
LEAST_PROBABILITY = 0.001
HEAT = torch.tensor([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]) / 255  # viridis


def colours(ids: Tensor) -> Tensor:
    """Ids [...] → a fixed colour for each; DROPPED is black.

    From one id to the next the hue turns by the golden angle, and saturation and value move by other irrational steps,
    so that neighbouring ids look different.
    """
    hue, saturation, value = ((ids.long() * round(step * TURN) & (TURN - 1)).float() / TURN for step in STEPS)
    saturation, value = 0.35 + 0.5 * saturation, 0.45 + 0.5 * value
    channel = (torch.tensor([5.0, 3.0, 1.0], device=ids.device) + 6 * hue[..., None]) % 6
    shade = torch.minimum(channel, 4 - channel).clamp(0, 1)  # HSV to RGB without a case for each sector of the hue
    rgb = value[..., None] * (1 - saturation[..., None] * shade)
    return rgb * (ids != DROPPED)[..., None]


def look_up(ids: Tensor, palette: Tensor | None) -> Tensor:
    """The colours [..., 3] of ids [...] in a palette [codes, 3], or those of ``colours``; DROPPED is black.

    Raises GLMImageError if an id is outside the palette.
    """
    if palette is None:
        return colours(ids)
    low, high = int(ids.min()), int(ids.max())
    if low < DROPPED or high >= len(palette):
        raise GLMImageError(f"plan: ids must be from 0 to {len(palette) - 1}, the codes of the connected planner "
                            f"(got {low if low < DROPPED else high})")
    return palette.to(ids.device)[ids.clamp(min=0)] * (ids != DROPPED)[..., None]


def codebook_colours(embeddings: Tensor) -> Tensor:
    """A colour for each code, [codes, 3], by its embedding [codes, hidden]: codes that are alike look alike.

    The first three principal components of the directions of the embeddings become lightness and two axes of hue in
    Oklab, the same ones whenever the embeddings are the same.
    """
    scores = principal_components(F.normalize(embeddings.float().cpu(), dim=-1))
    spread = scores.square().mean(0).sqrt().clamp(min=LEAST_SPREAD)
    even = torch.erf(SHARE_OF_ONE_SPREAD * scores / spread)  # about as many codes in every part of -1...1
    return oklab_to_rgb(LIGHTNESS + CONTRAST * even[:, 0], CHROMA * even[:, 1], CHROMA * even[:, 2])


def principal_components(vectors: Tensor) -> Tensor:
    """The scores [n, 3] of vectors [n, d] on their first three principal components; 0 where they have fewer.

    By subspace iteration from fixed directions: a full decomposition of the released codebook takes half a minute.
    The sign of a component is that which makes its larger scores positive.
    Source: Halko, Martinsson and Tropp (2011), algorithm 4.4.
    """
    centred = vectors - vectors.mean(0)
    directions = min(COMPONENTS + EXTRA_DIRECTIONS, centred.shape[1])
    basis = torch.randn(centred.shape[1], directions, generator=torch.Generator().manual_seed(0))
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(((centred @ basis).T @ centred).T).Q
    left, lengths, _ = torch.linalg.svd(centred @ basis, full_matrices=False)
    scores = (left * lengths)[:, :COMPONENTS]
    scores = F.pad(scores, (0, COMPONENTS - scores.shape[1]))
    return torch.where(scores.pow(3).sum(0) < 0, -scores, scores)


def oklab_to_rgb(lightness: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """sRGB [..., 3] of colours in Oklab, cut off at 0 and 1. Source: Björn Ottosson (2020)."""
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = torch.stack((4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
                          -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
                          -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short), dim=-1).clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def heat_colours(log_probs: Tensor) -> Tensor:
    """Log-probabilities [...] → dark violet for 0.1 % and less, through blue and green, to yellow for 100 %.

    Equal steps are equal factors of probability. The colours are those of matplotlib's viridis.
    """
    place = (1 - log_probs / log(LEAST_PROBABILITY)).clamp(0, 1) * (len(HEAT) - 1)
    below = place.long().clamp(max=len(HEAT) - 2)
    heat = HEAT.to(log_probs.device)
    return torch.lerp(heat[below], heat[below + 1], (place - below)[..., None])
