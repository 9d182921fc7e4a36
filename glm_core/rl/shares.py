"""Figures that are shares, with 95 % intervals by the bootstrap over prompts, and tables of them before and after.

All counts of a prompt are drawn together, so that neither words of one poster nor plans of one prompt are taken as
independent. For a change, both figures are of the same prompts and seeds in every draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

DRAWS = 2000
CONFIDENCE = 95  # percent
DIGITS = 9  # of the ends of an interval, which without rounding differ even if all draws are alike

Counts = list[tuple[int, int]]  # of each prompt: how many there are that count, of how many
Shares = dict[str, dict[str, Counts]]  # by row and column of a table, so that they can be kept as JSON


class Share(NamedTuple):
    """A share, or a change of one, and the ends of its interval."""

    value: float
    low: float
    high: float


def add_counts(shares: Shares, row: str, **columns: tuple[int, int]) -> None:
    """Add a prompt's counts to a row; _ in a column's name is written as a blank."""
    for name, counts in columns.items():
        shares.setdefault(row, {}).setdefault(name.replace("_", " "), []).append(counts)


def ratio(counts: np.ndarray) -> np.ndarray:
    """Shares [...] of counts [..., prompts, 2]; NaN where there is nothing to count."""
    right, total = counts[..., 0].sum(-1), counts[..., 1].sum(-1)
    return np.divide(right, total, out=np.full(total.shape, np.nan), where=total > 0)


def draws(prompts: int) -> np.ndarray:
    """Indices of prompts drawn with replacement, [DRAWS, prompts]; the same ones for equally many prompts."""
    return np.random.default_rng(0).integers(prompts, size=(DRAWS, prompts))


def share_of(counts: Sequence[Sequence[int]]) -> Share:
    """The share over all prompts."""
    values = np.array(counts, np.float64)
    return with_interval(ratio(values), ratio(values[draws(len(values))]))


def change_of(before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> Share:
    """How much the share over the same prompts has grown. Raises ValueError unless these are equally many."""
    if len(before) != len(after):
        raise ValueError(f"before and after must be of the same prompts (got {len(before)} and {len(after)})")
    first, second = np.array(before, np.float64), np.array(after, np.float64)
    chosen = draws(len(first))
    return with_interval(ratio(second) - ratio(first), ratio(second[chosen]) - ratio(first[chosen]))


def with_interval(value: np.ndarray, drawn: np.ndarray) -> Share:
    rest = (100 - CONFIDENCE) / 2
    low, high = np.nanpercentile(drawn, (rest, 100 - rest)) if not np.isnan(drawn).all() else (np.nan, np.nan)
    return Share(float(value), round(float(low), DIGITS), round(float(high), DIGITS))


def table(before: Shares, after: Shares | None = None) -> list[str]:
    """Lines of a table: every share before and, if there are others, after, and the change in percentage points.

    A figure for which there is nothing to count is left out.
    """
    titles = ["", "figure", "before", *(["after", "change"] if after else [])]
    rows = [[row, column, *cells(counts, after[row][column] if after else None)]
            for row, columns in before.items() for column, counts in columns.items() if any(of for _, of in counts)]
    widths = [max(map(len, texts)) for texts in zip(titles, *rows)]
    return ["  ".join(text.ljust(width) for text, width in zip(texts, widths)).rstrip() for texts in (titles, *rows)]


def cells(before: Counts, after: Counts | None) -> list[str]:
    if after is None:
        return [share_text(before)]
    change = change_of(before, after)
    return [share_text(before), share_text(after), f"{100 * change.value:+.1f}{interval_text(change, '+.1f')}"]


def share_text(counts: Counts) -> str:
    share = share_of(counts)
    right, total = (sum(values) for values in zip(*counts))
    return f"{right}/{total} = {100 * share.value:.1f} %{interval_text(share, '.1f')}" if total else "none"


def interval_text(share: Share, form: str) -> str:
    """ (low to high) in percent; nothing where all draws are alike, as they then say nothing."""
    return f" ({100 * share.low:{form}} to {100 * share.high:{form}})" if share.low < share.high else ""
