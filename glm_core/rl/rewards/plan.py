"""The reward ``plan``: whether the codes of a plan show what its poster has, found out without drawing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import GLMImageError
from ...evaluation.suites.codes import Codes, judge, right_cells
from ...glyph import quoted_texts
from ...posters import NO_ZONE, Item, Poster, allowed_boxes, empty_code, item_cells
from ..tasks import RLTask
from .base import Sample, Score


@dataclass(frozen=True)
class PlanReward:
    """The share of the poster's items that are right, where a background without other codes counts as an item.

    parts: of each item, 1 if it is right. Its cells are those where it was found, or else those of the allowed box in
    which most of its codes are right. The background is all cells of no item.
    """

    needs_pictures: bool = False

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """Raises GLMImageError on a task without a poster that a caption describes."""
        return [score(sample) for sample in samples]


def score(sample: Sample) -> Score:
    poster, codes = described_poster(sample.task), sample.plan.ids[0].tolist()
    quoted = quoted_texts(sample.task.prompt)
    found = judge(codes, poster, quoted).found
    placed = [item or nearest(codes, wanted, poster.cells, quoted) for item, wanted in zip(found, poster.items)]
    part_of_cell = parts_of_cells(placed, sample.plan.ids[0])
    is_clean = bool((sample.plan.ids[0][part_of_cell == -1] == empty_code(poster)).all())
    parts = tuple(float(item is not None) for item in found)
    return Score((sum(parts) + is_clean) / (len(parts) + 1), parts, part_of_cell)


def described_poster(task: RLTask) -> Poster:
    """The task's poster. Raises GLMImageError unless it has one whose items have zones, as captions say them."""
    if task.poster is None or any(item.zone == NO_ZONE for item in task.poster.items):
        raise GLMImageError("reward plan needs tasks with a poster whose items stand in zones "
                            f"(got none for the prompt {task.prompt!r})")
    return task.poster


def nearest(codes: Codes, item: Item, cells: int, quoted: Sequence[str]) -> Item:
    """The item in the allowed box where most of its codes are right, the first of equals. cells: of the poster."""
    placed = [replace(item, box=box) for box in allowed_boxes(item, cells)]
    return max(placed, key=lambda candidate: sum(right_cells(codes, candidate, quoted)))


def parts_of_cells(items: Sequence[Item], like: Tensor) -> Tensor:
    """int64 [h, w] as ``like``: the index of the item that covers a cell, or -1."""
    parts = torch.full_like(like, -1)
    for i, item in enumerate(items):
        for cell in item_cells(item):
            parts[cell] = i
    return parts
