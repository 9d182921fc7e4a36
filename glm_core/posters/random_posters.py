"""Random posters, and the pages without captions with which training starts."""

import random
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import NamedTuple

from ..geometry import TOKEN_PIXELS
from .scene import (
    BACKGROUNDS,
    COLUMNS,
    GRID,
    LARGE_LETTERS,
    NO_ZONE,
    ROWS,
    SHAPE_PITCH,
    SHAPES,
    SIDE,
    STEP,
    WORD_PITCH,
    Item,
    ItemBox,
    Poster,
    Style,
    contrasting,
    on_grid,
)
from .words import random_word

FREE_SHARE, CHINESE_SHARE = 0.5, 0.3  # of training posters
ZONE_BANDS = (0, 5), (5, 11), (11, 16)  # where each row or column of zones begins and ends on free posters, in steps
WORD_STARTS = (0, 0.25), (0.4, 0.6), (0.75, 1)  # of the spare width: where a free word starts in each column
WORD_ROWS = 0.75  # share of a dense page's rows that have words, not shapes
KEPT_SHARES = 1, 1, 0.6, 0.3  # shares of a dense page's items that are kept, one of which is drawn; others are left out


def random_style(rng: random.Random, serif: float, free: float = FREE_SHARE) -> Style:
    """serif, free: shares of posters with serif letters, and of free posters."""
    is_free = rng.random() < free
    is_chinese = rng.random() < CHINESE_SHARE
    return Style(is_free, is_chinese, "serif" if rng.random() < serif else "")


def start_range(band: int, size: int) -> tuple[int, int]:
    """First and last top or left, in steps, of an item of ``size`` pixels in a row or column of zones."""
    first, last = ZONE_BANDS[band]
    return first, last - size // STEP


def word_left_range(column: int, width: int) -> tuple[int, int]:
    """First and last left, in steps, that ``random_word_left`` gives."""
    spare_steps = (SIDE - width) / STEP
    lowest, highest = WORD_STARTS[column]
    return floor(spare_steps * lowest + 0.5), ceil(spare_steps * highest - 0.5)


def random_start(rng: random.Random, band: int, size: int) -> int:
    """Left or top of an item of ``size`` pixels in a row or column of zones: in pixels, a multiple of STEP."""
    return STEP * rng.randint(*start_range(band, size))


def random_word_left(rng: random.Random, column: int, width: int) -> int:
    """Left of a word of ``width`` pixels in a column of zones: in pixels, a multiple of STEP."""
    spare_steps = (SIDE - width) / STEP
    return STEP * round(spare_steps * rng.uniform(*WORD_STARTS[column]))


def free_box(rng: random.Random, zone: tuple[str, str], letters: int, size: str) -> ItemBox:
    """A random box in the zone. letters: 0 for a shape. A long word may extend into the next columns of zones."""
    row, column = ROWS.index(zone[0]), COLUMNS.index(zone[1])
    if letters:
        pitch = WORD_PITCH[size]
        left = random_word_left(rng, column, letters * pitch)
        return ItemBox(left, random_start(rng, row, pitch), pitch)
    pitch = SHAPE_PITCH[size]
    left = random_start(rng, column, 2 * pitch)
    return ItemBox(left, random_start(rng, row, 2 * pitch), pitch)


def allowed_boxes(item: Item, cells: int = GRID) -> list[ItemBox]:
    """All boxes that an item can have in a poster whose caption describes it like this; its own box does not matter.

    cells: as for ``position_item``.
    """
    if not item.size:
        return [on_grid(item, cells).require_box()]
    row, column = ROWS.index(item.zone[0]), COLUMNS.index(item.zone[1])
    if item.kind:
        pitch = SHAPE_PITCH[item.size]
        tops, lefts = start_range(row, 2 * pitch), start_range(column, 2 * pitch)
    else:
        pitch = WORD_PITCH[item.size]
        tops, lefts = start_range(row, pitch), word_left_range(column, len(item.text) * pitch)
    return [ItemBox(STEP * left, STEP * top, pitch)
            for top in range(tops[0], tops[1] + 1) for left in range(lefts[0], lefts[1] + 1)]


def position_item(rng: random.Random, item: Item, free: bool, cells: int = GRID) -> Item:
    """The item with a box in its zone: on the token grid, or with a random size and position if ``free``."""
    if not free:
        return on_grid(item, cells)
    letters = len(item.text)
    size = rng.choice(("small", "large")) if letters <= LARGE_LETTERS else "small"
    return replace(item, size=size, box=free_box(rng, item.zone, letters, size))


def random_lengths(rng: random.Random, longest: int) -> tuple[int, ...]:
    """Letters of one or two words, 1 to ``longest`` each."""
    count = rng.choice((1, 1, 2))
    return tuple(rng.randint(1, longest) for _ in range(count))


def random_shapes(rng: random.Random, colours: list[str], rows: list[str]) -> list[Item]:
    """Up to three shapes in different zones of these rows."""
    zones = [(row, column) for row in rows for column in COLUMNS]
    chosen = rng.sample(zones, rng.randint(0, min(3, len(zones))))
    return [Item(rng.choice(colours), zone, kind=rng.choice(SHAPES)) for zone in chosen]


