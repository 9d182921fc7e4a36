"""Finding the shapes that a prompt asks for: regions of one colour, compared with the shapes as posters draw them.

A wanted shape counts as right where the largest region of its colour whose middle lies in its zone (a ninth of the picture) has
its kind. Every pixel takes the nearest of the posters' colours. A region counts from 1/20 of a zone, with sides up to half of
the picture's and no more than 1.5 times each other, and if it covers 0.7 of the shape's outline or more (intersection over union).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from ...posters.scene import BACKGROUNDS, COLUMNS, ROWS, SHAPES, Item, outline

SHORT_SIDE = 144  # regions are found on a picture of this size
STENCIL = 32
LEAST_AREA, MOST_SIDE, MOST_ASPECT, LEAST_OVERLAP = 1 / 20, 1 / 2, 1.5, 0.7


@dataclass(frozen=True)
class Region:
    """Pixels that touch: bool [H, W] within their bounding box, and where the box's middle lies, 0...1 of the picture."""

    mask: np.ndarray
    middle: tuple[float, float]

    @property
    def zone(self) -> tuple[str, str]:
        row, column = (min(int(3 * at), 2) for at in self.middle)
        return ROWS[row], COLUMNS[column]


def nearest_colours(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] → index into BACKGROUNDS, [H, W]."""
    distances = [((pixels.astype(np.int32) - rgb) ** 2).sum(-1) for rgb in BACKGROUNDS.values()]
    return np.argmin(distances, axis=0)


def shrink(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """bool [H, W] → bool of (width, height): what most pixels say."""
    return np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)) >= 128


def flood(rest: np.ndarray, start: tuple[int, int]) -> np.ndarray:
    """Take the pixels that touch ``start`` out of ``rest``, bool [H, W]; their rows and columns, [n, 2]."""
    rest[start] = False
    found = [start]
    for row, column in found:
        for at in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= at[0] < rest.shape[0] and 0 <= at[1] < rest.shape[1] and rest[at]:
                rest[at] = False
                found.append(at)
    return np.array(found)


def regions(mask: np.ndarray) -> Iterator[Region]:
    """The regions of a mask [H, W] that may be shapes, largest first."""
    rest, groups = mask.copy(), []
    for start in map(tuple, np.argwhere(mask)):
        if rest[start]:
            groups.append(flood(rest, start))
    for pixels in sorted(groups, key=len, reverse=True):
        top, sides = pixels.min(0), np.ptp(pixels, axis=0) + 1
        shape_like = (sides <= MOST_SIDE * np.array(mask.shape)).all() and sides.max() <= MOST_ASPECT * sides.min()
        if len(pixels) >= LEAST_AREA * mask.size / 9 and shape_like:
            box = np.zeros(sides, dtype=bool)
            box[tuple((pixels - top).T)] = True
            yield Region(box, tuple((top + sides / 2) / mask.shape))


@cache
def stencil(kind: str) -> np.ndarray:
    """The shape as posters draw it, filling bool [32, 32]."""
    image = Image.new("1", (STENCIL * 4,) * 2)
    draw = ImageDraw.Draw(image)
    if kind == "circle":
        draw.ellipse((0, 0, STENCIL * 4 - 1, STENCIL * 4 - 1), fill=1)
    else:
        draw.polygon(outline(kind, 0, 0, STENCIL * 4 - 1), fill=1)
    return shrink(np.asarray(image), (STENCIL, STENCIL))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def kind_of(region: Region) -> str | None:
    """The kind whose outline the region covers best; None where it resembles none."""
    filled = shrink(region.mask, (STENCIL, STENCIL))
    best = max(SHAPES, key=lambda kind: overlap(filled, stencil(kind)))
    return best if overlap(filled, stencil(best)) >= LEAST_OVERLAP else None


def seen_kinds(pixels: np.ndarray, wanted: Sequence[Item]) -> list[str | None]:
    """For every wanted shape the kind that stands in its zone in its colour, None where there is none.

    pixels: uint8 [H, W, 3].
    """
    height, width = pixels.shape[:2]
    size = tuple(max(1, round(SHORT_SIDE * side / min(width, height))) for side in (width, height))
    colours, names = nearest_colours(pixels), list(BACKGROUNDS)
    found: dict[str, dict] = {}
    for colour in {shape.colour for shape in wanted}:
        in_zone = found.setdefault(colour, {})
        for region in regions(shrink(colours == names.index(colour), size)):
            in_zone.setdefault(region.zone, kind_of(region))
    return [found[shape.colour].get(shape.zone) for shape in wanted]
