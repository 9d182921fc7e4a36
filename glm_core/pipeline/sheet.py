"""The contact sheet: all pictures with their prompts beneath."""

import textwrap
from collections.abc import Sequence
from contextlib import suppress
from math import ceil, sqrt

from PIL import Image, ImageDraw, ImageFont

CELL, MARGIN, FONT_SIZE, LINE_HEIGHT = 320, 12, 15, 20
FIRST_CHINESE = "\u2e80"  # here Unicode's East Asian characters begin, of which Pillow's own font has none
CAPTION_FONTS = "NotoSansCJK-Regular.ttc", "msyh.ttc", "PingFang.ttc"  # as Debian, Windows and macOS name theirs


def caption_font(texts: Sequence[str]) -> ImageFont.FreeTypeFont:
    """Pillow's own; where the texts have Chinese characters, the first of ``CAPTION_FONTS`` that is installed."""
    if any(character >= FIRST_CHINESE for text in texts for character in text):
        for name in CAPTION_FONTS:
            with suppress(OSError):
                return ImageFont.truetype(name, FONT_SIZE)
    return ImageFont.load_default(FONT_SIZE)


def wrap(text: str, font: ImageFont.FreeTypeFont) -> list[str]:
    """Lines no wider than a cell."""
    letters = len(text)
    while True:
        lines = textwrap.wrap(text, max(letters, 1))
        if letters <= 1 or all(font.getlength(line) <= CELL for line in lines):
            return lines
        letters = min(letters - 1, 80)


def contact_sheet(pictures: Sequence[Image.Image], captions: Sequence[Sequence[str]]) -> Image.Image:
    """Pictures at most 320 pixels wide and high, as many columns as rows, under each its captions, wrapped."""
    font = caption_font([caption for lines in captions for caption in lines])
    texts = [[line for caption in lines for line in wrap(caption, font)] for lines in captions]
    columns = ceil(sqrt(len(pictures)))
    width = CELL + 2 * MARGIN
    height = CELL + LINE_HEIGHT * max(map(len, texts)) + 2 * MARGIN
    sheet = Image.new("RGB", (columns * width, ceil(len(pictures) / columns) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (picture, lines) in enumerate(zip(pictures, texts, strict=True)):
        left, top = i % columns * width + MARGIN, i // columns * height + MARGIN
        small = picture.resize([max(1, side * CELL // max(picture.size)) for side in picture.size], Image.Resampling.LANCZOS)
        sheet.paste(small, (left, top))
        for j, line in enumerate(lines):
            draw.text((left, top + small.height + 4 + j * LINE_HEIGHT), line, fill="black", font=font)
    return sheet
