"""Task files for ``evaluate``, and the tasks of posters."""

import json
from pathlib import Path

from glm_core.evaluation.suites.posters import PosterTask
from glm_core.posters import Poster, caption

CIRCLE = {"kind": "circle", "colour": "red", "zone": ["top", "left"]}
SIGN = {"prompt": "a 'sign'", "texts": ["sign"], "shapes": [CIRCLE]}


def write_lines(path: Path, *lines: str | dict | list) -> Path:
    """Write a JSONL file; a line that is a text is written as it is."""
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def task_of(poster: Poster) -> PosterTask:
    """The task that asks for this poster."""
    return PosterTask(caption(poster), tuple(word.text for word in poster.words), shapes=tuple(poster.shapes))
