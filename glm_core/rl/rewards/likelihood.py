"""The reward ``likelihood``: how likely the planner itself finds its plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...plans import score_items
from .base import Sample, Score


@dataclass(frozen=True)
class LikelihoodReward:
    """The mean log-probability of the target grid's tokens that are not background."""

    needs_pictures: bool = False

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """Raises GLMImageError on a plan without log-probabilities."""
        return [Score(score_items(sample.plan)[0].mean) for sample in samples]
