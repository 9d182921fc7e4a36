"""The tasks to evaluate, one per line of a JSONL file: a prompt, the texts to show, and reference images."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GLMImageError
from .metrics import normalise


@dataclass(frozen=True)
class Task:
    """A prompt, the texts that its picture should show, and the files of its reference images."""

    prompt: str
    texts: tuple[str, ...]
    images: tuple[Path, ...] = ()

    @property
    def words(self) -> list[str]:
        """The normalised words of all texts."""
        words = [normalise(word) for text in self.texts for word in text.split()]
        return [word for word in words if word]


def read_lines(path: Path) -> list[tuple[str, Any]]:
    """For each line that is not empty, its source for messages ("FILE, line 3") and its JSON value.

    Raises GLMImageError, naming the source, if a line is not JSON or there are none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise GLMImageError(f"{path} must contain one JSON object per line, in UTF-8 ({error})") from error
    sources = [(f"{path}, line {i}", line) for i, line in enumerate(lines, 1) if line.strip()]
    if not sources:
        raise GLMImageError(f"{path} must have at least one line with a prompt (got none)")
    return [(source, parse_line(line, source)) for source, line in sources]


def parse_line(line: str, source: str) -> Any:
    """The JSON value of a line. Raises GLMImageError, naming ``source``, if it is not JSON."""
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise GLMImageError(f"{source} must be JSON ({error})") from error


def parse_task(values: dict, source: str, folder: Path) -> Task:
    """The task of a line with "prompt", "texts" and perhaps "images", whose file names are relative to ``folder``.

    Raises GLMImageError, naming ``source`` and the key, if a value has another type.
    """
    prompt, texts, images = values["prompt"], values["texts"], values.get("images", [])
    if not isinstance(prompt, str):
        raise invalid(f"{source}: prompt", "a string", prompt)
    if not isinstance(texts, list) or not all(isinstance(text, str) and normalise(text) for text in texts):
        raise invalid(f"{source}: texts", "a list of strings with letters or digits", texts)
    if not isinstance(images, list) or not all(isinstance(name, str) for name in images):
        raise invalid(f"{source}: images", "a list of file names", images)
    return Task(prompt, tuple(texts), tuple(folder / name for name in images))


def check_keys(values: Any, source: str, required: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Raise GLMImageError unless ``values`` is a JSON object with these keys and no others."""
    if not isinstance(values, dict) or not set(required) <= set(values) <= {*required, *optional}:
        accepted = f"an object with {quoted(required)}"
        if optional:
            accepted += f" and optionally {quoted(optional)}"
        raise invalid(source, accepted, values)


def quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def invalid(source: str, accepted: str, found: Any) -> GLMImageError:
    """The error to raise for a JSON value that must be ``accepted``."""
    return GLMImageError(f"{source} must be {accepted} (got {json.dumps(found, ensure_ascii=False)})")
