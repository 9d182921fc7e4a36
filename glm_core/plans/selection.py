"""Tokens that were selected in a plan, as a short text that a workflow can keep."""

import logging
import re

import torch
from torch import Tensor

from ..errors import GLMImageError
from ..files import quote
from ..geometry import LARGEST_SIDE, TOKEN_PIXELS

MOST_TOKENS = (LARGEST_SIDE // TOKEN_PIXELS) ** 2
MOST_TEXT = 2 * MOST_TOKENS + 16  # every second token of the largest grid: a digit and a comma for each
SELECTION = re.compile(r"(\d{1,3})x(\d{1,3}):(\d{1,5}(?:,\d{1,5})*)", re.ASCII)


def selected_region(text: str, rows: int, columns: int) -> Tensor:
    """The selected cells of a plan's target grid: bool [1, rows, columns].

    text: "" if nothing is selected, else the size of the grid and run lengths in reading order, from the upper left
    cell on: so many cells outside, so many inside, so many outside …; the rest is outside. "4x2:1,2,2,2" selects the
    two middle cells in the first of two rows of four, and the two after the first in the second row.

    A selection that was made in a grid of another size selects nothing, and a warning in the log says so.
    Raises GLMImageError if the text is not such a selection.
    """
    if not text:
        return torch.zeros(1, rows, columns, dtype=torch.bool)
    region = parse_selection(text)
    if region.shape != (rows, columns):
        logging.warning("the selection was made in a plan of %d x %d tokens and is ignored: this plan has %d x %d",
                        *reversed(region.shape), columns, rows)
        return torch.zeros(1, rows, columns, dtype=torch.bool)
    return region[None]


def parse_selection(text: str) -> Tensor:
    """The cells of a selection that is not empty, bool [rows, columns]. Raises GLMImageError as above."""
    match = SELECTION.fullmatch(text) if len(text) <= MOST_TEXT else None
    if match is None:
        raise GLMImageError('selection must be empty or COLUMNSxROWS:RUN,RUN,… such as "4x2:1,2,2,2" '
                            f"(got {quote(text)})")
    columns, rows = int(match[1]), int(match[2])
    runs = torch.tensor([int(run) for run in match[3].split(",")])
    cells, covered = columns * rows, int(runs.sum())
    if not 0 < cells <= MOST_TOKENS or covered > cells:
        raise GLMImageError(f"selection must have runs of at most {columns} x {rows} tokens in all, in a grid of 1 to "
                            f"{MOST_TOKENS} tokens (got {covered})")
    inside = torch.zeros(cells, dtype=torch.bool)
    inside[:covered] = (torch.arange(len(runs)) % 2 == 1).repeat_interleave(runs)
    return inside.view(rows, columns)
