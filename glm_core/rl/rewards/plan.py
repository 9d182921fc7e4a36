"""The reward ``plan``: whether the codes of a plan show what its poster has, found out without drawing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import GLMImageError
from ...posters import NO_ZONE, Poster, empty_code
from .base import Sample, Score
from .places import parts_of_cells, places, require_poster


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
    poster, ids = described_poster(sample), sample.plan.ids[0]
    placed = places(sample, poster)
    part_of_cell = parts_of_cells([place.item for place in placed], ids)
    is_clean = bool((ids[part_of_cell == -1] == empty_code(poster)).all())
    parts = tuple(float(place.is_right) for place in placed)
    return Score((sum(parts) + is_clean) / (len(parts) + 1), parts, part_of_cell)


def described_poster(sample: Sample) -> Poster:
    """The task's poster. Raises GLMImageError unless its items have zones, as captions say them."""
    poster = require_poster(sample, "plan")
    if any(item.zone == NO_ZONE for item in poster.items):
        raise GLMImageError("reward plan needs tasks whose prompts say where items stand "
                            f"(got the prompt {sample.task.prompt!r})")
    return poster
