"""The prompts to evaluate, one a line of a JSONL file, and what their pictures should show."""

import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import GLMImageError
from ..posters.scene import COLOURS, COLUMNS, ROWS, SHAPES, Item
from .metrics import normalise

LINE = 'an object with "prompt", "texts" and, if wanted, "shapes" and "images"'
SHAPE = 'an object with "kind", "colour" and "zone": [row, column]'


@dataclass(frozen=True)
class Task:
    """A prompt, what its picture should show, and the pictures that it edits."""

    prompt: str
    texts: tuple[str, ...]
    shapes: tuple[Item, ...] = ()
    images: tuple[Path, ...] = ()

    @property
    def words(self) -> list[str]:
        """Normalised; a text of several words counts as several."""
        return [normalise(word) for text in self.texts for word in text.split() if normalise(word)]


def refuse(where: str, found, accepted: str):
    raise GLMImageError(f"{where}: found {json.dumps(found, ensure_ascii=False)}, accepted is {accepted}")


def parse_shape(values, where: str) -> Item:
    if not isinstance(values, dict) or set(values) != {"kind", "colour", "zone"}:
        refuse(where, values, SHAPE)
    zone = values["zone"] if isinstance(values["zone"], list) and len(values["zone"]) == 2 else refuse(
        f"{where}, zone", values["zone"], "[row, column]")
    for name, value, accepted in (("kind", values["kind"], SHAPES), ("colour", values["colour"], tuple(COLOURS)),
                                  ("row", zone[0], ROWS), ("column", zone[1], COLUMNS)):
        if value not in accepted:
            refuse(f"{where}, {name}", value, f"one of {', '.join(accepted)}")
    return Item(values["colour"], tuple(zone), kind=values["kind"])


def parse_line(line: str, where: str, folder: Path) -> Task:
    """Names of images are relative to ``folder``."""
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise GLMImageError(f"{where}: not JSON ({error}); accepted is {LINE}") from error
    if not isinstance(values, dict) or not {"prompt", "texts"} <= set(values) <= {"prompt", "texts", "shapes", "images"}:
        refuse(where, values, LINE)
    if not isinstance(values["prompt"], str):
        refuse(f"{where}, prompt", values["prompt"], "a text")
    texts, shapes, images = values["texts"], values.get("shapes", []), values.get("images", [])
    if not isinstance(texts, list) or not all(isinstance(text, str) and normalise(text) for text in texts):
        refuse(f"{where}, texts", texts, "a list of texts with letters or digits")
    if not isinstance(shapes, list):
        refuse(f"{where}, shapes", shapes, "a list of shapes")
    if not isinstance(images, list) or not all(isinstance(name, str) for name in images):
        refuse(f"{where}, images", images, "a list of file names")
    return Task(values["prompt"], tuple(texts), tuple(parse_shape(shape, f"{where}, shape {i}") for i, shape in enumerate(shapes, 1)),
                tuple(folder / name for name in images))


def read_tasks(path: Path, limit: int | None = None) -> list[Task]:
    """The first ``limit`` lines that are not empty. Raises GLMImageError naming the file, the line and what is accepted."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise GLMImageError(f"{path}: not UTF-8 ({error}); accepted are lines of JSON") from error
    tasks = [parse_line(line, f"{path}, line {i}", path.parent) for i, line in enumerate(lines, 1) if line.strip()]
    if not tasks:
        raise GLMImageError(f"{path}: found no prompts, accepted are one or more lines")
    return tasks[:limit]
