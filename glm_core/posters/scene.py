"""Posters as values: items, colours and zones, and which cells of the 8 x 8 token grid an item covers.

Each item is in one of nine zones. On the token grid, a word has one letter per cell and a shape covers 2 x 2 cells. On
a free poster, items start at any multiple of half a cell and have one of two sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..geometry import TOKEN_PIXELS

GRID = 8  # rows and columns of a poster's token grid
SIDE = GRID * TOKEN_PIXELS
STEP = TOKEN_PIXELS // 2  # free items start at multiples of this, so that they cover whole patches of the decoder
COLOURS = {
    "red": (214, 40, 40),
    "orange": (247, 127, 0),
    "yellow": (252, 211, 60),
    "green": (46, 139, 70),
    "blue": (38, 84, 196),
    "purple": (123, 44, 160),
    "black": (20, 20, 24),
    "white": (250, 250, 250),
}
BACKGROUNDS = COLOURS | {"grey": (150, 154, 160), "pink": (246, 180, 200)}
SHAPES = ("circle", "square", "triangle", "diamond", "cross")
ROWS, COLUMNS = ("top", "centre", "bottom"), ("left", "centre", "right")
NO_ZONE = "", ""  # of items on pages without captions
LUMA = np.array((0.299, 0.587, 0.114))  # weights of red, green and blue in brightness
CONTRAST = 60  # least difference in brightness between an item and its background; with less, OCR misses most text
WORD_PITCH = {"small": 2 * STEP, "large": 3 * STEP}
SHAPE_PITCH = {"small": 3 * STEP // 2, "large": 2 * STEP}
LARGE_LETTERS = SIDE // WORD_PITCH["large"]  # longest large word that fits on a poster

Cell = tuple[int, int]  # row, column


class ItemBox(NamedTuple):
    """Where an item is, in pixels. A word is one pitch high and one pitch wide per letter, a shape two by two."""

    left: int
    top: int
    pitch: int = TOKEN_PIXELS


@dataclass(frozen=True)
class Item:
    """A word (``kind`` None) or a shape, in a zone (row, column).

    size: "small" or "large" on free posters and pages, "" on the token grid. box: None until the item has a position.
    """

    colour: str
    zone: tuple[str, str]
    text: str = ""
    kind: str | None = None
    size: str = ""
    box: ItemBox | None = None

    @property
    def zone_name(self) -> str:
        """As captions call it: "top left", "left", "centre"."""
        names = [name for name in self.zone if name != "centre"]
        return " ".join(names) or "centre"

    @property
    def zone_phrase(self) -> str:
        """With its preposition: "at the top left", "in the centre"."""
        return "in the centre" if self.zone_name == "centre" else f"at the {self.zone_name}"

    @property
    def noun(self) -> str:
        return self.kind or "word"

    def require_box(self) -> ItemBox:
        """The box. Raises ValueError if the item has no position yet."""
        if self.box is None:
            raise ValueError(f"item must have a position (got {self})")
        return self.box


class Style(NamedTuple):
    """free: whether items are off the token grid. chinese: whether words are Chinese. font: "" or "serif"."""

    free: bool = False
    chinese: bool = False
    font: str = ""


@dataclass(frozen=True)
class Poster:
    """cells: rows and columns of the token grid. language: of the caption, "en" or "zh". font: as in Style."""

    background: str
    items: tuple[Item, ...]
    cells: int = GRID
    language: str = "en"
    font: str = ""

    @property
    def words(self) -> list[Item]:
        return [item for item in self.items if item.kind is None]

    @property
    def shapes(self) -> list[Item]:
        return [item for item in self.items if item.kind]


def contrasting(background: str) -> list[str]:
    """Names of the colours that are legible on a background."""
    background_luma = LUMA @ BACKGROUNDS[background]
    return [name for name, rgb in COLOURS.items() if abs(background_luma - LUMA @ rgb) >= CONTRAST]


def replace_item(poster: Poster, old: Item, new: Item | None) -> Poster:
    """The poster with ``new`` instead of ``old``, or without ``old`` if ``new`` is None."""
    items = [new if item is old else item for item in poster.items]
    return replace(poster, items=tuple(item for item in items if item is not None))


def word_start(zone: tuple[str, str], letters: int, cells: int) -> Cell:
    """Cell of a word's first letter on the token grid."""
    row, column = zone
    rest = cells - letters
    rows = {"top": 1, "centre": (cells - 1) // 2, "bottom": cells - 2}
    columns = {"left": 0, "centre": rest // 2, "right": rest}
    return rows[row], columns[column]


def shape_start(zone: tuple[str, str], cells: int) -> Cell:
    """Cell of a shape's top left quarter on the token grid."""
    row, column = zone
    first, middle, last = 0, cells // 2 - 1, cells - 2
    rows = dict(zip(ROWS, (first, middle, last)))
    columns = dict(zip(COLUMNS, (first, middle, last)))
    return rows[row], columns[column]


def on_grid(item: Item, cells: int = GRID) -> Item:
    """The item with a box on the token grid, in its zone."""
    row, column = shape_start(item.zone, cells) if item.kind else word_start(item.zone, len(item.text), cells)
    return replace(item, box=ItemBox(column * TOKEN_PIXELS, row * TOKEN_PIXELS))


def letter_middles(word: Item) -> list[tuple[float, float]]:
    """(x, y) of the middle of each letter, in pixels."""
    left, top, pitch = word.require_box()
    return [(left + (i + 0.5) * pitch, top + 0.5 * pitch) for i in range(len(word.text))]


def word_cells(word: Item) -> list[Cell]:
    """The cell that contains the middle of each letter."""
    return [(int(y) // TOKEN_PIXELS, int(x) // TOKEN_PIXELS) for x, y in letter_middles(word)]


def shape_cells(shape: Item) -> list[Cell]:
    """The cells whose middles lie in the shape's box."""
    left, top, pitch = shape.require_box()
    middles = [(i + 0.5) * TOKEN_PIXELS for i in range(GRID)]
    rows = [row for row, y in enumerate(middles) if top < y < top + 2 * pitch]
    columns = [column for column, x in enumerate(middles) if left < x < left + 2 * pitch]
    return [(row, column) for row in rows for column in columns]


def item_cells(item: Item) -> list[Cell]:
    return shape_cells(item) if item.kind else word_cells(item)
