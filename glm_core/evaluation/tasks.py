"""The tasks to evaluate, one per line of a JSONL file: a prompt, the texts to show, and reference images."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GLMImageError
from ..files import parse_value, read_text
from ..ocr import normalise, wanted_words

LONGEST_VALUE = 500  # characters of a bad value in a message


@dataclass(frozen=True)
class Task:
    """A prompt, the texts that its picture should show, and the files of its reference images."""

    prompt: str
    texts: tuple[str, ...]
    images: tuple[Path, ...] = ()

    @property
    def words(self) -> list[str]:
        """The normalised words of all texts."""
        return wanted_words(self.texts)


def read_lines(path: Path) -> list[tuple[str, Any]]:
    """For each line that is not empty, its source for messages ("FILE, line 3") and its JSON value.

    Raises GLMImageError, naming the source, if a line is not JSON or there are none.
    """
    lines = read_text(path, str(path)).split("\n")  # splitlines would also cut at U+2028
    sources = [(f"{path}, line {i}", line) for i, line in enumerate(lines, 1) if line.strip()]
    if not sources:
        raise GLMImageError(f"{path} must have at least one line with a prompt (got none)")
    return [(source, parse_value(line, source)) for source, line in sources]


def parse_task(values: dict, source: str, folder: Path) -> Task:
    """The task of a line with "prompt", "texts" and perhaps "images", whose file names are relative to ``folder``.

    Raises GLMImageError, naming ``source`` and the key, if a value has another type.
    """
    prompt, texts, images = values["prompt"], values["texts"], values.get("images", [])
    if not is_text(prompt):
        raise invalid(f"{source}: prompt", "a string", prompt)
    if not isinstance(texts, list) or not all(is_text(text) and normalise(text) for text in texts):
        raise invalid(f"{source}: texts", "a list of strings with letters or digits", texts)
    if not isinstance(images, list) or not all(is_text(name) and "\0" not in name for name in images):
        raise invalid(f"{source}: images", "a list of file names", images)
    return Task(prompt, tuple(texts), tuple(folder / name for name in images))


def is_text(value: Any) -> bool:
    """True for text that can be encoded: JSON can hold halves of surrogate pairs."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


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
    shown = json.dumps(found, ensure_ascii=False)
    if not shown.isprintable():  # half a surrogate pair, or a character that starts a new line
        shown = json.dumps(found)
    if len(shown) > LONGEST_VALUE:
        shown = f"{shown[: LONGEST_VALUE - 1]}…"
    return GLMImageError(f"{source} must be {accepted} (got {shown})")
