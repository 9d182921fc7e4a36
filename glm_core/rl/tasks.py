"""What is trained on: tasks of several kinds, equally many of each."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..evaluation.suites.posters import PosterTask
from ..plans import Plan
from ..posters import Poster


@dataclass(frozen=True)
class RLTask(PosterTask):
    """A task of some kind, for a picture of width x height pixels.

    poster: what a right picture shows, for rewards that compare with it. references: tokens of the reference images.
    plan: the plan to draw, for the decoder.
    """

    kind: str = ""
    width: int = 0
    height: int = 0
    poster: Poster | None = None
    references: tuple[Plan, ...] = ()
    plan: Plan | None = None


DrawTask = Callable[[random.Random], RLTask]


@dataclass(frozen=True)
class TaskSource:
    """Tasks at random, by kind."""

    kinds: Mapping[str, DrawTask]

    def draw(self, rng: random.Random, count: int, first: int = 0) -> list[RLTask]:
        """``count`` tasks of all kinds in turn. first: the number of tasks drawn before."""
        names = list(self.kinds)
        return [self.kinds[names[(first + i) % len(names)]](rng) for i in range(count)]
