"""The reward ``letters``: whether each letter of a picture looks like the wanted one in the wanted font."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from ...errors import GLMImageError
from ...evaluation.suites.drawn import FACES, alphabet, coverage, letter_crops, letter_masks, to_pixels
from ...geometry import TOKEN_PIXELS
from ...posters import Item, Poster
from .base import Sample, Score
from .places import parts_of_cells, places, require_poster


@dataclass(frozen=True)
class LettersReward:
    """The mean margin of the letters, -1...1: 1 for those that are just as drawn; 1 for a poster without words.

    A letter's margin over another is how much nearer its square of the picture is to the wanted drawing than to the
    other one, in units of the distance between the two drawings. What counts is the smallest margin over all other
    letters and over all letters, the wanted one too, in the other font.
    parts: of each word, the mean margin of its letters.
    """

    needs_pictures: bool = True

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """Raises GLMImageError on a task without a poster, on a picture of another size, and without the fonts."""
        return [score(sample) for sample in samples]


def score(sample: Sample) -> Score:
    poster = require_poster(sample, "letters")
    pixels = poster_pixels(sample, poster, "letters")
    words = [place.item for place in places(sample, poster) if not place.item.kind]
    margins = [letter_margins(pixels, word, poster).tolist() for word in words]
    letters = [margin for word in margins for margin in word]
    return Score(fmean(letters) if letters else 1.0, tuple(map(fmean, margins)),
                 parts_of_cells(words, sample.plan.ids[0]))


def poster_pixels(sample: Sample, poster: Poster, reward: str) -> Tensor:
    """The picture, float32 [H, W, 3] in 0...1. Raises GLMImageError naming the reward if it has another size."""
    picture, side = sample.require_picture(), poster.cells * TOKEN_PIXELS
    if picture.size != (side, side):
        raise GLMImageError(f"reward {reward} needs pictures of the poster's size, {side}x{side} pixels "
                            f"(got {picture.width}x{picture.height})")
    return to_pixels(picture)


def letter_margins(pixels: Tensor, word: Item, poster: Poster) -> Tensor:
    """float32 [letters] of a word in its box, see ``LettersReward``. pixels: [H, W, 3]."""
    letters = alphabet(word.text[0])
    masks = letter_masks(letters, word.require_box().pitch)
    along, beside = coverage(letter_crops(pixels, word), word.colour, poster.background)
    distances = (torch.cdist(along, masks).square() + beside[:, None]).sqrt()
    first = FACES.index(poster.font) * len(letters)
    wanted = torch.tensor([first + letters.index(letter) for letter in word.text])
    own = distances.gather(1, wanted[:, None])
    between = torch.cdist(masks[wanted], masks)
    margins = (distances - own) / between
    return margins.scatter(1, wanted[:, None], torch.inf).amin(1)
