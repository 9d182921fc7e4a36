"""Task files, and the tasks of posters."""

import json
from pathlib import Path

from glm_core.evaluation.suites.posters import PosterTask
from glm_core.posters import Poster, caption

CIRCLE = {"kind": "circle", "colour": "red", "zone": ["top", "left"]}
SIGN = {"prompt": "a 'sign'", "texts": ["sign"], "shapes": [CIRCLE]}


def write_lines(path: Path, *lines: str | dict | list) -> Path:
    """A JSONL file; texts are written as they are."""
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def task_of(poster: Poster) -> PosterTask:
    return PosterTask(caption(poster), tuple(word.text for word in poster.words), shapes=tuple(poster.shapes))
