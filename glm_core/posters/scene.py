"""Posters, their captions, and what stands in every cell of their 8 x 8 token grid.

Words and shapes stand in nine zones. On the grid, a word has one letter a cell and a shape covers 2 x 2 cells, so that a
caption says all there is to know. Items of free posters start at any half token within their zones, at one of two sizes. A
code says what its cell shows, of which size, and which part of it: the plan fixes a picture to the half token. It leaves
open only what the prompt's quoted texts tell: which of two letters it is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..geometry import TOKEN_PIXELS

GRID = 8
SIDE = GRID * TOKEN_PIXELS
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ23456789"  # without 0 and 1, which no reader tells from O and I
CHINESE = "春日夏月秋山冬水火花木鸟风星雪雨天画地书茶酒门店"
CHINESE_FONTS, SIMPLIFIED = {"": "NotoSansCJK-Regular.ttc", "serif": "NotoSerifCJK-Regular.ttc"}, 2  # which of the files' faces
CHARACTERS = LETTERS + CHINESE
PAIR = {sign: CHARACTERS[i // 2 * 2 : i // 2 * 2 + 2] for i, sign in enumerate(CHARACTERS)}  # seldom both in one word
ALIKE = "CD", "EF"  # differ in so few pixels that the decoder learned all other pairs in 1600 steps, but not these
COLOURS = {
    "red": (214, 40, 40), "orange": (247, 127, 0), "yellow": (252, 211, 60), "green": (46, 139, 70), "blue": (38, 84, 196),
    "purple": (123, 44, 160), "black": (20, 20, 24), "white": (250, 250, 250),
}
BACKGROUNDS = COLOURS | {"grey": (150, 154, 160), "pink": (246, 180, 200)}
SHAPES = ("circle", "square", "triangle", "diamond", "cross")
ROWS, COLUMNS = ("top", "centre", "bottom"), ("left", "centre", "right")
BRIGHTNESS = np.array((0.299, 0.587, 0.114))
CONTRAST = 60  # least difference in brightness of two colours that are drawn on each other; readers see little else
OVERSAMPLED = 4
TRANSLATED = {
    "red": "红色", "orange": "橙色", "yellow": "黄色", "green": "绿色", "blue": "蓝色", "purple": "紫色", "black": "黑色", "white": "白色",
    "grey": "灰色", "pink": "粉色", "circle": "圆形", "square": "方形", "triangle": "三角形", "diamond": "菱形", "cross": "十字",
    "top left": "左上角", "top": "顶部", "top right": "右上角", "left": "左侧", "centre": "中央", "right": "右侧",
    "bottom left": "左下角", "bottom": "底部", "bottom right": "右下角", "": "", "small": "小号", "large": "大号", "serif": "宋体",
}
FREE, IN_CHINESE = 0.5, 0.3  # shares of free posters and of those with Chinese words, where they are trained on
STEP = TOKEN_PIXELS // 2  # free items start at multiples of it; so they cover whole patches of the decoder
WORD_PITCH = {"small": 2 * STEP, "large": 3 * STEP}
LARGE_LETTERS = SIDE // WORD_PITCH["large"]  # that fit into a poster
SHAPE_PITCH = {"small": 3 * STEP // 2, "large": 2 * STEP}
BANDS = (0, 5), (5, 11), (11, 16)  # of the zones, in steps


class Box(NamedTuple):
    """Where an item stands, in pixels: a word is one pitch high and one a letter wide, a shape two by two."""

    left: int
    top: int
    pitch: int = TOKEN_PIXELS


@dataclass(frozen=True)
class Item:
    """A word (kind None) or a shape, its colour and its zone (row, column); on a free poster, whether it is small or large."""

    colour: str
    zone: tuple[str, str]
    text: str = ""
    kind: str | None = None
    size: str = ""
    box: Box | None = None

    @property
    def zone_name(self) -> str:
        row, column = self.zone
        return "centre" if row == column == "centre" else " ".join(name for name in self.zone if name != "centre")

    @property
    def where(self) -> str:
        return f"in the {self.zone_name}" if self.zone_name == "centre" else f"at the {self.zone_name}"

    @property
    def noun(self) -> str:
        return self.kind or "word"


class Style(NamedTuple):
    """What a poster is to be like: items at any half token, Chinese words, letters in this font ("" or "serif")."""

    free: bool = False
    chinese: bool = False
    font: str = ""


@dataclass(frozen=True)
class Poster:
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
    there = BRIGHTNESS @ BACKGROUNDS[background]
    return [name for name, rgb in COLOURS.items() if abs(there - BRIGHTNESS @ rgb) >= CONTRAST]


def random_style(rng: random.Random, serif: float, free: float = FREE) -> Style:
    """With these shares of posters that have serifs and of free ones."""
    return Style(rng.random() < free, rng.random() < IN_CHINESE, "serif" if rng.random() < serif else "")


def random_word(rng: random.Random, length: int, held_out: frozenset[str] = frozenset(), chinese: bool = False) -> str:
    """Random letters, with the vowels more often so that they look like words, or Chinese; never one of ``held_out``."""
    while True:
        word = "".join(rng.choice(CHINESE if chinese else "AEIOU" if rng.random() < 0.2 else LETTERS) for _ in range(length))
        if word not in held_out:
            return word


def on_grid(item: Item, cells: int = GRID) -> Item:
    """The item at its place on the token grid."""
    row, column = item.zone
    if item.kind:
        starts = {"top": 0, "left": 0, "centre": cells // 2 - 1, "bottom": cells - 2, "right": cells - 2}
        start = starts[column], starts[row]
    else:
        rest = cells - len(item.text)
        start = ({"left": 0, "centre": rest // 2, "right": rest}[column],
                 {"top": 1, "centre": (cells - 1) // 2, "bottom": cells - 2}[row])
    return replace(item, box=Box(*(TOKEN_PIXELS * at for at in start)))


def free_box(rng: random.Random, zone: tuple[str, str], letters: int, size: str) -> Box:
    """Anywhere in the zone; words may reach over their draft_sources'."""
    row, column = ROWS.index(zone[0]), COLUMNS.index(zone[1])
    pitch = WORD_PITCH[size] if letters else SHAPE_PITCH[size]

    def start(band: int, side: int) -> int:
        first, end = BANDS[band]
        return STEP * rng.randint(first, end - side // STEP)

    if letters:
        rest = SIDE - letters * pitch
        left = STEP * round(rest / STEP * rng.uniform(*((0, 0.25), (0.4, 0.6), (0.75, 1))[column]))
        return Box(left, start(row, pitch), pitch)
    return Box(start(column, 2 * pitch), start(row, 2 * pitch), pitch)


def place(rng: random.Random, item: Item, free: bool, cells: int = GRID) -> Item:
    if not free:
        return on_grid(item, cells)
    letters = len(item.text)
    size = rng.choice(("small", "large")) if letters <= LARGE_LETTERS else "small"
    return replace(item, size=size, box=free_box(rng, item.zone, letters, size))


def random_poster(rng: random.Random, lengths: tuple[int, ...] | None = None, held_out: frozenset[str] = frozenset(),
                  style: Style = Style(), cells: int = GRID) -> Poster:
    """One or two words (of these lengths, if given) in bands of their own, and up to three shapes in the bands that are left.

    Free ones have the whole ``cells``, those on the grid six at least.
    """
    background = rng.choice(list(BACKGROUNDS))
    colours = contrasting(background)
    lengths = lengths or tuple(rng.randint(1, cells) for _ in range(rng.choice((1, 1, 2))))
    bands = rng.sample(ROWS, len(ROWS))
    words = [Item(rng.choice(colours), (bands[i], rng.choice(COLUMNS)), text=random_word(rng, length, held_out, style.chinese))
             for i, length in enumerate(lengths)]
    left = [(row, column) for row in bands[len(lengths):] for column in COLUMNS]
    shapes = [Item(rng.choice(colours), zone, kind=rng.choice(SHAPES)) for zone in rng.sample(left, rng.randint(0, min(3, len(left))))]
    items = tuple(place(rng, item, style.free, cells) for item in rng.sample(words + shapes, len(words) + len(shapes)))
    return Poster(background, items, cells, rng.choice(("en", "zh")) if style.chinese else "en", style.font)


def random_dense_page(rng: random.Random, style: Style, held_out: frozenset[str] = frozenset(), cells: int = GRID) -> Poster:
    """A poster full of words and shapes, row under row, in no zones; from every other one some are left out.

    It has no caption, but many times the letters of a poster that has.
    """
    background = rng.choice(list(BACKGROUNDS))
    colours = contrasting(background)
    side, kept, free = cells * TOKEN_PIXELS, rng.choice((1, 1, 0.6, 0.3)), style.free
    items: list[Item] = []
    top = STEP * rng.randint(0, 1) if free else 0
    while True:
        words = rng.random() < 0.75
        size = rng.choice(("small", "large")) if free else "small" if words else "large"
        pitch = (WORD_PITCH if words else SHAPE_PITCH)[size]
        height = pitch if words else 2 * pitch
        if top + height > side:
            return Poster(background, tuple(items), cells, font=style.font)
        left = STEP * rng.randint(0, 2) if free else rng.choice((0, 0, pitch))
        while left + height <= side:
            text = random_word(rng, min(rng.randint(1, cells), (side - left) // pitch), held_out, style.chinese) if words else ""
            if rng.random() < kept:
                items.append(Item(rng.choice(colours), ("", ""), text, None if words else rng.choice(SHAPES), size, Box(left, top, pitch)))
            left += pitch * len(text) + rng.choice((0, TOKEN_PIXELS)) if words else 2 * pitch + rng.choice((0, 0, TOKEN_PIXELS))
        top += height + (STEP * rng.randint(0, 1) if free else rng.choice((0, 0, 0, TOKEN_PIXELS)))


def random_short_text(rng: random.Random, lengths: tuple[int, ...], held_out: frozenset[str], style: Style) -> Poster:
    """Short words of these lengths, one under the other in no zones, on a quarter of a poster. It is always free."""
    background, cells, items = rng.choice(list(BACKGROUNDS)), GRID // 2, []
    side = cells * TOKEN_PIXELS
    band = side // len(lengths)
    for i, length in enumerate(lengths):
        size = rng.choice([size for size, pitch in WORD_PITCH.items() if length * pitch <= side])
        pitch = WORD_PITCH[size]
        left, top = (STEP * rng.randint(0, rest // STEP) for rest in (side - length * pitch, band - pitch))
        items.append(Item(rng.choice(contrasting(background)), ("", ""), random_word(rng, length, held_out, style.chinese), None,
                          size, Box(left, i * band + top, pitch)))
    return Poster(background, tuple(items), cells, font=style.font)


def mixed_posters(rng: random.Random, count: int, held_out: frozenset[str] = frozenset(), serif: float = 0) -> list[Poster]:
    """Free ones and ones on the grid, English and Chinese ones."""
    return [random_poster(rng, None, held_out, random_style(rng, serif)) for _ in range(count)]


def article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def with_words(poster: Poster, words: list[str]) -> Poster:
    """The same poster with these words in place of its own, which have the same lengths, in any order."""
    fresh = dict(zip(sorted(poster.words, key=lambda word: len(word.text)), sorted(words, key=len), strict=True))
    return replace(poster, items=tuple(item if item.kind else replace(item, text=fresh[item]) for item in poster.items))


def with_pair(rng: random.Random, poster: Poster, held_out: frozenset[str]) -> Poster:
    """The same poster, a letter of its texts changed so that they have both letters of a pair, which by chance they seldom have."""
    letters = [(item, i) for item in poster.words for i in range(len(item.text))]
    if len(letters) < 2:
        return poster
    (item, i), (other, j) = rng.sample(letters, 2)
    partner = PAIR[other.text[j]].replace(other.text[j], "")
    changed = replace(item, text=item.text[:i] + partner + item.text[i + 1 :])
    return poster if changed.text in held_out else replace(poster, items=tuple(changed if each is item else each for each in poster.items))


def caption(poster: Poster) -> str:
    if poster.language == "zh":
        return chinese_caption(poster)
    parts = [f"{article(poster.background).capitalize()} {poster.background} poster."]
    for item in poster.items:
        look = f"{item.size} {item.colour}".strip()
        what = f"{article(look)} {look} {item.kind}" if item.kind else f'"{item.text}" in {" ".join([look, poster.font]).strip()} letters'
        parts.append(f"{item.where.capitalize()}, {what}.")
    return " ".join(parts)


def chinese_caption(poster: Poster) -> str:
    parts = [f"{TRANSLATED[poster.background]}海报。"]
    for item in poster.items:
        what = TRANSLATED[item.kind] if item.kind else f"{TRANSLATED[poster.font]}的“{item.text}”"
        parts.append(f"{TRANSLATED[item.zone_name]}，{TRANSLATED[item.size]}{TRANSLATED[item.colour]}{what}。")
    return "".join(parts)


def letter_middles(word: Item) -> list[tuple[float, float]]:
    left, top, pitch = word.box
    return [(left + (i + 0.5) * pitch, top + 0.5 * pitch) for i in range(len(word.text))]


def word_cells(word: Item) -> list[tuple[int, int]]:
    """The cell (row, column) with the middle of each letter."""
    return [(int(y) // TOKEN_PIXELS, int(x) // TOKEN_PIXELS) for x, y in letter_middles(word)]


def shape_cells(shape: Item) -> list[tuple[int, int]]:
    """The cells (row, column) whose middles are in the shape's box."""
    left, top, pitch = shape.box
    middles = [(i + 0.5) * TOKEN_PIXELS for i in range(GRID)]
    return [(row, column) for row, y in enumerate(middles) if top < y < top + 2 * pitch
            for column, x in enumerate(middles) if left < x < left + 2 * pitch]


@cache
def font(size: int, name: str = "", chinese: bool = False) -> ImageFont.FreeTypeFont:
    """Aileron (CC0), which Pillow carries; with serifs DejaVu Serif (free), which matplotlib carries; for Chinese Noto Sans and
    Serif CJK SC (OFL), which Debian's fonts-noto-cjk carries."""
    if chinese:
        return ImageFont.truetype(CHINESE_FONTS[name], round(0.9 * size), index=SIMPLIFIED)
    if not name:
        return ImageFont.load_default(size)
    import matplotlib  # only training wants it

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSerif.ttf", round(0.9 * size))


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
    x, y, pitch = (OVERSAMPLED * value for value in shape.box)
    margin = pitch / 8
    left, top, side = x + margin, y + margin, 2 * pitch - 2 * margin
    if shape.kind == "circle":
        draw.ellipse((left, top, left + side, top + side), fill=COLOURS[shape.colour])
    else:
        draw.polygon(outline(shape.kind, left, top, side), fill=COLOURS[shape.colour])


def draw_poster(poster: Poster) -> Image.Image:
    """32 pixels a cell, drawn large and reduced, so that edges are smooth."""
    side = poster.cells * TOKEN_PIXELS
    image = Image.new("RGB", (side * OVERSAMPLED,) * 2, BACKGROUNDS[poster.background])
    draw = ImageDraw.Draw(image)
    for shape in poster.shapes:
        draw_shape(draw, shape)
    for word in poster.words:
        for letter, middle in zip(word.text, letter_middles(word)):
            face = font(word.box.pitch * OVERSAMPLED, poster.font, letter in CHINESE)
            draw.text([OVERSAMPLED * at for at in middle], letter, fill=COLOURS[word.colour], font=face, anchor="mm",
                      stroke_width=OVERSAMPLED // 2, stroke_fill=COLOURS[word.colour])
    return image.resize((side, side), Image.Resampling.BOX)


def to_tensor(images: list[Image.Image]) -> Tensor:
    """float32 [B, H, W, 3] in 0...1."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).float() / 255


def to_pixels(posters: list[Poster]) -> Tensor:
    """What the autoencoder takes: float32 [B, 3, H, W] in -1...1."""
    return to_tensor([draw_poster(poster) for poster in posters]).movedim(-1, 1) * 2 - 1


# the codebook: what can stand in a cell of the target grid, then what can stand in a cell of the preview. x1 y2 is the part
# of an item that the middle of its cell shows: one step right of the item's left side and two below its top. Two letters
# in place of one leave open which it is. Of letters with serifs only the empty cells tell, to keep the codebook small
CELL_CODES = {code: i for i, code in enumerate(
    [("empty", background) for background in BACKGROUNDS]
    + [("letter", letter, colour, size, x, y) for letter in (*CHARACTERS, *dict.fromkeys(PAIR.values())) for colour in COLOURS
       for size in WORD_PITCH for x in ("x1", "x2") for y in ("y1", "y2")]
    + [("shape", kind, colour, size, x, y) for kind in SHAPES for colour in COLOURS for size, parts in (("small", 2), ("large", 3))
       for x in ("x1", "x2", "x3")[:parts] for y in ("y1", "y2", "y3")[:parts]]
    + [("some letters", colour) for colour in COLOURS]
    + [("some shape", kind, colour) for kind in SHAPES for colour in COLOURS]
    + [("empty", background, "serif") for background in BACKGROUNDS])}


def coarser(code: tuple[str, ...]) -> tuple[str, ...]:
    """What a coarse codebook has in place of a code: it knows pairs of letters only, and neither sizes nor parts off the grid."""
    match code:
        case "letter", letter, colour, _, _, _:
            return "letter", PAIR[letter[0]], colour, "small", "x1", "y1"
        case "shape", kind, colour, _, x, y:
            return "shape", kind, colour, "large", *(at if at[1] != "2" else at[0] + "1" for at in (x, y))
    return code


COARSER = [CELL_CODES[coarser(code)] for code in CELL_CODES]


def coarse(grid: list[list[int]]) -> list[list[int]]:
    return [[COARSER[code] for code in row] for row in grid]


def part_shown(cell: tuple[int, int], left: int, top: int) -> tuple[str, str]:
    """Which part of an item that starts at ``left`` and ``top`` the middle of a cell (row, column) shows."""
    row, column = cell
    return tuple(f"{axis}{(at * TOKEN_PIXELS + STEP - start) // STEP}" for axis, at, start in (("x", column, left), ("y", row, top)))


def ambiguous_letters(text: str, quoted: Sequence[str]) -> list[str]:
    """The word's letters; if it is quoted, the pair instead of a letter wherever the quoted texts have only one of the two."""
    told = {*"".join(quoted)} if text in quoted else set()
    pairs = [PAIR[letter] for letter in text]
    return [pair if pair not in ALIKE and len({*pair} & told) == 1 else letter for letter, pair in zip(text, pairs)]


def cells_shown(item: Item, quoted: Sequence[str]) -> Iterator[tuple[tuple[int, int], int]]:
    """The cells of an item and their codes."""
    left, top, pitch = item.box
    if item.kind:
        what, large, parts = "shape", SHAPE_PITCH["large"], [(item.kind, left, cell) for cell in shape_cells(item)]
    else:
        letters = enumerate(zip(ambiguous_letters(item.text, quoted), word_cells(item)))
        what, large, parts = "letter", WORD_PITCH["large"], [(letter, left + i * pitch, cell) for i, (letter, cell) in letters]
    size = "large" if pitch == large else "small"  # the item's own is empty on the grid
    for name, start, cell in parts:
        yield cell, CELL_CODES[(what, name, item.colour, size, *part_shown(cell, start, top))]


def empty_cells(poster: Poster, cells: int) -> list[list[int]]:
    code = ("empty", poster.background, poster.font) if poster.font else ("empty", poster.background)
    return [[CELL_CODES[code]] * cells for _ in range(cells)]


def cell_codes(poster: Poster, quoted: Sequence[str] = ()) -> list[list[int]]:
    """The code of every cell of the poster's grid, for a prompt that quotes these texts."""
    grid = empty_cells(poster, poster.cells)
    for item in poster.items:
        for (row, column), code in cells_shown(item, quoted):
            grid[row][column] = code
    return grid


def coarse_grid_codes(poster: Poster) -> list[list[int]]:
    """The code of every cell of the 4 x 4 preview, each over 2 x 2 cells: which shape, else whose letters, else the background."""
    grid = empty_cells(poster, poster.cells // 2)
    for item in (*poster.words, *poster.shapes):
        cells = shape_cells(item) if item.kind else word_cells(item)
        code = CELL_CODES["some shape", item.kind, item.colour] if item.kind else CELL_CODES["some letters", item.colour]
        for row, column in cells:
            grid[row // 2][column // 2] = code
    return grid
