"""What a reward is: a judge of plans or pictures that gives every sample of a batch a number.

A reward may also say how good each part of the picture is, and which cells of the plan drew it. The planner then learns
from each token what its own part was worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image
from torch import Tensor

from ...plans import Plan
from ..tasks import RLTask


@dataclass(frozen=True)
class Sample:
    """A plan [1, h, w] that was made for a task and, if a reward looks at pictures, the RGB picture drawn from it."""

    task: RLTask
    plan: Plan
    picture: Image.Image | None = None

    def require_picture(self) -> Image.Image:
        """The picture. Raises ValueError if there is none."""
        if self.picture is None:
            raise ValueError("sample must have a picture (got none)")
        return self.picture


@dataclass(frozen=True)
class Score:
    """How good a sample is, in any unit.

    parts: how good each of its parts is, in the same order for all samples of a task. part_of_cell: int64 [h, w], which
    part a cell of the target grid belongs to, or -1.
    """

    value: float
    parts: tuple[float, ...] = ()
    part_of_cell: Tensor | None = None


class Reward(Protocol):
    """A judge of samples."""

    @property
    def needs_pictures(self) -> bool:
        """Whether samples must have pictures."""
        ...

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """The score of every sample. Raises GLMImageError on a task that the reward cannot judge."""
        ...


@dataclass(frozen=True)
class WeightedReward:
    """A reward by its name and with its weight among others."""

    name: str
    weight: float
    reward: Reward


def need_pictures(rewards: Sequence[WeightedReward]) -> bool:
    """Whether any of the rewards looks at pictures."""
    return any(entry.reward.needs_pictures for entry in rewards)
