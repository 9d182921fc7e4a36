"""The fonts on this machine."""

from PIL import ImageFont


def is_installed(font: str) -> bool:
    """Whether Pillow finds a font by this file name."""
    try:
        ImageFont.truetype(font)
    except OSError:
        return False
    return True
