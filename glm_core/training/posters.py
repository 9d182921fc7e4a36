"""Posters on an 8 x 8 token grid, their captions, and what stands in every cell.

A word has one letter a cell, a shape covers 2 x 2 cells. Words and shapes stand in nine zones, so that a caption says
all there is to know. Free positions and sizes are a later stage.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..plan import TOKEN_PIXELS

GRID = 8
SIDE = GRID * TOKEN_PIXELS
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ23456789"  # without 0 and 1, which no reader tells from O and I
COLOURS = {
    "red": (214, 40, 40), "orange": (247, 127, 0), "yellow": (252, 211, 60), "green": (46, 139, 70), "blue": (38, 84, 196),
    "purple": (123, 44, 160), "black": (20, 20, 24), "white": (250, 250, 250),
}
BACKGROUNDS = COLOURS | {"grey": (150, 154, 160), "pink": (246, 180, 200)}
SHAPES = ("circle", "square", "triangle", "diamond", "cross")
ROWS, COLUMNS = ("top", "centre", "bottom"), ("left", "centre", "right")
WORD_ROW = {"top": 1, "centre": 3, "bottom": 6}
SHAPE_START = {"top": 0, "left": 0, "centre": 3, "bottom": 6, "right": 6}
BRIGHTNESS = np.array((0.299, 0.587, 0.114))
CONTRAST = 60  # least difference in brightness of two colours that are drawn on each other; readers see little else
FONT_SIZE, OVERSAMPLED = 32, 4


@dataclass(frozen=True)
class Item:
    """A word (kind None) or a shape, its colour and its zone (row, column)."""

    colour: str
    zone: tuple[str, str]
    text: str = ""
    kind: str | None = None

    @property
    def place(self) -> str:
        row, column = self.zone
        return "centre" if row == column == "centre" else " ".join(name for name in self.zone if name != "centre")


@dataclass(frozen=True)
class Poster:
    background: str
    items: tuple[Item, ...]

    @property
    def words(self) -> list[Item]:
        return [item for item in self.items if item.kind is None]

    @property
    def shapes(self) -> list[Item]:
        return [item for item in self.items if item.kind]


def contrasting(background: str) -> list[str]:
    there = BRIGHTNESS @ BACKGROUNDS[background]
    return [name for name, rgb in COLOURS.items() if abs(there - BRIGHTNESS @ rgb) >= CONTRAST]


def random_word(rng: random.Random, length: int, held_out: frozenset[str] = frozenset()) -> str:
    """Random letters, with the vowels more often so that they look like words; never one of ``held_out``."""
    while True:
        word = "".join(rng.choice("AEIOU" if rng.random() < 0.2 else LETTERS) for _ in range(length))
        if word not in held_out:
            return word


def random_poster(rng: random.Random, lengths: tuple[int, ...] | None = None, held_out: frozenset[str] = frozenset()) -> Poster:
    """One or two words (of these lengths, if given) in bands of their own, and up to three shapes in the bands that are left."""
    background = rng.choice(list(BACKGROUNDS))
    colours = contrasting(background)
    lengths = lengths or tuple(rng.randint(1, GRID) for _ in range(rng.choice((1, 1, 2))))
    bands = rng.sample(ROWS, len(ROWS))
    words = [Item(rng.choice(colours), (bands[i], rng.choice(COLUMNS)), text=random_word(rng, length, held_out))
             for i, length in enumerate(lengths)]
    free = [(row, column) for row in bands[len(lengths):] for column in COLUMNS]
    shapes = [Item(rng.choice(colours), zone, kind=rng.choice(SHAPES)) for zone in rng.sample(free, rng.randint(0, min(3, len(free))))]
    return Poster(background, tuple(rng.sample(words + shapes, len(words) + len(shapes))))


def article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def with_words(poster: Poster, words: list[str]) -> Poster:
    """The same poster with these words in place of its own, which have the same lengths."""
    fresh = dict(zip(poster.words, words, strict=True))
    return replace(poster, items=tuple(item if item.kind else replace(item, text=fresh[item]) for item in poster.items))


def caption(poster: Poster) -> str:
    parts = [f"{article(poster.background).capitalize()} {poster.background} poster."]
    for item in poster.items:
        at = f"in the {item.place}" if item.place == "centre" else f"at the {item.place}"
        what = f"{article(item.colour)} {item.colour} {item.kind}" if item.kind else f'"{item.text}" in {item.colour} letters'
        parts.append(f"{at.capitalize()}, {what}.")
    return " ".join(parts)


def word_cells(word: Item) -> list[tuple[int, int]]:
    row, column = word.zone
    start = {"left": 0, "centre": (GRID - len(word.text)) // 2, "right": GRID - len(word.text)}[column]
    return [(WORD_ROW[row], start + i) for i in range(len(word.text))]


def shape_cells(shape: Item) -> list[tuple[int, int]]:
    """The four cells of a shape: top left, top right, bottom left, bottom right."""
    row, column = (SHAPE_START[name] for name in shape.zone)
    return [(row + i, column + j) for i in range(2) for j in range(2)]


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Aileron (CC0), which Pillow carries."""
    return ImageFont.load_default(size)


