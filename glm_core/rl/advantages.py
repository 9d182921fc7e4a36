"""Scores → advantages: how much better a sample is than the others of its group, which belong to the same task.

Each reward is centred within each group and divided by its deviation over the batch, so that rewards in different units
can be added, and small differences within a group are not magnified. (Dividing by a group's own deviation, as GRPO
originally did, gives a prompt whose samples hardly differ the weight of any other: Liu et al. 2025, "Understanding
R1-Zero-like training".)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import GLMImageError
from .rewards import Sample, Score, WeightedReward

LARGEST = 5.0  # advantages are clipped to this; source: Flow-GRPO
LARGEST_SCORE = 1e12  # whose square float32 can hold
SMALLEST_DEVIATION = 1e-6  # below it, all scores count as equal


@dataclass(frozen=True)
class Advantages:
    """For a batch of P groups of G samples.

    samples: float32 [P, G]. cells: for each group, float32 [G, h, w]; a cell of no part has its sample's advantage.
    means: of each reward's scores, by its name.
    """

    samples: Tensor
    cells: list[Tensor]
    means: dict[str, float]

    def is_kept(self, group: int) -> bool:
        """False for a group whose samples all have the same scores, so that nothing can be learned from it."""
        return bool(self.cells[group].any() or self.samples[group].any())


def standardise(values: Sequence[Tensor]) -> list[Tensor]:
    """Scores [G, ...] of each group → centred over each group, divided by the deviation over all groups, clipped."""
    centred = [centre(group) for group in values]
    deviation = torch.cat([group.flatten() for group in centred]).square().mean().sqrt()
    if deviation < SMALLEST_DEVIATION:
        return [torch.zeros_like(group) for group in centred]
    return [(group / deviation).clamp(-LARGEST, LARGEST) for group in centred]


def centre(scores: Tensor) -> Tensor:
    """Scores [G, ...] minus their mean over the group; just 0 where all are equal, which rounding would miss."""
    return torch.where((scores == scores[:1]).all(0), 0, scores - scores.mean(0))


def advantages(groups: Sequence[Sequence[Sample]], rewards: Sequence[WeightedReward]) -> Advantages:
    """The weighted sum of all rewards' advantages. groups: of samples of the same task, all equally many.

    Raises GLMImageError, naming the reward, on a score that is not finite or above LARGEST_SCORE.
    """
    flat = [sample for group in groups for sample in group]
    size = len(groups[0])
    samples = torch.zeros(len(groups), size)
    cells = [torch.zeros(size, *group[0].plan.ids.shape[1:]) for group in groups]
    means = {}
    for entry in rewards:
        scores = entry.reward(flat)
        check_scores(entry.name, scores)
        means[entry.name] = sum(score.value for score in scores) / len(scores)
        by_group = [scores[i : i + size] for i in range(0, len(scores), size)]
        whole = standardise([torch.tensor([score.value for score in group]) for group in by_group])
        parts = standardise([torch.tensor([score.parts for score in group]) for group in by_group])
        for i, group in enumerate(by_group):
            samples[i] += entry.weight * whole[i]
            cells[i] += entry.weight * cell_advantages(group, whole[i], parts[i])
    return Advantages(samples, cells, means)


def check_scores(name: str, scores: Sequence[Score]) -> None:
    for score in scores:
        for value in (score.value, *score.parts):
            if not abs(value) <= LARGEST_SCORE:  # NaN, too
                raise GLMImageError(f"reward {name}: scores must be from -{LARGEST_SCORE:g} to {LARGEST_SCORE:g} "
                                    f"(got {value:g})")


def cell_advantages(scores: Sequence[Score], whole: Tensor, parts: Tensor) -> Tensor:
    """float32 [G, h, w] or, of scores without parts, [G, 1, 1]. whole: [G]. parts: [G, number of parts]."""
    rows = []
    for score, own, own_parts in zip(scores, whole, parts, strict=True):
        if score.part_of_cell is None:
            rows.append(own.view(1, 1))
        else:
            with_rest = torch.cat((own_parts, own[None]))  # index -1 is the last
            rows.append(with_rest[score.part_of_cell])
    return torch.stack(rows)
