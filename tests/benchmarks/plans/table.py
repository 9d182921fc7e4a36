"""Shares and means by arm and column, each over the values of all cases and seeds."""

from collections import defaultdict
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean

from ..report import heading, line

CONFIDENCE = 1.96  # standard errors, for 95 %


def wilson(right: float, n: int) -> tuple[float, float]:
    """Wilson's interval, 95 %, of a share of n independent trials."""
    z = CONFIDENCE**2 / n
    middle = (right + z / 2) / (1 + z)
    reach = CONFIDENCE / (1 + z) * sqrt(right * (1 - right) / n + z / (4 * n))
    return middle - reach, middle + reach


@dataclass
class Table:
    """values: by row and column, then by seed. Booleans are shares, shown in percent; numbers are means."""

    title: str
    values: dict[str, dict[str, dict[int, list[float]]]] = field(default_factory=dict)
    note: str = ""

    def add(self, row: str, column: str, seed: int, *values: float) -> None:
        """seed: the number of the seed, from 0; values of unlike seeds are shown apart in the JSON."""
        cells = self.values.setdefault(row, {})
        cells.setdefault(column, defaultdict(list))[seed] += values

    def columns(self) -> list[str]:
        return list(dict.fromkeys(column for cells in self.values.values() for column in cells))

    def lines(self) -> list[str]:
        """As Markdown. A cell has the mean over all seeds, and in brackets the lowest and highest of a seed."""
        columns = self.columns()
        widths = max(len(name) for name in (self.title, *self.values)), *(max(18, len(name)) for name in columns)
        rows = [line([row, *(shown(cells.get(column, {})) for column in columns)], widths)
                for row, cells in self.values.items()]
        return [heading([self.title, *columns], widths), *rows, *([f"\n{self.note}"] if self.note else [])]

    def as_json(self) -> dict:
        rows = {row: {column: figures(by_seed) for column, by_seed in cells.items()}
                for row, cells in self.values.items()}
        return {"title": self.title, "note": self.note, "rows": rows}


def all_values(by_seed: dict[int, list[float]]) -> list[float]:
    return [value for values in by_seed.values() for value in values]


def seed_means(by_seed: dict[int, list[float]]) -> list[float]:
    return [fmean(values) for _, values in sorted(by_seed.items()) if values]


def shown(by_seed: dict[int, list[float]]) -> str:
    values, means = all_values(by_seed), seed_means(by_seed)
    if not values:
        return ""
    if not isinstance(values[0], bool):
        return f"{fmean(values):.3g}"
    low, high = min(means), max(means)
    spread = f" ({100 * low:.1f}-{100 * high:.1f})" if len(means) > 1 else ""
    return f"{100 * fmean(values):.1f}{spread} n {len(values)}"


def figures(by_seed: dict[int, list[float]]) -> dict:
    """n, mean, the means of the seeds, and of shares Wilson's interval."""
    values = all_values(by_seed)
    if not values:
        return {"n": 0}
    found = {"n": len(values), "mean": fmean(values), "seeds": seed_means(by_seed)}
    if isinstance(values[0], bool):
        found["interval"] = wilson(found["mean"], len(values))
    return found