def outline(kind: str, left: float, top: float, side: float) -> list[tuple[float, float]]:
    unit = {
        "triangle": [(0.5, 0), (1, 1), (0, 1)],
        "diamond": [(0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)],
        "square": [(0, 0), (1, 0), (1, 1), (0, 1)],
        "cross": [(0.33, 0), (0.67, 0), (0.67, 0.33), (1, 0.33), (1, 0.67), (0.67, 0.67), (0.67, 1), (0.33, 1), (0.33, 0.67),
                  (0, 0.67), (0, 0.33), (0.33, 0.33)],
    }[kind]
    return [(left + x * side, top + y * side) for x, y in unit]


def draw_shape(draw: ImageDraw.ImageDraw, shape: Item) -> None:
    row, column = shape_cells(shape)[0]
    margin = 4 * OVERSAMPLED
    cell = TOKEN_PIXELS * OVERSAMPLED
    left, top, side = column * cell + margin, row * cell + margin, 2 * cell - 2 * margin
    if shape.kind == "circle":
        draw.ellipse((left, top, left + side, top + side), fill=COLOURS[shape.colour])
    else:
        draw.polygon(outline(shape.kind, left, top, side), fill=COLOURS[shape.colour])


def draw_poster(poster: Poster) -> Image.Image:
    """256 x 256 pixels, drawn large and reduced, so that edges are smooth."""
    image = Image.new("RGB", (SIDE * OVERSAMPLED,) * 2, BACKGROUNDS[poster.background])
    draw = ImageDraw.Draw(image)
    cell = TOKEN_PIXELS * OVERSAMPLED
    for shape in poster.shapes:
        draw_shape(draw, shape)
    for word in poster.words:
        for letter, (row, column) in zip(word.text, word_cells(word)):
            centre = (column + 0.5) * cell, (row + 0.5) * cell
            draw.text(centre, letter, fill=COLOURS[word.colour], font=font(FONT_SIZE * OVERSAMPLED), anchor="mm",
                      stroke_width=OVERSAMPLED // 2, stroke_fill=COLOURS[word.colour])
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


def to_tensor(images: list[Image.Image]) -> Tensor:
    """float32 [B, H, W, 3] in 0...1."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).float() / 255


# the codebook: what can stand in a cell of the target grid, then what can stand in a cell of the preview
CELL_CODES = {code: i for i, code in enumerate(
    [("empty", background) for background in BACKGROUNDS]
    + [("letter", letter, colour) for letter in LETTERS for colour in COLOURS]
    + [("shape", kind, colour, quarter) for kind in SHAPES for colour in COLOURS for quarter in range(4)]
    + [("some letters", colour) for colour in COLOURS]
    + [("some shape", kind, colour) for kind in SHAPES for colour in COLOURS])}


def cell_codes(poster: Poster) -> list[list[int]]:
    """The code of every cell of the 8 x 8 grid."""
    grid = [[CELL_CODES["empty", poster.background]] * GRID for _ in range(GRID)]
    for word in poster.words:
        for letter, (row, column) in zip(word.text, word_cells(word)):
            grid[row][column] = CELL_CODES["letter", letter, word.colour]
    for shape in poster.shapes:
        for quarter, (row, column) in enumerate(shape_cells(shape)):
            grid[row][column] = CELL_CODES["shape", shape.kind, shape.colour, quarter]
    return grid


def preview_codes(poster: Poster) -> list[list[int]]:
    """The code of every cell of the 4 x 4 preview, each over 2 x 2 cells: which shape, else whose letters, else the background."""
    half = GRID // 2
    grid = [[CELL_CODES["empty", poster.background]] * half for _ in range(half)]
    for item in (*poster.words, *poster.shapes):
        cells = shape_cells(item) if item.kind else word_cells(item)
        code = CELL_CODES["some shape", item.kind, item.colour] if item.kind else CELL_CODES["some letters", item.colour]
        for row, column in cells:
            grid[row // 2][column // 2] = code
    return grid
