"""Drawing posters, at 32 x 32 pixels per cell."""

from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..geometry import TOKEN_PIXELS
from .scene import BACKGROUNDS, COLOURS, Item, Poster, letter_middles
from .words import CHINESE

CHINESE_FONTS = {"": "NotoSansCJK-Regular.ttc", "serif": "NotoSerifCJK-Regular.ttc"}
SIMPLIFIED = 2  # index of the Simplified Chinese face in these files
OVERSAMPLING = 4  # pictures are drawn this much larger and then reduced, so that edges are smooth
OUTLINES = {  # corners of shapes in a unit square
    "triangle": [(0.5, 0), (1, 1), (0, 1)],
    "diamond": [(0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)],
    "square": [(0, 0), (1, 0), (1, 1), (0, 1)],
    "cross": [
        (0.33, 0), (0.67, 0), (0.67, 0.33), (1, 0.33), (1, 0.67), (0.67, 0.67),
        (0.67, 1), (0.33, 1), (0.33, 0.67), (0, 0.67), (0, 0.33), (0.33, 0.33),
    ],
}


@cache
def load_font(size: int, name: str = "", chinese: bool = False) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of Latin or Chinese letters. size: in pixels. name: "" or "serif", as in Style.

    Aileron (CC0, part of Pillow); for serif letters DejaVu Serif (Bitstream Vera licence, part of matplotlib). For
    Chinese, Noto Sans or Serif CJK SC (SIL Open Font License), from Debian's package fonts-noto-cjk.
    Raises OSError if the font is not installed.
    """
    if chinese:
        return ImageFont.truetype(CHINESE_FONTS[name], round(0.9 * size), index=SIMPLIFIED)
    if not name:
        return ImageFont.load_default(size)
    import matplotlib  # an optional dependency

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSerif.ttf", round(0.9 * size))


def outline(kind: str, left: float, top: float, side: float) -> list[tuple[float, float]]:
    """Corners (x, y) of a shape other than a circle that fills the square at (left, top) with this side."""
    return [(left + x * side, top + y * side) for x, y in OUTLINES[kind]]


def draw_shape(draw: ImageDraw.ImageDraw, shape: Item) -> None:
    """Draw a shape into its box, with a margin, OVERSAMPLING times as large."""
    x, y, pitch = (OVERSAMPLING * value for value in shape.require_box())
    margin = pitch / 8
    left, top, side = x + margin, y + margin, 2 * pitch - 2 * margin
    colour = COLOURS[shape.colour]
    if shape.noun == "circle":
        draw.ellipse((left, top, left + side, top + side), fill=colour)
    else:
        draw.polygon(outline(shape.noun, left, top, side), fill=colour)


def draw_word(draw: ImageDraw.ImageDraw, word: Item, font: str) -> None:
    """Draw a word letter by letter into its box, OVERSAMPLING times as large. font: as in Style."""
    size = OVERSAMPLING * word.require_box().pitch
    colour = COLOURS[word.colour]
    for letter, (x, y) in zip(word.text, letter_middles(word)):
        draw.text(
            (OVERSAMPLING * x, OVERSAMPLING * y), letter, fill=colour, font=load_font(size, font, letter in CHINESE),
            anchor="mm", stroke_width=OVERSAMPLING // 2, stroke_fill=colour,
        )


def draw_poster(poster: Poster) -> Image.Image:
    """An RGB picture with smooth edges, 32 pixels per cell."""
    side = poster.cells * TOKEN_PIXELS
    image = Image.new("RGB", (side * OVERSAMPLING, side * OVERSAMPLING), BACKGROUNDS[poster.background])
    draw = ImageDraw.Draw(image)
    for shape in poster.shapes:
        draw_shape(draw, shape)
    for word in poster.words:
        draw_word(draw, word, poster.font)
    return image.resize((side, side), Image.Resampling.BOX)
