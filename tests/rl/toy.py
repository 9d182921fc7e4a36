"""A task and a reward that need no posters: plans with many even codes."""

import random

import torch

from glm_core.rl.rewards import Sample, Score
from glm_core.rl.tasks import RLTask, TaskSource

SIDE = 64  # pixels: a plan of 2 x 2 tokens and its coarse grid


def draw_task(rng: random.Random) -> RLTask:
    return RLTask(rng.choice(("a", "the", "in")), (), kind="words", width=SIDE, height=SIDE)


SOURCE = TaskSource({"words": draw_task})


class EvenCodes:
    """The share of even codes; each cell of the target grid is a part of its own."""

    needs_pictures = False

    def __call__(self, samples: list[Sample]) -> list[Score]:
        return [self.score(sample.plan.ids[0]) for sample in samples]

    def score(self, ids: torch.Tensor) -> Score:
        is_even = (ids % 2 == 0).float()
        return Score(is_even.mean().item(), tuple(is_even.flatten().tolist()), torch.arange(ids.numel()).view_as(ids))
