"""Picture files of benchmarks: finding them, cutting them into images, putting images together."""

import os
from collections.abc import Sequence
from hashlib import sha256
from math import isqrt
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import GLMImageError
from ..images import read_image, to_image
from .base import Case

SUFFIXES = ".png", ".jpg", ".jpeg", ".webp"  # which the official scorers read


def find_picture(folder: Path, case: Case) -> Path | None:
    """The picture file of a case, with its own suffix or another of SUFFIXES; None if there is none.

    Raises GLMImageError if there are several: which one counts would depend on the scorer.
    """
    named = folder / case.name
    found = [path for path in map(named.with_suffix, SUFFIXES) if path.exists()]
    if len(found) > 1:
        raise GLMImageError(f"{named}: there must be one picture (got {', '.join(path.name for path in found)})")
    return found[0] if found else None


def read_cells(path: Path, cells: int) -> list[Image.Image]:
    """The images of a picture file, row by row. Raises GLMImageError if it has too few pixels for them."""
    picture = to_image(read_image(path)[0])
    if min(picture.size) < isqrt(cells):
        raise GLMImageError(f"{path}: must have {cells} images in it (got {picture.width}x{picture.height} pixels)")
    return split(picture, cells)


def split(picture: Image.Image, cells: int) -> list[Image.Image]:
    """A picture cut into equal images in a square, row by row; what is left at the right and bottom is dropped."""
    columns = isqrt(cells)
    width, height = picture.width // columns, picture.height // columns
    return [picture.crop((x * width, y * height, (x + 1) * width, (y + 1) * height))
            for y in range(columns) for x in range(columns)]


def join(images: Sequence[Image.Image]) -> Image.Image:
    """Images of one size in a square, row by row."""
    columns = isqrt(len(images))
    width, height = images[0].size
    picture = Image.new("RGB", (columns * width, columns * height))
    for i, image in enumerate(images):
        picture.paste(image, (i % columns * width, i // columns * height))
    return picture


def is_black(image: Image.Image) -> bool:
    return not np.asarray(image).any()


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture without loss, and never a partial file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    picture.save(unfinished, format=path.suffix[1:], lossless=True)
    os.replace(unfinished, path)


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    return sha256(path.read_bytes()).hexdigest()
