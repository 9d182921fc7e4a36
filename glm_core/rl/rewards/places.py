"""Where the items of a poster stand in a sample, by the codes of its plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import GLMImageError
from ...evaluation.suites.codes import Codes, find_item, right_cells
from ...glyph import quoted_texts
from ...posters import NO_ZONE, Item, Poster, allowed_boxes, item_cells
from .base import Sample


@dataclass(frozen=True)
class Place:
    """An item in the box where it is, or else where it most likely should be. is_right: whether its codes are there."""

    item: Item
    is_right: bool


def require_poster(sample: Sample, reward: str) -> Poster:
    """The poster of the sample's task. Raises GLMImageError naming the reward if there is none."""
    if sample.task.poster is None:
        raise GLMImageError(f"reward {reward} needs tasks with a poster (got none for the prompt "
                            f"{sample.task.prompt!r})")
    return sample.task.poster


def places(sample: Sample, poster: Poster) -> list[Place]:
    """The place of every item of the task's poster."""
    codes, quoted = sample.plan.ids[0].tolist(), quoted_texts(sample.task.prompt)
    return [place(codes, item, poster.cells, quoted) for item in poster.items]


def place(codes: Codes, item: Item, cells: int, quoted: Sequence[str]) -> Place:
    """An item that no caption places is taken to be in its own box. cells, quoted: as for ``find_item``."""
    if item.zone == NO_ZONE:
        return Place(item, all(right_cells(codes, item, quoted)))
    found = find_item(codes, item, cells, quoted)
    return Place(found or nearest(codes, item, cells, quoted), found is not None)


def nearest(codes: Codes, item: Item, cells: int, quoted: Sequence[str]) -> Item:
    """The item in the allowed box where most of its codes are right, the first of equals."""
    placed = [replace(item, box=box) for box in allowed_boxes(item, cells)]
    return max(placed, key=lambda candidate: sum(right_cells(codes, candidate, quoted)))


def parts_of_cells(items: Sequence[Item], grid: Tensor) -> Tensor:
    """int64 like ``grid`` [h, w]: the index of the item that covers a cell, or -1."""
    parts = torch.full_like(grid, -1)
    for i, item in enumerate(items):
        for cell in item_cells(item):
            parts[cell] = i
    return parts
