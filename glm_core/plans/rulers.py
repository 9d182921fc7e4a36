"""Row and column numbers, and the scale of probabilities, around pictures of grids."""

from itertools import pairwise

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..fonts import Font, caption_font
from .palette import LEAST_PROBABILITY, heat_colours

FRAME = 28 / 255  # grey of what is around and between the squares
INK = "#c8c8c8"
FONT_SIZE, LINE, SPACE = 11, 16, 4  # pixels; LINE: height of a line of numbers, SPACE: beside it
INTERVALS = 1, 2, 5, 10, 20, 50, 100  # from one number to the next, in rows or columns
BAR_HEIGHT, LONGEST_BAR = 8, 240
PERCENTS = "0.1 %", "1 %", "10 %", "100 %"  # at equal distances on the scale

Label = tuple[float, float, str, str]  # x, y, Pillow's anchor, text


def add_numbers(picture: Tensor, row_edges: Tensor, column_edges: Tensor) -> Tensor:
    """A picture [B, H, W, 3] of a grid with column numbers above it and row numbers on its left.

    row_edges, column_edges: where cells begin and end, in pixels. Only every second, fifth … is numbered where all of
    them would not fit.
    """
    font = caption_font([], FONT_SIZE)
    batch, height, width, _ = picture.shape
    left = round(font.getlength(str(len(row_edges) - 2))) + 2 * SPACE
    widest = font.getlength(str(len(column_edges) - 2)) + SPACE
    rows = [(left - SPACE, LINE + y, "rm", text) for y, text in numbers(row_edges, LINE)]
    columns = [(left + x, LINE / 2, "mm", text) for x, text in numbers(column_edges, widest)]
    framed = draw_labels(rows + columns, left + width, LINE + height, font).repeat(batch, 1, 1, 1)
    framed[:, LINE:, left:] = picture
    return framed


def numbers(edges: Tensor, room: float) -> list[tuple[float, str]]:
    """The middle of each numbered cell in pixels, and its number; ``room``: pixels that a number needs."""
    cell = float(edges[-1]) / (len(edges) - 1)
    interval = next((n for n in INTERVALS if n * cell >= room), len(edges))
    middles = [(start + end) / 2 for start, end in pairwise(edges.tolist())]
    numbered = [(middle, str(i)) for i, middle in enumerate(middles) if i % interval == 0]
    return [(middle, text) for middle, text in numbered if text == "0" or middle + room / 2 <= edges[-1]]


def draw_labels(labels: list[Label], width: int, height: int, font: Font) -> Tensor:
    """Text on the frame's grey, float32 [height, width, 3]."""
    image = Image.new("RGB", (width, height), (round(FRAME * 255),) * 3)
    draw = ImageDraw.Draw(image)
    for x, y, anchor, text in labels:
        draw.text((x, y), text, fill=INK, font=font, anchor=anchor)
    return torch.from_numpy(np.array(image)).float() / 255


def add_scale(picture: Tensor) -> Tensor:
    """A picture [B, H, W, 3] of probabilities with the scale of their colours beneath."""
    font = caption_font([], FONT_SIZE)
    batch, _, width, _ = picture.shape
    bar = max(1, min(width - 2 * SPACE, LONGEST_BAR))
    strip = draw_labels(scale_labels(bar, font), width, LINE + BAR_HEIGHT + 2 * SPACE, font)
    share = torch.linspace(1, 0, bar)
    strip[SPACE : SPACE + BAR_HEIGHT, SPACE : SPACE + bar] = heat_colours(share * np.log(LEAST_PROBABILITY))
    return torch.cat((picture, strip.expand(batch, -1, -1, -1)), dim=1)


def scale_labels(bar: int, font: Font) -> list[Label]:
    """The percentages beneath a bar of so many pixels: all, or those at its ends, or none, as there is room."""
    y, last = SPACE + BAR_HEIGHT + LINE / 2 + SPACE / 2, len(PERCENTS) - 1
    labels = [(SPACE + bar * i / last, y, "lm" if i == 0 else "rm" if i == last else "mm", text)
              for i, text in enumerate(PERCENTS)]
    for kept in (labels, [labels[0], labels[-1]]):
        if sum(font.getlength(text) + 2 * SPACE for *_, text in kept) <= bar:
            return kept
    return []
