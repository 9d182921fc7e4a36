"""Reading the words in a picture with RapidOCR, with the PP-OCR models from its wheel."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

from ..errors import GLMImageError
from .words import normalise

SPACED_PITCH = 0.68  # of the line's height: letters at least this far apart are spaced out; in plain type about 0.5
SPACED_GAP = 1.35  # of the usual pitch: among spaced-out letters, a wider gap ends a word


@dataclass(frozen=True)
class TextBox:
    """A text that the OCR found.

    centres: x of the centre of each character that is not a blank. y, height: of the box, y of its centre. In pixels.
    """

    text: str
    centres: tuple[float, ...]
    y: float
    height: float


FindText = Callable[[np.ndarray], list[TextBox]]  # a picture, uint8 [H, W, 3] → its texts
Reader = Callable[[np.ndarray], list[str]]  # a picture, uint8 [H, W, 3] → its normalised words


def text_lines(boxes: Sequence[TextBox]) -> list[list[TextBox]]:
    """Boxes that are side by side form a line. Lines go from top to bottom, their boxes from left to right."""
    lines: list[list[TextBox]] = []
    for box in sorted(boxes, key=lambda box: box.y):
        if lines and is_beside(box, lines[-1][0]):
            lines[-1].append(box)
        else:
            lines.append([box])
    return [sorted(line, key=lambda box: box.centres[0]) for line in lines]


def is_beside(box: TextBox, other: TextBox) -> bool:
    return abs(box.y - other.y) < min(box.height, other.height) / 2


def split_at_blanks(line: Sequence[TextBox]) -> list[tuple[str, list[float]]]:
    """The pieces of the line's texts between blanks, each with the centres of its characters in pixels."""
    pieces = []
    for box in line:
        centres = iter(box.centres)
        for piece in box.text.split():
            pieces.append((piece, [next(centres) for _ in piece]))
    return pieces


def max_gap_in_word(line: Sequence[TextBox]) -> float:
    """The distance in pixels up to which letters belong to one word despite a blank between them; 0 in plain type."""
    height = median(box.height for box in line)
    pitches = [b - a for box in line for a, b in pairwise(box.centres)]
    usual = median(pitches or [height])
    only_single_letters = all(len(piece) == 1 for piece, _ in split_at_blanks(line))
    is_spaced = only_single_letters or usual >= SPACED_PITCH * height
    return SPACED_GAP * usual if is_spaced else 0.0


def line_words(line: Sequence[TextBox]) -> list[str]:
    """Normalised words of a line. Evenly spaced letters ("H E L L O") are one word, whatever blanks the OCR saw."""
    max_gap = max_gap_in_word(line)
    words, last_centre = [], None
    for piece, centres in split_at_blanks(line):
        if last_centre is not None and centres[0] - last_centre <= max_gap:
            words[-1] += piece
        else:
            words.append(piece)
        last_centre = centres[-1]
    return [word for word in map(normalise, words) if word]


def read_words(boxes: Sequence[TextBox]) -> list[str]:
    """Normalised words of all boxes, line by line; boxes without letters and digits are left out."""
    lines = text_lines([box for box in boxes if normalise(box.text)])
    return [word for line in lines for word in line_words(line)]


def letter_centres(text: str, corners: np.ndarray, letters: Sequence) -> tuple[float, ...]:
    """The x in pixels of the centre of each character of ``text`` that is not a blank.

    corners: x and y of the text's box, [4, 2]. letters: the characters that the OCR located, each a tuple (character,
    score, corners). If they do not spell the text, its characters are spread evenly over the box.
    """
    if [letter[0] for letter in letters] == list("".join(text.split())):
        return tuple(float(np.mean([x for x, _ in letter[2]])) for letter in letters)
    left, right = corners[:, 0].min(), corners[:, 0].max()
    offsets = [(i + 0.5) * (right - left) / len(text) for i, character in enumerate(text) if not character.isspace()]
    return tuple(float(left + offset) for offset in offsets)


def to_boxes(result: Any) -> list[TextBox]:
    """RapidOCR's output as boxes; [] if it found no text."""
    if not result.txts:
        return []
    boxes = []
    for i, (text, corners) in enumerate(zip(result.txts, result.boxes)):
        letters = result.word_results[i] if i < len(result.word_results) else ()
        height = float(np.linalg.norm(corners[3] - corners[0]))
        boxes.append(TextBox(text, letter_centres(text, corners, letters), float(corners[:, 1].mean()), height))
    return [box for box in boxes if box.centres]


def make_reader() -> Reader:
    """A Reader of what ``load_ocr`` finds, with its errors."""
    find_text = load_ocr()
    return lambda pixels: read_words(find_text(pixels))


def load_ocr() -> FindText:
    """RapidOCR; it does not find upside-down text.

    Raises GLMImageError if rapidocr or onnxruntime is not installed.
    """
    for package in ("rapidocr", "onnxruntime"):
        if find_spec(package) is None:
            raise GLMImageError(f"reading text needs {package}, which is not installed; run pip install rapidocr "
                                "onnxruntime with ComfyUI's Python")
    from rapidocr import RapidOCR

    engine = RapidOCR(params={
        "Global.log_level": "error", "Global.use_cls": False,
        "Global.return_word_box": True, "Global.return_single_char_box": True,
    })

    def find_text(pixels: np.ndarray) -> list[TextBox]:
        bgr = np.ascontiguousarray(pixels[..., ::-1])
        return to_boxes(engine(bgr))

    return find_text
