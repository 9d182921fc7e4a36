"""The contact sheet: all pictures with their captions beneath."""

from collections.abc import Sequence
from math import ceil, sqrt

from PIL import Image, ImageDraw

from ..fonts import Font, caption_font, readable, wrap

CELL, MARGIN, FONT_SIZE, LINE_HEIGHT, GAP = 320, 12, 15, 20, 4  # pixels; GAP is between a picture and its captions


def contact_sheet(pictures: Sequence[Image.Image], captions: Sequence[Sequence[str]]) -> Image.Image:
    """Pictures at most 320 pixels wide and high, in about as many rows as columns, with wrapped captions beneath."""
    font = caption_font([caption for lines in captions for caption in lines], FONT_SIZE)
    texts = [[line for caption in lines for line in wrap(readable(caption, font), font, CELL)] for lines in captions]
    columns = ceil(sqrt(len(pictures)))
    width = CELL + 2 * MARGIN
    height = CELL + LINE_HEIGHT * max(map(len, texts)) + 2 * MARGIN
    sheet = Image.new("RGB", (columns * width, ceil(len(pictures) / columns) * height), "white")
    for i, (picture, lines) in enumerate(zip(pictures, texts, strict=True)):
        row, column = divmod(i, columns)
        paste_picture(sheet, picture, lines, column * width + MARGIN, row * height + MARGIN, font)
    return sheet


def paste_picture(sheet: Image.Image, picture: Image.Image, lines: Sequence[str], left: int, top: int,
                  font: Font) -> None:
    """Put a picture with its lines of text into the sheet, its corner at (left, top)."""
    width, height = (max(1, side * CELL // max(picture.size)) for side in picture.size)
    sheet.paste(picture.resize((width, height), Image.Resampling.LANCZOS), (left, top))
    draw = ImageDraw.Draw(sheet)
    for i, line in enumerate(lines):
        draw.text((left, top + height + GAP + i * LINE_HEIGHT), line, fill="black", font=font)
