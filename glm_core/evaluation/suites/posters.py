"""Posters: pictures that should show words, and shapes of a given kind and colour, each in one of nine zones."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...ocr import Reader, WordResult, mean, pair_words, word_figures
from ...posters import COLOURS, COLUMNS, ROWS, SHAPES, Item
from ..run import rotate
from ..tasks import Task, check_keys, invalid, parse_task, read_lines
from .shapes import seen_kinds


@dataclass(frozen=True)
class PosterTask(Task):
    """A task whose picture should also show shapes."""

    shapes: tuple[Item, ...] = ()


@dataclass(frozen=True)
class ShapeResult:
    """A wanted shape, and the kind of shape in its zone and colour (None if there is none)."""

    wanted: Item
    seen: str | None

    @property
    def right(self) -> bool:
        return self.seen == self.wanted.kind

    def to_json(self) -> dict:
        return {"kind": self.wanted.kind, "colour": self.wanted.colour, "zone": self.wanted.zone, "seen": self.seen,
                "right": self.right}


@dataclass(frozen=True)
class PosterResult:
    """What a task's picture shows: all normalised words that were read, and a result per wanted word and shape."""

    task: PosterTask
    read: list[str]
    words: list[WordResult]
    shapes: list[ShapeResult]

    def to_json(self) -> dict:
        return {
            "prompt": self.task.prompt, "texts": self.task.texts, "read": self.read,
            "words": [asdict(word) | {"right": word.right} for word in self.words],
            "shapes": [shape.to_json() for shape in self.shapes],
        }


def tasks(path: Path, limit: int | None = None) -> list[PosterTask]:
    """The first ``limit`` tasks of a JSONL file, all lines of which are checked.

    A line is an object with "prompt", a text; "texts", a list of texts; optionally "shapes", a list of objects
    {"kind", "colour", "zone": [row, column]}; and optionally "images", a list of file names relative to the JSONL file.
    Raises GLMImageError, naming the file and the line, if a line is anything else.
    """
    return [parse_poster_task(values, source, path.parent) for source, values in read_lines(path)][:limit]


def parse_poster_task(values: Any, source: str, folder: Path) -> PosterTask:
    """The task of a line, see ``tasks``."""
    check_keys(values, f"{source}: the line", ("prompt", "texts"), ("shapes", "images"))
    task, shapes = parse_task(values, source, folder), values.get("shapes", [])
    if not isinstance(shapes, list):
        raise invalid(f"{source}: shapes", "a list of shapes", shapes)
    parsed = [parse_shape(shape, f"{source}: shape {i}") for i, shape in enumerate(shapes, 1)]
    return PosterTask(task.prompt, task.texts, task.images, tuple(parsed))


def parse_shape(values: Any, source: str) -> Item:
    """A wanted shape, see ``tasks``."""
    check_keys(values, source, ("kind", "colour", "zone"))
    zone = values["zone"]
    if not isinstance(zone, list) or len(zone) != 2:
        raise invalid(f"{source}, zone", "[row, column]", zone)
    row, column = zone
    check_choice(values["kind"], f"{source}, kind", SHAPES)
    check_choice(values["colour"], f"{source}, colour", tuple(COLOURS))
    check_choice(row, f"{source}, row", ROWS)
    check_choice(column, f"{source}, column", COLUMNS)
    return Item(values["colour"], (row, column), kind=values["kind"])


def check_choice(value: Any, source: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise invalid(source, f"one of {', '.join(choices)}", value)


def measure(task: PosterTask, picture: Image.Image, reader: Reader) -> PosterResult:
    """Compare an RGB picture with what its task asks for."""
    read = reader(np.asarray(picture))
    return PosterResult(task, read, pair_words(task.words, read), measure_shapes(task, picture))


def measure_shapes(task: PosterTask, picture: Image.Image) -> list[ShapeResult]:
    kinds = seen_kinds(np.asarray(picture), task.shapes)
    return [ShapeResult(shape, kind) for shape, kind in zip(task.shapes, kinds, strict=True)]


def reward(task: PosterTask, picture: Image.Image, reader: Reader) -> float:
    """The share of wanted words and shapes that are right, 0...1; 1 for a task that wants none."""
    result = measure(task, picture, reader)
    right = [item.right for item in (*result.words, *result.shapes)]
    return sum(right) / len(right) if right else 1.0


def summary(results: Sequence[PosterResult]) -> dict[str, Any]:
    """Counts, and figures in 0...1 over the words and shapes of all pictures; None if none were wanted."""
    words = [word for result in results for word in result.words]
    shapes = [shape for result in results for shape in result.shapes]
    return {
        "prompts": len(results), **word_figures(words),
        "shapes": len(shapes), "shape_accuracy": mean([shape.right for shape in shapes]),
    }


def plan_figures(tasks: Sequence[PosterTask], pictures: Sequence[Image.Image]) -> dict[str, Any]:
    """For pictures that were drawn with the next task's plan: the share of that task's shapes that they show."""
    followed = [measure_shapes(task, picture) for task, picture in zip(rotate(tasks), pictures, strict=True)]
    return {"plans_shape_accuracy": mean([shape.right for shapes in followed for shape in shapes])}
