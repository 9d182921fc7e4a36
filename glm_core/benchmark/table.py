"""Figures as text: beside the published ones, in aligned columns, with what must be known to compare them."""

from collections.abc import Mapping, Sequence
from typing import Any

from .outcome import Outcome

NAMES = {"ned": "NED", "clip_score": "CLIPScore"}


def table(outcome: Outcome) -> str:
    """The figures, one per line, those of parts of the benchmark below them, and notes."""
    names = list(dict.fromkeys((*outcome.figures, *outcome.published)))
    rows = [(name_of(name), format_value(outcome.figures.get(name)), format_value(outcome.published.get(name)))
            for name in names]
    text = [headline(outcome), aligned(("", "here", "GLM-Image, published"), rows)]
    if outcome.groups:
        columns = list(next(iter(outcome.groups.values())))
        parts = [(name, *(format_value(figures[column]) for column in columns))
                 for name, figures in outcome.groups.items()]
        text.append(aligned(("", *map(name_of, columns)), parts))
    return "\n\n".join([*text, "\n".join(f"- {note}" for note in outcome.notes)])


def headline(outcome: Outcome) -> str:
    reader = f"read by {outcome.reader}" if outcome.reader else "not read"
    count = len(outcome.results)
    return f"{outcome.title}: {count} picture{'' if count == 1 else 's'}, {reader}"


def aligned(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns, the first aligned at the left, the others at the right."""
    lines = [titles, *rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in
                                                             zip(line[1:], widths[1:]))]).rstrip() for line in lines)


def figures_in_columns(figures: Mapping[str, Any]) -> str:
    """Two lines of aligned columns: the figures' names and their values."""
    names, values = list(map(name_of, figures)), list(map(format_value, figures.values()))
    widths = [max(len(name), len(value)) for name, value in zip(names, values)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in (names, values)]
    return "\n".join(lines)


def name_of(figure: str) -> str:
    return NAMES.get(figure, figure.replace("_", " "))


def format_value(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
