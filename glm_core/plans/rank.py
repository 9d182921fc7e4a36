"""Plans in the order of how likely the planner finds them.

The preview grid does not count: it chooses among many layouts that are equally right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import GLMImageError, check_text
from ..files import quote
from ..geometry import check_range
from .edit import take
from .origin import Drawn
from .plan import Plan


@dataclass(frozen=True)
class Score:
    """How likely an item of a plan is.

    index: of the item, counted from 0. mean: log-probability per token of the target grid that is not background.
    tokens: their number. row, column: of the least likely of them, counted from 0. lowest: its log-probability.
    """

    index: int
    mean: float
    tokens: int
    row: int
    column: int
    lowest: float

    def line(self, seed: int | None) -> str:
        name = f"plan {self.index}" + ("" if seed is None else f" (seed {seed})")
        return (f"{name}: mean log-probability {self.mean:.3f} over {self.tokens} tokens that are not background, "
                f"lowest {self.lowest:.2f} at row {self.row}, column {self.column}")


def foreground(grid: Tensor) -> Tensor:
    """bool like grid [B, h, w]: tokens that are not background. The background is each item's most frequent token, but
    in a grid where all are the same, nothing is background."""
    items = grid.flatten(1)
    is_background = items == items.mode(1).values[:, None]
    return (~is_background | is_background.all(1, keepdim=True)).view_as(grid)


def score_items(plan: Plan) -> list[Score]:
    """The Score of every item, by the log-probabilities that the plan carries.

    Raises GLMImageError if it has none, or not finite ones.
    """
    plan = plan.to("cpu")
    rows, columns = plan.ids.shape[1:]
    log_probs = plan.require_log_probs("connect planner to compute them")[:, -rows * columns :].view_as(plan.ids)
    counted = foreground(plan.ids)
    return [score_item(i, log_probs[i], counted[i]) for i in range(plan.batch)]


def score_item(index: int, log_probs: Tensor, counted: Tensor) -> Score:
    """log_probs, counted: [h, w], of an item's tokens, and which of them count."""
    row, column = divmod(int(log_probs.masked_fill(~counted, torch.inf).argmin()), log_probs.shape[1])
    mean, lowest = float(log_probs[counted].mean()), float(log_probs[row, column])
    return Score(index, mean, int(counted.sum()), row, column, lowest)


def best_plans(plan: Plan, keep: int) -> tuple[Plan, list[Score]]:
    """The ``keep`` likeliest items, the likeliest first and equal ones in their order; and the scores of all, in order.

    Nothing of an item changes. Raises GLMImageError if the plan has no log-probabilities or fewer items than ``keep``.
    """
    check_range("keep", keep, 1, plan.batch)
    scores = sorted(score_items(plan), key=lambda score: -score.mean)
    return take(plan, [score.index for score in scores[:keep]]), scores


def best_of_each(plan: Plan, size: int) -> Plan:
    """Of every ``size`` items that follow one another the likeliest, the first of equal ones.

    Nothing of an item changes. Raises GLMImageError if size is above 1 and the plan has no log-probabilities.
    """
    if size == 1:
        return plan
    scores = score_items(plan)
    groups = [scores[start : start + size] for start in range(0, plan.batch, size)]
    return take(plan, [max(group, key=lambda score: score.mean).index for group in groups])


def describe(plan: Plan, scores: list[Score], keep: int) -> str:
    """One line per item, those that are kept first. plan: the one that ``scores`` are about."""
    seeds = [origin.seed if isinstance(origin, Drawn) else None for origin in plan.origins] or [None] * plan.batch
    lines = [score.line(seeds[score.index]) for score in scores]
    return "\n".join([f"{i}. {line}{'' if i <= keep else ' (not kept)'}" for i, line in enumerate(lines, 1)])


def to_indices(numbers: Iterable[int]) -> str:
    """As text on a wire: "0, 3"."""
    return ", ".join(map(str, numbers))


def read_indices(text: str) -> list[int]:
    """Inverse of ``to_indices``. Raises GLMImageError unless there are whole numbers from 0 on, each once."""
    check_text("indices", text)
    parts = text.replace(",", " ").split()
    numbers = [int(part) for part in parts if re.fullmatch("[0-9]{1,4}", part)]
    if len(set(numbers)) < len(parts):
        raise GLMImageError(f'indices must be different whole numbers from 0 on, such as "0, 3" (got {quote(text)})')
    return numbers
