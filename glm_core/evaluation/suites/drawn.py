"""Letters and posters as the program draws them, to compare pictures with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...errors import GLMImageError
from ...files import reason
from ...posters import BACKGROUNDS, NO_ZONE, Item, ItemBox, Poster, draw_poster
from ...posters.words import CHINESE, LETTERS

FACES = "", "serif"  # as in Style
PAGE_CELLS = 2  # of a page with one letter of any pitch
POSTERS = 32  # that are kept in memory


@contextmanager
def fonts_needed() -> Iterator[None]:
    """Raise GLMImageError, saying what to install, if a font of posters is missing inside."""
    try:
        yield
    except (OSError, ImportError) as error:
        raise GLMImageError("drawing posters needs matplotlib and the fonts Noto Sans CJK and Noto Serif CJK, in "
                            f"Debian fonts-noto-cjk ({reason(error)})") from error


def to_pixels(picture: Image.Image) -> Tensor:
    """float32 [H, W, 3] in 0...1."""
    return torch.from_numpy(np.array(picture.convert("RGB"))).float() / 255


@lru_cache(POSTERS)
def drawn_poster(poster: Poster) -> Tensor:
    """The poster's picture, float32 [H, W, 3] in 0...1. Raises GLMImageError as ``fonts_needed`` does."""
    with fonts_needed():
        return to_pixels(draw_poster(poster))


def alphabet(letter: str) -> str:
    """All letters of the letter's script."""
    return CHINESE if letter in CHINESE else LETTERS


@cache
def letter_masks(letters: str, pitch: int) -> Tensor:
    """float32 [faces x letters, pitch * pitch]: how much of each pixel each letter covers, 0...1, one face after the
    other. Raises GLMImageError as ``fonts_needed`` does."""
    with fonts_needed():
        return torch.stack([letter_mask(letter, face, pitch) for face in FACES for letter in letters])


def letter_mask(letter: str, face: str, pitch: int) -> Tensor:
    item = Item("white", NO_ZONE, letter, box=ItemBox(0, 0, pitch))
    page = np.array(draw_poster(Poster("black", (item,), PAGE_CELLS, font=face)), np.float32)[:pitch, :pitch, 0]
    black, white = BACKGROUNDS["black"][0], BACKGROUNDS["white"][0]
    return torch.from_numpy((page - black) / (white - black)).flatten()


def letter_crops(pixels: Tensor, word: Item) -> Tensor:
    """The square of each letter of a word, [letters, pitch * pitch, 3], from pixels [H, W, 3]."""
    left, top, pitch = word.require_box()
    row = pixels[top : top + pitch, left : left + len(word.text) * pitch]
    return row.unflatten(1, (len(word.text), pitch)).transpose(0, 1).flatten(1, 2)


def coverage(crops: Tensor, colour: str, background: str) -> tuple[Tensor, Tensor]:
    """Of pixels [n, p, 3], how far each is on the way from the background to the colour, [n, p], and the squared
    distance of all pixels of a crop from that way, [n], in units of its length."""
    start, end = (torch.tensor(BACKGROUNDS[name]) / 255 for name in (background, colour))
    way, offsets = end - start, crops - start
    along = offsets @ way / (way @ way)
    beside = offsets.square().sum((1, 2)) / (way @ way) - along.square().sum(1)
    return along, beside.clamp(min=0)
