"""Finding the shapes that a prompt asks for: regions of one colour, compared with the shapes as posters draw them.

A wanted shape is right if the largest region of its colour in its zone is of its kind. A region is in the zone (a ninth
of the picture) in which its centre lies. Each pixel counts as the nearest of the posters' colours. A region counts if
it covers at least 1/20 of a zone, is at most half as wide and high as the picture, and has an aspect ratio of at most
1.5. Its kind is the one whose outline overlaps with it most, if that is 0.7 or more (intersection over union).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from ...posters import BACKGROUNDS, COLUMNS, ROWS, SHAPES, Item, outline

SHORT_SIDE = 144  # pixels, to which the picture's short side is scaled before regions are found
STENCIL = 32  # side of a stencil in pixels
OVERSAMPLING = 4  # stencils are drawn this much larger and then reduced
ZONES = 9
MIN_AREA = 1 / 20  # of a zone
MAX_SIDE = 1 / 2  # of the picture's side
MAX_ASPECT = 1.5
MIN_OVERLAP = 0.7  # intersection over union


@dataclass(frozen=True)
class Region:
    """Connected pixels: bool [H, W] within their bounding box, and the box's centre (y, x), 0...1 of the picture."""

    mask: np.ndarray
    centre: tuple[float, float]

    @property
    def zone(self) -> tuple[str, str]:
        row, column = (min(int(3 * coordinate), 2) for coordinate in self.centre)
        return ROWS[row], COLUMNS[column]


def nearest_colours(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] → int64 [H, W], each pixel's index into BACKGROUNDS."""
    colours = np.array(list(BACKGROUNDS.values()), np.float32)  # in which these whole numbers are exact
    distances = (colours**2).sum(-1) - 2 * (pixels.astype(np.float32) @ colours.T)  # all less the pixel's own square
    return distances.argmin(-1)


def shrink(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """bool [H, W] → bool [height, width]; each pixel is what most pixels of its area are."""
    greys = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(greys.resize((width, height), Image.Resampling.BOX)) >= 128


def flood(rest: np.ndarray, start: tuple[int, int]) -> np.ndarray:
    """Clear the pixels of ``rest``, bool [H, W], that are connected to ``start``; their rows and columns, [n, 2]."""
    height, width = rest.shape
    rest[start] = False
    found = [start]
    for row, column in found:  # which grows during the loop
        for neighbour in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            is_inside = 0 <= neighbour[0] < height and 0 <= neighbour[1] < width
            if is_inside and rest[neighbour]:
                rest[neighbour] = False
                found.append(neighbour)
    return np.array(found)


def connected_pixels(mask: np.ndarray) -> list[np.ndarray]:
    """Rows and columns, [n, 2], of every connected group of a mask's pixels, largest first."""
    rest, groups = mask.copy(), []
    for row, column in np.argwhere(mask):
        if rest[row, column]:
            groups.append(flood(rest, (row, column)))
    return sorted(groups, key=len, reverse=True)


def regions(mask: np.ndarray) -> Iterator[Region]:
    """The regions of a mask, bool [H, W], that may be shapes, largest first."""
    for pixels in connected_pixels(mask):
        top_left, sides = pixels.min(0), np.ptp(pixels, axis=0) + 1
        if may_be_shape(len(pixels), sides, mask.shape):
            box = np.zeros(sides, dtype=bool)
            rows, columns = (pixels - top_left).T
            box[rows, columns] = True
            y, x = (top_left + sides / 2) / mask.shape
            yield Region(box, (float(y), float(x)))


def may_be_shape(area: int, sides: np.ndarray, picture: tuple[int, ...]) -> bool:
    """Whether a region may be a shape. sides: its height and width; picture: height and width; all in pixels."""
    height, width = picture
    is_large = area >= MIN_AREA * height * width / ZONES
    fits = bool((sides <= MAX_SIDE * np.array(picture)).all())
    return is_large and fits and bool(sides.max() <= MAX_ASPECT * sides.min())


@cache
def stencil(kind: str) -> np.ndarray:
    """The shape as posters draw it, bool [32, 32], from edge to edge."""
    side = STENCIL * OVERSAMPLING
    image = Image.new("1", (side, side))
    draw = ImageDraw.Draw(image)
    if kind == "circle":
        draw.ellipse((0, 0, side - 1, side - 1), fill=1)
    else:
        draw.polygon(outline(kind, 0, 0, side - 1), fill=1)
    return shrink(np.asarray(image), STENCIL, STENCIL)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks [H, W]."""
    return (a & b).sum() / (a | b).sum()


def kind_of(region: Region) -> str | None:
    """The kind of shape that the region overlaps with most; None if it resembles none."""
    filled = shrink(region.mask, STENCIL, STENCIL)
    overlaps = {kind: overlap(filled, stencil(kind)) for kind in SHAPES}
    best = max(overlaps, key=lambda kind: overlaps[kind])
    return best if overlaps[best] >= MIN_OVERLAP else None


def kinds_in_zones(mask: np.ndarray) -> dict[tuple[str, str], str | None]:
    """Zone → kind of the largest region in it, for those zones of a mask [H, W] that have a region."""
    kinds: dict[tuple[str, str], str | None] = {}
    for region in regions(mask):
        if region.zone not in kinds:
            kinds[region.zone] = kind_of(region)
    return kinds


def seen_kinds(pixels: np.ndarray, wanted: Sequence[Item]) -> list[str | None]:
    """For every wanted shape, the kind of shape that is in its zone in its colour; None if there is none.

    pixels: uint8 [H, W, 3].
    """
    height, width = pixels.shape[:2]
    small_width, small_height = (max(1, round(SHORT_SIDE * side / min(width, height))) for side in (width, height))
    colours, names = nearest_colours(pixels), list(BACKGROUNDS)
    found = {}
    for colour in {shape.colour for shape in wanted}:
        mask = shrink(colours == names.index(colour), small_width, small_height)
        found[colour] = kinds_in_zones(mask)
    return [found[shape.colour].get(shape.zone) for shape in wanted]
