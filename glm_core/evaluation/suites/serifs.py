"""Whether Chinese letters have serifs, by how thick their strokes are, without comparing pixels with drawn letters.

In serif letters, strokes across are thin, upright ones thick, and ends are pointed. A linear function of such features
is fitted to drawn letters that are moved, blurred, faded and noisy, half of all letters in both fonts. Features are
taken relative to those of the same letter, the mean of both fonts, since letters differ by more than fonts do.
The posters' Latin fonts differ too little in this way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ...posters import Item
from ...posters.words import CHINESE
from .drawn import FACES, coverage, letter_crops, letter_masks

RUNS = range(2, 6)  # pixels: lengths over which strokes are looked at
COPIES = 40  # of every drawn letter
RIDGE = 1e-2  # of the fit
LARGEST_MOVE = 2.0  # pixels
LARGEST_BLUR = 1.6  # standard deviation in pixels; fitted to sharper letters, it misses serifs that a VAE has blurred
LARGEST_NOISE = 0.08  # standard deviation, of the coverage
FADED = 0.8, 1.1  # contrast
KERNEL = 2  # pixels on each side


@dataclass(frozen=True)
class SerifJudge:
    """Fitted to letters of one size.

    centres: float32 [letters, features]. weights: [features + 1], the last of which is added.
    """

    centres: Tensor
    weights: Tensor

    def __call__(self, squares: Tensor, text: str) -> Tensor:
        """float32 [n], above 0 for letters with serifs. squares: coverage [n, p, p] of the letters of ``text``."""
        own = self.centres[[CHINESE.index(letter) for letter in text]]
        return with_one(features(squares) - own) @ self.weights


def serifs(pixels: Tensor, word: Item, background: str) -> list[float]:
    """For each letter of a Chinese word in its box, a number above 0 if it has serifs, NaN if nothing is there.

    pixels: [H, W, 3] in 0...1. Raises GLMImageError as ``letter_masks`` does.
    """
    pitch = word.require_box().pitch
    squares, _ = coverage(letter_crops(pixels, word), word.colour, background)
    return serif_judge(pitch)(squares.view(-1, pitch, pitch), word.text).tolist()


@cache
def serif_judge(pitch: int) -> SerifJudge:
    """A judge of letters of this many pixels, fitted to every other letter.

    Raises GLMImageError as ``letter_masks`` does.
    """
    masks = letter_masks(CHINESE, pitch).view(len(FACES), len(CHINESE), pitch, pitch)
    centres = features(masks.flatten(0, 1)).view(len(FACES), len(CHINESE), -1).mean(0)
    seen = range(0, len(CHINESE), 2)
    squares = masks[:, seen].repeat(COPIES, 1, 1, 1).flatten(0, 1)
    wanted = torch.tensor([-1.0, 1.0]).repeat_interleave(len(seen)).repeat(COPIES)
    relative = features(spoiled(squares, torch.Generator().manual_seed(0))) - centres[seen].repeat(2 * COPIES, 1)
    return SerifJudge(centres, fit(relative, wanted))


def fit(values: Tensor, wanted: Tensor) -> Tensor:
    """Weights [features + 1] of the least squares from values [n, features] to numbers [n]."""
    deviation = values.std(0)
    x = with_one(values / deviation)
    weights = torch.linalg.solve(x.T @ x + RIDGE * len(x) * torch.eye(x.shape[1]), x.T @ wanted)
    return torch.cat((weights[:-1] / deviation, weights[-1:]))


def with_one(values: Tensor) -> Tensor:
    return torch.cat((values, torch.ones_like(values[:, :1])), 1)


def features(squares: Tensor) -> Tensor:
    """float32 [n, features] of letters' coverage [n, p, p]."""
    ink = squares.clamp(0, 1)[:, None]
    mass = ink.sum((1, 2, 3))
    across, down = (ink.diff(dim=dim).abs().sum((1, 2, 3)) for dim in (3, 2))
    kept = [thinned(ink, size).sum((1, 2, 3)) / mass
            for size in (*((1, run) for run in RUNS), *((run, 1) for run in RUNS), (2, 2), (3, 3))]
    density = ink.square().sum((1, 2, 3)) / mass
    return torch.stack([across / mass, down / mass, (across / down).log(), *kept, density, mass / ink[0].numel()], 1)


def thinned(ink: Tensor, size: tuple[int, int]) -> Tensor:
    """What is left of strokes if each pixel becomes the faintest of a rectangle of this height and width."""
    return -F.max_pool2d(-ink, size, 1)


def spoiled(squares: Tensor, generator: torch.Generator) -> Tensor:
    """Letters [n, p, p] that are moved, blurred, faded and noisy, each at random."""

    def random(*shape: int) -> Tensor:
        return torch.rand(len(squares), *shape, generator=generator)

    blurred = blur(moved(squares, generator), 0.2 + (LARGEST_BLUR - 0.2) * random())
    faded = blurred * (FADED[0] + (FADED[1] - FADED[0]) * random(1, 1))
    return faded + LARGEST_NOISE * random(1, 1) * torch.randn(faded.shape, generator=generator)


def moved(squares: Tensor, generator: torch.Generator) -> Tensor:
    """Letters [n, p, p] moved by parts of pixels, up to LARGEST_MOVE."""
    ways = torch.eye(2, 3).repeat(len(squares), 1, 1)
    offsets = LARGEST_MOVE * (2 * torch.rand(len(squares), 2, generator=generator) - 1)
    ways[:, :, 2] = offsets * 2 / squares.shape[-1]  # the side is 2 units long
    grid = F.affine_grid(ways, [len(squares), 1, *squares.shape[1:]], align_corners=False)
    return F.grid_sample(squares[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


def blur(squares: Tensor, deviations: Tensor) -> Tensor:
    """Letters [n, p, p], each blurred by a Gaussian of its own standard deviation in pixels, [n]."""
    kernel = torch.exp(-(torch.arange(-KERNEL, KERNEL + 1).square() / 2) / deviations[:, None].square())
    kernel = kernel / kernel.sum(1, keepdim=True)
    across = F.conv2d(F.pad(squares, (KERNEL, KERNEL)), kernel[:, None, None], groups=len(squares))
    return F.conv2d(F.pad(across, (0, 0, KERNEL, KERNEL)), kernel[:, None, :, None], groups=len(squares))
