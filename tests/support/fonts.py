"""Fonts of this machine."""

from PIL import ImageFont


def is_installed(font: str) -> bool:
    try:
        ImageFont.truetype(font)
    except OSError:
        return False
    return True
