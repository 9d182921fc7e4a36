"""The contact sheet: all pictures with their captions beneath."""

import textwrap
from collections.abc import Sequence
from contextlib import suppress
from math import ceil, sqrt

from PIL import Image, ImageDraw, ImageFont

CELL, MARGIN, FONT_SIZE, LINE_HEIGHT, GAP = 320, 12, 15, 20, 4  # pixels; GAP is between a picture and its captions
MAX_LETTERS = 80  # of a line
FIRST_CHINESE = "\u2e80"  # start of the East Asian characters in Unicode, which Pillow's built-in font lacks
CAPTION_FONTS = "NotoSansCJK-Regular.ttc", "msyh.ttc", "PingFang.ttc"  # of Debian, Windows and macOS

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(pictures: Sequence[Image.Image], captions: Sequence[Sequence[str]]) -> Image.Image:
    """Pictures at most 320 pixels wide and high, in about as many rows as columns, with wrapped captions beneath."""
    font = caption_font([caption for lines in captions for caption in lines])
    texts = [[line for caption in lines for line in wrap(caption, font)] for lines in captions]
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


def caption_font(texts: Sequence[str]) -> Font:
    """Pillow's built-in font; for texts with Chinese characters, the first of CAPTION_FONTS that is installed."""
    if any(character >= FIRST_CHINESE for text in texts for character in text):
        for name in CAPTION_FONTS:
            with suppress(OSError):
                return ImageFont.truetype(name, FONT_SIZE)
    return ImageFont.load_default(FONT_SIZE)


def wrap(text: str, font: Font) -> list[str]:
    """The text in lines that are no wider than a cell, unless a single letter is."""
    letters = len(text)
    while letters > 1:
        lines = textwrap.wrap(text, letters)
        if all(font.getlength(line) <= CELL for line in lines):
            return lines
        letters = min(letters - 1, MAX_LETTERS)
    return textwrap.wrap(text, 1)
