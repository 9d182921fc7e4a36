"""A reader that knows the letters as posters draw them, and which of them a part of a picture is nearest to.

It is no OCR, so that it can judge what an OCR has chosen: it only looks where the caption allows a word to stand.
"""

from functools import cache

import numpy as np

from glm_core.posters import Item, ItemBox, Poster, allowed_boxes, draw_poster
from glm_core.posters.scene import NO_ZONE, STEP
from glm_core.posters.words import CHARACTERS, CHINESE

LETTERS = "".join(letter for letter in CHARACTERS if letter not in CHINESE)
PER_ROW = 8
CELLS = 12  # of the poster that shows all letters: 8 by 5 letters of the large pitch have room
BLANK = " "
CLEAR = 0.5  # a letter is nearer than this share of the distance to the bare background


@cache
def drawn_letters(colour: str, background: str, pitch: int) -> np.ndarray:
    """Pixels of every letter in LETTERS, float32 [letters, pitch * pitch * 3]."""
    boxes = [ItemBox(i % PER_ROW * pitch, i // PER_ROW * pitch, pitch) for i in range(len(LETTERS))]
    items = tuple(Item(colour, NO_ZONE, text=letter, box=box) for letter, box in zip(LETTERS, boxes))
    pixels = np.asarray(draw_poster(Poster(background, items, CELLS)), np.float32)
    return np.stack([pixels[top : top + pitch, left : left + pitch].ravel() for left, top, _ in boxes])


def nearest_letters(pixels: np.ndarray, colour: str, background: str, pitch: int) -> np.ndarray:
    """The letter in every square of the pitch that starts at a multiple of STEP, as str [rows, columns].

    pixels: uint8 [H, W, 3]. BLANK where no letter is clearly nearer than the background.
    """
    windows = np.lib.stride_tricks.sliding_window_view(pixels.astype(np.float32), (pitch, pitch, 3))[::STEP, ::STEP, 0]
    squares = windows.reshape(*windows.shape[:2], -1)
    letters = drawn_letters(colour, background, pitch)
    distances = squared_distances(squares, letters)
    bare = np.asarray(draw_poster(Poster(background, ())), np.float32)[0, 0]
    to_bare = ((windows - bare) ** 2).sum((-3, -2, -1))
    best = np.array(list(LETTERS))[distances.argmin(-1)]
    return np.where(distances.min(-1) < CLEAR * to_bare, best, BLANK)


def squared_distances(squares: np.ndarray, letters: np.ndarray) -> np.ndarray:
    """Of squares [..., n] from letters [k, n]: [..., k]."""
    return (squares**2).sum(-1, keepdims=True) - 2 * squares @ letters.T + (letters**2).sum(-1)


def shows_word(pixels: np.ndarray, word: Item, background: str) -> bool:
    """Whether a picture, uint8 [256, 256, 3], shows a word in a box that its caption allows, with no letter beside."""
    boxes = allowed_boxes(word)
    found = nearest_letters(pixels, word.colour, background, boxes[0].pitch)
    return any(read_row(found, box, len(word.text)) == BLANK + word.text + BLANK for box in boxes)


def read_row(found: np.ndarray, box: ItemBox, letters: int) -> str:
    """What stands in a word's box and in the squares before and after it. found: of ``nearest_letters``."""
    row, first, step = box.top // STEP, box.left // STEP, box.pitch // STEP
    columns = range(first - step, first + (letters + 1) * step, step)
    return "".join(found[row, column] if 0 <= column < found.shape[1] else BLANK for column in columns)


def words_shown(pixels: np.ndarray, poster: Poster) -> list[bool]:
    """For each word of a poster, whether a picture shows it."""
    return [shows_word(pixels, word, poster.background) for word in poster.words]
