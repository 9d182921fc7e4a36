"""The codebook of posters: what a cell of a plan can show, and the codes of a poster's cells.

A code says what its cell shows, in which colour and size, and which part of it, so that a plan fixes its picture to
within half a token. Only one thing may stay ambiguous: which of two letters a cell shows, if the texts that the prompt
quotes determine it.
"""

from collections.abc import Iterator, Sequence
from itertools import product

from ..geometry import TOKEN_PIXELS
from .scene import (
    BACKGROUNDS,
    COLOURS,
    SHAPE_PITCH,
    SHAPES,
    STEP,
    WORD_PITCH,
    Cell,
    Item,
    Poster,
    item_cells,
    shape_cells,
    word_cells,
)
from .words import ALIKE, CHARACTERS, PAIR_OF, PAIRS

# parts of an item: x1 y2 starts at the item's left edge and one step below its top edge
X_PARTS, Y_PARTS = ("x1", "x2", "x3"), ("y1", "y2", "y3")
LETTER_PARTS = 2
SHAPE_PARTS = {"small": 2, "large": 3}

Code = tuple[str, ...]


def letter_codes() -> list[Code]:
    """Single letters, then pairs of letters; a pair does not say which of its two letters the cell shows."""
    names = [*CHARACTERS, *PAIRS]
    parts = X_PARTS[:LETTER_PARTS], Y_PARTS[:LETTER_PARTS]
    return [("letter", *details) for details in product(names, COLOURS, WORD_PITCH, *parts)]


def shape_codes() -> list[Code]:
    """Every part of every shape, in all colours and sizes."""
    return [
        ("shape", kind, colour, size, x, y)
        for kind, colour in product(SHAPES, COLOURS)
        for size, parts in SHAPE_PARTS.items()
        for x, y in product(X_PARTS[:parts], Y_PARTS[:parts])
    ]


def coarse_codes() -> list[Code]:
    """The coarse grid's own codes; those of empty cells it shares with the target grid."""
    letters = [("some letters", colour) for colour in COLOURS]
    shapes = [("some shape", kind, colour) for kind, colour in product(SHAPES, COLOURS)]
    return letters + shapes


def empty_codes() -> list[Code]:
    """Empty cells, of every background."""
    return [("empty", background) for background in BACKGROUNDS]


def serif_codes() -> list[Code]:
    """Empty cells of posters with serif letters. No other code says so, which keeps the codebook small."""
    return [("empty", background, "serif") for background in BACKGROUNDS]


ALL_CODES = [*empty_codes(), *letter_codes(), *shape_codes(), *coarse_codes(), *serif_codes()]
CELL_CODES = {code: i for i, code in enumerate(ALL_CODES)}
CODEBOOK_SIZE = len(CELL_CODES)


def part_on_grid(part: str) -> str:
    """The part that stands for this one on the token grid, where cells show only first and third parts: x1 for x2."""
    axis, number = part
    return axis + "1" if number == "2" else part


def reduced_code(code: Code) -> Code:
    """The code's counterpart in the reduced codebook: only pairs of letters, one size, only parts on the token grid."""
    match code:
        case "letter", letter, colour, _, _, _:
            return "letter", PAIR_OF[letter[0]], colour, "small", "x1", "y1"
        case "shape", kind, colour, _, x, y:
            return "shape", kind, colour, "large", part_on_grid(x), part_on_grid(y)
    return code


REDUCED_CODES = [CELL_CODES[reduced_code(code)] for code in CELL_CODES]


def to_reduced_codebook(grid: list[list[int]]) -> list[list[int]]:
    """A grid of codes, by rows → the grid of their counterparts."""
    return [[REDUCED_CODES[code] for code in row] for row in grid]


def part_shown(cell: Cell, left: int, top: int) -> tuple[str, str]:
    """Which part of an item the middle of a cell shows, such as ("x1", "y2"). left, top: of the item, in pixels."""
    row, column = cell
    x, y = column * TOKEN_PIXELS + STEP, row * TOKEN_PIXELS + STEP
    return f"x{(x - left) // STEP}", f"y{(y - top) // STEP}"


def ambiguous_letters(text: str, quoted: Sequence[str]) -> list[str]:
    """The letters of a word. In a quoted word, a letter becomes its pair unless the quoted texts have both letters.

    quoted: all texts that the prompt quotes. The pairs in ALIKE are never used.
    """
    if text not in quoted:
        return list(text)
    quoted_letters = set("".join(quoted))
    names = []
    for letter in text:
        pair = PAIR_OF[letter]
        is_determined = pair not in ALIKE and len(quoted_letters & set(pair)) == 1
        names.append(pair if is_determined else letter)
    return names


def letter_cell_codes(word: Item, quoted: Sequence[str]) -> Iterator[tuple[Cell, Code]]:
    """The cells of a word, and their codes. quoted: as for ``ambiguous_letters``."""
    left, top, pitch = word.require_box()
    size = "large" if pitch == WORD_PITCH["large"] else "small"  # not word.size, which is empty on the token grid
    for i, (name, cell) in enumerate(zip(ambiguous_letters(word.text, quoted), word_cells(word))):
        yield cell, ("letter", name, word.colour, size, *part_shown(cell, left + i * pitch, top))


def shape_cell_codes(shape: Item) -> Iterator[tuple[Cell, Code]]:
    """The cells of a shape, and their codes."""
    left, top, pitch = shape.require_box()
    size = "large" if pitch == SHAPE_PITCH["large"] else "small"
    for cell in shape_cells(shape):
        yield cell, ("shape", shape.noun, shape.colour, size, *part_shown(cell, left, top))


def item_cell_codes(item: Item, quoted: Sequence[str]) -> Iterator[tuple[Cell, Code]]:
    """The cells of an item, and their codes. quoted: as for ``ambiguous_letters``."""
    return shape_cell_codes(item) if item.kind else letter_cell_codes(item, quoted)


def empty_code(poster: Poster) -> int:
    """The code of an empty cell with the poster's background."""
    return CELL_CODES[("empty", poster.background, poster.font) if poster.font else ("empty", poster.background)]


def empty_cells(poster: Poster, cells: int) -> list[list[int]]:
    """A grid of cells x cells empty cells with the poster's background."""
    return [[empty_code(poster)] * cells for _ in range(cells)]


def cell_codes(poster: Poster, quoted: Sequence[str] = ()) -> list[list[int]]:
    """The code of every cell of the target grid, by rows, for a prompt that quotes the texts ``quoted``."""
    grid = empty_cells(poster, poster.cells)
    for item in poster.items:
        for (row, column), code in item_cell_codes(item, quoted):
            grid[row][column] = CELL_CODES[code]
    return grid


def coarse_grid_codes(poster: Poster) -> list[list[int]]:
    """The code of every cell of the coarse grid, by rows. Each covers 2 x 2 cells of the target grid.

    A cell shows the shape in these four cells, or else the colour of their letters, or else the background.
    """
    grid = empty_cells(poster, poster.cells // 2)
    for item in (*poster.words, *poster.shapes):
        code = ("some shape", item.kind, item.colour) if item.kind else ("some letters", item.colour)
        for row, column in item_cells(item):
            grid[row // 2][column // 2] = CELL_CODES[code]
    return grid