def random_poster(rng: random.Random, lengths: tuple[int, ...] | None = None, held_out: frozenset[str] = frozenset(),
                  style: Style = Style(), cells: int = GRID) -> Poster:
    """One or two words in different rows of zones, and up to three shapes in the remaining rows.

    lengths: letters of each word, at most three words; None for one or two random lengths. held_out: words that must
    not appear. cells: rows and columns of the token grid; GRID for free posters, otherwise at least 6.
    """
    background = rng.choice(list(BACKGROUNDS))
    colours = contrasting(background)
    lengths = lengths or random_lengths(rng, cells)
    rows = rng.sample(ROWS, len(ROWS))
    words = [
        Item(rng.choice(colours), (rows[i], rng.choice(COLUMNS)), random_word(rng, length, held_out, style.chinese))
        for i, length in enumerate(lengths)
    ]
    shapes = random_shapes(rng, colours, rows[len(words) :])
    shuffled = rng.sample(words + shapes, len(words) + len(shapes))
    items = tuple(position_item(rng, item, style.free, cells) for item in shuffled)
    language = rng.choice(("en", "zh")) if style.chinese else "en"
    return Poster(background, items, cells, language, style.font)


def mixed_posters(rng: random.Random, count: int, held_out: frozenset[str] = frozenset(),
                  serif: float = 0) -> list[Poster]:
    """Posters in random styles. serif: share with serif letters."""
    return [random_poster(rng, None, held_out, random_style(rng, serif)) for _ in range(count)]


class PageRow(NamedTuple):
    """A row of a dense page, of words or shapes, all of one size."""

    has_words: bool
    size: str

    @property
    def pitch(self) -> int:
        """In pixels, as in ItemBox."""
        return WORD_PITCH[self.size] if self.has_words else SHAPE_PITCH[self.size]

    @property
    def height(self) -> int:
        """Of the row, in pixels, which is also the width of a letter or shape."""
        return self.pitch if self.has_words else 2 * self.pitch


@dataclass(frozen=True)
class DensePageWriter:
    """Draws the rows of a dense page at random; positions are in pixels. kept: share of the items that are kept."""

    rng: random.Random
    style: Style
    held_out: frozenset[str]
    cells: int
    colours: list[str]
    kept: float

    @property
    def side(self) -> int:
        return self.cells * TOKEN_PIXELS

    def first_top(self) -> int:
        return STEP * self.rng.randint(0, 1) if self.style.free else 0

    def row(self) -> PageRow:
        has_words = self.rng.random() < WORD_ROWS
        if self.style.free:
            return PageRow(has_words, self.rng.choice(("small", "large")))
        return PageRow(has_words, "small" if has_words else "large")

    def first_left(self, row: PageRow) -> int:
        return STEP * self.rng.randint(0, 2) if self.style.free else self.rng.choice((0, 0, row.pitch))

    def text(self, row: PageRow, left: int) -> str:
        """A word that fits between ``left`` and the right edge; "" in a row of shapes."""
        if not row.has_words:
            return ""
        length = min(self.rng.randint(1, self.cells), (self.side - left) // row.pitch)
        return random_word(self.rng, length, self.held_out, self.style.chinese)

    def item(self, row: PageRow, text: str, left: int, top: int) -> Item:
        colour = self.rng.choice(self.colours)
        kind = None if row.has_words else self.rng.choice(SHAPES)
        return Item(colour, NO_ZONE, text, kind, row.size, ItemBox(left, top, row.pitch))

    def gap_right(self, row: PageRow) -> int:
        return self.rng.choice((0, TOKEN_PIXELS) if row.has_words else (0, 0, TOKEN_PIXELS))

    def gap_below(self) -> int:
        return STEP * self.rng.randint(0, 1) if self.style.free else self.rng.choice((0, 0, 0, TOKEN_PIXELS))

    def fill(self, row: PageRow, top: int) -> list[Item]:
        """The items of a row, from left to right as long as there is room for a letter or shape."""
        items = []
        left = self.first_left(row)
        while left + row.height <= self.side:
            text = self.text(row, left)
            if self.rng.random() < self.kept:
                items.append(self.item(row, text, left, top))
            width = len(text) * row.pitch if row.has_words else 2 * row.pitch
            left += width + self.gap_right(row)
        return items


def random_dense_page(rng: random.Random, style: Style, held_out: frozenset[str] = frozenset(),
                      cells: int = GRID) -> Poster:
    """A page full of words and shapes in rows; half of all pages lack some items.

    It has no zones and no caption, but many more letters than a poster.
    """
    background = rng.choice(list(BACKGROUNDS))
    writer = DensePageWriter(rng, style, held_out, cells, contrasting(background), rng.choice(KEPT_SHARES))
    items: list[Item] = []
    top = writer.first_top()
    row = writer.row()
    while top + row.height <= writer.side:
        items += writer.fill(row, top)
        top += row.height + writer.gap_below()
        row = writer.row()
    return Poster(background, tuple(items), cells, font=style.font)


def random_short_text(rng: random.Random, lengths: tuple[int, ...], held_out: frozenset[str], style: Style) -> Poster:
    """Words of these lengths, one below the other, on a page a quarter the size of a poster. It has no zones.

    Positions are always free, whatever the style says.
    """
    background = rng.choice(list(BACKGROUNDS))
    cells = GRID // 2
    side = cells * TOKEN_PIXELS
    band = side // len(lengths)  # height for each word
    items = []
    for i, length in enumerate(lengths):
        size = rng.choice([size for size, pitch in WORD_PITCH.items() if length * pitch <= side])
        pitch = WORD_PITCH[size]
        left = STEP * rng.randint(0, (side - length * pitch) // STEP)
        top = i * band + STEP * rng.randint(0, (band - pitch) // STEP)
        colour = rng.choice(contrasting(background))
        text = random_word(rng, length, held_out, style.chinese)
        items.append(Item(colour, NO_ZONE, text, None, size, ItemBox(left, top, pitch)))
    return Poster(background, tuple(items), cells, font=style.font)
