"""Fonts for captions: Pillow's own, and those of the system for characters that it lacks."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from PIL import ImageFont

INSTALLED = "NotoSansCJK-Regular.ttc", "msyh.ttc", "PingFang.ttc"  # of Debian, Windows and macOS
NO_CHARACTER = "\uffff"  # drawn as the box that stands for every character that a font lacks
OMISSION = "…"
MAX_LETTERS = 160  # of a line

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def caption_font(texts: Sequence[str], size: int) -> Font:
    """The first font, of Pillow's own and those in INSTALLED, that has the most of the texts' characters."""
    characters = set("".join(map(one_line, texts)))
    missing = {font: sum(not has_character(font, character) for character in characters) for font in fonts(size)}
    return min(missing, key=lambda font: missing[font])


def fonts(size: int) -> Iterator[Font]:
    yield ImageFont.load_default(size)
    for name in INSTALLED:
        with suppress(OSError):
            yield ImageFont.truetype(name, size)


def has_character(font: Font, character: str) -> bool:
    return character.isspace() or drawn(font, character) != drawn(font, NO_CHARACTER)


def drawn(font: Any, character: str) -> bytes:
    return bytes(font.getmask(character))


def one_line(text: str) -> str:
    """The text with single spaces; unpaired surrogates, which no font takes, become question marks."""
    return " ".join(text.encode(errors="replace").decode().split())


def readable(text: str, font: Font) -> str:
    """The text on one line, with … for each run of characters that the font lacks."""
    line = one_line(text)
    known = {character: has_character(font, character) for character in set(line)}
    shown = "".join(character if known[character] else OMISSION for character in line)
    while OMISSION * 2 in shown:
        shown = shown.replace(OMISSION * 2, OMISSION)
    return shown


def wrap(text: str, font: Font, width: int) -> list[str]:
    """The text in lines that are no wider than ``width`` pixels, unless a single letter is."""
    letters = len(text)
    while letters > 1:
        lines = textwrap.wrap(text, letters)
        if all(font.getlength(line) <= width for line in lines):
            return lines
        letters = min(letters - 1, MAX_LETTERS)
    return textwrap.wrap(text, 1)
